"""Between the feed and the streams: follows every partition, reads what has to be read, and flushes who has something new.

The rules are in `protocol/partition_watch.py` and `protocol/session.py`; here are only tasks, waits and retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

import structlog
from prometheus_client import Gauge

from fanfold.api.retry import InARow, Waits
from gateway.metrics import Metrics
from gateway.protocol.cursor import Verdict
from gateway.protocol.pace import Pace
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from gateway.protocol.topics import TopicBoard
from gateway.protocol.wishes import Unwatch, Watch, WatchPrefix
from gateway.streams.account_names import AccountNames
from gateway.streams.audience import Audience, Stream
from gateway.streams.balance_source import BalanceSource
from gateway.streams.lifetimes import Lifetimes, given_up
from gateway.streams.prefix_lists import PrefixLists
from gateway.streams.subscribes import Reading, Subscribes, read_all
from read_side.contract.feed import Feed, FeedBatch
from read_side.contract.topics import TopicFeed

FLUSHES_AT_ONCE: Final = 128
"""Streams flushed before other work gets a turn: about a millisecond."""

BATCHES_AT_ONCE: Final = 16
"""Batches taken while more are waiting before the flush gets a turn; under load they leave as one frame."""

WAITS: Final = Waits(0.05, 2.0)
"""Between attempts to follow; they go on for ever."""

TICK_MS: Final = 250
"""How often silence and overdue snapshots are looked for: a sixth of `cut_wait_ms`."""

T = TypeVar("T")

_log = structlog.get_logger(__name__)


class Pushes(Protocol):
    """Who is told when batches come and when they have been written, for traces."""

    def heard(self, batch: FeedBatch, *, is_watched: bool) -> None: ...

    def flushed(self) -> None: ...


class Hub:
    """One per process. `run` must be running for anything to be pushed."""

    def __init__(
        self,
        feed: Feed,
        balances: BalanceSource,
        names: AccountNames,
        metrics: Metrics,
        now_ms: Callable[[], int],
        wall_us: Callable[[], int],
        *,
        snapshot_wait_ms: int,
        cut_wait_ms: int,
        feed_silence_ms: int,
        lifetimes: Lifetimes,
        topic_feed: TopicFeed | None = None,
        pushes: Pushes | None = None,
    ) -> None:
        self.lifetimes = lifetimes
        self._pushes = pushes
        self.audience = Audience()
        self.partitions = self.audience.partitions
        self._feed = feed
        self._balances = balances
        self._metrics = metrics
        self._now_ms = now_ms
        self._wall_us = wall_us
        self._offered_us: int | None = None
        """The block's time of the oldest change that has not been flushed."""
        self._cut_wait_ms = cut_wait_ms
        self._feed_silence_ms = feed_silence_ms
        self._touched = self.audience.touched
        self.topics = TopicBoard(self._touched)
        self._topic_feed = topic_feed
        if topic_feed is None:
            self.topics.known = True  # there are none
        self._streams = self.audience.streams
        self._heard_at_ms: list[int] = []
        self._gauges: list[tuple[Gauge, Gauge]] = []
        self._wake = self.audience.wake
        self._tasks: set[asyncio.Task[None]] = set()
        self.subscribes = Subscribes(balances, self.audience, self._spawn, now_ms, snapshot_wait_ms)
        self._prefixes = PrefixLists(names, self.subscribes, self.audience, self._spawn, snapshot_wait_ms)
        metrics.connections.set_function(lambda: len(self._streams))
        metrics.topic_subscriptions.set_function(lambda: self.topics.watched)
        metrics.prefix_subscriptions.set_function(lambda: sum(len(session.prefixes) for session in self._streams))
        metrics.subscriptions.set_function(lambda: sum(len(session.by_number) for session in self._streams))

    # Life.

    def open(self, partitions: int) -> None:
        """Make a watch for each partition; before, `ready` is False."""
        self.partitions[:] = [PartitionWatch(p, self._touched, self._cut_wait_ms) for p in range(partitions)]
        self._heard_at_ms = [self._now_ms()] * partitions
        silence, heard = self._metrics.feed_silence, self._metrics.heard
        # Found once: each tick finds them for every partition.
        self._gauges = [(silence.labels(str(p)), heard.labels(str(p))) for p in range(partitions)]
        for _, each in self._gauges:
            each.set(-1)

    @property
    def ready(self) -> bool:
        return bool(self.partitions)

    async def run(self) -> None:
        """Follow the feed of every partition until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for watch in self.partitions:
                    tasks.create_task(self._follow(watch))
                if self._topic_feed is not None:
                    tasks.create_task(self._follow_topics(self._topic_feed))
                tasks.create_task(self._flush_for_ever())
                tasks.create_task(self._tick_for_ever())
        finally:
            for task in self._tasks:
                task.cancel()

    # Streams.

    @property
    def silent(self) -> frozenset[int]:
        """Partitions of which clients are told that what they see may be old."""
        return self.audience.silent

    @property
    def streams(self) -> int:
        return len(self._streams)

    def join(self, stream: Stream) -> None:
        self.audience.join(stream)

    def leave(self, stream: Stream) -> None:
        self.audience.leave(stream)

    def unwatch(self, ended: Unwatch) -> None:
        self.audience.unwatch(ended)

    def watch(self, session: Session, watch: Watch) -> None:
        """Serve a subscribe: register now, read, then acknowledge.

        Before this returns, because the client's next message may unsubscribe: whoever is registered after that stays for ever.
        """
        self._spawn(self._serve(session, watch, self.subscribes.readings(watch)))

    def watch_prefix(self, session: Session, wish: WatchPrefix) -> None:
        """The same for every account with a prefix."""
        wish.prefix.partitions = len(self.partitions)
        for partition in self.partitions:
            partition.register_prefix(wish.prefix)
        self._spawn(self._prefixes.serve(session, wish.prefix))

    async def _serve(self, session: Session, watch: Watch, readings: list[Reading]) -> None:
        await self.subscribes.serve(session, watch, readings)
        self._prefixes.adopt(session)

    def let_rest(self, session: Session) -> None:
        """Something was written to it: what has a pace is told again when that allows it."""
        for pace in session.outbox.rests_begun():
            asyncio.get_running_loop().call_later(pace.rest_ms / 1000, self._go_on, session, pace)

    def _go_on(self, session: Session, pace: Pace) -> None:
        session.outbox.go_on(pace)
        if session.outbox:
            self.audience.wake_up(session)

    # Reads.

    async def _repair(self, partition: PartitionWatch) -> None:
        while (read := partition.begin_repair()) is not None:
            self._metrics.repairs.inc()
            found = await read_all(self._balances, partition, read, lambda _: None)
            partition.finish(read, found.items, found.reached, self._now_ms(), found.history, found.undecided)
            self._wake.set()

    # The feed.

    async def _follow(self, partition: PartitionWatch) -> None:
        """The first batch of a feed that is taken up again breaks, and a repair makes up for the rest."""
        repair: asyncio.Task[None] | None = None

        def take(batch: FeedBatch) -> None:
            nonlocal repair
            self._heard_at_ms[partition.partition] = self._now_ms()
            conflated = partition.conflated
            verdict = partition.take(batch)
            if (at_us := partition.offered_us) is not None:
                self._offered_us = at_us if self._offered_us is None else min(self._offered_us, at_us)
                self._metrics.conflated.inc(partition.conflated - conflated)
            if partition.prefix_rows:
                self._metrics.prefix_rows.inc(partition.prefix_rows)
            if self._pushes is not None and verdict is not Verdict.BROKEN:
                self._pushes.heard(batch, is_watched=partition.offered_us is not None)
            self._metrics.batches.labels(verdict.value).inc()
            if verdict is Verdict.BROKEN:
                self._prefixes.list_again(partition)
                if repair is None or repair.done():
                    repair = self._spawn(self._repair(partition))

        def subscribe() -> AsyncIterator[FeedBatch]:
            return self._feed.subscribe(partition.partition, partition.interest)

        await self._take_all(subscribe, take, "feed_failed", partition=partition.partition)

    async def _follow_topics(self, topic_feed: TopicFeed) -> None:
        """Whoever subscribes to the feed again is told everything again, so nothing is missed."""
        await self._take_all(topic_feed.subscribe, self.topics.take, "topic_feed_failed")

    async def _take_all(
        self, subscribe: Callable[[], AsyncIterator[T]], take: Callable[[T], None], failed: str, **told: int
    ) -> None:
        """For ever: a feed that ends or fails is taken up again."""
        in_a_row = InARow(WAITS, asyncio.sleep)
        taken = 0
        while True:
            try:
                async for each in subscribe():
                    in_a_row.worked()
                    take(each)
                    if self._touched:
                        self._wake.set()
                    taken += 1
                    if taken % BATCHES_AT_ONCE == 0:
                        await asyncio.sleep(0)
            except Exception:
                _log.exception(failed, **told)
            await in_a_row.wait()

    async def _flush_for_ever(self) -> None:
        """Who was touched is flushed once, however many batches touched it meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._touched:
                # All at once: what is taken out of a dict from its front one by one is passed over again each time.
                sessions = list(self._touched)
                self._touched.clear()
                for first in range(0, len(sessions), FLUSHES_AT_ONCE):
                    for session in sessions[first : first + FLUSHES_AT_ONCE]:
                        stream = self._streams.get(session)
                        if stream is not None:
                            try:
                                stream.flush()
                            except Exception:  # a bug of ours with one must not end the pushes of all others
                                given_up(stream, "stream_failed")
                    await asyncio.sleep(0)
            if self._pushes is not None:
                self._pushes.flushed()
            if self._offered_us is not None:
                self._metrics.commit_to_socket.observe(max(0, self._wall_us() - self._offered_us) / 1e6)
                self._offered_us = None

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_MS / 1000)
            self.tick()

    def tick(self) -> None:
        """Look for silence and for snapshots that waited long enough."""
        now_ms = self._now_ms()
        for partition, heard_at_ms, (silence, heard) in zip(
            self.partitions, self._heard_at_ms, self._gauges, strict=True
        ):
            partition.release_overdue(now_ms)
            silence.set((now_ms - heard_at_ms) / 1000)
            heard.set(-1 if partition.cursor is None else partition.cursor.heard)
        silent = frozenset(
            partition.partition
            for heard_at_ms, partition in zip(self._heard_at_ms, self.partitions, strict=True)
            if now_ms - heard_at_ms >= self._feed_silence_ms
            or partition.repairing_ms(now_ms) > self._feed_silence_ms
            # Who was told that it is old hears that it is live once what was lost has been read.
            or (partition.repairing and partition.partition in self.audience.silent)
        )
        self.audience.are_silent(silent)
        self.lifetimes.tick(self.partitions)
        if self._touched:
            self._wake.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
