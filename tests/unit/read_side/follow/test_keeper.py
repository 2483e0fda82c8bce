"""What fails is one partition's alone: it says why, comes back by itself where that can help, and the others are answered."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from read_side.contract.rows import EMPTY_ROWS, AccountRows
from read_side.contract.view import Checkpoint, Owner
from read_side.doors.read_metrics import ProjectorMetrics
from read_side.follow.bring_view_right import Displaced, ViewOfAnotherLog
from read_side.follow.keeper import Keeper, Keepers
from read_side.follow.log_watch import QUIET_BEATS, SILENT_BEATS
from read_side.follow.projector import Projector
from read_side.follow.silence import Silence
from read_side.views.view_memory import MemoryViewStore
from tests.simulation import virtual_time
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.doors.test_http_api import ID_TIME_US, Side
from write_side.contract.log.log import START, LogDamaged, LogFailed, Record
from write_side.contract.log.log_end import LOOK_S_MAX, LogEnd
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.times import format_time

LIMIT_S = 20.0
NAMES = [next(n for i in range(100) if partition_of(n := f"a{i}", 2) == p) for p in range(2)]


class AwayLog(MemoryLog):
    """Partitions in `away` do not answer: they fail, or (`hangs`) say nothing."""

    def __init__(self, records: MemoryRecords) -> None:
        super().__init__(records)
        self.away: set[int] = set()
        self.damaged_behind: set[int] = set()
        self.hangs = False
        self.returned = asyncio.Event()

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        await self._answer(partition)
        async for run in super().read(partition, after):
            yield run
        if partition in self.damaged_behind:
            raise LogDamaged("The file is damaged.")

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        await self._answer(partition)
        async for run in super().tail(partition, after):
            await self._answer(partition)
            yield run

    async def _answer(self, partition: int) -> None:
        if partition in self.away:
            if self.hangs:
                await self.returned.wait()
                return
            raise LogFailed("The brokers are away.")


class Kept(Side):
    """Two partitions, each with an account, and a keeper for each."""

    log: AwayLog

    def __init__(self) -> None:
        super().__init__(2)
        self.log = AwayLog(MemoryRecords(2))
        self.writers = [BlockMaker(self.log, p, start_us=ID_TIME_US) for p in range(2)]
        for projector in self.projectors:
            projector._log = self.log
            projector._log_end = LogEnd(self.log, projector.partition)
            projector._silence = Silence(projector._log_end)
        self.keepers = [Keeper(projector, self.timer, asyncio.Event()) for projector in self.projectors]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        keeping = [asyncio.ensure_future(keeper.keep()) for keeper in self.keepers]
        try:
            for keeper in self.keepers:
                await asyncio.wait_for(keeper.settled.wait(), LIMIT_S)
            yield
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def get(self, target: str) -> Reply:
        return await ask(self.app(), "GET", target)

    async def posted(self, partition: int) -> Any:
        return (await self.get(f"/v1/accounts/{NAMES[partition]}")).document.get("posted")

    async def until_posted(self, partition: int, amount: str) -> None:
        while await self.posted(partition) != amount:
            await self.timer.tick()


@pytest.fixture
async def kept() -> Kept:
    found = Kept()
    for p, writer in enumerate(found.writers):
        await writer.append(opened(NAMES[p]), moved("@world", NAMES[p], 10))
    return found


async def test_a_log_that_fails_at_the_start_is_taken_up_when_it_is_back_and_the_others_are_answered(
    kept: Kept,
) -> None:
    kept.log.away = {0}
    async with kept.running():
        assert await kept.posted(1) == "10"
        reply = await kept.get(f"/v1/accounts/{NAMES[0]}")
        assert (reply.status, reply.code) == (503, "partition_unavailable")
        assert (reply.document["partitions"], reply.document["reason"]) == ([0], "The brokers are away.")
        ready = await kept.get("/readyz")
        assert (ready.status, ready.document["degraded"]) == (200, ["partition 0: The brokers are away."])
        assert 'fanfold_projector_log_away{partition="0"} 1.0' in (await kept.get("/metrics")).body.decode()
        kept.log.away = set()
        await kept.until_posted(0, "10")
        assert (await kept.get("/readyz")).document["degraded"] == []


async def test_a_log_that_fails_on_the_way_is_taken_up_where_it_was(kept: Kept) -> None:
    async with kept.running():
        feed = kept.feed.subscribe(0)
        kept.log.away = {0}
        await kept.writers[0].append(moved("@world", NAMES[0], 1))
        while kept.projectors[0].log_away is None:
            await kept.timer.tick()
        assert await kept.posted(0) == "10", "what was shown is still shown, with its position"
        reply = await kept.get(f"/v1/accounts/{NAMES[0]}?min_position=0:1&wait_ms=0")
        assert (reply.status, reply.code) == (503, "partition_unavailable")
        assert (await kept.get("/v1/transfers/01970f3e-7b1a-7c3e-8a2b-1234567890ff")).code == "partition_unavailable"
        await kept.writers[1].append(moved("@world", NAMES[1], 1))
        assert await kept.projectors[1].shown.sequence.reach(1, LIMIT_S)
        kept.log.away = set()
        await kept.until_posted(0, "11")
        told = -1
        while told < 1:  # the pushes go on
            batch = asyncio.ensure_future(anext(feed))
            while not batch.done():
                await kept.timer.tick()
            told = batch.result().upto


async def test_a_log_that_says_nothing_holds_up_nobody_who_asks_for_something_unknown(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.ask.balances.UNKNOWN_WAIT_S", 0.0)
    async with kept.running():
        kept.log.away, kept.log.hangs = {0}, True
        nobody = next(n for i in range(100) if partition_of(n := f"nobody{i}", 2) == 0)
        reply = await asyncio.wait_for(kept.get(f"/v1/accounts/{nobody}"), LIMIT_S)
        assert (reply.status, reply.code) == (503, "partition_unavailable")


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_quiet_log_that_is_away_is_noticed_named_and_no_heartbeat_says_that_it_lives(
    kept: Kept, hangs: bool
) -> None:
    async with kept.running():
        kept.log.away, kept.log.hangs = {0}, hangs
        for _ in range(QUIET_BEATS + SILENT_BEATS + 3):
            await kept.timer.tick()
        ready = await kept.get("/readyz")
        assert (ready.status, len(ready.document["degraded"])) == (200, 1)
        assert await kept.posted(0) == "10", "what was shown is still shown, with its position"
        feed = kept.feed.subscribe(0)
        waiting = asyncio.ensure_future(anext(feed))
        await kept.timer.tick()
        assert not waiting.done()
        kept.log.away, kept.log.hangs = set(), False
        kept.log.returned.set()
        while (await kept.get("/readyz")).document["degraded"]:
            await kept.timer.tick()
        while not waiting.done():
            await kept.timer.tick()
        assert waiting.result().is_heartbeat


async def test_a_partition_with_a_damaged_block_keeps_nothing_from_the_others(kept: Kept) -> None:
    await kept.log.append(0, b"damaged")
    async with kept.running():
        assert [await kept.posted(p) for p in range(2)] == ["10", "10"]
        ready = await kept.get("/readyz")
        assert ready.status == 200
        assert "stops before block 1" in ready.document["degraded"][0]
        reply = await kept.get(f"/v1/accounts/{NAMES[0]}?min_position=0:1&wait_ms=10000")
        assert (reply.status, reply.code) == (503, "partition_unavailable"), "waiting for it would never help"


async def test_what_is_told_of_a_damaged_partition_says_since_when_it_is_old(kept: Kept) -> None:
    await kept.log.append(0, b"damaged")
    async with kept.running():
        since = format_time(kept.projectors[0].fold.state.chained.created_at_us)
        old = (await kept.get(f"/v1/accounts/{NAMES[0]}")).document
        assert (old["posted"], old["stale_since"]) == ("10", since)
        assert "stale_since" not in (await kept.get(f"/v1/accounts/{NAMES[1]}")).document
        later = await kept.get(f"/v1/accounts/{NAMES[0]}?min_version=7&wait_ms=10000")
        assert (later.status, later.code) == (503, "partition_unavailable"), "it may be in what is damaged"
        system = (await kept.get("/v1/system?asset=USD/2")).document["partitions"]
        assert ["stale_since" in part for part in system] == [True, False]
        body = json.dumps({"accounts": NAMES}).encode()
        assert (await ask(kept.app(), "POST", "/internal/balances", body)).document["stale"] == [0]


async def test_a_log_that_is_damaged_by_its_own_word_is_served_up_to_there(kept: Kept) -> None:
    """A file whose damage is found when it is opened: the good blocks, and then LogDamaged, whoever reads."""
    kept.log.damaged_behind = {0}
    async with kept.running():
        assert [await kept.posted(p) for p in range(2)] == ["10", "10"]
        assert kept.projectors[0].stopped is not None
        assert kept.projectors[0].log_away is None
        reading = {
            sample.labels["partition"]: sample.value
            for metric in ProjectorMetrics(kept.projectors, kept.timer.wall_us).collect()
            for sample in metric.samples
            if sample.name == "fanfold_projector_stopped"
        }
        assert reading == {"0": 1.0, "1": 0.0}
        [degraded] = (await kept.get("/readyz")).document["degraded"]
        assert degraded.startswith("partition 0 stops before block 1: ")


async def test_a_stopped_partition_does_not_say_that_it_lives(kept: Kept) -> None:
    await kept.log.append(0, b"damaged")
    async with kept.running():
        feed = kept.feed.subscribe(0)
        for _ in range(3):
            await kept.timer.tick()
        waiting = asyncio.ensure_future(anext(feed))
        await kept.timer.tick()
        assert not waiting.done()
        waiting.cancel()


async def test_who_is_displaced_in_one_partition_goes_on_with_the_other_and_reads_the_shared_view(kept: Kept) -> None:
    async with kept.running():
        await kept.view.claim(0, 1)
        await kept.writers[0].append(moved("@world", NAMES[0], 1))
        while kept.keepers[0].gave_up is None:
            await kept.timer.tick()
        assert isinstance(kept.keepers[0].gave_up, Displaced)
        assert await kept.posted(0) == "10"
        await kept.writers[1].append(moved("@world", NAMES[1], 1))
        assert await kept.projectors[1].shown.sequence.reach(1, LIMIT_S)
        ready = await kept.get("/readyz")
        assert (ready.status, len(ready.document["degraded"])) == (200, 1)
        assert (await kept.get("/v1/transfers")).code == "partition_elsewhere"


async def test_a_partition_that_was_taken_over_is_taken_back_when_nobody_writes_it_any_more(kept: Kept) -> None:
    async with kept.running():
        await kept.view.claim(0, 1)
        await kept.writers[0].append(moved("@world", NAMES[0], 1))
        while kept.keepers[0].gave_up is None:
            await kept.timer.tick()
        await kept.until_posted(0, "11")
        assert kept.keepers[0].gave_up is None
        assert (await kept.get("/v1/transfers")).status == 200


async def test_a_fold_under_way_is_over_before_its_partition_is_let_go(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes it up again goes on with the same fold: a thread left behind would move it past rows that nobody writes."""
    projector = kept.projectors[0]
    await projector.start()
    begun, may_fold, fold = threading.Event(), threading.Event(), projector.fold.take

    def folded_late(*given: Any) -> Any:
        begun.set()
        assert may_fold.wait(LIMIT_S)
        return fold(*given)

    monkeypatch.setattr(projector.fold, "take", folded_late)
    running = asyncio.ensure_future(projector.run())
    await kept.writers[0].append(moved("@world", NAMES[0], 1))
    assert await asyncio.to_thread(begun.wait, LIMIT_S)
    running.cancel()
    await asyncio.sleep(0)
    may_fold.set()
    await asyncio.gather(running, return_exceptions=True)
    assert projector.folded.sequence == 1
    monkeypatch.undo()
    await projector.start()
    assert await kept.posted(0) == "11"


