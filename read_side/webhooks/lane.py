"""A webhook in one partition: reads on from its place, sends, and does what the table of `delivery.py` says.

One delivery is under way at a time, and the place is stored, on disk, before the next one: whatever is killed delivers at most
that one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, NamedTuple, Protocol

import structlog

from fanfold.api.retry import InARow, Waits
from read_side.webhooks.batches import Batch, Wanted, wanted_of
from read_side.webhooks.delivery import ERROR_CHARACTERS_MAX, WAIT_MOST_S, Answer, Lane, Then, judge
from read_side.webhooks.hooks import Hook
from read_side.webhooks.signing import headers
from read_side.webhooks.source import Blocks, CannotRead, Source, another_log
from read_side.webhooks.trimmed import trimmed_away
from read_side.whole_log.event_place import LAST, NOWHERE, Place
from read_side.whole_log.event_runs import BlockEvents
from write_side.contract.block.block import Undecodable
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import LogFailed, Trimmed
from write_side.contract.words.position import Position

READ_WAITS: Final = Waits(1.0, 30.0)
"""Between two tries where the log, or what it has, does not go on."""
FEW_EVENTS: Final = 2_048
"""So many are looked through beside the loop's other work; more are, in a thread."""

_log = structlog.get_logger(__name__)


class Send(Protocol):
    """As `Sender.send`."""

    async def __call__(self, url: str, private: bool, headers: dict[str, str], body: bytes) -> Answer: ...


