"""How a subscribe is served: each partition's share for itself, the ones that cannot be read as soon as they can.

What may be said of it `protocol/session.py` knows; here are only tasks, waits and retries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX
from fanfold.api.retry import Waits, retry
from gateway.protocol.messages import Item
from gateway.protocol.partition_watch import PartitionWatch, Read
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription
from gateway.protocol.session import Session
from gateway.protocol.subscription import Subscription
from gateway.protocol.wishes import Watch
from gateway.streams.audience import Audience
from gateway.streams.balance_source import BalanceSource, BalancesUnavailable, Found

WAITS: Final = Waits(0.05, 2.0)
"""Between attempts to read; they go on while somebody watches."""

READ_WAIT_MS: Final = 2_000
"""How long one read lets the view catch up with the feed."""

WITH_A_REASON: Final = frozenset({"partition_unavailable", "partition_elsewhere"})
"""What will not pass while a client waits for its ack: the others of its accounts need not wait for it."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]

_log = structlog.get_logger(__name__)


class _NotRead(NamedTuple):
    """A share of a subscribe that was acknowledged before it could be read."""

    session: Session
    id: int
    subscriptions: list[Subscription]
    prefix: PrefixSubscription | None = None


class Reading:
    """One partition's share of a subscribe. settled: it was read, or there is a reason why it is not. code: the last reason."""

    def __init__(self, partition: PartitionWatch, read: Read) -> None:
        self.partition = partition
        self.read = read
        self.code = "upstream_unavailable"
        self.settled = asyncio.Event()
        self.found: Found | None = None

    async def go_on(self, reading: Coroutine[Any, Any, Found]) -> None:
        self.found = await reading
        self.settled.set()

    def drop_outlived(self) -> None:
        """It waited for other partitions, or was under way for long, and its log was put back meanwhile."""
        if self.found is not None and self.partition.is_outlived(self.read, self.found.history):
            self.found = None

    def told(self, failure: Exception) -> None:
        self.code = failure.code if isinstance(failure, BalancesUnavailable) else "upstream_unavailable"
        if self.has_reason:
            self.settled.set()

    @property
    def has_reason(self) -> bool:
        return self.code in WITH_A_REASON