async def test_who_took_a_partition_over_keeps_it_while_it_writes_or_has_nothing_to_write(kept: Kept) -> None:
    async with kept.running():
        other = Projector(0, kept.log, kept.view, kept.feed, kept.timer, "other")
        await other.start()
        for amount in range(1, 8):
            await kept.writers[0].append(moved("@world", NAMES[0], amount))
            await other._fold_to_end()
            await other.owner.bring_right()
            await kept.timer.tick()
        for _ in range(10):
            await kept.timer.tick()
        assert isinstance(kept.keepers[0].gave_up, Displaced)


async def test_a_process_that_is_displaced_everywhere_stays_so_that_nobody_starts_it_to_take_the_views_back(
    kept: Kept,
) -> None:
    keepers = Keepers(kept.projectors, kept.timer)
    await keepers.start()
    running = asyncio.ensure_future(keepers.run())
    for p in range(2):
        await kept.view.claim(p, 1)
        await kept.writers[p].append(moved("@world", NAMES[p], 1))
    while not all(projector.elsewhere for projector in kept.projectors):
        await kept.timer.tick()
        for projector in kept.projectors:
            if not projector.elsewhere:  # one that takes its view back before the other is displaced is displaced again
                await kept.view.claim(projector.partition, 1)
    assert not running.done()
    assert {await kept.posted(p) for p in range(2)} <= {"10", "11"}, "the shared view is read, whoever wrote it last"
    for p in range(2):
        await kept.until_posted(p, "11")  # nobody writes them: they are taken back
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_start_where_every_partition_is_given_up_ends_with_the_reason(kept: Kept) -> None:
    for p in range(2):
        owner = await kept.view.claim(p, 1)
        await kept.view.apply(owner, None, EMPTY_ROWS, Checkpoint(1, 99, b"x" * 32, 1, 1))
    with pytest.raises(ViewOfAnotherLog, match="block 99"):
        await asyncio.wait_for(Keepers(kept.projectors, kept.timer).start(), LIMIT_S)


