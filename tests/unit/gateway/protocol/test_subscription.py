"""Where a subscription stands, cell by cell; and of several requests for one account, each is answered for itself."""

from __future__ import annotations

import json
from itertools import permutations, product
from typing import Any

import pytest

from gateway.protocol.messages import Item, item
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from gateway.protocol.subscription import NEXT, Event, Stage, Subscription
from gateway.protocol.wishes import Watch
from read_side.contract.feed import FeedBatch
from read_side.contract.rows import EMPTY_ROWS

CANNOT_BE = {
    (stage, event)
    for stage in (Stage.UNREAD, Stage.WAITING, Stage.LIVE, Stage.HELD)
    for event in (Event.LAST_ANSWERED, Event.LAST_UNREAD, Event.LAST_REFUSED)
} | {(stage, event) for stage in (Stage.AGAIN, Stage.HELD_AGAIN) for event in (Event.LAST_UNREAD, Event.LAST_REFUSED)}
"""Answers without a request; and that one who was live or held was never granted, or read."""


def state(version: int) -> Item:
    return item(version, "USD/2", "5", "0", "5", "2026-01-01T00:00:00.000000Z")


def standing(stage: Stage) -> Subscription:
    """A subscription brought to a stage by what happens in life; its newest version, 1, is unsent unless it is live."""
    subscription = Subscription(Session(10), "alice", 1)
    subscription.name(False)
    if stage is not Stage.NAMED:
        subscription.grant(1, None, False, read=stage is not Stage.UNREAD)
        subscription.release() if stage not in (Stage.UNREAD, Stage.WAITING, Stage.ENDED) else None
        subscription.name(False) if stage is Stage.AGAIN else None
        subscription.hold() if stage in (Stage.HELD, Stage.HELD_AGAIN) else None
        subscription.name(False) if stage is Stage.HELD_AGAIN else None
        subscription.end() if stage is Stage.ENDED else None
    assert subscription.stage is stage
    subscription.offer(state(1))
    return subscription


def do(subscription: Subscription, event: Event) -> None:
    match event:
        case Event.NAMED:
            subscription.name(False)
        case Event.LAST_ANSWERED:
            subscription.grant(1, None, False)
        case Event.LAST_UNREAD:
            subscription.grant(1, None, False, read=False)
        case Event.LAST_REFUSED:
            subscription.refuse()
        case Event.READ:
            subscription.found()
        case Event.REACHED:
            subscription.release()
        case Event.BROKEN:
            subscription.hold()
        case Event.ENDED:
            subscription.end()


@pytest.mark.parametrize(("stage", "event"), list(product(Stage, Event)))
def test_every_cell_of_the_table_is_what_happens_and_only_the_live_speak(stage: Stage, event: Event) -> None:
    if (stage, event) in CANNOT_BE:
        assert event not in NEXT[stage]
        return
    subscription = standing(stage)
    do(subscription, event)
    assert subscription.stage is NEXT[stage][event]
    assert subscription.session.outbox.waiting == subscription.live
    subscription.offer(state(2))
    assert subscription.session.outbox.waiting == subscription.live


class Client:
    """One session on one partition whose feed is at block 5."""

    def __init__(self) -> None:
        self.session = Session(10)
        self.watch = PartitionWatch(0, {}, 1_000)
        self.watch.take(FeedBatch(0, 0, "a", -1, 5, EMPTY_ROWS))
        self.version = 3

    def ask(self, id: int, since: int | None = None) -> tuple[Watch, Any]:
        account = {"account": "a"} if since is None else {"account": "a", "since": since}
        wish = self.session.receive(json.dumps({"op": "subscribe", "id": id, "accounts": [account]}))
        assert isinstance(wish, Watch)
        return wish, self.watch.register(wish.subscriptions)

    def answer(self, asked: tuple[Watch, Any], granted: bool) -> None:
        wish, read = asked
        if granted:
            self.session.acknowledge(wish, {"a": self.version})
            self.watch.finish(read, {"a": state(self.version)}, 5, 0)
        else:
            self.watch.forget(self.session.refuse(wish, "upstream_unavailable", "").subscriptions)
            self.watch.stay(read.subscriptions, 0)

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(frame) for frame in self.session.outbox.take()[0]]

    def change(self) -> None:
        self.version += 1
        for subscription in self.session.by_account.values():
            subscription.offer(state(self.version))


