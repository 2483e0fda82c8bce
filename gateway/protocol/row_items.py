"""Rows of the feed as they go to clients: columns are turned into numbers once a batch, and each row is encoded once for all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from gateway.protocol.messages import Item, item_of, rest_of_item
from read_side.contract.rows import NUMBERS, AccountRows
from write_side.contract.words.atoms import available
from write_side.contract.words.codes import flag_words
from write_side.contract.words.times import format_time

_FEW: Final = 4
"""So many assets are asked for one by one: each costs as much as making a dozen at once."""


def items_of(rows: AccountRows, places: Sequence[int]) -> list[Item]:
    """Those of the rows at these places, in their order."""
    at = np.array(places, np.int64)
    if len(places) <= _FEW:
        assets = [rows.assets[place] for place in places]
    else:
        words = rows.assets[:]
        assets = [words[place] for place in places]
    columns = [getattr(rows, name)[at].tolist() for name in NUMBERS]
    return [
        item_of(version, asset, posted, held, available(posted, held, floor), _rest(at_us, flags))
        for asset, posted, held, floor, version, at_us, flags in zip(assets, *columns, strict=True)
    ]


@lru_cache(maxsize=64)
def _rest(at_us: int, flags: int) -> bytes:
    """All rows of a block have its time, and most accounts have no flags."""
    return rest_of_item(format_time(at_us), flag_words(flags))
