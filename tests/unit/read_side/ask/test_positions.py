"""Lag as it is told (`/v1/positions`, metrics), and a health that fails when there is work and nothing moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fanfold.answers import positions_of
from read_side.ask import health
from read_side.contract.feed import FeedBatch, FeedUnavailable
from read_side.feed.feed_memory import MemoryFeed
from read_side.follow.projector import Projector
from read_side.follow.standstill import STANDSTILL_S
from read_side.views.view_memory import MemoryViewStore
from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.doors.test_http_api import LIMIT_S, Side
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

WEEK_S = 7 * 24 * 3600
NO_LAG = {"unread": 0, "unit": "records", "unfolded": 0, "unstored": 0, "unpushed": 0, "oldest_unapplied_ms": 0}


class DeafLog(MemoryLog):
    """Says where it ends, and hands nothing over of the partitions that are `deaf`: a consumer that hangs."""

    def __init__(self, partitions: int) -> None:
        super().__init__(MemoryRecords(partitions))
        self.deaf: set[int] = set()
        self.hears = asyncio.Event()
        self.hangs = False

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        async for records in super().tail(partition, after):
            while partition in self.deaf:
                await self.hears.wait()
            yield records

    async def end(self, partition: int) -> int:
        if self.hangs:
            await asyncio.Event().wait()
        return await super().end(partition)


class RefusingFeed(MemoryFeed):
    refuses = False

    async def publish(self, batch: FeedBatch) -> None:
        if self.refuses:
            raise FeedUnavailable("it is full")
        await super().publish(batch)


class HangingView(MemoryViewStore):
    """A store that takes nothing while it `hangs`."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = False
        self.goes_on = asyncio.Event()

    async def apply(self, *arguments: Any) -> int:
        if self.hangs:
            await self.goes_on.wait()
        return await super().apply(*arguments)


class Lagging(Side):
    """A side that can be kept from getting on, at the time of its writers."""

    def __init__(self, partitions: int, projects: Sequence[int] | None = None) -> None:
        super().__init__(partitions, projects)
        self.log = self.deaf = DeafLog(partitions)
        self.feed = self.refusing = RefusingFeed()
        self.view = self.hanging = HangingView()
        self.writers = [BlockMaker(self.log, p) for p in range(partitions)]
        chosen = range(partitions) if projects is None else projects
        self.projectors = [Projector(p, self.log, self.view, self.feed, self.timer, f"boot-{p}") for p in chosen]
        self.edge = self.app()

    async def ready(self) -> tuple[int, dict[str, Any]]:
        reply = await ask(self.edge, "GET", "/readyz")
        return reply.status, reply.document

    async def positions(self) -> list[dict[str, Any]]:
        reply = await ask(self.edge, "GET", "/v1/positions")
        assert reply.status == 200
        positions_of(reply.document)
        found: list[dict[str, Any]] = reply.document["partitions"]
        return found

    async def metrics(self) -> str:
        return (await ask(self.edge, "GET", "/metrics")).body.decode()

    def pass_time(self, seconds: float) -> None:
        self.timer.now_us += int(seconds * 1_000_000)

    async def caught_up(self, partition: int = 0) -> None:
        """All that was said is shown and told."""
        projector = next(each for each in self.projectors if each.partition == partition)
        upto = self.writers[partition].state.chained.sequence
        assert await projector.shown.sequence.reach(upto, LIMIT_S)
        for _ in range(3):  # who was silent looks at the log before it tells anything (`silence.py`)
            await self.timer.tick()
        assert projector.how_far.pushed == upto


@asynccontextmanager
async def lagging(partitions: int = 1, projects: Sequence[int] | None = None) -> AsyncIterator[Lagging]:
    """Each partition has two blocks, shown and told."""
    side = Lagging(partitions, projects)
    for writer in side.writers:
        await writer.epoch()
        await writer.append(opened("alice"))
    await side.start()
    yield side
    await side.stop()


async def _turns(until: Callable[[], bool]) -> None:
    """Let the others go on until then."""
    async with asyncio.timeout(LIMIT_S):
        while not until():  # noqa: ASYNC110 - it is nothing that anybody is told
            await asyncio.sleep(0)


