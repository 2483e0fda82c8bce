"""The projector keeps the live view in step with the log, publishes what is new, and brings the view right by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from read_side.contract.feed import FeedBatch
from read_side.contract.how_far import HowFar, Place
from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.contract.view import Checkpoint, Owner, ViewUnavailable
from read_side.feed.feed_memory import MemoryFeed
from read_side.follow.bring_view_right import Displaced, ViewOfAnotherLog
from read_side.follow.partition_fold import PartitionFold
from read_side.follow.projector import AHEAD_BEATS_MAX, Projector
from read_side.follow.silence import SILENT_S
from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from read_side.views.view_memory import MemoryViewStore
from tests.unit.read_side.block_maker import BlockMaker, changed, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.log.log import Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.words.codes import Flag

LIMIT_S = 20.0


class Stage:
    """A log with a writer, a view and a feed, on which projectors live and die."""

    def __init__(self) -> None:
        self.records = MemoryRecords(1)
        self.log = MemoryLog(self.records)
        self.writer = BlockMaker(self.log)
        self.view = MemoryViewStore()
        self.feed = MemoryFeed()
        self.timer = ManualTimer()

    async def open_two(self) -> None:
        await self.writer.epoch()
        await self.writer.append(opened("alice"), opened("bob"))
        await self.writer.append(moved("@world", "alice", 100))

    @asynccontextmanager
    async def projector(self, boot: str = "boot-1", view: MemoryViewStore | None = None) -> AsyncIterator[Projector]:
        projector = Projector(0, self.log, view or self.view, self.feed, self.timer, boot)
        starting = asyncio.ensure_future(projector.start())
        await asyncio.wait_for(starting, LIMIT_S)
        running = asyncio.ensure_future(projector.run())
        try:
            yield projector
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, Displaced, ViewOfAnotherLog):
                await running

    async def posted(self, *accounts: str) -> list[int | None]:
        _, rows = await self.view.read(0, list(accounts))
        return [None if row is None else row.posted for row in rows]

    async def expect_right(self, projector: Projector) -> None:
        """The live view is exactly what the writer's own state says, at the projector's position."""
        state = self.writer.state
        names = [state.row_name(number) for number in range(state.count)]
        checkpoint, rows = await self.view.read(0, names)
        assert checkpoint is not None
        assert (checkpoint.sequence, checkpoint.block_hash) == (state.chained.sequence, state.chained.block_hash)
        assert checkpoint.generation == projector.owner.generation
        assert [(row.posted, row.version, row.at_us) for row in rows if row] == [
            (int(state.posted[n]), int(state.version[n]), int(state.changed_at_us[n])) for n in range(state.count)
        ]
        shown = [batch.accounts async for batch in self.view.scan(0, checkpoint.generation)]
        assert sorted(name for names in shown for name in names) == sorted(names)


async def reach(projector: Projector, sequence: int) -> None:
    assert await projector.shown.sequence.reach(sequence, LIMIT_S)


async def batches(feed: AsyncIterator[FeedBatch], count: int) -> list[FeedBatch]:
    return [await asyncio.wait_for(anext(feed), LIMIT_S) for _ in range(count)]


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_frozen_and_closed_accounts_are_shown_as_such(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        await stage.writer.append(changed("bob", Flag.DEBIT_FROZEN | Flag.CLOSED))
        await reach(projector, stage.writer.state.chained.sequence)
        _, rows = await stage.view.read(0, ["alice", "bob"])
        assert [row and row.flags for row in rows] == [0, Flag.DEBIT_FROZEN | Flag.CLOSED]
        [batch] = await batches(feed, 1)
        assert [
            (row.account, row.flags, row.version) for row in map(batch.rows.__getitem__, range(len(batch.rows)))
        ] == [("bob", Flag.DEBIT_FROZEN | Flag.CLOSED, 1)]


async def test_the_log_is_in_the_view_after_the_start(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        await stage.expect_right(projector)
        assert await stage.posted("alice", "bob", "@world:USD/2", "nobody") == [100, 0, -100, None]
        assert projector.ready


async def test_an_empty_log_gives_a_view_with_a_checkpoint_and_no_rows(stage: Stage) -> None:
    async with stage.projector():
        checkpoint, rows = await stage.view.read(0, ["alice"])
        assert checkpoint is not None
        assert checkpoint.sequence == -1
        assert rows == [None]


async def test_a_new_block_is_folded_shown_and_published_once(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        await stage.writer.append(moved("alice", "bob", 30))
        await reach(projector, 3)
        await stage.expect_right(projector)
        [batch] = await batches(feed, 1)
        assert (batch.after, batch.upto, batch.boot, batch.generation) == (2, 3, "boot-1", 1)
        assert {row.account: row.posted for row in map(batch.rows.__getitem__, range(2))} == {"alice": 70, "bob": 30}


async def test_replay_never_pushes_and_a_new_life_has_a_new_boot(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector("boot-1"):
        pass
    async with stage.projector("boot-2"):
        await stage.timer.tick()
        [first] = await batches(feed, 1)
        assert first.is_heartbeat
        assert (first.after, first.upto, first.boot) == (2, 2, "boot-2")


async def test_batches_of_one_life_are_contiguous(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        for amount in range(1, 6):
            await stage.writer.append(moved("alice", "bob", amount))
            if amount % 2:
                await reach(projector, amount + 2)
        await reach(projector, 7)
    seen, at = [], 2
    while at < 7:
        [batch] = await batches(feed, 1)
        seen.append((at, batch.after))
        at = batch.upto
    assert all(expected == after for expected, after in seen)


async def test_a_heartbeat_says_up_to_where_all_is_told(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        await stage.timer.tick()
        await stage.writer.append(moved("alice", "bob", 1))
        await reach(projector, 3)
        await stage.timer.tick()
        assert [(batch.after, batch.upto) for batch in await batches(feed, 3)] == [(2, 2), (2, 3), (3, 3)]


async def test_blocks_appended_twice_are_harmless(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        for block in [*stage.writer.blocks, stage.writer.blocks[1]]:
            await stage.log.append(0, block)
        await stage.writer.append(moved("alice", "bob", 30))
        await reach(projector, 3)
        await stage.expect_right(projector)
        assert projector.fold.replay.skipped.total() == 4


async def test_the_checkpoint_moves_past_records_that_do_not_count(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        offset = await stage.log.append(0, stage.writer.blocks[0])
        assert await projector.shown.offset.reach(offset, LIMIT_S)
        checkpoint = await stage.view.checkpoint(0)
        assert checkpoint is not None
        assert (checkpoint.sequence, checkpoint.log_offset) == (2, offset)
        at = Place(2, offset)
        assert projector.how_far == HowFar(folded=at, stored=at, shown=at, published=2, accepted=at, pushed=2)


async def test_an_emptied_view_is_brought_right_without_traffic(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        stage.view.__init__()  # type: ignore[misc]  # what FLUSHALL does
        assert await stage.view.checkpoint(0) is None
        await stage.timer.tick()
        await stage.expect_right(projector)
        assert projector.owner.repairs == 1


async def test_an_emptied_view_is_brought_right_by_the_next_block(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        stage.view.__init__()  # type: ignore[misc]
        await stage.writer.append(moved("alice", "bob", 30))
        await reach(projector, 3)
        await stage.expect_right(projector)


class NewsWhileLoading(MemoryViewStore):
    """A block arrives while the view is being loaded again. shown: alice's balance by the position it was shown at."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.emptied = False
        self.shown: dict[int, int] = {}

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        await super().load(owner, rows)
        if self.emptied:
            self.emptied = False
            await self.stage.writer.append(moved("alice", "bob", 30))
            for _ in range(20):  # long enough for a projector that would fold it now
                await asyncio.to_thread(int)

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        live = await super().apply(owner, expected, rows, checkpoint, loaded)
        _, [alice] = await self.read(0, ["alice"])
        assert alice is not None
        self.shown.setdefault(checkpoint.sequence, alice.posted)
        return live


