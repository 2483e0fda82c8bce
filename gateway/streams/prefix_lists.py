"""How a subscribe to a prefix is served, and how what opened while a feed was broken is found: lists, one task a partition.

What may be said of it `protocol/prefixes/` knows; here are only tasks, waits and retries.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from fanfold.api.retry import retry
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription
from gateway.protocol.session import Session
from gateway.protocol.wishes import Unwatch
from gateway.streams.account_names import AccountNames
from gateway.streams.audience import Audience
from gateway.streams.subscribes import READ_WAIT_MS, WAITS, Spawn, Subscribes, tell_failure

LISTS_AT_ONCE: Final = 16
"""Of all partitions together: who reads balances meanwhile finds room."""


class PrefixLists:
    """Those of one hub. spawn: as `Subscribes` has it."""

    def __init__(
        self, names: AccountNames, subscribes: Subscribes, audience: Audience, spawn: Spawn, snapshot_wait_ms: int
    ) -> None:
        self._names = names
        self._subscribes = subscribes
        self._audience = audience
        self._spawn = spawn
        self._snapshot_wait_ms = snapshot_wait_ms
        self._listing: set[int] = set()
        """Partitions that have a task."""
        self._at_once = asyncio.Semaphore(LISTS_AT_ONCE)
        self._listed: dict[PrefixSubscription, asyncio.Event] = {}
        """Those that are not acknowledged; set once no partition is unlisted."""

    async def serve(self, session: Session, prefix: PrefixSubscription) -> None:
        """List it everywhere, then serve what was found as a subscribe to those accounts. Where a partition cannot be listed in
        time, the rest is served, and the client told that it is not complete."""
        partitions = self._audience.partitions
        listed = self._listed[prefix] = asyncio.Event()
        for partition in partitions:
            self.list_again(partition)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._snapshot_wait_ms / 1000):
                await listed.wait()
        del self._listed[prefix]
        if len(prefix.unlisted) == len(partitions):
            detail = "The accounts could not be listed in time. Nothing of this request is subscribed; subscribe again."
            self._audience.unwatch(session.refuse_prefix(prefix, "upstream_unavailable", detail))
        else:
            wish = session.snapshot(prefix)
            if isinstance(wish, Unwatch):
                self._audience.unwatch(wish)
            else:
                await self._subscribes.serve(session, wish, self._subscribes.readings(wish))
        self.adopt(session)
        # Of partitions that have none of its accounts, too: what opens there would not be told.
        self._audience.tell_status(session)
        self._audience.wake_up(session)

    def adopt(self, session: Session) -> None:
        """Serve what has been found with acknowledged prefixes of this client and has no subscription."""
        for prefix in session.prefixes.values():
            if prefix.acknowledged:
                for partition, found in self._audience.by_partition(session.adopt(prefix)).items():
                    self._subscribes.serve_found(session, prefix, self._audience.partitions[partition], found)
                prefix.look()
        if session.outbox:
            self._audience.wake_up(session)

    def list_again(self, partition: PartitionWatch) -> None:
        """Find what opened there. Safe to call again."""
        if partition.prefixes and partition.partition not in self._listing:
            self._listing.add(partition.partition)
            self._spawn(self._list(partition))

    async def _list(self, partition: PartitionWatch) -> None:
        """Until every prefix that is watched there has been listed, however long that takes; each once for all who watch it."""

        async def attempt() -> None:
            while unlisted := [each for each in partition.prefixes if partition.partition in each.unlisted]:
                same = [each for each in unlisted if each.read_as == unlisted[0].read_as]
                await self._list_one(partition, same)

        try:
            await retry(attempt, Exception, WAITS, asyncio.sleep, partial(tell_failure, partition.partition))
        finally:
            self._listing.discard(partition.partition)

    async def _list_one(self, partition: PartitionWatch, prefixes: list[PrefixSubscription]) -> None:
        """Of a feed that broke meanwhile nothing counts."""
        breaks = partition.breaks
        most = 1 + max(each.session.subscriptions_max for each in prefixes)
        async with self._at_once:
            names = await self._names.with_prefix(
                partition.partition,
                prefixes[0].partitions,
                prefixes[0].read_as,
                most,
                partition.asked_at_least,
                READ_WAIT_MS,
            )
        if partition.breaks != breaks:
            return
        for each in prefixes:
            if each.open:
                partition.listed(each, names)
                if each.acknowledged:
                    assert isinstance(each.session, Session), "who subscribes to a prefix is a client of the protocol"
                    self.adopt(each.session)
                elif not each.unlisted and each in self._listed:
                    self._listed[each].set()
