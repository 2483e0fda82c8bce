"""The simulation bites where a client of the stream is slow, or gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from fanfold.api.close_codes import CloseCode
from gateway.protocol.interest import Interest
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.subscription import Subscription
from gateway.streams import lifetimes
from gateway.streams.websocket_server import StreamConnection
from tests.simulation.bites import SEEDS_MAX, seeds_until_found

Patch = pytest.MonkeyPatch


def cut_off_who_reads_slowly(patch: Patch) -> None:
    """At a ping nothing waits for a client that has not taken everything, or the connection is ended."""
    patch.setattr(StreamConnection, "_took_some", lambda self: False)


def count_a_ping_that_waits_as_not_answered(patch: Patch) -> None:
    """The pong has time from when the ping was written, wherever it lies."""

    def look(self: StreamConnection) -> None:
        if self._heard or not self._writable:
            self._set_timer(self._terms.ping_ms, self._ping)
        else:
            self._close(CloseCode.PONG_MISSED)

    patch.setattr(StreamConnection, "_look_for_pong", look)


def watch_for_who_has_left(patch: Patch) -> None:
    """A connection that is lost is closed, and its accounts are watched on."""
    lost = StreamConnection.connection_lost

    def forgotten(self: StreamConnection, exc: Exception | None) -> None:
        self._joined = False
        lost(self, exc)

    patch.setattr(StreamConnection, "connection_lost", forgotten)


def say_that_nothing_is_newer_of_what_is_being_read(patch: Patch) -> None:
    """A heartbeat's watermark has every partition that is watched, also one of which balances are held back."""
    patch.setattr(PartitionWatch, "told_up_to", property(lambda self: self._furthest_heard))
    patch.setattr(
        lifetimes, "partitions_told", lambda session: frozenset(each.partition for each in session.by_number.values())
    )


def look_once_at_what_is_watched(patch: Patch) -> None:
    """What the feed is asked for is what was watched when it was asked first: who subscribes later is read, and never told."""
    patch.setattr(Interest, "add", lambda self, account: None)


def want_no_more_what_somebody_stops_watching(patch: Patch) -> None:
    """Whoever leaves takes what the others watch with him."""
    forget = PartitionWatch.forget

    def forgotten(self: PartitionWatch, subscriptions: Sequence[Subscription]) -> None:
        forget(self, subscriptions)
        if self.interest._accounts._bits is not None:
            self.interest._accounts._bits[:] = False

    patch.setattr(PartitionWatch, "forget", forgotten)


def leave_out_what_opens_later(patch: Patch) -> None:
    """A prefix is watched of the accounts that were there when it was subscribed."""
    patch.setattr(PartitionWatch, "_open", lambda self, rows: None)


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    cut_off_who_reads_slowly,
    count_a_ping_that_waits_as_not_answered,
    watch_for_who_has_left,
    say_that_nothing_is_newer_of_what_is_being_read,
    look_once_at_what_is_watched,
    want_no_more_what_somebody_stops_watching,
    leave_out_what_opens_later,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_streams_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(mistake=mistake) <= SEEDS_MAX
