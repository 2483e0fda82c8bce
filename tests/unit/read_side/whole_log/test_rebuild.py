"""Rebuild makes the view again beside the live one, compares every row, and switches only what is equal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from read_side.contract.feed import FeedBatch
from read_side.contract.rows import AccountRow, AccountRows
from read_side.contract.view import Checkpoint, Owner
from read_side.fold.fold_rows import FoldRows
from read_side.follow.projector import Projector
from read_side.views.view_memory import MemoryViewStore
from read_side.whole_log.rebuild import CannotRebuild, rebuild
from read_side.whole_log.rebuild_result import Progress, Wishes
from tests.unit.read_side.block_maker import START_US, moved, opened
from tests.unit.read_side.whole_log.view_stage import LIMIT_S, Stage, reach
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog
from write_side.contract.words.codes import Flag


class RivalView(MemoryViewStore):
    """A store over which another rebuild runs from beginning to end, just before this one chooses its generation."""

    rival: Callable[[], Awaitable[object]] | None = None

    async def generations(self, partition: int) -> list[int]:
        rival, self.rival = self.rival, None
        if rival is not None:
            await rival()
        return await super().generations(partition)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_an_equal_view_is_switched_and_the_old_one_stays(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        result = await rebuild(stage.log, stage.view)
        [partition] = result.partitions
        assert (partition.switched, partition.different, partition.sequence) == (True, 0, 2)
        assert (partition.old_generation, partition.new_generation) == (1, 2)
        assert (partition.compared, partition.entries) == (4, 4)
        assert await stage.view.generations(0) == [1, 2]
        await stage.expect_right(generation=2)


async def test_the_ids_of_a_rebuild_are_not_kept_by_the_view_that_shows_its_rows(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        pass
    await rebuild(stage.log, stage.view)
    shown = stage.view._generations[0, 2]._rows
    assert isinstance(shown, FoldRows)
    assert shown._state.ids.count == 0
    await stage.expect_right(generation=2)


async def test_a_second_rebuild_drops_the_generation_before_the_old_one(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        for _ in range(2):
            await rebuild(stage.log, stage.view)
            await stage.timer.tick()
        assert await stage.view.generations(0) == [2, 3]
        await stage.expect_right(generation=3)


async def test_replay_never_pushes(stage: Stage) -> None:
    await stage.fill()
    feed = stage.feed.subscribe(0)
    async with stage.running():
        await rebuild(stage.log, stage.view)
        await stage.timer.tick()
        batch: FeedBatch = await asyncio.wait_for(anext(feed), LIMIT_S)
        assert batch.is_heartbeat
        assert batch.generation == 2


async def test_a_wrong_row_is_told_and_nothing_is_switched(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await stage.spoil(AccountRow("alice", "USD/2", 7_000_000, 0, 0, 2, 5))
        result = await rebuild(stage.log, stage.view)
        [partition] = result.partitions
        assert (partition.switched, partition.different) == (False, 1)
        told = {(each.account, each.column): (each.live, each.rebuilt) for each in partition.differences}
        assert told[("alice", "posted")] == (7_000_000, 70)
        assert result.document()["verdict"] == "different"
        assert await stage.view.live(0) == 1
        assert await stage.view.generations(0) == [1], "the new generation that nobody wants is gone"


async def test_each_difference_is_told_with_the_first_version_that_is_not_as_in_the_log(stage: Stage) -> None:
    """Alice was 100 at version 1 and is 70 at version 2; the block that moved 30 to bob made his version 1."""
    await stage.fill()
    async with stage.running():
        _, [alice, bob, world] = await stage.view.read(0, ["alice", "bob", "@world:USD/2"])
        assert alice is not None
        assert bob is not None
        assert world is not None
        first_us = START_US + 2_000
        cases = {
            alice._replace(posted=71): 2,
            alice._replace(version=9): 3,
            alice._replace(posted=100, version=1, at_us=first_us): 2,
            alice._replace(posted=99, version=1, at_us=first_us): 1,
            alice._replace(posted=100, version=1, at_us=first_us, flags=Flag.CLOSED): 1,
            bob._replace(posted=0, version=0, at_us=START_US + 1_000): 1,
            world._replace(posted=0, version=0, at_us=0): 1,
            AccountRow("mallory", "USD/2", 5, 0, 0, 3, 5): 0,
        }
        for row, version in cases.items():
            await stage.spoil(alice, bob, world)
            await stage.spoil(row)
            [partition] = (await rebuild(stage.log, stage.view, Wishes(dry_run=True))).partitions
            assert {each.first_version for each in partition.differences if each.account == row.account} == {version}, (
                row
            )


async def test_flags_are_compared_too(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        _, [bob] = await stage.view.read(0, ["bob"])
        assert bob is not None
        await stage.spoil(bob._replace(flags=Flag.CLOSED))
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert [(each.column, each.live, each.rebuilt) for each in partition.differences] == [("flags", Flag.CLOSED, 0)]


async def test_a_row_of_an_account_that_the_log_does_not_have_is_a_difference(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await stage.spoil(AccountRow("mallory", "USD/2", 5, 0, 0, 1, 5))
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert (partition.switched, partition.different) == (False, 1)
        assert {each.account for each in partition.differences} == {"mallory"}
        assert all(each.rebuilt is None for each in partition.differences)


async def test_a_dry_run_compares_and_switches_to_nothing(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        for accepts in (False, True):
            told = await rebuild(stage.log, stage.view, Wishes(accepts, dry_run=True))
            assert (told.verdict, told.switched) == ("equal", False)
        await stage.spoil(AccountRow("alice", "USD/2", 7, 0, 0, 2, 5))
        told = await rebuild(stage.log, stage.view, Wishes(accept_differences=True, dry_run=True))
        assert (told.verdict, told.switched, told.different) == ("different", False, 1)
        assert await stage.view.live(0) == 1
        assert await stage.view.generations(0) == [1]


async def test_only_the_partitions_that_are_wished_for_are_made_again(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        told = await rebuild(stage.log, stage.view, Wishes(partitions=(0,)))
        assert [each.partition for each in told.partitions] == [0]
        for others in ((), (7,), (0, 7)):
            with pytest.raises(ValueError, match="partitions must be some of"):
                await rebuild(stage.log, stage.view, Wishes(partitions=others))


async def test_accepted_differences_are_switched(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        await stage.spoil(AccountRow("alice", "USD/2", 7, 0, 0, 2, 5), AccountRow("mallory", "USD/2", 5, 0, 0, 1, 5))
        [partition] = (await rebuild(stage.log, stage.view, Wishes(accept_differences=True))).partitions
        assert (partition.switched, partition.different) == (True, 2)
        await stage.timer.tick()
        await stage.expect_right(generation=2)
        assert (await stage.view.read(0, ["mallory"]))[1] == [None]


async def test_a_live_view_that_moves_on_during_the_comparison_is_compared_at_equal_versions(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        [projector] = stage.projectors

        async def traffic() -> AsyncIterator[None]:
            for i in range(6):
                before = projector.how_far.shown.sequence
                await stage.writers[0].append(opened(f"new-{i}"), moved("alice", "bob", 1))
                await reach(projector, before + 1)
                yield

        stage.view.during.append(traffic())
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert (partition.switched, partition.different) == (True, 0)
        await stage.writers[0].append(moved("alice", "bob", 1))
        await reach(projector, stage.writers[0].state.chained.sequence)
        await stage.expect_right(generation=2)


@pytest.mark.parametrize("rows_max", [1, 2, 3])
async def test_what_moved_on_meanwhile_is_written_in_steps_that_hold_up_no_reader(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, rows_max: int
) -> None:
    monkeypatch.setattr("read_side.whole_log.switching.ROWS_PER_APPLY_MAX", rows_max)
    sizes: list[int] = []
    apply = stage.view.apply

    async def counted(
        owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        sizes.extend([len(rows)] if owner.generation == 2 else [])
        return await apply(owner, expected, rows, checkpoint, loaded)

    monkeypatch.setattr(stage.view, "apply", counted)
    await stage.fill()
    async with stage.running():
        [projector] = stage.projectors

        async def traffic() -> AsyncIterator[None]:
            for i in range(6):
                before = projector.how_far.shown.sequence
                await stage.writers[0].append(opened(f"new-{i}"), opened(f"other-{i}"), moved("alice", "bob", 1))
                await reach(projector, before + 1)
                yield

        stage.view.during.append(traffic())
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert (partition.switched, partition.different) == (True, 0)
        assert max(sizes) == rows_max
        await stage.expect_right(generation=2)


async def test_a_projector_whose_generation_was_dropped_before_it_noticed_goes_on_with_the_live_one(
    stage: Stage,
) -> None:
    await stage.fill()
    async with stage.running():
        [projector] = stage.projectors
        for generation in (2, 3):  # the second one drops the first generation, which the projector still writes
            [partition] = (await rebuild(stage.log, stage.view)).partitions
            assert (partition.switched, partition.new_generation) == (True, generation)
        await stage.writers[0].append(moved("alice", "bob", 1))
        await reach(projector, stage.writers[0].state.chained.sequence)
        await stage.expect_right(generation=3)


async def test_a_wrong_row_that_moves_on_is_still_told(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        [projector] = stage.projectors
        await stage.spoil(AccountRow("bob", "USD/2", 31, 0, 0, 1, 5))

        async def traffic() -> AsyncIterator[None]:
            for _ in range(3):
                before = projector.how_far.shown.sequence
                await stage.writers[0].append(moved("@world", "alice", 1))
                await reach(projector, before + 1)
                yield

        stage.view.during.append(traffic())
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert {each.account for each in partition.differences} == {"bob"}


async def test_each_partition_is_switched_for_itself() -> None:
    stage = Stage(2)
    for writer in stage.writers:
        await writer.epoch()
    async with stage.running():
        await stage.spoil(AccountRow("mallory", "USD/2", 5, 0, 0, 1, 5))
        result = await rebuild(stage.log, stage.view)
        assert [each.switched for each in result.partitions] == [False, True]
        assert not result.switched


async def test_without_a_live_view_there_is_nothing_to_compare_with(stage: Stage) -> None:
    await stage.fill()
    with pytest.raises(CannotRebuild, match="no live view"):
        await rebuild(stage.log, stage.view)


async def test_a_view_of_another_log_is_left_alone(stage: Stage) -> None:
    await stage.fill()
    owner = await stage.view.claim(0, 1)
    await stage.view.apply(owner, None, AccountRows.of([]), Checkpoint(1, 1, b"x" * 32, 1, 1))
    with pytest.raises(CannotRebuild, match="another log"):
        await rebuild(stage.log, stage.view)
    assert await stage.view.live(0) == 1


async def test_an_interrupted_rebuild_is_started_again_in_the_same_generation(stage: Stage) -> None:
    await stage.fill()
    async with stage.running():
        left = await stage.view.claim(0, 2)
        await stage.view.load(left, AccountRows.of([AccountRow("half", "USD/2", 1, 0, 0, 1, 1)]))
        [partition] = (await rebuild(stage.log, stage.view)).partitions
        assert partition.new_generation == 2
        await stage.expect_right(generation=2)
        assert (await stage.view.read(0, ["half"]))[1] == [None]


async def test_a_view_that_another_rebuild_made_live_meanwhile_is_left_to_its_projector() -> None:
    stage = Stage()
    view = RivalView()
    projector = Projector(0, stage.log, view, stage.feed, stage.timer, "boot")
    await stage.fill()
    await projector.start()

    async def another_rebuild() -> None:
        view._reserved = ("", 0, "")  # this one was stopped for so long that what it had reserved has run out
        await rebuild(stage.log, view)
        await projector.owner.probe()  # the projector has moved on to the new view

    view.rival = another_rebuild
    with pytest.raises(CannotRebuild, match="another rebuild has switched"):
        await rebuild(stage.log, view)
    await projector.owner.probe()  # raises Displaced when the view was taken from it
    assert (await view.live(0), projector.owner.generation, projector.owner.repairs) == (2, 2, 0)


async def test_progress_is_told_with_rate_and_rest(stage: Stage) -> None:
    await stage.fill()
    told: list[Progress] = []
    async with stage.running():
        await rebuild(stage.log, stage.view, on_progress=told.append)
    assert {each.stage for each in told} == {"folding", "comparing"}
    assert told[-1].entries == told[-1].entries_total == 4
    assert told[-1].rate > 0
    assert told[-1].compared == told[-1].accounts == 4


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 50)), max_size=30), st.integers(1, 5))
def test_the_rebuilt_view_of_any_history_is_equal(moves: list[tuple[int, int, int]], per_block: int) -> None:
    async def check() -> None:
        stage = Stage()
        names = ["a", "b", "c"]
        await stage.writers[0].append(*(opened(name) for name in names))
        commands = [
            moved("@world" if a == 3 else names[a], "@world" if b == 3 else names[b], amount)
            for a, b, amount in moves
            if a != b
        ]
        for first in range(0, len(commands), per_block):
            await stage.writers[0].append(*commands[first : first + per_block])
        async with stage.running():
            result = await rebuild(stage.log, stage.view)
            assert result.switched
            assert result.different == 0
            await stage.expect_right(generation=2)

    asyncio.run(check())


async def damage(stage: Stage, partition: int) -> None:
    """Behind what the live view shows."""
    block = bytearray(stage.writers[partition].make([moved("@world", "alice", 1)]))
    block[-1] ^= 1
    await stage.log.append(partition, bytes(block))


@pytest.mark.parametrize("wishes", [Wishes(), Wishes(dry_run=True)])
async def test_no_view_is_the_same_as_a_log_that_is_damaged_behind_it(stage: Stage, wishes: Wishes) -> None:
    await stage.fill()
    async with stage.running():
        await damage(stage, 0)
        with pytest.raises(CannotRebuild, match="The live view is as it was"):
            await rebuild(stage.log, stage.view, wishes)
        assert await stage.view.live(0) == 1


async def test_what_was_switched_before_another_partition_failed_is_told() -> None:
    stage = Stage(2)
    await stage.writers[0].append(opened("alice"))
    await stage.writers[1].append(opened("bob"))
    async with stage.running():
        await damage(stage, 0)

        class Last(MemoryLog):
            """Partition 0 is read when the other one has been switched."""

            async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
                while partition == 0 and await stage.view.live(1) != 2:  # noqa: ASYNC110 -- a view tells nobody
                    await asyncio.sleep(0)
                async for records in super().read(partition, after):
                    yield records

        with pytest.raises(CannotRebuild, match=r"Of partition 1 the rebuilt view is live since; fanfold rollback"):
            await rebuild(Last(stage.log._records), stage.view)
        assert [await stage.view.live(partition) for partition in range(2)] == [1, 2]
