"""What is asked again costs what is due, and not what the tables have room for."""

from __future__ import annotations

import mmap

import numpy as np

from write_side.contract.state.pending_columns import LEG_WIDTH, WIDTH
from write_side.ledger.across.outstanding import messages_again

ROOM_BYTES = 1 << 41
"""Of addresses, which no memory is behind: a table has room for many more legs than it has (`room.py`)."""
MAP_NORESERVE = 0x4000
"""Linux; the module names it from Python 3.13 on."""


def test_nothing_is_made_of_the_room_for_legs_that_are_not_there() -> None:
    """Each look of each relay filled as much memory with zeros, and kept everyone waiting for half a minute."""
    room = mmap.mmap(-1, ROOM_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    legs = np.frombuffer(room, np.int64).reshape(-1, LEG_WIDTH)
    assert messages_again(np.zeros((3, WIDTH), np.int64), legs, 0) == {}