@pytest.mark.parametrize("granted", list(product([True, False], repeat=3)))
@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("first_alone", [False, True])
def test_of_several_requests_for_one_account_a_refused_one_takes_nothing_from_the_others(
    order: tuple[int, ...], granted: tuple[bool, ...], first_alone: bool
) -> None:
    client = Client()
    asked = []
    for number in range(3):
        asked.append(client.ask(number))
        if first_alone and number == 0:
            client.answer(asked[0], granted[0])
            client.change()
    for number in order:
        if not (first_alone and number == 0):
            client.answer(asked[number], granted[number])
    told = client.sent()
    assert [frame["id"] for frame in told if frame["op"] == "ack"] == ([0] if first_alone and granted[0] else []) + [
        number for number in order if granted[number] and not (first_alone and number == 0)
    ]
    assert sum(frame["op"] == "error" for frame in told) == granted.count(False)
    assert len(client.watch) == any(granted)
    client.change()
    told += client.sent()
    versions = [row["v"] for frame in told if frame["op"] == "balances" for row in frame["items"]]
    if any(granted):
        assert versions[-1] == client.version, "who was acked once is served, whatever else was refused"
        assert versions == sorted(set(versions))
    else:
        assert versions == []


def test_an_account_that_is_served_stays_so_when_another_request_for_it_could_not_be_read() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    wish, read = client.ask(2)
    client.session.acknowledge(wish, {}, unread={"a": "partition_unavailable"})
    client.watch.stay(read.subscriptions, 0)
    client.change()
    ack, balances = client.sent()
    assert ack["accounts"] == [{"account": "a", "sub": 1, "version": None, "code": "partition_unavailable"}]
    assert [row["v"] for row in balances["items"]] == [4]


def test_an_account_that_was_never_read_is_silent_until_it_is_whatever_the_feed_does() -> None:
    client = Client()
    wish, read = client.ask(1)
    client.session.acknowledge(wish, {}, unread={"a": "partition_unavailable"})
    client.watch.stay(read.subscriptions, 0)
    client.change()
    client.watch.take(FeedBatch(0, 0, "b", 7, 8, EMPTY_ROWS))
    client.watch.release_overdue(10_000)
    assert [frame["op"] for frame in client.sent()] == ["ack"]
    client.watch.finish(read, {"a": state(5)}, 8, 0)
    client.session.acknowledge_read(1, wish.subscriptions, {"a": 5})
    repair = client.watch.begin_repair()
    assert repair is not None
    client.watch.finish(repair, {"a": state(5)}, 8, 0)
    ack, balances = client.sent()
    assert ack["accounts"] == [{"account": "a", "sub": 1, "version": 5}]
    assert [row["v"] for row in balances["items"]] == [5]


def test_a_refused_request_with_a_since_of_the_future_silences_nobody() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    wish = client.session.receive('{"op":"subscribe","id":2,"accounts":[{"account":"a","since":99}]}')
    assert isinstance(wish, Watch)
    client.answer((wish, client.watch.register(wish.subscriptions)), False)
    client.change()
    assert [row["v"] for row in client.sent()[-1]["items"]] == [4]


