"""Which transfers across partitions moved on, for each account of a partition that is a leg of them: what the feed tells.

At home a change is a new phase of the process, elsewhere a new state of a step. A row in a block has its legs when it begins;
what is open is remembered here with its accounts, until it is over.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from read_side.contract.phases import HOME_WORDS, STEP_WORDS, PhaseRows
from write_side.contract.block.block import Block
from write_side.contract.state.account_rows import KEY_A, KEY_B
from write_side.contract.state.pending_columns import (
    ID_A,
    ID_B,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_PARTITION,
    STATE,
    WHAT,
    StepState,
    What,
)
from write_side.contract.state.state import WORLD_KEY, State
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.tell.pending_row import PendingRow
from write_side.contract.words.codes import Code

_WORLD: Final = np.array(WORLD_KEY, np.uint64).tobytes()


class _Open(NamedTuple):
    """A row that is not over: the keys of this partition's accounts in it, and the state last told."""

    keys: list[bytes]
    state: int


class PhaseChanges:
    """One partition, from the state as it is at the making on. `take` every block after it is folded into that state."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._open: dict[tuple[bytes, int], _Open] = {}
        self._changed: dict[tuple[bytes, bytes], str] = {}
        pending = state.pending
        rows = pending.rows[: pending.count]
        held = (rows[:, WHAT] & 255 == What.STEP) & (rows[:, STATE] == StepState.HELD)
        for number in np.flatnonzero(held | (rows[:, WHAT] == What.PROCESS)).tolist():
            row, legs = rows[number], pending.legs_of(number)
            here = state.partition if row[WHAT] == What.PROCESS else 0  # legs of a step are all here, as partition 0
            keys = [leg[LEG_KEY_A : LEG_KEY_B + 1].tobytes() for leg in legs if leg[LEG_PARTITION] == here]
            self._open[row[ID_A : ID_B + 1].tobytes(), int(row[WHAT])] = _Open(_clients(keys), int(row[STATE]))

    def take(self, block: Block) -> None:
        """What a block, just folded, changed."""
        if len(block.pending["outcome"]):
            outcomes = BlockOutcomes(block)
            for row in outcomes.pending():
                at_home = row.is_process
                if at_home or row.is_step:
                    self._row(outcomes[row.outcome], row, at_home=at_home)

    def told(self) -> PhaseRows:
        """What has changed since the last call."""
        changed, self._changed = self._changed, {}
        return PhaseRows([key for key, _ in changed], [id for _, id in changed], list(changed.values()))

    def _row(self, outcome: Outcome, row: PendingRow, *, at_home: bool) -> None:
        if not at_home and outcome.code is Code.STALE:
            return  # a copy of a message: what was done is said again, and nothing has changed
        before = self._open.pop((row.id, row.what), None)
        if row.first_leg < row.end_leg:
            keys = _clients(outcome.of.leg_keys(row, self._state.partition if at_home else 0))
        else:
            keys = before.keys if before is not None else self._changed_by(outcome)
        words, state = (HOME_WORDS, row.state or outcome.phase(row)) if at_home else (STEP_WORDS, row.state)
        if row.state if at_home else state == StepState.HELD:
            self._open[row.id, row.what] = _Open(keys, state)
        if state in words and (before is None or before.state != state):
            for key in keys:
                self._changed[key, row.id] = words[state]

    def _changed_by(self, outcome: Outcome) -> list[bytes]:
        """The accounts that an outcome changed: a saga's last credit is done at once, and its row needs no legs."""
        return [
            self._state.rows[number, KEY_A : KEY_B + 1].tobytes()
            for number in dict.fromkeys(entry.account for entry in outcome.entries)
            if not self._state.names[number].startswith("@")
        ]


def _clients(keys: list[bytes]) -> list[bytes]:
    return [key for key in keys if key != _WORLD]
