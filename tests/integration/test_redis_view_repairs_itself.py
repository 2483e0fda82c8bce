"""A real Redis that is flushed, restarted empty, set back or taken over: the view comes right by itself, or the loser exits."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from read_side.ask.balances import BalanceReader
from read_side.contract.no_answer import NotFound, Rebuilding
from read_side.contract.view import Owner, ViewUnavailable
from read_side.feed.feed_redis import RedisFeed
from read_side.follow.bring_view_right import Displaced
from read_side.follow.projector import Projector
from read_side.views.view_redis import RedisViewStore
from read_side.whole_log.alone import AtWork, alone
from read_side.whole_log.rebuild import rebuild
from read_side.whole_log.rollback import CannotRollBack, roll_back
from tests.servers import RedisServer, unique_name
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

pytestmark = pytest.mark.redis
LIMIT_S = 30.0


class Stage:
    """A projector over a Redis of its own, and a reader that only knows that Redis."""

    def __init__(self, view: RedisViewStore, feed: RedisFeed) -> None:
        self.log = MemoryLog(MemoryRecords(1))
        self.writer = BlockMaker(self.log)
        self.view, self.feed, self.timer = view, feed, ManualTimer()
        self.projector = self.new_projector("boot-1")
        self.reader = BalanceReader(view, self.log, {})
        self.running: asyncio.Future[None] | None = None

    def new_projector(self, boot: str) -> Projector:
        return Projector(0, self.log, self.view, self.feed, self.timer, boot)

    async def start(self) -> None:
        await self.writer.epoch()
        await self.writer.append(*(opened(f"account-{i}") for i in range(500)))
        await self.transfer(100)
        await self.projector.start()
        self.running = asyncio.ensure_future(self.projector.run())

    async def transfer(self, amount: int) -> None:
        await self.writer.append(*(moved("@world", f"account-{i}", amount) for i in range(0, 500, 7)))

    async def right(self) -> bool:
        """Whether the live view is exactly the writer's state."""
        state = self.writer.state
        names = [state.row_name(n) for n in range(state.count)]
        with suppress(ViewUnavailable):
            checkpoint, rows = await self.view.read(0, names)
            return (
                checkpoint is not None
                and checkpoint.block_hash == state.chained.block_hash
                and [(row.posted, row.version) for row in rows if row is not None]
                == [(int(state.posted[n]), int(state.version[n])) for n in range(state.count)]
            )
        return False

    async def comes_right(self) -> None:
        """The projector's timer goes on until the view is right."""
        deadline = time.monotonic() + LIMIT_S
        while not await self.right():
            assert time.monotonic() < deadline, "the view did not come right"
            assert self.running is not None
            ticking = asyncio.ensure_future(self.timer.tick())
            # When the projector ends nobody sleeps any more, and a tick would wait for ever.
            await asyncio.wait((ticking, self.running), timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            ticking.cancel()
            assert not self.running.done(), self.running


@pytest.fixture
async def stage(redis_server: RedisServer) -> AsyncIterator[Stage]:
    view, feed = await RedisViewStore.connect(redis_server.url), RedisFeed(redis_server.url)
    found = Stage(view, feed)
    await found.start()
    yield found
    if found.running is not None:
        found.running.cancel()
        with suppress(asyncio.CancelledError, Displaced):
            await found.running
    await view.close()
    await feed.close()


@pytest.mark.parametrize("traffic", [False, True])
async def test_a_flushed_redis_comes_right(stage: Stage, redis_server: RedisServer, traffic: bool) -> None:
    assert await stage.right()
    redis_server.flush()
    if traffic:
        await stage.transfer(1)
    await stage.comes_right()


@pytest.mark.parametrize("traffic", [False, True])
async def test_a_redis_restarted_empty_comes_right(stage: Stage, redis_server: RedisServer, traffic: bool) -> None:
    redis_server.restart_empty()
    if traffic:
        await stage.transfer(1)
    await stage.comes_right()


@pytest.mark.parametrize("traffic", [False, True])
async def test_a_redis_set_back_to_an_older_state_comes_right(
    stage: Stage, redis_server: RedisServer, traffic: bool
) -> None:
    saved: Path = redis_server.save()
    for amount in (1, 2, 3):
        await stage.transfer(amount)
    await stage.comes_right()
    redis_server.restore_snapshot(saved)
    assert not await stage.right()
    if traffic:
        await stage.transfer(4)
    await stage.comes_right()


async def test_a_redis_set_back_to_the_time_of_an_older_owner_comes_right(
    stage: Stage, redis_server: RedisServer
) -> None:
    saved = redis_server.save()
    assert stage.running is not None
    stage.running.cancel()
    with suppress(asyncio.CancelledError):
        await stage.running
    stage.projector = stage.new_projector("boot-2")
    await stage.projector.start()
    stage.running = asyncio.ensure_future(stage.projector.run())
    await stage.transfer(1)
    await stage.comes_right()
    redis_server.restore_snapshot(saved)
    await stage.comes_right()


async def test_a_redis_that_is_away_for_a_while_comes_right(stage: Stage, redis_server: RedisServer) -> None:
    redis_server.stop()
    await stage.transfer(1)
    for _ in range(3):
        await stage.timer.tick()
    assert stage.projector.unavailable is not None
    redis_server.start()
    await stage.comes_right()
    await stage.timer.tick()
    assert stage.projector.unavailable is None


async def test_readers_are_told_to_wait_and_never_that_an_account_is_unknown(
    stage: Stage, redis_server: RedisServer
) -> None:
    before, _ = await stage.reader.account("account-7")
    redis_server.flush()
    for name in ("account-7", "nobody"):
        with pytest.raises(Rebuilding):
            await stage.reader.account(name)
    await stage.comes_right()
    assert (await stage.reader.account("account-7"))[0] == before
    with pytest.raises(NotFound):
        await stage.reader.account("nobody")


async def test_an_older_state_than_shown_is_not_shown(stage: Stage, redis_server: RedisServer) -> None:
    saved = redis_server.save()
    await stage.transfer(1)
    await stage.comes_right()
    await stage.reader.account("account-7")
    redis_server.restore_snapshot(saved)
    with pytest.raises(Rebuilding):
        await stage.reader.account("account-7")


async def test_the_older_of_two_projectors_exits_and_the_view_stays_right(stage: Stage) -> None:
    newer = stage.new_projector("boot-2")
    await newer.start()
    assert stage.running is not None
    await stage.transfer(1)
    with pytest.raises(Displaced):
        await asyncio.wait_for(stage.running, LIMIT_S)
    stage.running = asyncio.ensure_future(newer.run())
    await stage.comes_right()


async def test_a_rebuild_switches_and_the_projector_goes_on(stage: Stage) -> None:
    result = await rebuild(stage.log, stage.view)
    assert (result.switched, result.different) == (True, 0)
    await stage.transfer(1)
    await stage.comes_right()
    assert await stage.view.live(0) == 2
    assert stage.projector.owner.generation == 2


async def test_a_rollback_switches_back_and_the_projector_goes_on(stage: Stage) -> None:
    await rebuild(stage.log, stage.view)
    await stage.transfer(1)
    for generation in (1, 2, 1):  # of the last two the projector has not noticed the switch before
        told = await roll_back(stage.log, stage.view)
        assert [each.new_generation for each in told.partitions] == [generation]
    await stage.transfer(1)
    await stage.comes_right()
    assert (await stage.view.live(0), await stage.view.kept(0)) == (1, 2)
    assert stage.projector.owner.generation == 1


async def test_while_one_process_rebuilds_another_is_refused(stage: Stage, redis_server: RedisServer) -> None:
    elsewhere = await RedisViewStore.connect(redis_server.url)
    try:
        async with alone(elsewhere):
            for makes in (rebuild, roll_back):
                with pytest.raises(AtWork):
                    await makes(stage.log, stage.view)
    finally:
        await elsewhere.close()
    assert (await rebuild(stage.log, stage.view)).switched


async def test_a_redis_that_goes_in_the_middle_of_a_rollback_leaves_nothing_wrong(
    stage: Stage, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rebuild(stage.log, stage.view)
    await stage.comes_right()
    switch = stage.view.switch

    async def gone(owner: Owner, replaces: int) -> None:
        redis_server.stop()
        await switch(owner, replaces)

    monkeypatch.setattr(stage.view, "switch", gone)
    with pytest.raises(ViewUnavailable, match="Run the rollback again"):
        await roll_back(stage.log, stage.view)
    monkeypatch.undo()
    redis_server.restart_empty()
    await stage.comes_right()
    with pytest.raises(CannotRollBack, match="no older generation"):
        await roll_back(stage.log, stage.view)


async def test_a_view_after_a_flush_in_the_middle_of_a_rebuild_comes_right(
    stage: Stage, redis_server: RedisServer
) -> None:
    await stage.view.claim(0, 2)
    redis_server.flush()
    await stage.comes_right()
    assert (await rebuild(stage.log, stage.view)).switched
    await stage.comes_right()


async def test_a_redis_that_may_forget_rows_is_refused(redis_server: RedisServer) -> None:
    client = Redis.from_url(redis_server.url)
    await client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(ViewUnavailable, match="noeviction"):
        await RedisViewStore.connect(redis_server.url)
    await client.aclose()


async def test_rows_of_the_layout_before_are_never_read(redis_server: RedisServer) -> None:
    """Layout 1 had five numbers and then the asset: read as six, a balance would be nonsense that looks right."""
    prefix = unique_name()
    client = Redis.from_url(redis_server.url)
    row = struct.pack("<5q", 10_000, 0, 0, 3, 1_760_000_000_000_000) + b"USD/2"
    await client.hset(f"{prefix}:{{0}}:rows:1", "account-0", row)
    await client.hset(f"{prefix}:{{0}}:checkpoints", "1", f"7 {'ab' * 32} 700 1760000000000000")
    await client.hset(f"{prefix}:{{0}}:owners", "1", "somebody")
    await client.set(f"{prefix}:{{0}}:live", "1")
    view = await RedisViewStore.connect(redis_server.url, prefix)
    feed = RedisFeed(redis_server.url, prefix)
    try:
        assert await view.read(0, ["account-0"]) == (None, [None])
        stage = Stage(view, feed)
        await stage.start()
        assert await stage.right(), "the view is made again from the log"
        assert stage.running is not None
        stage.running.cancel()
    finally:
        await view.close()
        await feed.close()
        await client.aclose()