class Subscribes:
    """Those of one hub. spawn: starts a task that ends with the hub."""

    def __init__(
        self,
        balances: BalanceSource,
        audience: Audience,
        spawn: Spawn,
        now_ms: Callable[[], int],
        snapshot_wait_ms: int,
    ) -> None:
        self.not_read: dict[int, list[_NotRead]] = {}
        """What waits for a partition to be readable; one task a partition reads for all, however many clients wait there."""
        self._balances = balances
        self._audience = audience
        self._spawn = spawn
        self._now_ms = now_ms
        self._snapshot_wait_ms = snapshot_wait_ms

    def readings(self, watch: Watch) -> list[Reading]:
        """Its accounts are fed from now on."""
        partitions = self._audience.partitions
        shares = self._audience.by_partition(watch.subscriptions)
        return [Reading(partitions[p], partitions[p].register(share)) for p, share in shares.items()]

    async def serve(self, session: Session, watch: Watch, readings: list[Reading]) -> None:
        """Each partition's share for itself: what can be read is served, what cannot is named, and served once it can."""
        tasks = [
            self._spawn(each.go_on(read_all(self._balances, each.partition, each.read, each.told))) for each in readings
        ]
        with suppress(TimeoutError):
            async with asyncio.timeout(self._snapshot_wait_ms / 1000):
                await asyncio.gather(*(each.settled.wait() for each in readings))
        for task in tasks:
            task.cancel()
        for each in readings:
            each.drop_outlived()
        unread = [each for each in readings if each.found is None]
        if readings and len(unread) == len(readings) and not any(each.has_reason for each in unread):
            detail = "The balances could not be read in time. Nothing of this request is subscribed; subscribe again."
            self._audience.unwatch(session.refuse(watch, "upstream_unavailable", detail))
        else:
            self._acknowledge(session, watch, readings, unread)
        for each in unread:
            # What was granted to another request goes on: of this one nothing was read, and nothing is due.
            each.partition.stay(each.read.subscriptions, self._now_ms())
        self._audience.wake_up(session)

    def _acknowledge(self, session: Session, watch: Watch, readings: list[Reading], unread: list[Reading]) -> None:
        versions: dict[str, int] = {}
        undecided: frozenset[str] = frozenset()
        histories: dict[str, str] = {}
        for each in readings:
            if each.found is not None:
                versions |= {name: item.version for name, item in each.found.items.items()}
                undecided |= each.found.undecided
                histories |= _histories(each.read, each.found)
                for subscription in each.read.subscriptions:
                    subscription.found()
        self._audience.tell_status(session)  # before the ack
        codes = {name: each.code for each in unread for name in each.read.accounts}
        session.acknowledge(watch, versions, undecided, codes, histories)
        for each in readings:
            if each.found is not None:
                each.partition.finish(
                    each.read,
                    each.found.items,
                    each.found.reached,
                    self._now_ms(),
                    each.found.history,
                    each.found.undecided,
                )
        for each in unread:
            self._serve_later(each.partition, _NotRead(session, watch.id, each.read.subscriptions, watch.prefix))

    def serve_found(
        self, session: Session, prefix: PrefixSubscription, partition: PartitionWatch, found: list[Subscription]
    ) -> None:
        """These were found with a prefix after its ack: they are named once they have been read."""
        partition.register(found)
        self._serve_later(partition, _NotRead(session, prefix.id, found, prefix))

    def _serve_later(self, partition: PartitionWatch, share: _NotRead) -> None:
        if partition.partition in self.not_read:
            self.not_read[partition.partition].append(share)
            return
        self.not_read[partition.partition] = [share]
        self._spawn(self._read_later(partition))

    async def _read_later(self, partition: PartitionWatch) -> None:
        """Read what could not be read, all of it in one go, until nobody waits for it any more."""

        async def attempt() -> None:
            while waiting := self._still_waiting(partition):
                # As of now: the feed may have gone on since it was named.
                read = partition.register([each for share in waiting for each in share.subscriptions if each.open])
                found = await read_all(self._balances, partition, read, None)
                if not partition.is_outlived(read, found.history):
                    self._served_late(partition, read, found, waiting)

        try:
            await retry(attempt, Exception, WAITS, asyncio.sleep, partial(tell_failure, partition.partition))
        finally:
            del self.not_read[partition.partition]

    def _still_waiting(self, partition: PartitionWatch) -> list[_NotRead]:
        """Those of which somebody is left, and some account has still to be told."""
        waiting = self.not_read[partition.partition]
        waiting[:] = [share for share in waiting if any(each.open for each in share.subscriptions)]
        return list(waiting)

    def _served_late(self, partition: PartitionWatch, read: Read, found: Found, shares: list[_NotRead]) -> None:
        versions = {name: item.version for name, item in found.items.items()}
        histories = _histories(read, found)
        del self.not_read[partition.partition][: len(shares)]  # those that came meanwhile stand behind them
        # Another request may have named some since, and they speak: what is newer than the feed would show them out of their cut.
        silent = [subscription for subscription in read.subscriptions if not subscription.live]
        for subscription in silent:
            subscription.found()
        for share in shares:
            self._audience.tell_status(share.session)
            share.session.acknowledge_read(
                share.id, share.subscriptions, versions, found.undecided, histories, share.prefix
            )
            self._audience.wake_up(share.session)
        shown = replace(read, subscriptions=silent)
        partition.finish(shown, found.items, found.reached, self._now_ms(), found.history, found.undecided)


async def read_all(
    balances: BalanceSource, partition: PartitionWatch, read: Read, tell: Callable[[Exception], None] | None
) -> Found:
    """All rows of a read, in parts; reached is the furthest position of any part.

    tell: hears of each failure, and it is tried until it works; None: once, and the failure is raised.
    """
    accounts, items, reached, undecided, history = read.accounts, dict[str, Item](), -1, frozenset[str](), None
    for start in range(0, len(accounts), ACCOUNTS_PER_MESSAGE_MAX):
        part = accounts[start : start + ACCOUNTS_PER_MESSAGE_MAX]
        attempt = partial(balances.read, partition.partition, part, read.min_position, READ_WAIT_MS)
        found = await (attempt() if tell is None else _again(attempt, partition.partition, tell))
        items |= found.items
        reached, undecided = max(reached, found.reached), undecided | found.undecided
        history = found.history
    return Found(items, reached, undecided, history)


def _histories(read: Read, found: Found) -> dict[str, str]:
    """By account, where it is known."""
    return {} if found.history is None else dict.fromkeys(read.accounts, found.history)


async def _again(
    attempt: Callable[[], Coroutine[Any, Any, Found]], partition: int, tell: Callable[[Exception], None]
) -> Found:
    def told(failure: Exception) -> None:
        tell_failure(partition, failure)
        tell(failure)

    return await retry(attempt, Exception, WAITS, asyncio.sleep, told)


def tell_failure(partition: int, failure: Exception) -> None:
    if isinstance(failure, BalancesUnavailable):
        _log.warning("balances_unavailable", partition=partition, code=failure.code, reason=str(failure))
    else:  # a bug of ours or of a side: whoever waits for this read must not wait for ever
        _log.error("balances_failed", partition=partition, exc_info=failure)
