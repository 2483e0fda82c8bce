"""Rollback brings back the view of before the last switch, caught up, whatever happens in the middle of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from read_side.contract.rows import EMPTY_ROWS, AccountRow
from read_side.contract.view import Checkpoint, Owner, ViewStore, ViewUnavailable
from read_side.views.view_memory import MemoryViewStore
from read_side.views.view_sqlite import SqliteViewStore
from read_side.whole_log.alone import AtWork, alone
from read_side.whole_log.rebuild import rebuild
from read_side.whole_log.rebuild_result import Wishes
from read_side.whole_log.rollback import CannotRollBack, Progress, roll_back
from read_side.whole_log.switching import NotSwitched
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.whole_log.view_stage import LIMIT_S, Stage, reach

DAMAGED = AccountRow("alice", "USD/2", 7_000_000, 0, 0, 2, 5)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def live_and_kept(view: ViewStore, partition: int = 0) -> tuple[int | None, int | None]:
    return await view.live(partition), await view.kept(partition)


async def shown(stage: Stage, account: str) -> int:
    _, [row] = await stage.view.read(0, [account])
    assert row is not None
    return row.posted


async def damaged_and_rebuilt(stage: Stage) -> None:
    """Generation 1 shows too much of alice, and generation 2 is live."""
    await stage.spoil(DAMAGED)
    assert (await rebuild(stage.log, stage.view, Wishes(accept_differences=True))).switched
    await stage.timer.tick()


async def test_the_older_view_is_live_again_and_has_what_came_since(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await damaged_and_rebuilt(stage)
        assert await shown(stage, "alice") == 70
        await stage.writers[0].append(moved("@world", "bob", 5), opened("carol"))
        await reach(stage.projectors[0], 3)
        told = await roll_back(stage.log, stage.view)
        [partition] = told.partitions
        assert (partition.old_generation, partition.new_generation) == (2, 1)
        assert (partition.kept_at, partition.position) == ("0:2", "0:3")
        assert (told.ended, told.unkept) == (False, [])
        assert await live_and_kept(stage.view) == (1, 2)
        assert await shown(stage, "alice") == 7_000_000, "as it was kept: it has not changed since"
        assert await shown(stage, "bob") == 35
        assert await shown(stage, "carol") == 0
        await stage.writers[0].append(moved("alice", "bob", 1))
        await reach(stage.projectors[0], 4)
        await stage.expect_right(generation=1)


async def test_a_rollback_can_be_rolled_back_again_and_again(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await rebuild(stage.log, stage.view)
        for generation in (1, 2, 1):  # at once: the projector has not noticed the switch before
            await roll_back(stage.log, stage.view)
            assert await stage.view.live(0) == generation
        await stage.timer.tick()
        await stage.writers[0].append(moved("alice", "bob", 1))
        await reach(stage.projectors[0], 3)
        await stage.expect_right(generation=1)
        assert stage.projectors[0].owner.generation == 1
        assert (await roll_back(stage.log, stage.view)).partitions[0].new_generation == 2
        await stage.expect_right(generation=2)


async def test_only_what_was_live_is_kept_and_the_next_switch_keeps_another(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await damaged_and_rebuilt(stage)
        await roll_back(stage.log, stage.view)
        await stage.timer.tick()
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert not partition.switched
        assert (await live_and_kept(stage.view), await stage.view.generations(0)) == ((1, 2), [1, 2])
        [partition] = (await rebuild(stage.log, stage.view, Wishes(accept_differences=True))).partitions
        assert (partition.switched, partition.old_generation, partition.new_generation) == (True, 1, 3)
        assert (await live_and_kept(stage.view), await stage.view.generations(0)) == ((3, 1), [1, 3])


async def test_nothing_is_pushed_by_catching_up(stage: Stage) -> None:
    await stage.fill()
    feed = stage.feed.subscribe(0)
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.timer.tick()
        await stage.writers[0].append(moved("alice", "bob", 1))
        await reach(stage.projectors[0], 3)
        await roll_back(stage.log, stage.view)
        await stage.timer.tick()
        batches = [await asyncio.wait_for(anext(feed), LIMIT_S) for _ in range(3)]
        assert [(batch.generation, batch.upto, batch.is_heartbeat) for batch in batches] == [
            (2, 2, True), (2, 3, False), (1, 3, True),
        ]  # fmt: skip


async def test_without_an_older_view_nothing_is_done(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        with pytest.raises(CannotRollBack, match=r"no older generation to go back to.*Balances go on as they are"):
            await roll_back(stage.log, stage.view)
        await rebuild(stage.log, stage.view)
        await stage.view.clear(await stage.view.claim(0, 1))
        with pytest.raises(CannotRollBack, match="older generation 1 was emptied"):
            await roll_back(stage.log, stage.view)
        assert await stage.view.live(0) == 2
        await stage.timer.tick()
        await stage.expect_right(generation=2)


async def test_partitions_that_keep_none_are_told_and_left_alone() -> None:
    stage = Stage(2)
    for writer in stage.writers:
        await writer.epoch()
    async with stage.running():
        await rebuild(stage.log, stage.view, Wishes(partitions=(1,)))
        told = await roll_back(stage.log, stage.view)
        assert ([each.partition for each in told.partitions], told.unkept) == ([1], [0])
        assert [await stage.view.live(partition) for partition in range(2)] == [1, 1]


async def test_a_rebuild_and_a_rollback_refuse_each_other(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("read_side.whole_log.alone.PROLONGED_S", 0.001)
    monkeypatch.setattr("read_side.whole_log.alone.LOOKED_S", 0.01)
    await stage.fill()
    async with stage.running():
        await rebuild(stage.log, stage.view)
        async with alone(stage.view):  # as each of them is, for as long as it runs
            for second in (rebuild, roll_back):
                with pytest.raises(AtWork, match="another rebuild or rollback of this view is running"):
                    await second(stage.log, stage.view)
        assert await live_and_kept(stage.view) == (2, 1)
        await roll_back(stage.log, stage.view)


async def test_an_older_view_of_another_log_is_not_gone_back_to(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.timer.tick()
        for sequence, block_hash in ((0, b"y" * 32), (99, b"x" * 32)):
            owner = await stage.view.claim(0, 1)
            await stage.view.clear(owner)
            await stage.view.apply(owner, None, EMPTY_ROWS, Checkpoint(1, sequence, block_hash, 1, 1))
            with pytest.raises(CannotRollBack, match="does not have so: it is of another log"):
                await roll_back(stage.log, stage.view)
            assert await live_and_kept(stage.view) == (2, 1)
        await stage.timer.tick()
        await stage.expect_right(generation=2)


async def test_a_log_that_is_damaged_behind_the_older_view_leaves_the_live_one(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.timer.tick()
        block = bytearray(stage.writers[0].make([moved("alice", "bob", 1)]))
        block[-1] ^= 1
        await stage.log.append(0, bytes(block))
        with pytest.raises(CannotRollBack, match=r"cannot be caught up with the log.*Balances go on as they are"):
            await roll_back(stage.log, stage.view)
        assert await live_and_kept(stage.view) == (2, 1)


async def test_progress_is_told_by_partition(stage: Stage) -> None:
    await stage.fill()
    told: list[Progress] = []
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await roll_back(stage.log, stage.view, on_progress=told.append)
    assert (told[-1].partition, told[-1].blocks, told[-1].blocks_total) == (0, 3, 3)
    assert told[-1].rate > 0
    assert told[-1].eta_s == 0


class AnswerLost(MemoryViewStore):
    """A switch whose answer was lost is asked for again, as the client of a store does."""

    async def switch(self, owner: Owner, replaces: int) -> None:
        await super().switch(owner, replaces)
        await self.between()
        await super().switch(owner, replaces)

    async def between(self) -> None: ...


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_a_switch_that_was_done_without_an_answer_is_done(is_claimed: bool) -> None:
    stage, view = Stage(), AnswerLost()
    stage.view = cast(Any, view)
    await stage.fill()
    async with stage.running():
        if is_claimed:
            view.between = stage.projectors[0].owner.probe  # type: ignore[method-assign]
        assert (await rebuild(stage.log, view)).switched
        assert await live_and_kept(view) == (2, 1)
        await roll_back(stage.log, view)
        assert await live_and_kept(view) == (1, 2)
        await stage.timer.tick()
        await stage.expect_right(generation=1)


class DuringSwitch(MemoryViewStore):
    """Something happens to the store just before it is switched."""

    def __init__(self, store: MemoryViewStore, happens: Callable[[Owner], Awaitable[object]]) -> None:
        self.__dict__ = store.__dict__
        self._before_switch = happens

    async def switch(self, owner: Owner, replaces: int) -> None:
        await self._before_switch(owner)
        await super().switch(owner, replaces)


@pytest.mark.parametrize("makes", [roll_back, rebuild])
async def test_a_view_that_is_emptied_in_the_middle_is_said_to_be(stage: Stage, makes: Any) -> None:
    await stage.fill()

    async def empty(_: Owner) -> None:
        stage.view._generations.clear()
        stage.view._live.clear()
        stage.view._kept.clear()

    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.timer.tick()
        with pytest.raises(NotSwitched, match="the view was emptied or set back meanwhile"):
            await makes(stage.log, DuringSwitch(stage.view, empty))
        await stage.timer.tick()
        await stage.expect_right(generation=2)
        assert await stage.view.kept(0) is None


async def test_a_file_that_is_locked_in_the_middle_is_said_to_be_and_the_next_one_ends_it(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.views.view_sqlite_connection.BUSY_S", 0.01)
    view = await SqliteViewStore.connect(tmp_path / "view.db")
    hand = sqlite3.connect(tmp_path / "view.db", isolation_level=None)
    switch = view.switch

    async def locked(owner: Owner, replaces: int) -> None:
        hand.execute("BEGIN IMMEDIATE")
        await switch(owner, replaces)

    stage.view = cast(Any, view)
    await stage.fill()
    try:
        async with stage.running():
            await rebuild(stage.log, view)
            await stage.timer.tick()
            await stage.writers[0].append(moved("alice", "bob", 1))
            await reach(stage.projectors[0], 3)
            monkeypatch.setattr(view, "switch", locked)
            with pytest.raises(ViewUnavailable, match=r"holds the file locked.*Run the rollback again"):
                await roll_back(stage.log, view)
            hand.execute("ROLLBACK")
            monkeypatch.undo()
            assert await live_and_kept(view) == (2, 1)
            assert (await roll_back(stage.log, view)).ended
            assert await live_and_kept(view) == (1, 2)
            await stage.timer.tick()
            await stage.expect_right(generation=1)
    finally:
        hand.close()
        await view.close()


class Killed(BaseException):
    """kill -9."""


class DyingStore:
    """The store as a process sees it that is killed before or after its nth call: from then on it can do nothing any more."""

    def __init__(self, store: ViewStore, dies_at: int) -> None:
        self._store, self._left = store, dies_at

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._store, name)
        if name == "scan":
            return cast("Callable[..., Any]", method)

        async def call(*arguments: Any, **named: Any) -> Any:
            self._step()
            found = await method(*arguments, **named)
            self._step()
            return found

        return call

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Killed


async def test_killed_at_any_moment_it_is_ended_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was switched stays, what was not is, nothing is turned back, and what is shown is right all the while."""
    monkeypatch.setattr("read_side.whole_log.alone.RESERVED_S", 0.0001)
    monkeypatch.setattr("read_side.whole_log.alone.LOOKED_S", 0.0001)
    ended = set()
    for dies_at in count():
        stage = Stage(2)
        await stage.fill()
        await stage.writers[1].epoch()
        async with stage.running():
            await rebuild(stage.log, stage.view)
            await stage.timer.tick()
            await stage.writers[0].append(moved("alice", "bob", 1), moved("@world", "alice", 9))
            await reach(stage.projectors[0], 3)
            try:
                await roll_back(stage.log, cast(ViewStore, DyingStore(stage.view, dies_at)))
                was_killed = False
            except Killed:
                was_killed = True
            live = [await stage.view.live(partition) for partition in range(2)]
            for partition, generation in enumerate(live):
                await stage.expect_right(generation=generation or 0, partition=partition)
            if was_killed:
                left = stage.view._reserved[2]
                if live == [1, 1] and not left:
                    break  # it was over: another one would be another rollback
                told = await roll_back(stage.log, stage.view)
                ended.add((tuple(live), told.ended))
                assert told.ended == bool(left)
            assert [await live_and_kept(stage.view, partition) for partition in range(2)] == [(1, 2), (1, 2)]
            await stage.timer.tick()
            await stage.writers[0].append(moved("alice", "bob", 1))
            await reach(stage.projectors[0], 4)
            for partition in range(2):
                await stage.expect_right(generation=1, partition=partition)
        if not was_killed:
            break
    assert ended == {((2, 2), False), ((2, 2), True), ((1, 2), True), ((1, 1), True)}


