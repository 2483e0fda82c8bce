"""What a view shows of a fold stays as it was while the fold goes on, until the view is moved on."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from read_side.contract.rows import AccountRow
from read_side.fold import fold_rows
from read_side.fold.balances import rows_of
from read_side.fold.fold_rows import FoldRows
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer

USD = "USD/2"
NAMES = [f"user:{number:09d}" for number in range(40)]


class View:
    """A view that shows a fold, as it was asked to."""

    def __init__(self) -> None:
        self.detached = 0

    def detach(self) -> None:
        self.detached += 1


class Stage:
    def __init__(self) -> None:
        self.partition = DecidingPartition()
        self.state = State(0)
        self.replay = Replay(self.state)
        self.fold, self.view = FoldRows(self.state), View()
        self.replay.before_change = self.fold.note
        self.taken = 0

    def decide(self, commands: Sequence[Command]) -> None:
        self.partition.decide(list(commands), NOON_US + len(self.partition.blocks))

    def fold_on(self, one_by_one: bool = False) -> None:
        blocks = self.partition.blocks[self.taken :]
        records = [Record(at, data) for at, data in enumerate(blocks, self.taken)]
        self.taken += len(blocks)
        if one_by_one:
            for record in records:
                self.replay.take(record)
        else:
            self.replay.take_all(records)

    def now(self) -> list[AccountRow]:
        return list(rows_of(self.state, np.arange(self.state.count)).each())

    def shown(self) -> list[AccountRow]:
        rows = list(self.fold.shown(np.arange(self.fold.count)).each())
        assert [self.fold.one(row.account) for row in rows] == rows
        return rows


def opened(names: Sequence[str]) -> list[Command]:
    return [OpenAccount(name, USD, 0, "") for name in names]


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_shown_as_they_were_until_the_view_is_moved_on(
    seed: int, one_by_one: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_rows, "_KEPT_ROWS", 8)
    monkeypatch.setattr(fold_rows, "_TOLD_APART_AT", 16)
    stage, chance = Stage(), random.Random(seed)
    stage.decide(opened(NAMES[:20]))
    stage.fold_on()
    stage.fold.show(stage.view)
    number = 0
    for _ in range(6):
        before = stage.shown()
        assert before == stage.now()
        for block in range(chance.randrange(1, 6)):
            moves: list[Command] = []
            for _ in range(chance.randrange(1, 12)):
                number += 1
                moves.append(Transfer(id_at(NOON_US, number), "@world", chance.choice(NAMES), number, USD))
            stage.decide([*opened(chance.sample(NAMES, 2)), *moves])
            if block % 2:
                stage.fold_on(one_by_one)
                assert stage.shown() == before
        stage.fold_on(one_by_one)
        assert stage.shown() == before
        assert stage.fold.one("nobody") is None
        stage.fold.show(stage.view)
    assert stage.view.detached == 0


def test_accounts_that_were_opened_since_are_not_there_yet() -> None:
    stage = Stage()
    stage.decide(opened(["a"]))
    stage.fold_on()
    stage.fold.show(stage.view)
    stage.decide([*opened(["b"]), OpenAccount("c", "EUR/2", 0, "")])
    stage.fold_on()
    assert stage.fold.find(["a", "b", "@world:EUR/2"]).tolist() == [stage.state.number_of("a"), -1, -1]
    assert stage.fold.one("b") is None
    stage.fold.show(stage.view)
    assert stage.fold.one("b") is not None
    assert stage.fold.find(["@world:EUR/2"]).tolist() == [stage.state.number_of("@world:EUR/2")]


def test_a_fold_that_fails_changes_nothing_that_is_shown() -> None:
    stage = Stage()
    stage.decide(opened(NAMES[:3]))
    stage.fold_on()
    stage.fold.show(stage.view)
    before = stage.shown()
    stage.state.digest[0] += np.uint64(1)  # the next block fails when all of it is folded
    stage.decide([Transfer(id_at(NOON_US, 1), "@world", NAMES[0], 5, USD)])
    with pytest.raises(CheckFailed):
        stage.fold_on()
    assert stage.now() != before
    assert stage.shown() == before


def test_one_view_at_a_time_shows_a_fold() -> None:
    stage, other = Stage(), View()
    stage.decide(opened(["a"]))
    stage.fold_on()
    stage.fold.show(stage.view)
    stage.fold.show(other)
    stage.fold.show(other)
    assert (stage.view.detached, other.detached) == (1, 0)


def test_many_names_are_found_as_one_is() -> None:
    stage = Stage()
    stage.decide(opened(NAMES))
    stage.fold_on()
    stage.fold.show(stage.view)
    asked = [*NAMES, "nobody", "@world:USD/2", "@world:XXX/0", "n" * 64, "n" * 65, ""]
    each = [stage.state.number_of(name) for name in asked]
    assert stage.fold.find(asked).tolist() == [-1 if number is None else number for number in each]
