"""What two states of a partition, at one position, differ in: accounts byte for byte, ids, by the digest what is pending."""

from __future__ import annotations

import numpy as np

from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.state.account_rows import FLAGS_AND_ASSET
from write_side.contract.state.ids import FINGERPRINT_A, FINGERPRINT_B
from write_side.contract.state.state import State


def difference(found: State, log: State, *, with_prints: bool) -> str | None:
    """What is other in `found` than the log says, for a person, None where nothing is.

    Where rows lie in hash tables, and which number a process gives to an asset, is no difference. with_prints: both have the
    fingerprints of ids.
    """
    if found.chained != log.chained:
        return "it stands at another block than it says, or at another time or cut-off"
    return _of_accounts(found, log) or _of_ids(found, log, with_prints) or _of_digest(found, log)


def _of_accounts(found: State, log: State) -> str | None:
    if found.count != log.count:
        return f"it has {found.count:,} accounts, and the log {log.count:,}"
    count = log.count
    differs = found.changed_at_us[:count] != log.changed_at_us[:count]
    ours, theirs = log.rows[:count].copy(), found.rows[:count].copy()
    for rows in (ours, theirs):
        rows[:, FLAGS_AND_ASSET] &= FLAGS_MASK
    differs |= np.any(ours != theirs, axis=1)
    if differs.any():
        number = int(np.argmax(differs))
        return (
            f"{int(np.count_nonzero(differs)):,} accounts differ, the first is {log.row_name(number)} at version "
            f"{int(log.version[number])}"
        )
    if (found.names, found.assets, found.owners) != (log.names, log.assets, log.owners):
        return "names, assets or owners of its accounts differ"
    return None


def _of_ids(found: State, log: State, with_prints: bool) -> str | None:
    if found.ids.count != log.ids.count:
        return f"it remembers {found.ids.count:,} ids, and the log says {log.ids.count:,}"
    theirs, ours = found.ids.remembered(), log.ids.remembered()
    if not with_prints:
        for rows in (theirs, ours):
            rows[:, FINGERPRINT_A : FINGERPRINT_B + 1] = 0
    differs = np.any(theirs != ours, axis=1)
    if differs.any():
        return f"{int(np.count_nonzero(differs)):,} of the ids that it remembers differ"
    return None


def _of_digest(found: State, log: State) -> str | None:
    return None if np.array_equal(found.digest, log.digest) else "its digest differs: holds or transfers under way"
