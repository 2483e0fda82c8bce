"""The accounts that a step of a transfer across partitions touched, as they were after it: told from the step's block."""

from __future__ import annotations

from typing import Any

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.state.pending_columns import STEP_SHIFT, What
from write_side.contract.state.state import State
from write_side.contract.words.codes import Kind


def accounts_after(block: Block, id16: bytes, step: int, state: State) -> list[dict[str, Any]]:
    """The last state of each account that the step touched in this block, `@transit` too; amounts as digit strings.

    state: of the block's partition. What home did of its own steps in one outcome is told of each of them.
    """
    entries = block.entries
    held = dict(zip(block.held["entry"].tolist(), block.held["held"].tolist(), strict=True))
    found: dict[int, dict[str, Any]] = {}
    for row in np.flatnonzero((block.outcomes["id"] == np.frombuffer(id16, np.uint8)).all(axis=1)).tolist():
        if block.outcomes["kind"][row] == Kind.STEP and step not in _steps_of(block, row):
            continue
        first, last = np.searchsorted(entries["outcome"], (row, row + 1)).tolist()
        for entry in range(first, last):
            number = int(entries["account"][entry])
            found[number] = {
                "account": state.names[number],
                "asset": state.assets[number],
                "posted": str(entries["posted"][entry]),
                "held": str(held.get(entry, 0)),
            }
    return list(found.values())


def _steps_of(block: Block, row: int) -> list[int]:
    """The numbers of the steps that a participant's outcome moved."""
    what = block.pending["what"][block.pending["outcome"] == row]
    return [int(each) >> STEP_SHIFT for each in what.tolist() if each & 255 == What.STEP]
