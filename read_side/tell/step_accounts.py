"""The accounts that a step of a transfer across partitions touched, as they were after it: told from the step's block."""

from __future__ import annotations

from typing import Any

from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.codes import Kind


def accounts_after(block: BlockOutcomes, id16: bytes, step: int, state: State) -> list[dict[str, Any]]:
    """The last state of each account that the step touched in this block, `@transit` too; amounts as digit strings.

    state: of the block's partition. What home did of its own steps in one outcome is told of each of them.
    """
    found: dict[int, dict[str, Any]] = {}
    for outcome in block.of_id(id16):
        moved = [each.step for each in outcome.pending if each.is_step]
        if outcome.kind is Kind.STEP and step not in moved:
            continue
        for entry in outcome.entries:
            found[entry.account] = {
                "account": state.names[entry.account],
                "asset": state.assets[entry.account],
                "posted": str(entry.posted),
                "held": str(entry.held or 0),
            }
    return list(found.values())
