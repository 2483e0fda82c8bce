"""The indexes of the pending rows say what looking at every row says, whatever comes, changes and goes, in whatever order."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.unit.write_side.deciding import assert_indexed, pending_rows
from write_side.contract.state import pending
from write_side.contract.state.id_parts import have_time
from write_side.contract.state.pending_columns import (
    BEGUN,
    ENDS_BY_US,
    FIRST_LEG,
    LEG_COUNT,
    LEG_WIDTH,
    STATE,
    STEPS,
    WHAT,
    HoldState,
    Phase,
    StepState,
    What,
)
from write_side.contract.state.pending_index import note_pending
from write_side.contract.state.pending_rows import (
    add_leg,
    add_pending,
    add_records,
    drop,
    forget_reversals,
    purge,
    raise_low,
    record_step,
    step_what,
)
from write_side.contract.state.state import State

STATES = {What.HOLD: HoldState, What.PROCESS: Phase, What.REVERSAL: HoldState, What.STEP: StepState}


class Rows:
    def __init__(self, seed: int) -> None:
        self.state = State(0)
        self.chance = random.Random(seed)
        self.begun = 0
        self.pool: dict[bytes, list[list[int]]] = {}

    @property
    def table(self) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.int64]], ...]:
        return self.state.pending.arrays  # type: ignore[return-value]

    def add(self) -> None:
        kind = self.chance.choice(list(What))
        what = int(kind)
        if kind is What.STEP:
            what = int(step_what(np.int64(self.chance.randrange(3)), np.int64(self.chance.randrange(4))))
        self.state.pending.reserve(1, 6)
        a, b = (np.int64(self.chance.randrange(-(2**63), 2**63)) for _ in range(2))
        if self.chance.random() < 0.5:  # of version 7, with a time
            a, b = (a & ~np.int64(0xF << 52)) | np.int64(7 << 52), (b & ~np.int64(0xC0)) | np.int64(0x80)
        row = int(add_pending(self.table, a, b, np.int64(what), np.int64(1)))
        self.begun += self.chance.randrange(2)
        rows = self.state.pending.rows
        rows[row, ENDS_BY_US] = self.chance.choice((0, self.chance.randrange(1, 9)))
        rows[row, BEGUN] = max(0, self.begun - self.chance.randrange(3))
        rows[row, STATE] = self.chance.choice(list(STATES[kind])[1:])
        for n in range(self.chance.randrange(4)):
            leg = np.zeros(LEG_WIDTH, np.int64)
            leg[0], leg[3] = self.chance.randrange(6), n
            add_leg(self.table, np.int64(row), leg)
        if kind is What.PROCESS:
            add_records(self.table, np.int64(row), np.int64(2))
            record_step(self.table, np.int64(row), np.int64(1), *(np.int64(n) for n in (5, 0, 3, 4, 9)))
        note_pending(self.table, np.int64(row))
        self.pool[self.key(row)] = self.legs(row)

    def key(self, row: int) -> bytes:
        return self.state.pending.rows[row, : WHAT + 1].tobytes()

    def legs(self, row: int) -> list[list[int]]:
        """The legs of a row, and the records behind them."""
        table = self.state.pending
        first, legs, steps = table.rows[row, [FIRST_LEG, LEG_COUNT, STEPS]].tolist()
        pool: list[list[int]] = table.legs[first : first + legs + steps].tolist()
        return pool

    def check(self) -> None:
        assert_indexed(self.state)
        for row in range(self.state.pending.count):
            assert self.legs(row) == self.pool[self.key(row)]

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
@pytest.mark.parametrize("moved_at_once_max", [1 << 16, 64])
def test_the_indexes_follow_the_rows(seed: int, moved_at_once_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small pool of legs, gathered at once, and with one whose two halves take turns."""
    monkeypatch.setattr(pending, "_MOVED_AT_ONCE_MAX", moved_at_once_max)
    monkeypatch.setattr(pending, "_ROOM_LEGS", 2_048)
    monkeypatch.setattr(pending, "_START_LEGS", 32)
    monkeypatch.setattr(pending, "_MOVED_MIN", 3)
    rows = Rows(seed)
    rows.state.pending.legs = rows.state.pending.legs[:32]
    grows = rows.chance.choice((2, 4, 8))
    for _ in range(400):
        steps = [rows.add] * grows
        if rows.state.pending.count:
            steps += [rows.change, rows.change, rows.end, rows.end, rows.settle]
        rows.chance.choice(steps)()
        if rows.chance.random() < 0.2:
            rows.check()
    rows.check()
    copied = State(0)
    copied.pending = rows.state.pending.copy()
    assert {rows.key(row): rows.legs(row) for row in range(rows.state.pending.count)} == pool_of(copied)
    while rows.state.pending.count:
        rows.end()
    assert_indexed(rows.state)
    assert_indexed(copied)


def pool_of(state: State) -> dict[bytes, list[list[int]]]:
    return {key: legs + records for key, (_, legs, records) in pending_rows(state).items()}


def test_legs_move_from_one_half_of_a_large_pool_to_the_other_some_with_every_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "_MOVED_AT_ONCE_MAX", 64)
    monkeypatch.setattr(pending, "_ROOM_LEGS", 8_192)
    rows = Rows(1)
    table, halves, most = rows.state.pending, set(), 0
    for n in range(6_000):
        if table.count > 800:
            rows.end()
        before = table.rows[: table.count, FIRST_LEG].copy()
        rows.add()
        moved = np.count_nonzero(table.rows[: len(before), FIRST_LEG] != before)
        if n > 1_000:
            most = max(most, int(moved))
            halves.add(table._first)
    rows.check()
    assert len(halves) == 2
    assert 0 < most < 200, "some of 800 rows, not all"


@pytest.mark.parametrize("seed", range(10))
def test_reversals_are_forgotten_by_the_rule_of_the_id_that_they_reverse(seed: int) -> None:
    rows = Rows(seed)
    for _ in range(150):
        rows.add()
    table = rows.state.pending
    for _ in range(3):
        kept_from = [rows.chance.randrange(10) for _ in range(2)]
        kept = {
            row[: WHAT + 1].tobytes()
            for row in table.rows[: table.count]
            if row[WHAT] != What.REVERSAL
            or row[ENDS_BY_US] == 0
            or row[ENDS_BY_US] >= kept_from[0 if have_time(row[:2].view(np.uint64).reshape(1, 2))[0] else 1]
        }
        forget_reversals(table.arrays, rows.state.digest, *(np.int64(us) for us in kept_from))
        assert {row[: WHAT + 1].tobytes() for row in table.rows[: table.count]} == kept
        rows.check()
