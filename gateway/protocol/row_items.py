"""A row of the feed as it goes to clients: made once for all who watch it."""

from __future__ import annotations

from functools import lru_cache

from gateway.protocol.messages import Item, item
from read_side.contract.rows import AccountRows
from write_side.contract.words.atoms import available
from write_side.contract.words.codes import flag_words
from write_side.contract.words.times import format_time


def item_of_row(rows: AccountRows, i: int) -> Item:
    """Row i as it goes to clients."""
    posted, held, floor = int(rows.posted[i]), int(rows.held[i]), int(rows.floor[i])
    spendable = available(posted, held, floor)
    text = None if spendable is None else str(spendable)
    at, flags = _time(int(rows.at_us[i])), _flags(int(rows.flags[i]))
    return item(int(rows.version[i]), rows.assets[i], str(posted), str(held), text, at, flags)


# All rows of a block have its time, and most accounts have no flags.
_time = lru_cache(maxsize=64)(format_time)
_flags = lru_cache(maxsize=64)(flag_words)