async def sent(send: Send, hook: Hook, message_id: str, body: bytes, now_us: int) -> Answer:
    """What the receiver says to this body, signed with each secret that is valid. now_us: UTC microseconds."""
    return await send(hook.url, hook.private, headers(hook.secrets, message_id, now_us // 1_000_000, body), body)


class Clock(NamedTuple):
    """wall_us: UTC microseconds; chance: 0 to 1."""

    wall_us: Callable[[], int]
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


class Store(Protocol):
    """What a lane has stored, tried again for as long as it takes; False: the webhook was removed or replayed meanwhile."""

    async def store(self, hook: Hook, partition: int, lane: Lane, pause: str | None) -> bool: ...

    async def bury(self, hook: Hook, partition: int, lane: Lane, batch: Batch, error: str) -> bool: ...

    async def dead(self, hook: Hook) -> int: ...


class Counts:
    """Of one webhook since the process started."""

    def __init__(self) -> None:
        self.deliveries = 0
        self.changes = 0
        self.failures = 0


class LaneRun:
    """`run` until it is cancelled, or the webhook is another one. woken: set when there may be more, or anything has changed."""

    def __init__(
        self,
        hook: Hook,
        source: Source,
        lane: Lane | None,
        send: Send,
        store: Store,
        clock: Clock,
        permit: asyncio.Semaphore,
        counts: Counts,
    ) -> None:
        self.hook, self.source = hook, source
        self.lane = lane if lane is not None and lane.begun else None
        self.stored = lane
        """As it is on disk; what is passed over without a delivery is stored now and then."""
        self.woken = asyncio.Event()
        self.is_over = False
        self.is_storing = False
        """Whether a place is on its way to the disk, behind which an older one must not come."""
        self._send, self._store, self._clock, self._permit, self._counts = send, store, clock, permit, counts
        self._reader: Blocks | None = None
        self._checked = False

    @property
    def behind(self) -> int:
        """Blocks that it is behind the end of the log."""
        return max(0, self.source.folded() - self._done) if self.lane is not None else 0

    @property
    def _done(self) -> int:
        """The last block of which nothing is left to deliver."""
        return (NOWHERE if self.lane is None else self.lane.place).whole_upto

    async def run(self) -> None:
        tries = InARow(READ_WAITS, self._clock.sleep, self._clock.chance)
        try:
            while not self.is_over:
                try:
                    if await self._step():
                        tries.worked()
                    await asyncio.sleep(0)  # much is passed over without a wait: the loop's other work comes in between
                    continue
                except Trimmed as trimmed:
                    done, first = None if self.lane is None else self._done, self.source.first_there(trimmed)
                    await self._tell(trimmed_away(self.hook.id, self.source.partition, done, first))
                except (LogFailed, ChainBroken, Undecodable, CannotRead) as failure:
                    await self._tell(str(failure))
                except Exception as bug:  # nothing of a webhook may reach further
                    _log.exception("webhook lane failed", webhook=self.hook.id, partition=self.source.partition)
                    await self._tell(f"{type(bug).__name__}: the service's log has more")
                await self._close_reader()
                await tries.wait()
        finally:
            await self._close_reader()

    async def _tell(self, reason: str) -> None:
        """Where a person looks for it."""
        _log.warning(
            "webhook reads no further now", webhook=self.hook.id, partition=self.source.partition, reason=reason
        )
        lane = replace(self.lane or Lane(begun=False), error=reason[:ERROR_CHARACTERS_MAX])
        if lane != self.stored:
            try:
                await self._keep(lane, None)
            except Exception:  # the lane goes on: what could not be told is in the service's log
                _log.exception("webhook lane cannot be told", webhook=self.hook.id, partition=self.source.partition)

    async def _step(self) -> bool:
        """One thing, or a wait for one; whether something was read."""
        self.woken.clear()
        lane = self.lane
        if lane is None:
            return await self._begin()
        if not self._checked and self.source.position() >= 0:
            await self._check(lane.place, lane.block_hash)
            self._checked = True
        wait_us = lane.next_at_us - self._clock.wall_us()
        if 0 < wait_us <= WAIT_MOST_S * 1e6:
            await self._close_reader()
            await self._clock.sleep(wait_us / 1e6)  # whoever changes the webhook begins its lanes anew
            return False
        if self._done >= self.source.position():
            await self._close_reader()
            if lane.error and not lane.failures:
                await self._keep(replace(lane, error=""), None)
            await self.woken.wait()
            return False
        await self._read_ahead()
        async with self._permit:
            await self._deliver_some()
        return True

    async def _begin(self) -> bool:
        """Where a webhook begins that has no place yet."""
        if self.hook.begin_at_us <= 0:
            await self._keep(Lane(), None)
        elif self.source.position() < 0:
            await self.woken.wait()
            return False
        else:
            await self._keep(Lane(Place(await self.source.last_before(self.hook.begin_at_us), LAST, LAST)), None)
        return True

    async def _check(self, place: Place, block_hash: bytes) -> None:
        """That the place is one of this log. Raises CannotRead, LogFailed."""
        if place.sequence > self.source.position():
            raise CannotRead(another_log(Position(self.source.partition, place.sequence)))
        if block_hash and await self.source.block_hash(place.sequence) != block_hash:
            raise CannotRead(another_log(Position(self.source.partition, place.sequence)))

    async def _deliver_some(self) -> None:
        """The blocks behind the place, a few megabytes of them at most."""
        assert self.lane is not None, "begun"
        blocks = await self._next_blocks()
        if blocks is None:
            return
        floors = self.source.floor_of
        if len(blocks.events) < FEW_EVENTS:
            wanted = wanted_of(self.hook, blocks, self.lane.place, floors)
        else:
            async with self.source.turn:
                wanted = await asyncio.to_thread(wanted_of, self.hook, blocks, self.lane.place, floors)
        until = self.lane.until
        part = wanted if until is None else wanted.up_to(until)  # as it was sent before, so that it has the same id
        if await self._deliver(part) and len(part.events) == len(wanted.events):
            last = Place(blocks.first + len(blocks.at_us) - 1, LAST, LAST)
            self.lane = replace(self.lane, place=last, block_hash=blocks.hashes[-1].tobytes())

    async def _deliver(self, wanted: Wanted) -> bool:
        """Whether all of it was done with."""
        for batch in wanted.batches(self.hook, self.source.partition):
            block_hash = wanted.blocks.hashes[batch.place.sequence - wanted.blocks.first].tobytes()
            answer = await self._sent(batch)
            if not await self._judge(batch, block_hash, answer):
                await self._close_reader()
                return False
        return True

    async def _sent(self, batch: Batch) -> Answer:
        return await sent(self._send, self.hook, batch.message_id, batch.body, self._clock.wall_us())

    async def _judge(self, batch: Batch, block_hash: bytes, answer: Answer) -> bool:
        """Whether the next one may be sent."""
        assert self.lane is not None, "begun"
        now_us, dead = self._clock.wall_us(), 0 if answer.is_taken else await self._store.dead(self.hook)
        verdict = judge(self.hook, self.lane, batch.place, block_hash, answer, now_us, self._clock.chance(), dead)
        self._counts.deliveries += answer.is_taken
        self._counts.changes += batch.changes if answer.is_taken else 0
        self._counts.failures += not answer.is_taken
        if verdict.then is Then.DEAD_LETTER:
            _log.error(
                "webhook delivery is a dead letter", webhook=self.hook.id, message=batch.message_id, reason=str(answer)
            )
            burying = self._store.bury(self.hook, self.source.partition, verdict.lane, batch, str(answer))
            await self._once_stored(verdict.lane, burying)
            return not self.is_over
        if verdict.then is Then.PAUSE:
            _log.error("webhook paused", webhook=self.hook.id, reason=verdict.reason)
            await self._keep(verdict.lane, verdict.reason)
            self.is_over = True
            return False
        await self._keep(verdict.lane, None)
        return answer.is_taken and not self.is_over

    async def _keep(self, lane: Lane, pause: str | None) -> None:
        await self._once_stored(lane, self._store.store(self.hook, self.source.partition, lane, pause))

    async def _once_stored(self, lane: Lane, storing: Awaitable[bool]) -> None:
        """It is so once it is on disk; it is over where the webhook is another one by now."""
        self.is_storing = True
        try:
            self.is_over = not await storing
        finally:
            self.is_storing = False
        self.lane, self.stored = lane if lane.begun else None, lane

    async def _read_ahead(self) -> None:
        """What is delivered next, without a permit: a log that says nothing of one partition for a while would keep those of all
        others waiting. What it says is held where it is, and as little as before."""
        behind = self._done
        if self._reader is not None and self._reader.sequence != behind:
            await self._close_reader()
        if self._reader is None and await self.source.recent(behind) is None and behind < self.source.position():
            self._reader = self.source.reader(behind)
        if self._reader is not None:
            await self._reader.ready()

    async def _next_blocks(self) -> BlockEvents | None:
        """From what is shared, or read by this lane alone where it is far behind."""
        behind = self._done
        if self._reader is None:
            if (found := await self.source.recent(behind)) is not None:
                return found
            self._reader = self.source.reader(behind)
        until = self.source.position()
        return await self._reader.next(until) if behind < until else None

    async def _close_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()