async def test_of_a_quiet_partition_everything_is_zero_and_it_is_healthy_for_ever() -> None:
    async with lagging() as side:
        for _ in range(3):
            side.pass_time(WEEK_S)
            marks = dict.fromkeys(("accepted", "folded", "stored", "pushed"), 1)
            assert await side.positions() == [{"partition": 0, "position": "0:1"} | marks | NO_LAG]
            status, document = await side.ready()
            assert (status, document["degraded"]) == (200, [])


async def test_what_was_written_and_shown_leaves_no_lag_behind() -> None:
    async with lagging() as side:
        for amount in range(1, 20):
            await side.writers[0].append(moved("@world", "alice", amount))
            await side.caught_up()
            [told] = await side.positions()
            assert told["position"] == f"0:{amount + 1}"
            assert {name: told[name] for name in NO_LAG} == NO_LAG


async def test_what_was_read_and_not_folded_and_what_was_folded_and_not_stored_are_told_apart() -> None:
    async with lagging() as side:
        [projector] = side.projectors
        side.hanging.hangs = True
        async with projector._writing:  # as while another run is folded
            for amount in (1, 2, 3):
                await side.writers[0].append(moved("@world", "alice", amount))
            side.timer.now_us = side.writers[0].now_us + 7_000
            await _turns(lambda: len(projector._work.in_hand) > 0)
            [told] = await side.positions()
            assert told["unread"] + told["unfolded"] == 3
            assert told["accepted"] - told["folded"] == told["unfolded"] >= 1
            assert (told["folded"], told["unstored"]) == (1, 0)
            assert told["oldest_unapplied_ms"] == 9, "of the first of the three, a millisecond before each other"
        await _turns(lambda: projector.asked_store_us > 0)
        [told] = await side.positions()
        assert (told["unfolded"], told["stored"]) == (0, 1)
        assert told["unstored"] == told["folded"] - 1 >= 1
        assert told["unread"] + told["unstored"] == 3
        assert told["oldest_unapplied_ms"] == 9
        side.hanging.goes_on.set()
        await side.caught_up()
        [told] = await side.positions()
        assert {name: told[name] for name in NO_LAG} == NO_LAG


async def test_a_log_that_is_ahead_is_told_with_the_age_of_its_oldest_block() -> None:
    async with lagging() as side:
        side.deaf.deaf = {0}
        await side.writers[0].append(moved("@world", "alice", 1))
        side.timer.now_us = side.writers[0].now_us + 5_000
        await side.writers[0].append(moved("@world", "alice", 1))
        [told] = await side.positions()
        assert {name: told[name] for name in NO_LAG} == NO_LAG | {"unread": 2, "oldest_unapplied_ms": 5}
        assert told["accepted"] == 1
        text = await side.metrics()
        assert 'fanfold_projector_unread_records{partition="0"} 2.0' in text
        assert "fanfold_projector_unread_bytes{" not in text
        assert 'fanfold_projector_oldest_unapplied_seconds{partition="0"} 0.005' in text


async def test_a_partition_with_work_that_nothing_moves_is_not_ready_and_named_until_it_moves() -> None:
    async with lagging() as side:
        side.pass_time(WEEK_S)
        assert (await side.ready())[0] == 200
        side.deaf.deaf = {0}
        await side.writers[0].append(moved("@world", "alice", 1))
        side.pass_time(WEEK_S)
        assert (await side.ready())[0] == 200, "it has its time from when the work was seen"
        side.pass_time(STANDSTILL_S)
        assert (await side.ready())[0] == 200
        side.pass_time(1)
        status, document = await side.ready()
        said = "partition 0: nothing moves: its log has records that were not read for 31 s"
        assert (status, document["code"], document["reasons"], document["degraded"]) == (
            503,
            "not_ready",
            [said],
            [said],
        )
        [told] = await side.positions()
        assert f"partition 0: {told['reason']}" == said
        assert 'fanfold_projector_stands_still{partition="0"} 1.0' in await side.metrics()
        reply = await ask(side.edge, "GET", "/v1/accounts/alice")
        assert reply.status == 200, "what is there is served"
        side.deaf.deaf.clear()
        side.deaf.hears.set()
        await side.caught_up()
        assert (await side.ready())[0] == 200
        assert "reason" not in (await side.positions())[0]


