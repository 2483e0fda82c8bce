"""Accounts of a view that a comparison has not met yet."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import numpy as np

from read_side.contract.view import ViewStore
from write_side.contract.state.state import State


async def names_besides(view: ViewStore, live: int, state: State, compared: int) -> AsyncGenerator[list[str], None]:
    """Those of the partition's view that are none of the first ones of its state, which were compared: opened meanwhile, or not
    in the log at all. live: the view's generation."""
    async for rows in view.scan(state.partition, live):
        numbers = state.numbers_of(rows.accounts)
        others = np.flatnonzero((numbers < 0) | (numbers >= compared)).tolist()
        if others:
            yield [rows.accounts[i] for i in others]
