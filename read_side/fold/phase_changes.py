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
    Phase,
    StepState,
    What,
)
from write_side.contract.state.state import WORLD_KEY, State
from write_side.contract.words.codes import Code

_WORLD: Final = np.array(WORLD_KEY, np.uint64).tobytes()
_LOOK_AT: Final = (What.PROCESS, What.STEP)


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
        pending = block.pending
        if not len(pending["outcome"]):
            return
        first_leg = (np.cumsum(pending["legs"]) - pending["legs"]).tolist()
        ids = pending["id"].tobytes()
        rows = zip(*(pending[name].tolist() for name in ("outcome", "what", "state", "legs")), first_leg, strict=True)
        for at, (outcome, what, state, legs, first) in enumerate(rows):
            if what & 255 in _LOOK_AT:
                id = ids[16 * at : 16 * at + 16]
                self._row(block, outcome, id, what, state, slice(first, first + legs))

    def told(self) -> PhaseRows:
        """What has changed since the last call."""
        changed, self._changed = self._changed, {}
        return PhaseRows([key for key, _ in changed], [id for _, id in changed], list(changed.values()))

    def _row(self, block: Block, outcome: int, id: bytes, what: int, state: int, legs: slice) -> None:
        code = int(block.outcomes["code"][outcome])
        if what != What.PROCESS and code == Code.STALE:
            return  # a copy of a message: what was done is said again, and nothing has changed
        before = self._open.pop((id, what), None)
        keys = self._keys(block, legs, of_step=what != What.PROCESS) if legs.start < legs.stop else None
        if keys is None:
            keys = before.keys if before is not None else self._changed_by(block, outcome)
        words = HOME_WORDS if what == What.PROCESS else STEP_WORDS
        if what == What.PROCESS and state == 0:
            state = Phase.DONE if code == Code.DONE else Phase.REFUSED
        elif what == What.PROCESS or state == StepState.HELD:
            self._open[id, what] = _Open(keys, state)
        if state in words and (before is None or before.state != state):
            for key in keys:
                self._changed[key, id] = words[state]

    def _keys(self, block: Block, legs: slice, *, of_step: bool) -> list[bytes]:
        here = 0 if of_step else self._state.partition
        keys, partitions = block.pending_legs["key"][legs], block.pending_legs["partition"][legs].tolist()
        return _clients([key.tobytes() for key, other in zip(keys, partitions, strict=True) if other == here])

    def _changed_by(self, block: Block, outcome: int) -> list[bytes]:
        """The accounts that an outcome changed: a saga's last credit is done at once, and its row needs no legs."""
        numbers = block.entries["account"][block.entries["outcome"] == outcome].tolist()
        return [
            self._state.rows[number, KEY_A : KEY_B + 1].tobytes()
            for number in dict.fromkeys(numbers)
            if not self._state.names[number].startswith("@")
        ]


def _clients(keys: list[bytes]) -> list[bytes]:
    return [key for key in keys if key != _WORLD]
