"""Accounts of a view that a comparison has not met yet, and how many it meets at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

import numpy as np

from read_side.contract.view import ViewStore
from write_side.contract.state.state import State

COMPARED_AT_ONCE: Final = 5_000
"""Rows read together: some 10 ms of a Redis server, so that reads of others go on."""


async def names_besides(view: ViewStore, live: int, state: State, compared: int) -> AsyncGenerator[list[str], None]:
    """Those of the partition's view that are none of the first ones of its state, which were compared: opened meanwhile, or not
    in the log at all. live: the view's generation."""
    async for rows in view.scan(state.partition, live):
        numbers = state.numbers_of(rows.accounts)
        others = np.flatnonzero((numbers < 0) | (numbers >= compared)).tolist()
        if others:
            yield [rows.accounts[i] for i in others]
