"""The indexes of the pending rows say what looking at every row says, whatever comes, changes and goes, in whatever order."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.unit.write_side.deciding import assert_indexed
from write_side.contract.pending import add_leg, add_pending, drop, purge, raise_low, step_what
from write_side.contract.pending_columns import (
    BEGUN,
    DEADLINE_US,
    LEG_WIDTH,
    STATE,
    WHAT,
    HoldState,
    Phase,
    StepState,
    What,
)
from write_side.contract.pending_index import note_pending
from write_side.contract.state import State

STATES = {What.HOLD: HoldState, What.PROCESS: Phase, What.REVERSAL: HoldState, What.STEP: StepState}


class Rows:
    def __init__(self, seed: int) -> None:
        self.state = State(0)
        self.chance = random.Random(seed)
        self.begun = 0

    @property
    def table(self) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], ...]:
        return self.state.pending.arrays  # type: ignore[return-value]

    def add(self) -> None:
        kind = self.chance.choice(list(What))
        what = int(kind)
        if kind is What.STEP:
            what = int(step_what(np.int64(self.chance.randrange(3)), np.int64(self.chance.randrange(4))))
        self.state.pending.reserve(1, 4)
        a, b = (np.int64(self.chance.randrange(-(2**63), 2**63)) for _ in range(2))
        row = int(add_pending(self.table, a, b, np.int64(what), np.int64(1)))
        self.begun += self.chance.randrange(2)
        rows = self.state.pending.rows
        rows[row, DEADLINE_US] = self.chance.choice((0, self.chance.randrange(1, 9)))
        rows[row, BEGUN] = max(0, self.begun - self.chance.randrange(3))
        rows[row, STATE] = self.chance.choice(list(STATES[kind])[1:])
        for _ in range(self.chance.randrange(4)):
            leg = np.zeros(LEG_WIDTH, np.int64)
            leg[0] = self.chance.randrange(6)
            add_leg(self.table, np.int64(row), leg)
        note_pending(self.table, np.int64(row))

    def change(self) -> None:
        row = self.chance.randrange(self.state.pending.count)
        rows = self.state.pending.rows
        rows[row, STATE] = self.chance.choice(list(STATES[What(int(rows[row, WHAT]) & 255)])[1:])
        note_pending(self.table, np.int64(row))

    def end(self) -> None:
        drop(self.table, self.state.digest, np.int64(self.chance.randrange(self.state.pending.count)))

    def settle(self) -> None:
        """The processes of a home below some block are over."""
        raise_low(self.table, self.state.digest, np.int64(self.chance.randrange(3)), np.int64(self.begun - 2))
        purge(self.table, self.state.digest)
        table = self.state.pending
        for row in table.rows[: table.count].tolist():
            home = (row[WHAT] >> 8) & 0xFFFF
            assert row[WHAT] & 255 != What.STEP or row[BEGUN] >= table.lows[home]


@pytest.mark.parametrize("seed", range(40))
def test_the_indexes_follow_the_rows(seed: int) -> None:
    rows = Rows(seed)
    grows = rows.chance.choice((2, 4, 8))
    for _ in range(400):
        steps = [rows.add] * grows
        if rows.state.pending.count:
            steps += [rows.change, rows.change, rows.end, rows.end, rows.settle]
        rows.chance.choice(steps)()
        if rows.chance.random() < 0.2:
            assert_indexed(rows.state)
    assert_indexed(rows.state)
    copied = State(0)
    copied.pending = rows.state.pending.copy()
    while rows.state.pending.count:
        rows.end()
    assert_indexed(rows.state)
    assert_indexed(copied)
