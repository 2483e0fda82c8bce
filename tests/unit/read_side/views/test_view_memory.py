"""The memory view shows a fold's rows where the fold has them, and is a store of its own for everybody else's."""

from __future__ import annotations

import copy

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.contract.view import Checkpoint, Owner
from read_side.follow.partition_fold import PartitionFold
from read_side.views.view_memory import MemoryViewStore
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.log.log import Record
from write_side.ledger.commands.commands import OpenAccount, Transfer

WRONG = AccountRow("a", "USD/2", 99, 0, 0, 1, 1)


class Stage:
    """A partition that is decided, folds of it, and a view."""

    def __init__(self) -> None:
        self.partition, self.view = DecidingPartition(), MemoryViewStore()
        self.partition.decide([OpenAccount(name, "USD/2", 0, "") for name in "ab"], NOON_US)

    def pay(self, amount: int) -> None:
        now = len(self.partition.blocks)
        self.partition.decide([Transfer(id_at(NOON_US, now), "@world", "a", amount, "USD/2")], NOON_US + now)

    def fold_on(self, fold: PartitionFold) -> AccountRows:
        start = fold.folded.sequence + 1
        return fold.take([Record(at, data) for at, data in enumerate(self.partition.blocks[start:], start)]).rows

    async def shown(self, fold: PartitionFold, generation: int = 1) -> tuple[Owner, Checkpoint]:
        """A generation with all that is folded."""
        self.fold_on(fold)
        owner = await self.view.claim(0, generation)
        for part in fold.rows.in_parts(2):
            await self.view.load(owner, part)
        checkpoint = fold.checkpoint(generation)
        await self.view.apply(owner, None, EMPTY_ROWS, checkpoint, fold.state.count)
        return owner, checkpoint

    async def posted(self, generation: int = 1) -> tuple[int, int]:
        """The sequence of the checkpoint, and what is on the account `a`."""
        checkpoint, [row] = await self.view.read(0, ["a"], generation)
        assert checkpoint is not None
        assert row is not None
        return checkpoint.sequence, row.posted


async def test_a_run_is_shown_with_its_checkpoint_and_not_before() -> None:
    stage, fold = Stage(), PartitionFold(0)
    owner, held = await stage.shown(fold)
    stage.pay(5)
    rows = stage.fold_on(fold)
    assert await stage.posted() == (0, 0)
    await stage.view.apply(owner, held, EMPTY_ROWS, held)  # a probe
    assert await stage.posted() == (0, 0)
    await stage.view.apply(owner, held, rows, fold.checkpoint(1))
    assert await stage.posted() == (1, 5)


async def test_rows_from_elsewhere_are_shown_until_the_fold_writes_over_them() -> None:
    stage, fold = Stage(), PartitionFold(0)
    owner, held = await stage.shown(fold)
    await stage.view.apply(owner, held, AccountRows.of([WRONG]), held)
    assert await stage.posted() == (0, 99)
    stage.pay(5)
    rows = stage.fold_on(fold)
    assert await stage.posted() == (0, 99)
    await stage.view.apply(owner, held, rows, fold.checkpoint(1))
    assert await stage.posted() == (1, 5)


async def test_a_generation_keeps_its_rows_when_another_one_shows_the_fold() -> None:
    stage, live, rebuilt = Stage(), PartitionFold(0), PartitionFold(0)
    owner, held = await stage.shown(live)
    new, new_held = await stage.shown(rebuilt, 2)
    stage.pay(5)
    rows = stage.fold_on(live)
    await stage.view.apply(new, new_held, rows, live.checkpoint(2))  # the live fold takes the rebuilt generation over
    assert await stage.posted(1) == (0, 0)
    assert await stage.posted(2) == (1, 5)
    stage.pay(6)
    stage.fold_on(rebuilt)  # which nobody shows any more
    assert await stage.posted(2) == (1, 5)
    await stage.view.apply(owner, held, rows, live.checkpoint(1))
    assert await stage.posted(1) == (1, 5)


async def test_a_copy_of_a_generation_stands_for_itself() -> None:
    stage, fold = Stage(), PartitionFold(0)
    owner, held = await stage.shown(fold)
    copied = copy.deepcopy(stage.view._generations)
    stage.pay(5)
    rows = stage.fold_on(fold)
    await stage.view.apply(owner, held, rows, fold.checkpoint(1))
    row = copied[0, 1].row("a")
    assert row is not None
    assert (row.posted, copied[0, 1].count) == (0, fold.state.count)


async def test_many_accounts_are_read_as_single_ones_are() -> None:
    stage, fold = Stage(), PartitionFold(0)
    stage.partition.decide([OpenAccount(f"n{i}", "USD/2", 0, "") for i in range(60)], NOON_US + 1)
    await stage.shown(fold)
    names = [*(f"n{i}" for i in range(0, 60, 2)), "nobody", "@world:USD/2"]
    _, many = await stage.view.read(0, names)
    assert many == [(await stage.view.read(0, [name]))[1][0] for name in names]
    scanned = [row async for part in stage.view.scan(0, 1) for row in part.each()]
    assert len(scanned) == fold.state.count
    assert np.all([row.version == 0 for row in scanned])
