"""A view that shows the rows of a fold is loaded without a text of theirs being made; any other view gets the same texts."""

from __future__ import annotations

import numpy as np
import pytest

from read_side.contract.rows import EMPTY_ROWS, AccountRow
from read_side.contract.view import ViewStore
from read_side.fold.balances import rows_of
from read_side.fold.texts_later import TextsLater
from read_side.follow.bring_view_right import load_everything
from read_side.follow.partition_fold import PartitionFold
from read_side.views.view_memory import MemoryViewStore
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.log.log import Record
from write_side.contract.state.state import State
from write_side.ledger.commands.commands import OpenAccount, Transfer


@pytest.fixture
def fold() -> PartitionFold:
    partition, fold = DecidingPartition(), PartitionFold(0)
    partition.decide([OpenAccount(name, asset, 0, "") for name, asset in (("a", "USD/2"), ("b", "EUR/2"))], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", "a", 7, "USD/2")], NOON_US + 1)
    fold.take([Record(at, data) for at, data in enumerate(partition.blocks)])
    return fold


def test_texts_are_made_once_and_when_one_is_looked_at() -> None:
    made: list[int] = []

    def make() -> list[str]:
        made.append(1)
        return ["a", "b", "c"]

    texts = TextsLater(3, make)
    assert (len(texts), made) == (3, [])
    assert (texts[1], texts[1:], list(texts), "c" in texts, made) == ("b", ["b", "c"], ["a", "b", "c"], True, [1])


@pytest.mark.parametrize("size", [1, 3, 100])
def test_rows_in_parts_are_the_rows_of_all_accounts(fold: PartitionFold, size: int) -> None:
    together = [row for part in fold.rows.in_parts(size) for row in part.each()]
    assert together == list(rows_of(fold.state, np.arange(fold.state.count)).each())
    assert {row.account for row in together} >= {"a", "b", "@world:USD/2", "@transit:EUR/2"}


async def test_a_view_that_shows_the_fold_is_loaded_without_texts(
    fold: PartitionFold, monkeypatch: pytest.MonkeyPatch
) -> None:
    view: ViewStore = MemoryViewStore()
    owner = await view.claim(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(State, "row_names", lambda *_: pytest.fail("nobody looks at them"))
        loaded = await load_everything(view, owner, fold)
        await view.apply(owner, None, EMPTY_ROWS, fold.checkpoint(1), loaded)
    _, [row] = await view.read(0, ["a"], 1)
    assert isinstance(row, AccountRow)
    assert (loaded, row.asset, row.posted) == (fold.state.count, "USD/2", 7)
