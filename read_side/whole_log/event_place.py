"""Where an event stands in its partition, and how many events of a table are behind one."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa


class Place(NamedTuple):
    """The block, the outcome in the block, the entry of the outcome."""

    sequence: int
    row: int
    leg: int

    @property
    def whole_upto(self) -> int:
        """The last block that lies before it, or ends at it, with all of its events; -1 for none."""
        return self.sequence if self.row == LAST or self.sequence < 0 else self.sequence - 1


NOWHERE: Final = Place(-1, 0, 0)
LAST: Final = 2**31 - 1
"""A row and a leg behind all others: `Place(17, LAST, LAST)` is behind block 17."""


def count_up_to(events: pa.Table, last: Place) -> int:
    """How many events stand at this place or before it. events: columns of `EVENTS`."""
    sequence, row, leg = (np.asarray(events[name].combine_chunks()) for name in Place._fields)
    before = (sequence < last.sequence) | (
        (sequence == last.sequence) & ((row < last.row) | ((row == last.row) & (leg <= last.leg)))
    )
    return int(np.count_nonzero(before))