async def test_a_view_of_another_log_is_the_end_of_that_partition_only(kept: Kept) -> None:
    owner = await kept.view.claim(0, 1)
    await kept.view.apply(owner, None, EMPTY_ROWS, Checkpoint(1, 99, b"x" * 32, 1, 1))
    async with kept.running():
        assert isinstance(kept.keepers[0].gave_up, ViewOfAnotherLog)
        reply = await kept.get(f"/v1/accounts/{NAMES[0]}")
        assert (reply.status, reply.code) == (503, "partition_unavailable")
        assert "block 99" in reply.document["reason"]
        assert await kept.posted(1) == "10"


class BrokenView(MemoryViewStore):
    """Fails in partition 0 as a bug would."""

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        if partition == 0:
            raise TypeError("a bug")
        return await super().checkpoint(partition, generation)


async def test_a_projector_that_is_broken_ends_its_own_partition_only(kept: Kept) -> None:
    view = BrokenView()
    kept.view = view
    for projector in kept.projectors:
        projector._view = projector.owner._view = view
    async with kept.running():
        reply = await kept.get(f"/v1/accounts/{NAMES[0]}")
        assert (reply.status, reply.code) == (503, "partition_unavailable")
        assert "a bug" not in reply.document["reason"]
        assert await kept.posted(1) == "10"