async def test_a_rebuild_that_was_killed_at_any_moment_is_ended_by_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("read_side.whole_log.alone.RESERVED_S", 0.0001)
    monkeypatch.setattr("read_side.whole_log.alone.LOOKED_S", 0.0001)
    for dies_at in count():
        stage = Stage()
        await stage.fill()
        async with stage.running():
            dying = cast(ViewStore, DyingStore(stage.view, dies_at))
            try:
                await rebuild(stage.log, dying)
                was_killed = False
            except BaseExceptionGroup as failures:
                assert failures.split(Killed)[1] is None  # noqa: PT017
                was_killed = True
            except Killed:
                was_killed = True
            live = await stage.view.live(0)
            await stage.expect_right(generation=live or 0)
            assert (await rebuild(stage.log, stage.view)).switched
            await stage.timer.tick()
            assert await live_and_kept(stage.view) == ((live or 0) + 1, live)
            assert len(await stage.view.generations(0)) == 2
            await stage.expect_right(generation=(live or 0) + 1)
        if not was_killed:
            break
    assert dies_at > 10


async def test_a_rebuild_ends_what_a_killed_rollback_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("read_side.whole_log.alone.RESERVED_S", 0.0001)
    stage = Stage()
    await stage.fill()
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.view.reserve("killed", 0.0, '{"0": 1}')
        await stage.timer.tick()
        assert (await rebuild(stage.log, stage.view)).switched
        told = await roll_back(stage.log, stage.view)
        assert (told.ended, await live_and_kept(stage.view)) == (False, (2, 3))


async def test_a_store_that_is_written_by_a_rival_meanwhile_is_not_switched(stage: Stage) -> None:
    """Its reservation ran out while it was stopped, and another one has taken over."""
    await stage.fill()

    async def take(owner: Owner) -> None:
        await stage.view.claim(0, owner.generation)

    async with stage.running():
        await rebuild(stage.log, stage.view)
        with pytest.raises(CannotRollBack, match="Balances go on as they are"):
            await roll_back(stage.log, DuringSwitch(stage.view, take))
        assert await live_and_kept(stage.view) == (2, 1)