async def test_a_view_being_repaired_is_never_shown_at_a_block_that_arrived_meanwhile_and_is_not_in_it(
    stage: Stage,
) -> None:
    await stage.open_two()
    view = stage.view = NewsWhileLoading(stage)
    async with stage.projector() as projector:
        view._generations.clear()
        view._live.clear()
        view.emptied = True
        await stage.timer.tick()
        await reach(projector, 3)
        await stage.expect_right(projector)
        assert view.shown == {2: 100, 3: 70}


async def test_rows_of_another_log_in_the_view_are_replaced_at_the_start(stage: Stage) -> None:
    owner = await stage.view.claim(0, 1)
    foreign = AccountRows.of(
        [AccountRow("mallory", "USD/2", 5, 0, 0, 1, 1), AccountRow("alice", "USD/2", 9, 0, 0, 9, 1)]
    )
    await stage.view.apply(owner, None, foreign, Checkpoint(1, 1, b"x" * 32, 1, 1))
    await stage.open_two()
    async with stage.projector() as projector:
        await stage.expect_right(projector)


async def test_a_view_that_is_behind_gets_only_what_changed_since(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector():
        pass
    await stage.writer.append(moved("alice", "bob", 30))
    await stage.writer.append(opened("carol"))
    async with stage.projector("boot-2") as projector:
        await stage.expect_right(projector)


async def test_a_view_ahead_of_the_log_is_left_alone_and_the_projector_refuses(stage: Stage) -> None:
    owner = await stage.view.claim(0, 1)
    await stage.view.apply(owner, None, EMPTY_ROWS, Checkpoint(1, 99, b"x" * 32, 1, 1))
    await stage.open_two()
    with pytest.raises(ViewOfAnotherLog, match="block 99"):
        async with stage.projector():
            pass
    checkpoint = await stage.view.checkpoint(0)
    assert checkpoint is not None
    assert checkpoint.sequence == 99


async def test_the_older_of_two_projectors_exits_and_the_view_stays_right(stage: Stage) -> None:
    await stage.open_two()
    old = Projector(0, stage.log, stage.view, stage.feed, stage.timer, "old")
    await old.start()
    async with stage.projector("new") as new:
        running = asyncio.ensure_future(old.run())
        await stage.writer.append(moved("alice", "bob", 30))
        with pytest.raises(Displaced, match="another projector"):
            await asyncio.wait_for(running, LIMIT_S)
        await reach(new, 3)
        await stage.expect_right(new)


async def test_after_a_switch_the_projector_goes_on_with_the_new_generation(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        rebuilt = await stage.view.claim(0, 2)
        live = await stage.view.checkpoint(0)
        assert live is not None
        rows = [row for row in (await stage.view.read(0, ["alice", "bob", "@world:USD/2", "@transit:USD/2"]))[1] if row]
        await stage.view.apply(rebuilt, None, AccountRows.of(rows), live._replace(generation=2))
        await stage.view.switch(rebuilt, replaces=1)
        await stage.writer.append(moved("alice", "bob", 30))
        await reach(projector, 3)
        await stage.expect_right(projector)
        assert projector.owner.generation == 2
        [batch] = await batches(feed, 1)
        assert batch.generation == 2


async def test_a_rebuilt_view_ahead_of_the_projector_is_waited_for(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        block = stage.writer.make([moved("alice", "bob", 30)])
        chained, state = stage.writer.state.chained, stage.writer.state
        owner = await stage.view.claim(0, 2)
        rows = [
            AccountRow(state.row_name(n), "USD/2", int(state.posted[n]), 0, int(state.floor[n]), int(state.version[n]),
                       int(state.changed_at_us[n])) for n in range(state.count)
        ]  # fmt: skip
        ahead = Checkpoint(2, chained.sequence, chained.block_hash, 3, chained.created_at_us)
        await stage.view.apply(owner, None, AccountRows.of(rows), ahead)
        await stage.view.switch(owner, replaces=1)
        await stage.timer.tick()
        assert projector.owner.is_ahead
        assert [mark.sequence for mark in projector.how_far[:3]] == [2, 3, 3]
        assert await stage.view.checkpoint(0) == ahead
        await stage.log.append(0, block)
        await stage.writer.append(moved("alice", "bob", 1))
        await reach(projector, 4)
        await stage.expect_right(projector)


async def test_a_view_that_stays_ahead_ends_the_projector(stage: Stage) -> None:
    await stage.open_two()
    projector = Projector(0, stage.log, stage.view, stage.feed, stage.timer, "boot")
    await projector.start()
    running = asyncio.ensure_future(projector.run())
    owner = await stage.view.claim(0, 2)
    await stage.view.apply(owner, None, EMPTY_ROWS, Checkpoint(2, 99, b"x" * 32, 1, 1))
    await stage.view.switch(owner, replaces=1)
    for _ in range(AHEAD_BEATS_MAX):
        await stage.timer.tick()
    last = asyncio.ensure_future(stage.timer.tick())
    with pytest.raises(ViewOfAnotherLog):
        await asyncio.wait_for(running, LIMIT_S)
    last.cancel()


async def test_a_damaged_log_stops_the_partition_and_what_is_good_is_still_right(stage: Stage) -> None:
    await stage.open_two()
    async with stage.projector() as projector:
        damaged = bytearray(stage.writer.make([moved("alice", "bob", 30)]))
        damaged[-1] ^= 1
        good = stage.writer.blocks[2]
        await stage.log.append(0, bytes(damaged))
        await stage.log.append(0, good)
        await stage.timer.tick()
        while projector.stopped is None:
            await stage.timer.tick()
        assert "stops before block 3" in projector.stopped
        assert await stage.posted("alice", "bob") == [100, 0]
        stage.view.__init__()  # type: ignore[misc]
        await stage.timer.tick()
        assert await stage.posted("alice", "bob") == [100, 0], "a stopped partition's view is still kept right"


def wrong_digest(writer: BlockMaker, debit: str = "alice", credit: str = "bob") -> bytes:
    """The next block, whole and chained, whose digest is not the one of the state after it."""
    from write_side.contract.block.block import decode, encode

    block = decode(writer.make([moved(debit, credit, 30)]))
    names = ("accounts", "outcomes", "entries", "repeats", "legs")
    header = block.header
    return encode(
        partition=header.partition, partitions=header.partitions, epoch=header.epoch, sequence=header.sequence,
        previous_hash=header.previous_hash, consumed_to=header.consumed_to, created_at_us=header.created_at_us,
        refuse_ids_before_us=header.refuse_ids_before_us,
        digest=bytes(16), sections={name: getattr(block, name) for name in names},
    )  # fmt: skip


@pytest.mark.parametrize("running", [True, False])
async def test_a_failed_check_shows_nothing_of_the_block_that_failed(stage: Stage, running: bool) -> None:
    await stage.open_two()
    if not running:
        await stage.log.append(0, wrong_digest(stage.writer))
    async with stage.projector() as projector:
        if running:
            await stage.log.append(0, wrong_digest(stage.writer))
            while projector.stopped is None:
                await stage.timer.tick()
        assert projector.stopped is not None
        assert "stops at block 3" in projector.stopped
        stage.view.__init__()  # type: ignore[misc]
        await stage.timer.tick()
        assert await stage.posted("alice", "bob") == [100, 0]
        checkpoint = await stage.view.checkpoint(0)
        assert checkpoint is not None
        assert checkpoint.sequence == 2


class FailingView(MemoryViewStore):
    """A store whose server is away for a number of writes."""

    failures = 0

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        if self.failures:
            self.failures -= 1
            raise ViewUnavailable("away")
        return await super().apply(owner, expected, rows, checkpoint, loaded)


async def test_a_store_that_is_away_for_a_while_is_tried_again_and_nothing_is_lost(stage: Stage) -> None:
    stage.view = view = FailingView()
    await stage.open_two()
    async with stage.projector() as projector:
        view.failures = 3
        await stage.writer.append(moved("alice", "bob", 30))
        while projector.how_far.shown.sequence < 3:
            await stage.timer.tick()
        await stage.expect_right(projector)
        assert projector.unavailable is None


async def test_who_was_silent_tells_nothing_before_it_has_what_the_log_had_when_it_came_back(stage: Stage) -> None:
    stage.view = view = FailingView()
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        view.failures = round(SILENT_S) + 1
        for amount in (1, 2, 3):
            await stage.writer.append(moved("alice", "bob", amount))
            await stage.timer.tick()  # the first is held up, the others wait in the log
        while projector.how_far.shown.sequence < 5:
            await stage.timer.tick()
        first = asyncio.ensure_future(anext(feed))
        while not first.done():
            await stage.timer.tick()
        # A gap behind block 2, so that gateways read again; what they read is all there was.
        assert first.result().after > 2
        assert first.result().upto == 5


async def test_who_was_silent_with_nothing_to_tell_goes_on_with_a_heartbeat(stage: Stage) -> None:
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector():
        stage.timer.now_us += 300_000_000  # the process was stopped
        first = asyncio.ensure_future(anext(feed))
        while not first.done():
            await stage.timer.tick()
        assert (first.result().after, first.result().upto) == (2, 2)


async def test_run_ends_when_the_log_is_closed(stage: Stage) -> None:
    await stage.open_two()
    projector = Projector(0, stage.log, stage.view, stage.feed, stage.timer, "boot")
    await projector.start()
    running = asyncio.ensure_future(projector.run())
    await stage.writer.append(moved("alice", "bob", 30))
    await reach(projector, 3)
    await stage.log.close()
    await asyncio.wait_for(running, LIMIT_S)


class CountedRows(MemoryViewStore):
    """How many rows each step of writing had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        if len(rows):
            self.sizes.append(len(rows))
        return await super().apply(owner, expected, rows, checkpoint, loaded)


async def test_a_long_run_is_written_in_steps_that_hold_up_no_reader(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.follow.projector.ROWS_PER_APPLY_MAX", 3)
    stage.view = view = CountedRows()
    await stage.open_two()
    feed = stage.feed.subscribe(0)
    async with stage.projector() as projector:
        view.sizes.clear()
        for name in ("carol", "dave", "erin", "frank"):  # in one run: nobody else has a turn meanwhile
            stage.records.append(0, stage.writer.make([opened(name), moved("alice", "bob", 1)]))
        await reach(projector, 6)
        await stage.expect_right(projector)
        assert view.sizes == [3, 3, 3, 3]
        assert [(batch.after, batch.upto) for batch in await batches(feed, 4)] == [(2, 3), (3, 4), (4, 5), (5, 6)]


async def test_hashes_are_kept_of_the_last_blocks_and_of_the_one_that_is_asked_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("write_side.contract.state.block_hashes.HASHES_KEPT", 4)
    for _ in range(12):
        await stage.writer.epoch()
    checkpoints = []
    fold, every = PartitionFold(0), PartitionFold(0)
    fold.remember(5)
    for offset, block in enumerate(stage.writer.blocks):
        for each in (fold, every):
            each.take([Record(offset, block)])
        checkpoints.append(fold.checkpoint(1))
    assert [checkpoint.sequence for checkpoint in checkpoints if fold.knows(checkpoint)] == [5, 8, 9, 10, 11]
    assert [checkpoint.sequence for checkpoint in checkpoints if every.knows(checkpoint)] == [8, 9, 10, 11]
    for sequence in (2, 5, 8, 11, 12):
        assert not fold.knows(Checkpoint(1, sequence, b"x" * 32, 0, 0))


async def test_a_view_that_was_left_long_ago_still_gets_only_what_changed_since(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("write_side.contract.state.block_hashes.HASHES_KEPT", 4)
    stage.view = view = CountedRows()
    await stage.open_two()
    async with stage.projector():
        pass
    for _ in range(12):
        await stage.writer.append(moved("alice", "bob", 1))
    view.sizes.clear()
    async with stage.projector("boot-2") as projector:
        await stage.expect_right(projector)
        assert view.sizes == [2]


class ClaimedWhileLoading(MemoryViewStore):
    """While the first part is loaded, something else happens."""

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        await super().load(owner, rows)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()

    meanwhile: Callable[[], Awaitable[object]] | None = None


async def test_a_new_projector_that_is_still_loading_is_not_ousted_by_the_old_one(stage: Stage) -> None:
    stage.view = view = ClaimedWhileLoading()
    await stage.open_two()
    old = Projector(0, stage.log, view, stage.feed, stage.timer, "old")
    await old.start()
    running = asyncio.ensure_future(old.run())
    generation = view._generations[0, 1]
    assert generation.checkpoint is not None
    generation.checkpoint = generation.checkpoint._replace(block_hash=b"x" * 32)  # so that the new one loads everything

    async def news() -> None:
        await stage.writer.append(moved("alice", "bob", 30))
        with pytest.raises(Displaced):
            await asyncio.wait_for(running, LIMIT_S)

    view.meanwhile = news
    async with stage.projector("new") as new:
        await reach(new, 3)
        await stage.expect_right(new)
    assert view.meanwhile is None


class WrittenBetween(MemoryViewStore):
    """Another projector writes between the first claim of one and its second."""

    between: Callable[[], Awaitable[object]] | None = None
    claims = 0

    async def claim(self, partition: int, generation: int) -> Owner:
        self.claims += 1
        if self.claims == 2 and self.between is not None:
            between, self.between = self.between, None
            await between()
        return await super().claim(partition, generation)


async def test_who_starts_beside_another_projector_does_not_take_its_news_for_another_log(stage: Stage) -> None:
    stage.view = view = WrittenBetween()
    await stage.open_two()

    async def write() -> None:
        await stage.writer.append(moved("alice", "bob", 30))
        other = Projector(0, stage.log, view, stage.feed, stage.timer, "other")
        await other.start()

    view.between = write
    async with stage.projector() as projector:
        assert view.between is None
        await stage.expect_right(projector)


async def test_a_start_keeps_nothing_of_the_past_in_memory_and_the_history_reads_it_afterwards(
    stage: Stage, tmp_path: Path
) -> None:
    await stage.open_two()
    history = History(SegmentFolder(tmp_path, FileStore(tmp_path), 0))
    history.open()
    projector = Projector(0, stage.log, stage.view, stage.feed, stage.timer, "boot-1", None, history)
    await asyncio.wait_for(projector.start(), LIMIT_S)
    assert history.parts() == []
    assert history.end.sequence == projector.position() == 2
    await history.fill(stage.log)
    assert [(part.first, part.last) for part in history.parts()] == [(0, 2)]
