"""Who has a stream of this gateway, what each watches in which partition, and whether it is told that this may be old."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from gateway.protocol.subscription import Subscription, Watcher
from gateway.protocol.wishes import Unwatch
from gateway.streams.lifetimes import GivesUp
from write_side.contract.words.atoms import partition_of


class Stream(GivesUp, Protocol):
    """What the hub needs of a connection."""

    session: Session

    def flush(self) -> None:
        """Write what waits in the session's outbox, or do nothing while the client does not read."""
        ...


class Audience:
    """Of one hub. touched: those that have something to be written; wake: set when there are any."""

    def __init__(self) -> None:
        self.partitions: list[PartitionWatch] = []
        self.streams: dict[Watcher, Stream] = {}
        self.touched: dict[Watcher, None] = {}
        self.wake = asyncio.Event()
        self.silent: frozenset[int] = frozenset()
        """Partitions whose feed is silent, or whose losses cannot be read: what clients see of them may be old; they are told."""

    def join(self, stream: Stream) -> None:
        self.streams[stream.session] = stream
        self._tell(stream.session, in_silent=False)

    def leave(self, stream: Stream) -> None:
        self.streams.pop(stream.session, None)
        self.unwatch(stream.session.end())
        self.touched.pop(stream.session, None)  # last: who leaves a silent partition is touched once more

    def unwatch(self, ended: Unwatch) -> None:
        """Nobody is fed by these any more."""
        subscriptions = ended.subscriptions
        sessions: dict[Watcher, None] = dict.fromkeys(each.session for each in subscriptions)
        sessions |= dict.fromkeys(each.session for each in ended.prefixes)
        for partition, share in self.by_partition(subscriptions).items():
            self.partitions[partition].forget(share)
        for prefix in ended.prefixes:
            for watch in self.partitions:
                watch.forget_prefix(prefix)
        for session in sessions:
            self.tell_status(session)

    def by_partition(self, subscriptions: Iterable[Subscription]) -> dict[int, list[Subscription]]:
        shares: dict[int, list[Subscription]] = {}
        for subscription in subscriptions:
            partition = partition_of(subscription.account, len(self.partitions)) if len(self.partitions) > 1 else 0
            shares.setdefault(partition, []).append(subscription)
        return shares

    def wake_up(self, session: Session) -> None:
        """It has something to be flushed."""
        if session in self.streams:
            self.touched[session] = None
            self.wake.set()

    # What they see may be old.

    def are_silent(self, silent: frozenset[int]) -> None:
        """These partitions, and no others."""
        if silent != self.silent:
            self.silent = silent
            in_silent = frozenset[Watcher]().union(*(self.partitions[p].sessions() for p in silent))
            for session in self.streams:
                self._tell(session, session in in_silent)

    def tell_status(self, session: Watcher) -> None:
        self._tell(session, self._in_silent(session))

    def _in_silent(self, session: Watcher) -> bool:
        """Whether it was told something of an account of a silent partition."""
        told = (each for each in session.by_number.values() if each.read) if self.silent else ()
        if self.silent and any(each.acknowledged for each in session.prefixes.values()):
            return True  # what opens there would not be told
        return not self.silent.isdisjoint(self.by_partition(told))

    def _tell(self, session: Watcher, in_silent: bool) -> None:
        """Say whether what it shows may be old, if that has changed; to who watches nothing, when every partition is silent."""
        if session not in self.streams:
            return  # it has left: nothing is kept for it
        live = not in_silent and (not self.silent or len(self.silent) < len(self.partitions))
        if session.live is not live:
            session.tell_status(live)
            self.touched[session] = None
            self.wake.set()