async def test_a_standstill_is_seen_though_nobody_asked_meanwhile() -> None:
    async with lagging() as side:
        side.deaf.deaf = {0}
        await side.writers[0].append(moved("@world", "alice", 1))
        for _ in range(int(STANDSTILL_S) + 10):
            await side.timer.tick()
        assert 'fanfold_projector_stands_still{partition="0"} 1.0' in await side.metrics()
        assert (await side.ready())[0] == 503


async def test_no_partition_is_unready_because_another_one_stands_still() -> None:
    async with lagging(3) as side:
        side.deaf.deaf = {1}
        await side.writers[1].append(moved("@world", "alice", 1))
        await side.ready()
        side.pass_time(STANDSTILL_S + 1)
        status, document = await side.ready()
        assert status == 200
        [said] = document["degraded"]
        assert said.startswith("partition 1: nothing moves")
        assert ["reason" in told for told in await side.positions()] == [False, True, False]


async def test_what_gateways_were_not_told_is_lag_and_a_feed_that_takes_nothing_a_standstill() -> None:
    async with lagging() as side:
        side.refusing.refuses = True
        await side.writers[0].append(moved("@world", "alice", 1))
        assert await side.projectors[0].shown.sequence.reach(2, LIMIT_S)
        [told] = await side.positions()
        assert (told["position"], told["stored"], told["pushed"], told["unpushed"]) == ("0:2", 2, 1, 1)
        assert (told["unstored"], told["oldest_unapplied_ms"]) == (0, 0), "readers see it"
        for _ in range(int(STANDSTILL_S) + 2):
            await side.timer.tick()
        status, document = await side.ready()
        assert status == 503
        assert "not pushed to gateways" in document["reasons"][0]
        side.refusing.refuses = False
        for _ in range(3):  # a heartbeat tells all that was not told
            await side.timer.tick()
        assert (await side.ready())[0] == 200
        assert (await side.positions())[0]["unpushed"] == 0


async def test_partitions_of_other_processes_are_named() -> None:
    async with lagging(4, projects=[1, 3]) as side:
        assert [told["partition"] for told in await side.positions()] == [1, 3]
        reply = await ask(side.edge, "GET", "/v1/positions")
        assert reply.document["elsewhere"] == [0, 2]
        side.projectors[0].elsewhere = True  # taken over by another one
        reply = await ask(side.edge, "GET", "/v1/positions")
        assert (reply.document["elsewhere"], len(reply.document["partitions"])) == ([0, 1, 2], 1)


async def test_a_log_that_does_not_say_where_it_ends_keeps_nobody_waiting_and_its_lag_is_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "AHEAD_WAIT_S", 0.001)
    async with lagging() as side:
        side.deaf.hangs = True
        [told] = await side.positions()
        assert (told["unread"], told["oldest_unapplied_ms"], told["unstored"]) == (None, None, 0)
        assert (await side.ready())[0] == 200
        assert "fanfold_projector_unread_records{" not in await side.metrics()


async def test_a_damaged_log_is_told_by_its_own_reason() -> None:
    async with lagging() as side:
        await side.log.append(0, b"no block")
        await side.timer.tick()
        [told] = await side.positions()
        assert told["reason"] == side.projectors[0].stopped
        side.pass_time(STANDSTILL_S + 1)
        assert (await side.ready())[0] == 200, "what is good is served, and marked as stale"


async def test_how_far_it_is_is_told_while_the_log_is_folded_for_the_first_time() -> None:
    side = Lagging(1)
    await side.writers[0].epoch()
    [told] = await side.positions()
    assert (told["position"], told["unread"], told["stored"]) == (None, 1, -1)
    assert told["reason"] == "the log is being folded"
    assert told["progress"] == {"what": "start", "done": 0, "total": None, "unit": "blocks", "seconds_left": None}


async def test_positions_take_no_parameters() -> None:
    side = Lagging(1)
    reply = await ask(side.edge, "GET", "/v1/positions?partitions=0")
    assert (reply.status, reply.code) == (400, "parameter_malformed")