async def test_while_the_log_is_folded_every_door_answers_and_says_how_far_it_is() -> None:
    side = Side(2)
    await side.writers[0].append(opened(NAMES[0]))
    side.projectors[0].progress.blocks = 8
    app = side.app()
    ready = await ask(app, "GET", "/readyz")
    assert (ready.status, ready.document["ready"]) == (503, False)
    assert ready.document["starting"]["partitions"] == {
        "0": {"blocks_folded": 0, "blocks": 8, "seconds_left": None},
        "1": {"blocks_folded": 0, "blocks": None, "seconds_left": None},
    }
    assert (await ask(app, "GET", "/healthz")).status == 200
    some_id = "01970f3e-7b1a-7c3e-8a2b-1234567890ff"
    for target in (f"/v1/accounts/{NAMES[0]}", f"/v1/transfers/{some_id}", "/v1/transfers", "/v1/system?asset=USD/2"):
        reply = await ask(app, "GET", target)
        assert (reply.status, reply.code) == (503, "starting")
        assert reply.headers["retry-after"]
    await side.projectors[0].start()
    assert (await ask(app, "GET", f"/v1/accounts/{NAMES[0]}")).status == 200, "a partition that is folded answers"
    await side.projectors[1].start()
    ready = await ask(app, "GET", "/readyz")
    assert (ready.status, ready.document["ready"], "starting" in ready.document) == (200, True, False)


async def test_a_start_estimates_what_is_left_from_its_pace_so_far() -> None:
    side = Side(1)
    progress = side.projectors[0].progress
    progress.blocks = 100
    now_us = progress.began_at_us + 2_000_000
    assert progress.document(25, -1, now_us) == {"blocks_folded": 25, "blocks": 100, "seconds_left": 6.0}
    assert progress.document(120, -1, now_us) == {"blocks_folded": 120, "blocks": 120, "seconds_left": 0.0}


class HangingView(MemoryViewStore):
    """Says nothing while `hangs`, and fails nothing either: a machine that is stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.back = asyncio.Event()
        self.back.set()

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        await self.back.wait()
        return await super().apply(owner, expected, rows, checkpoint, loaded)


async def test_a_view_store_that_hangs_is_told_before_it_fails() -> None:
    side = Side(1)
    view = side.view = HangingView()
    side.projectors = [Projector(0, side.log, view, side.feed, side.timer, "boot")]
    await side.writers[0].append(opened(NAMES[0]))
    await side.start()
    try:
        assert (await ask(side.app(), "GET", "/readyz")).status == 200
        view.back.clear()
        beating = asyncio.ensure_future(side.timer.tick())
        while not side.projectors[0].asked_store_us:  # noqa: ASYNC110  (nobody else tells)
            await asyncio.sleep(0)
        side.timer.now_us += 5_000_000
        reply = await ask(side.app(), "GET", "/readyz")
        assert reply.status == 503
        assert "has said nothing for" in reply.document["reasons"][0]
        view.back.set()
        await asyncio.wait_for(beating, LIMIT_S)
        assert (await ask(side.app(), "GET", "/readyz")).status == 200
    finally:
        view.back.set()
        await side.stop()


def test_a_look_that_hangs_is_a_log_that_is_away_and_the_next_one_finds_it_back() -> None:
    """Whoever keeps a partition looks at the log before it goes on: a look without an end would be the end of the partition."""

    async def story() -> None:
        kept = Kept()
        kept.log.hangs, kept.log.away = True, {0}
        with pytest.raises(LogFailed):
            await asyncio.wait_for(kept.projectors[0].look_at_log(), 3 * LOOK_S_MAX)
        kept.log.away.clear()
        await asyncio.wait_for(kept.projectors[0].look_at_log(), 1.0)

    virtual_time.run(story, lambda: 0.001)
