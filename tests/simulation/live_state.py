"""A live state beside the replay of the log: where do they differ?"""

from __future__ import annotations

import numpy as np

from write_side.contract.state.id_parts import ID_A, ID_B, TIME_US
from write_side.contract.state.ids import FINGERPRINT_A, FINGERPRINT_B, PLACE
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.pending_columns import LOGGED
from write_side.contract.state.state import State

_COLUMNS = ("key_a", "key_b", "row_key", "posted", "held", "version", "floor", "flags", "changed_at_us")


def difference(live: State, mine: State, fingerprints: bool) -> str | None:
    """What is not byte for byte the same; None when all is. Both are at the same block.

    fingerprints: whether the live one has those of its transfers, as a writer's has and a reader's has not.
    """
    if live.chained != mine.chained:
        return "head"
    texts = (mine.count, mine.names, mine.assets, mine.owners)
    if (live.count, live.names, live.assets, live.owners) != texts:
        return "names"
    for column in _COLUMNS:
        if not np.array_equal(getattr(live, column)[: mine.count], getattr(mine, column)[: mine.count]):
            return column
    if not np.array_equal(live.digest, mine.digest):
        return "digest"
    if _pending(live.pending) != _pending(mine.pending):
        return "pending"
    columns = [ID_A, ID_B, PLACE, TIME_US] + [FINGERPRINT_A, FINGERPRINT_B] * fingerprints
    equal = np.array_equal(live.ids.remembered()[:, columns], mine.ids.remembered()[:, columns])
    return None if live.ids.count == mine.ids.count and equal else "ids"


def _pending(table: PendingTable) -> dict[tuple[int, ...], object]:
    return {
        tuple(table.rows[row, :3].tolist()): (table.rows[row, list(LOGGED)].tolist(), table.legs_of(row).tolist())
        for row in range(table.count)
    }
