"""Hello, heartbeats and goodbye: who is told what, when, and what it costs many silent streams. Simulated time."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fanfold.api.close_codes import CloseCode
from gateway.metrics import Metrics
from gateway.protocol.lifetime import Limits
from gateway.protocol.messages import Item, item
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from gateway.protocol.subscription import Subscription
from gateway.protocol.wishes import Watch
from gateway.streams.lifetimes import LifeTerms, Lifetimes
from read_side.contract.feed import FeedBatch
from read_side.contract.rows import EMPTY_ROWS

TERMS = LifeTerms(heartbeat_ms=1_000, age_ms=100_000, return_ms=5_000, sign_in_ms=700)
LIMITS = Limits(10, 1_000, 100, 1_024, 8_192, 4_096)


class Client:
    """A connection that writes everything at once."""

    def __init__(self, session: Session | None = None) -> None:
        self.session = Session(10) if session is None else session
        self.heard: list[dict[str, Any]] = []
        self.away: list[tuple[CloseCode, int]] = []
        self.given_up = 0

    def give_up(self) -> None:
        self.given_up += 1

    def flush(self) -> None:
        frames, _ = self.session.outbox.take()
        self.heard += map(json.loads, frames)

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        self.away.append((code, after_ms))


class Gateway:
    """Two partitions, a clock, and chance that always takes the least."""

    def __init__(self, terms: LifeTerms = TERMS) -> None:
        self.now_ms = 0
        self.partitions = [PartitionWatch(number, {}, 1_500) for number in range(2)]
        self.lifetimes = Lifetimes(
            terms,
            Metrics(CollectorRegistry()),
            lambda: self.now_ms,
            lambda: self.now_ms * 1_000,
            lambda least, most: least,
            lambda: "a-name",
        )

    def pass_ms(self, ms: int) -> None:
        for _ in range(ms // 250):
            self.now_ms += 250
            self.lifetimes.tick(self.partitions)

    def hear(self, partition: int, after: int, upto: int) -> None:
        self.partitions[partition].take(FeedBatch(partition, 1, "boot", after, upto, EMPTY_ROWS))

    def greeted(self, session: Session | None = None, signs_in: bool = False) -> Client:
        client = Client(session)
        self.lifetimes.begin(client, LIMITS, signs_in)
        client.flush()
        return client

    def watching(self, client: Client, **accounts: int) -> list[Subscription]:
        """Each account by its partition: live, and told as it was at block 5."""
        wanted = [{"account": name} for name in accounts]
        watch = client.session.receive(json.dumps({"op": "subscribe", "id": 1, "accounts": wanted}))
        assert isinstance(watch, Watch)
        client.session.acknowledge(watch, dict.fromkeys(accounts, 1))
        for subscription in watch.subscriptions:
            partition = self.partitions[accounts[subscription.account]]
            read = partition.register([subscription])
            partition.finish(read, {subscription.account: _state()}, max(5, read.min_position), self.now_ms)
        client.flush()
        return watch.subscriptions


def _state() -> Item:
    return item(1, "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z")


def heartbeats(client: Client) -> list[str]:
    return [frame["positions"] for frame in client.heard if frame["op"] == "heartbeat"]


def test_the_first_frame_says_what_counts_here() -> None:
    [hello] = Gateway().greeted(signs_in=True).heard
    assert hello == {
        "op": "hello",
        "connection": "a-name",
        "time": "1970-01-01T00:00:00.000000Z",
        "heartbeat_ms": 1_000,
        "limits": {
            "accounts": 10, "accounts_a_message": 1_000, "topics_a_message": 100, "message_bytes": 1_024,
            "commands_a_submit": 8_192, "submit_bytes": 4_096,
        },
        "sign_in_ms": 700,
    }  # fmt: skip


def test_a_silent_stream_hears_how_far_it_has_been_told_everything() -> None:
    gateway = Gateway()
    for partition in range(2):
        gateway.hear(partition, 5, 5)
    client = gateway.greeted()
    gateway.watching(client, alice=0, bob=1)
    gateway.hear(0, 5, 17)
    gateway.pass_ms(2_000)
    assert heartbeats(client) == ["0:17,1:5"]
    gateway.hear(1, 5, 9)
    gateway.pass_ms(1_000)
    assert heartbeats(client) == ["0:17,1:5", "0:17,1:9"]


def test_who_was_told_something_hears_no_heartbeat_until_it_was_silent_for_the_interval() -> None:
    gateway = Gateway()
    client = gateway.greeted()
    gateway.pass_ms(1_000)
    for _ in range(8):
        client.session.outbox.answer(b'{"op":"pong","id":1}')
        client.flush()
        gateway.pass_ms(750)
    assert heartbeats(client) == []
    gateway.pass_ms(2_000)
    assert len(heartbeats(client)) >= 1


def test_what_has_still_to_be_told_or_read_takes_its_partition_out() -> None:
    gateway = Gateway()
    for partition in range(2):
        gateway.hear(partition, 5, 5)
    client = gateway.greeted()
    alice, _ = gateway.watching(client, alice=0, bob=1)
    gateway.hear(0, 7, 9)  # a gap: what was watched is read again
    assert not alice.live
    gateway.pass_ms(2_000)
    assert heartbeats(client) == ["1:5"]
    read = gateway.partitions[0].begin_repair()
    assert read is not None
    gateway.partitions[0].finish(read, {"alice": _state()}, 9, gateway.now_ms)
    gateway.pass_ms(1_000)
    assert heartbeats(client)[-1] == "0:9,1:5"


def test_while_a_repair_takes_too_long_and_balances_are_let_go_nothing_is_claimed() -> None:
    gateway = Gateway()
    gateway.hear(0, 5, 5)
    client = gateway.greeted()
    [alice] = gateway.watching(client, alice=0)
    gateway.hear(0, 7, 9)
    gateway.partitions[0].release_overdue(0)
    gateway.partitions[0].release_overdue(2_000)
    assert alice.live
    gateway.pass_ms(3_000)
    assert set(heartbeats(client)) == {""}


def test_a_projector_that_starts_again_behind_takes_no_watermark_back() -> None:
    gateway = Gateway()
    gateway.hear(0, 5, 9)
    client = gateway.greeted()
    gateway.watching(client, alice=0)
    gateway.partitions[0].take(FeedBatch(0, 1, "another boot", 6, 6, EMPTY_ROWS))
    read = gateway.partitions[0].begin_repair()
    assert read is not None
    assert read.min_position == 9
    gateway.partitions[0].finish(read, {"alice": _state()}, 9, gateway.now_ms)
    gateway.partitions[0].take(FeedBatch(0, 1, "another boot", 6, 9, EMPTY_ROWS))
    gateway.pass_ms(3_000)
    assert set(heartbeats(client)) == {"0:9"}


def test_nobody_is_told_anything_before_it_is_known_who_is_there() -> None:
    gateway = Gateway()
    client = gateway.greeted(Session(10, hide=lambda account: "nobody"), signs_in=True)
    gateway.pass_ms(5_000)
    assert heartbeats(client) == []


def test_who_does_not_read_has_one_frame_waiting_at_most() -> None:
    gateway = Gateway()
    client = gateway.greeted()
    client.flush = lambda: None  # type: ignore[method-assign]
    gateway.pass_ms(60_000)
    frames, _ = client.session.outbox.take()
    assert len(frames) == 1


@given(count=st.integers(1, 100), ticks=st.integers(8, 40))
def test_everybody_is_looked_at_once_a_round_and_few_at_a_time(count: int, ticks: int) -> None:
    gateway = Gateway()
    clients = [gateway.greeted() for _ in range(count)]
    gateway.pass_ms(2_000)
    for client in clients:
        client.heard.clear()
    most = 0
    for _ in range(ticks):
        before = sum(len(client.heard) for client in clients)
        gateway.pass_ms(250)
        most = max(most, sum(len(client.heard) for client in clients) - before)
    assert most <= count // 4 + 1
    assert all(ticks // 4 - 1 <= len(client.heard) <= ticks // 4 + 1 for client in clients)


def test_streams_that_watch_the_same_are_told_the_same_bytes() -> None:
    gateway = Gateway()
    gateway.hear(0, 5, 5)
    clients = [gateway.greeted() for _ in range(40)]
    frames: set[int] = set()
    kept: list[bytes] = []

    for client in clients:
        gateway.watching(client, alice=0)

        def flush(client: Client = client) -> None:
            taken, _ = client.session.outbox.take()
            kept.extend(taken)
            frames.update(map(id, taken))

        client.flush = flush  # type: ignore[method-assign]
    gateway.pass_ms(2_000)
    assert len(kept) >= 40
    assert len(frames) <= 8, "one a tick"


def test_the_oldest_are_sent_away_and_those_who_left_are_not() -> None:
    gateway = Gateway(TERMS._replace(age_ms=10_000))
    old, left = gateway.greeted(), gateway.greeted()
    gateway.lifetimes.end(left)
    gateway.pass_ms(8_750)
    assert old.away == left.away == []
    gateway.pass_ms(1_500)
    assert old.away[0] == (CloseCode.TOO_OLD, 0)
    assert left.away == []
    young = Gateway(TERMS._replace(age_ms=0))
    client = young.greeted()
    young.pass_ms(10_000)
    assert client.away == []


def test_a_gateway_that_stops_tells_everybody_when_to_come_back() -> None:
    gateway = Gateway()
    clients = [gateway.greeted() for _ in range(3)]
    gateway.lifetimes.end_all()
    assert [client.away for client in clients] == [[(CloseCode.RESTARTING, 500)]] * 3


def test_a_stream_that_fails_takes_no_goodbye_from_the_others_and_no_stop_from_the_gateway() -> None:
    gateway = Gateway()
    broken, whole = gateway.greeted(), gateway.greeted()

    def fail(code: CloseCode, after_ms: int) -> None:
        raise RuntimeError

    broken.send_away = fail  # type: ignore[method-assign]
    gateway.lifetimes.end_all()
    assert whole.away == [(CloseCode.RESTARTING, 500)]
    assert (broken.given_up, whole.given_up) == (1, 0)


def test_a_stream_that_fails_is_closed_and_takes_no_heartbeat_from_the_others() -> None:
    gateway = Gateway()
    broken, whole = gateway.greeted(), gateway.greeted()

    def fail() -> None:
        raise RuntimeError

    broken.flush = fail  # type: ignore[method-assign]
    gateway.pass_ms(3_000)
    assert (broken.given_up, whole.given_up) == (1, 0), "or nobody would look at it any more"
    assert gateway.lifetimes.streams == [whole]
    assert len(heartbeats(whole)) >= 1
