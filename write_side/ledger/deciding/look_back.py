"""Before a block is decided, all its ids that memory may have forgotten are looked up at once."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit
from write_side.contract.state.fold_ids import KINDS, time_of_id
from write_side.contract.state.id_parts import has_time
from write_side.contract.state.ids import find_id
from write_side.contract.state.state import State
from write_side.ledger.rules.asked import Commands
from write_side.ledger.rules.ran_before import NOTHING_BEFORE, ROW_WIDTH, RanBefore, remembered_rows

Uint64s = npt.NDArray[np.uint64]


class EveryId(Protocol):
    """What knows every id that ever ran in a partition, but for those of its last blocks, which the state remembers."""

    def find(self, ids: Uint64s, wanted: npt.NDArray[np.bool_]) -> Uint64s:
        """The rows (`ran_before.py`) of those of these ids, uint64[n, 2], that are `wanted`, bool[n], and ever ran; what stays in
        `wanted` never did. Blocks as long as a disk takes."""


@njit(cache=True, nogil=True)
def _note_wanted(table, kind, ids, cut_off_us, wanted):  # type: ignore[no-untyped-def]
    """Set `wanted` for ids of commands that are remembered no more, or never were and nothing tells that; how many."""
    count = 0
    for i in range(kind.size):
        a, b = ids[i, 0], ids[i, 1]
        if not KINDS[kind[i]] or (has_time(a, b) and time_of_id(a, b, cut_off_us) >= cut_off_us):
            continue
        if find_id(table, a, b) < 0:
            wanted[i] = True
            count += 1
    return count


def look_back(state: State, commands: Commands, ever: EveryId | None, *, forgets: bool) -> RanBefore:
    """What ran before of these commands and is not in the state, or may be forgotten while they are decided (`forgets`)."""
    if ever is None:
        return NOTHING_BEFORE
    wanted = np.zeros(len(commands.kind), np.bool_)
    cut_off_us = state.chained.refuse_ids_before_us
    count = _note_wanted(state.ids.arrays, commands.kind, commands.ids, cut_off_us, wanted)
    if not count and not forgets:
        return NOTHING_BEFORE
    if forgets:
        rows, known = remembered_rows(state, commands.ids)
        known &= KINDS[commands.kind]
    else:
        rows, known = np.empty((len(wanted), ROW_WIDTH), np.uint64), np.zeros(len(wanted), np.bool_)
    if count:
        asked = np.flatnonzero(wanted)
        left = np.ones(len(asked), np.bool_)
        rows[asked] = ever.find(commands.ids[asked], left)
        known[asked] = ~left
    if not known.any():
        return NOTHING_BEFORE
    return RanBefore(rows, np.where(known, np.arange(len(known)), -1))