@pytest.mark.parametrize("granted", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("sinces", list(product([None, 2, 3], repeat=2)))
def test_of_two_requests_the_since_of_one_hides_nothing_from_the_other(
    sinces: tuple[int | None, int | None], order: tuple[int, int], granted: tuple[bool, bool]
) -> None:
    client = Client()
    asked = [client.ask(number, since) for number, since in enumerate(sinces)]
    for number in order:
        client.answer(asked[number], granted[number])
    told = client.sent()
    versions = [row["v"] for frame in told if frame["op"] == "balances" for row in frame["items"]]
    lacking = [since != client.version for since, is_granted in zip(sinces, granted, strict=True) if is_granted]
    assert versions == [client.version] or not (versions or any(lacking))


def test_a_refused_first_request_with_a_since_of_the_future_silences_nobody() -> None:
    client = Client()
    first, second = client.ask(1, since=99), client.ask(2)
    client.answer(first, False)
    client.answer(second, True)
    client.change()
    assert [row["v"] for frame in client.sent() if frame["op"] == "balances" for row in frame["items"]] == [4]


def test_who_is_live_and_named_again_speaks_on_and_is_told_again_what_it_was_told() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    assert [row["v"] for row in client.sent()[1]["items"]] == [3]
    again = client.ask(2)
    client.change()
    assert [row["v"] for row in client.sent()[0]["items"]] == [4], "with all else of its block, or that was no cut"
    client.answer(again, True)
    ack, balances = client.sent()
    assert (ack["op"], [(row["v"], row["snapshot"]) for row in balances["items"]]) == ("ack", [(4, True)])


def test_what_was_read_ahead_of_the_feed_is_brought_by_the_feed_to_who_is_live() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    again = client.ask(2)
    client.version += 1  # read, and not heard of yet
    client.answer(again, True)
    [ack] = client.sent()
    assert ack["accounts"][0]["version"] == 4
    for subscription in client.session.by_account.values():
        subscription.offer(state(4))
    assert [row["v"] for row in client.sent()[0]["items"]] == [4]


def test_a_refused_second_request_takes_nothing_that_waits_away() -> None:
    """Nor does it leave anything waiting that is there no more."""
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    first, second = client.ask(2), client.ask(3)
    client.answer(first, True)
    client.answer(second, False)
    told = client.sent()
    assert [frame["op"] for frame in told if frame["op"] != "balances"] == ["ack", "error"]
    client.change()
    assert [row["v"] for row in client.sent()[0]["items"]] == [4]


def test_what_a_repair_finds_of_an_account_that_was_never_named_waits_until_it_is() -> None:
    """As one that is found with a prefix behind its ack: its number would mean nothing to its client."""
    client = Client()
    wish, read = client.ask(1)
    [subscription] = wish.subscriptions
    subscription.grant(1, None, False, read=False)
    client.watch.take(FeedBatch(0, 0, "b", 9, 12, EMPTY_ROWS))
    repair = client.watch.begin_repair()
    assert repair is not None
    client.watch.finish(repair, {"a": state(4)}, 12, 0)
    assert client.sent() == []
    subscription.found()
    client.watch.finish(read, {"a": state(4)}, 12, 0)
    assert [row["v"] for row in client.sent()[0]["items"]] == [4]


def test_a_refused_request_takes_not_the_state_that_another_one_was_promised() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    client.answer(client.ask(2), True)
    client.answer(client.ask(3), False)
    ack, error, balances = client.sent()
    assert (ack["id"], error["id"], [row["v"] for row in balances["items"]]) == (2, 3, [3])


def test_who_came_back_with_what_there_is_and_names_the_account_again_is_told_its_state() -> None:
    """Nothing of it has been sent: what the client had is what it was told elsewhere."""
    client = Client()
    client.answer(client.ask(1, since=3), True)
    assert [frame["op"] for frame in client.sent()] == ["ack"]
    client.answer(client.ask(2, since=3), True)
    assert [frame["op"] for frame in client.sent()] == ["ack"], "and says so again"
    client.answer(client.ask(3), True)
    ack, balances = client.sent()
    assert (ack["op"], [(row["v"], row["snapshot"]) for row in balances["items"]]) == ("ack", [(3, True)])
    again = client.ask(4)
    client.version += 1  # read, and not heard of yet
    client.answer(again, True)
    assert [frame["op"] for frame in client.sent()] == ["ack"]


def test_of_requests_that_overlap_each_has_the_state_sent_again() -> None:
    client = Client()
    client.answer(client.ask(1, since=3), True)
    client.sent()
    asked = [client.ask(id) for id in (2, 3)]
    for wish, _ in asked:
        client.session.acknowledge(wish, {"a": 3})
    client.sent()
    for _, read in asked:
        client.watch.finish(read, {"a": state(3)}, 5, 0)
    [balances] = client.sent()
    assert [row["v"] for row in balances["items"]] == [3]


def test_what_was_sent_since_it_was_named_again_is_told_again_where_the_read_is_older() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    again = client.ask(2)
    client.change()
    client.sent()
    client.version -= 1
    client.answer(again, True)
    ack, balances = client.sent()
    assert (ack["op"], [(row["v"], row["snapshot"]) for row in balances["items"]]) == ("ack", [(4, True)])


def test_who_is_held_and_named_again_speaks_with_all_others_once_the_repair_is_through() -> None:
    client = Client()
    client.answer(client.ask(1), True)
    client.sent()
    again = client.ask(2)
    client.watch.take(FeedBatch(0, 0, "b", 9, 12, EMPTY_ROWS))
    repair = client.watch.begin_repair()
    assert repair is not None
    client.watch.finish(repair, {"a": state(5)}, 12, 0)
    assert [row["v"] for row in client.sent()[0]["items"]] == [5], "though its own request is not answered yet"
    client.answer(again, True)
    ack, balances = client.sent()
    assert (ack["op"], [(row["v"], row["snapshot"]) for row in balances["items"]]) == ("ack", [(5, True)])
