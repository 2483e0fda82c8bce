"""All accounts with a prefix: none is left out, whenever it opened and whatever the feed lost; the rules for accounts hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.identity.grants import Principal, grant_of_text
from gateway.protocol.lifetime import partitions_told
from gateway.protocol.messages import Item, item
from gateway.protocol.partition_watch import PartitionWatch, Read
from gateway.protocol.prefixes.prefix_subscription import PREFIXES_MAX, PrefixSubscription, PrefixWatchers
from gateway.protocol.prefixes.prefixes_of_partition import Prefixes
from gateway.protocol.session import Session
from gateway.protocol.subscription import Stage, Subscription
from gateway.protocol.wishes import Unwatch, Watch, WatchPrefix
from read_side.contract.feed import FeedBatch
from read_side.contract.marks import marks_of
from read_side.contract.rows import AccountRow, AccountRows
from write_side.contract.words.atoms import NO_FLOOR

CUT_WAIT_MS = 1_000
AT = "1970-01-01T00:00:00.000000Z"


def rows_of(states: dict[str, int]) -> AccountRows:
    return AccountRows.of([AccountRow(name, "USD/2", 0, 0, NO_FLOOR, version, 0) for name, version in states.items()])


def state(version: int) -> Item:
    return item(version, "USD/2", "0", "0", None, AT)


class Client:
    """One session before one partition, and what it was told. `held`: versions by account."""

    def __init__(self, most: int = 100, watch: PartitionWatch | None = None, session: Session | None = None) -> None:
        self.session = Session(most) if session is None else session
        self.watch = PartitionWatch(0, {}, CUT_WAIT_MS) if watch is None else watch
        self.names: dict[int, str] = {}
        self.held: dict[str, int] = {}
        self.complete: dict[int, bool] = {}
        self.errors: list[dict[str, Any]] = []
        self.id = 0

    def ask(self, **message: object) -> Any:
        self.id += 1
        wish = self.session.receive(json.dumps({"id": self.id, **message}))
        if isinstance(wish, Unwatch):
            self.end(wish)
        return wish

    def end(self, ended: Unwatch) -> None:
        self.watch.forget(ended.subscriptions)
        for each in ended.subscriptions:
            self.held.pop(each.shown, None)
        for prefix in ended.prefixes:
            self.watch.forget_prefix(prefix)

    def register(self, prefix: str) -> PrefixSubscription:
        wish = self.ask(op="subscribe", prefix=prefix)
        assert isinstance(wish, WatchPrefix)
        wish.prefix.partitions = 1
        self.watch.register_prefix(wish.prefix)
        return wish.prefix

    def serve(self, prefix: PrefixSubscription, states: dict[str, int], position: int) -> None:
        """Listed and read there."""
        self.watch.listed(prefix, sorted(name for name in states if name.startswith(prefix.read_as)))
        wish = self.session.snapshot(prefix)
        if isinstance(wish, Unwatch):
            return self.end(wish)
        read = self.watch.register(wish.subscriptions)
        self.session.acknowledge(wish, {name: states[name] for name in read.accounts if name in states})
        self.watch.finish(read, {name: state(states[name]) for name in read.accounts if name in states}, position, 0)
        return None

    def heard(self) -> list[dict[str, Any]]:
        frames = [json.loads(frame) for frame in self.session.outbox.take()[0]]
        for frame in frames:
            if frame["op"] == "ack":
                self.names |= {row["sub"]: row["account"] for row in frame.get("accounts", ())}
                if "prefix" in frame:
                    self.complete[frame["id"]] = frame["complete"]
            elif frame["op"] == "error":
                self.errors.append(frame)
            else:
                for row in frame["items"]:
                    name = self.names[row["sub"]]  # an item of a number that was not told would be a KeyError
                    assert row["v"] > self.held.get(name, -1) or row.get("snapshot"), "a version went back"
                    self.held[name] = row["v"]
        return frames


def batch(after: int, upto: int, boot: str = "a", **states: int) -> FeedBatch:
    return FeedBatch(0, 0, boot, after, upto, rows_of({name.replace("_", ":"): v for name, v in states.items()}))


def watching(states: dict[str, int], most: int = 100) -> tuple[Client, PrefixSubscription]:
    """A client of `shop:` that has been told these, at block 5."""
    client = Client(most)
    client.watch.take(batch(4, 5))
    prefix = client.register("shop:")
    client.serve(prefix, states, 5)
    client.heard()
    return client, prefix


def test_what_is_there_is_acknowledged_with_the_prefix_and_told() -> None:
    client = Client()
    client.watch.take(batch(4, 5))
    client.serve(client.register("shop:"), {"shop:a": 3, "other": 1}, 5)
    ack, balances = client.heard()
    assert ack == {
        "op": "ack",
        "id": 1,
        "prefix": "shop:",
        "accounts": [{"account": "shop:a", "sub": 1, "version": 3}],
        "complete": True,
    }
    assert [row["v"] for row in balances["items"]] == [3]


def test_an_account_that_opens_later_comes_in_the_frame_of_the_block_that_opened_it_behind_its_number() -> None:
    client, _ = watching({"shop:a": 3})
    client.watch.take(batch(5, 6, shop_a=4, shop_b=1, other=9))
    ack, balances = client.heard()
    assert ack["prefix"] == "shop:"
    assert [row["account"] for row in ack["accounts"]] == ["shop:b"]
    assert client.held == {"shop:a": 4, "shop:b": 1}
    assert len(balances["items"]) == 2
    assert balances["items"][1]["snapshot"] is True


def test_it_is_not_named_before_the_answers_of_commands_that_may_have_opened_it() -> None:
    client, _ = watching({})
    client.session.outbox.held = True
    client.watch.take(batch(5, 6, shop_b=1))
    assert client.heard() == []
    client.session.outbox.held = False
    assert [frame["op"] for frame in client.heard()] == ["ack", "balances"]


def test_what_opens_between_the_list_and_the_ack_is_found() -> None:
    client = Client()
    client.watch.take(batch(4, 5))
    prefix = client.register("shop:")
    client.watch.listed(prefix, ["shop:a"])
    wish = client.session.snapshot(prefix)
    assert isinstance(wish, Watch)
    read = client.watch.register(wish.subscriptions)
    client.watch.take(batch(5, 6, shop_b=1))
    client.session.acknowledge(wish, {"shop:a": 1})
    client.watch.finish(read, {"shop:a": state(1)}, 5, 0)
    assert not prefix.complete
    assert [each.account for each in client.session.adopt(prefix)] == ["shop:b"]


def test_more_than_a_connection_may_watch_is_refused_with_the_bound_and_nothing_stays() -> None:
    client = Client(2)
    client.watch.take(batch(4, 5))
    client.serve(client.register("shop:"), {f"shop:{n}": 1 for n in range(3)}, 5)
    [error] = client.heard()
    assert error["code"] == "too_many_subscriptions"
    assert "of 2 accounts" in error["detail"]
    assert not client.session.by_account
    assert not client.session.prefixes
    assert not client.watch.prefixes
    assert not client.watch.interest.everything
    assert client.session.answered


def test_one_that_opens_beyond_the_bound_is_told_to_be_left_out_once_and_the_others_go_on() -> None:
    client, prefix = watching({"shop:a": 3}, most=2)
    client.watch.take(batch(5, 6, shop_b=1, shop_c=1))
    client.watch.take(batch(6, 7, shop_a=4, shop_d=1))
    client.heard()
    assert client.held == {"shop:a": 4, "shop:b": 1}
    assert not prefix.complete
    assert [each["code"] for each in client.errors] == ["too_many_subscriptions"]
    client.watch.take(batch(7, 8, shop_e=1))
    assert client.heard() == []


def test_an_account_of_a_prefix_and_a_subscription_has_one_number_and_ends_when_neither_wants_it() -> None:
    for first in ("prefix", "subs"):
        client, _prefix = watching({"shop:a": 3})
        wish = client.ask(op="subscribe", accounts=[{"account": "shop:a"}])
        read = client.watch.register(wish.subscriptions)
        client.session.acknowledge(wish, {"shop:a": 3})
        client.watch.finish(read, {"shop:a": state(3)}, 5, 0)
        assert wish.subscriptions[0].number == 1
        assert len(client.session.by_number) == 1
        taken_back = {"prefix": "shop:"}, {"subs": [1]}
        for last, each in enumerate(taken_back if first == "prefix" else reversed(taken_back)):
            assert wish.subscriptions[0].open
            client.ask(op="unsubscribe", **each)
            assert wish.subscriptions[0].open is (last == 0)
        assert len(client.watch) == 0
        assert not client.watch.prefixes


def test_a_number_of_a_prefix_alone_is_not_taken_back_by_itself() -> None:
    client, _ = watching({"shop:a": 3})
    client.ask(op="unsubscribe", subs=[1])
    client.watch.take(batch(5, 6, shop_a=4))
    client.heard()
    assert client.held == {"shop:a": 4}


def test_of_two_prefixes_an_account_has_one_number_and_is_named_with_both() -> None:
    client, _ = watching({"shop:a": 3})
    client.serve(client.register("shop:a"), {"shop:a": 3}, 5)
    client.heard()
    assert set(client.names) == {1}
    client.watch.take(batch(5, 6, shop_ab=1))
    client.heard()
    client.ask(op="unsubscribe", prefix="shop:a")
    client.watch.take(batch(6, 7, shop_ab=2))
    client.heard()
    assert client.held == {"shop:a": 3, "shop:ab": 2}
    assert len(client.session.by_number) == 2


def watching_two() -> tuple[Client, PrefixSubscription]:
    """A client of `shop:` and of `shop:a`; the first one."""
    client, wide = watching({})
    client.serve(client.register("shop:a"), {}, 5)
    client.heard()
    return client, wide


def test_what_a_prefix_that_ends_has_not_named_yet_is_named_with_the_other_one() -> None:
    client, _ = watching_two()
    client.session.outbox.held = True
    client.watch.take(batch(5, 6, shop_ab=0))
    client.ask(op="unsubscribe", prefix="shop:")
    client.session.outbox.held = False
    client.heard()
    assert client.held == {"shop:ab": 0}


def test_what_a_prefix_that_ends_found_by_a_list_is_named_with_the_other_one_once_it_is_read() -> None:
    client, wide = watching_two()
    client.watch.take(batch(8, 9, boot="b"))
    for prefix in client.session.prefixes.values():
        client.watch.listed(prefix, ["shop:ab"])
    read = client.watch.register(client.session.adopt(wide))
    narrow = client.session.prefixes["shop:a"]
    assert client.session.adopt(narrow) == []
    client.ask(op="unsubscribe", prefix="shop:")
    assert not narrow.complete
    client.session.acknowledge_read(wide.id, read.subscriptions, {"shop:ab": 3}, prefix=wide)
    client.watch.finish(read, {"shop:ab": state(3)}, 9, 0)
    client.heard()
    assert client.held == {"shop:ab": 3}
    assert narrow.complete


def test_a_prefix_that_is_subscribed_is_refused_and_goes_on() -> None:
    client, _ = watching({"shop:a": 3})
    assert client.ask(op="subscribe", prefix="shop:") is None
    client.heard()
    assert client.errors[0]["code"] == "body_malformed"
    for number in range(PREFIXES_MAX - 1):
        client.register(f"x{number}")
    assert client.ask(op="subscribe", prefix="y") is None
    client.heard()
    assert client.errors[1]["code"] == "too_many_subscriptions"


def test_what_a_prefix_needs_of_the_feed_ends_with_the_last_who_watches_one() -> None:
    watch = PartitionWatch(0, {}, CUT_WAIT_MS)
    one, other = Client(watch=watch), Client(watch=watch)
    marks = marks_of(["a", "b", "c"])
    assert list(watch.interest.accounts(1, marks)) == []
    one.register("shop:"), other.register("shop:")
    assert list(watch.interest.accounts(1, marks)) == [0, 1, 2]
    one.ask(op="unsubscribe", prefix="shop:")
    assert list(watch.interest.accounts(1, marks)) == [0, 1, 2]
    other.end(other.session.end())
    assert list(watch.interest.accounts(1, marks)) == []


def test_a_prefix_that_may_not_be_read_whole_is_told_as_one_with_which_nothing_begins() -> None:
    told = []
    for grants, there in (("shop:a*=read", {"shop:a": 1}), ("shop:*=read", {})):
        session = Session(10, hide=lambda _: "nobody")
        session.admit(Principal("p", (grant_of_text(grants),)), None)
        client = Client(session=session)
        client.watch.take(batch(4, 5))
        prefix = client.register("shop:")
        client.serve(prefix, there, 5)
        frames = client.heard()
        client.watch.take(batch(5, 6, other=1))
        told.append((frames, client.heard(), partitions_told(session)))
    assert told[0] == told[1]
    watch = PartitionWatch(0, {}, CUT_WAIT_MS)
    session = Session(10, hide=lambda _: "nobody")
    session.admit(Principal("p", (grant_of_text("shop:a*=read"),)), None)
    client = Client(session=session, watch=watch)
    client.register("shop:")
    assert not watch.interest.everything, "who may not read it does not make the gateway read all"


@pytest.mark.parametrize(
    ("watchers", "grants", "refused"),
    [
        ("system", "*=read", True),
        ("system", "*=read,system", False),
        ("nobody", "*=read,system", True),
        ("nobody", None, True),
        ("system", None, False),
    ],
)
def test_a_prefix_is_watched_by_those_whom_the_operator_lets(
    watchers: PrefixWatchers, grants: str | None, refused: bool
) -> None:
    session = Session(10, hide=None if grants is None else lambda _: "nobody", prefix_watchers=watchers)
    if grants is not None:
        session.admit(Principal("p", (grant_of_text(grants),)), None)
    client = Client(session=session)
    wish = client.ask(op="subscribe", prefix="shop:")
    client.heard()
    assert (wish is None) is refused
    assert [each["code"] for each in client.errors] == (["prefix_refused"] if refused else [])
    assert not session.prefixes or not refused
    assert isinstance(client.ask(op="subscribe", accounts=[{"account": "shop:a"}]), Watch), "by their names they are"


def test_rows_that_come_for_a_prefix_alone_are_counted() -> None:
    client, _ = watching({"shop:a": 3})
    client.watch.take(batch(5, 6, shop_a=4, shop_b=1, other=9, another=2))
    assert client.watch.prefix_rows == 2
    client.watch.take(batch(6, 7, other=10))
    assert client.watch.prefix_rows == 1
    client.watch.take(batch(6, 7, other=10))
    assert client.watch.prefix_rows == 0, "seen already"
    client.ask(op="unsubscribe", prefix="shop:")
    client.watch.take(batch(7, 8, other=11))
    assert client.watch.prefix_rows == 0


def test_of_a_partition_that_is_not_listed_no_heartbeat_says_anything_and_the_ack_says_so() -> None:
    client = Client()
    client.watch.take(batch(4, 5))
    prefix = client.register("shop:")
    prefix.partitions = 2
    prefix.unlisted.add(1)
    client.serve(prefix, {"shop:a": 1}, 5)
    client.heard()
    assert client.complete == {1: False}
    assert partitions_told(client.session) == {0}
    prefix.unlisted.discard(1)
    prefix.look()
    client.heard()
    assert client.complete == {1: True}
    assert partitions_told(client.session) == {0, 1}


def test_names_are_matched_as_they_begin() -> None:
    prefixes, session = Prefixes(), Session(10)
    assert prefixes.match(["shop:a"]) == []
    prefixes.add(PrefixSubscription(session, 1, "shop:", "shop:", False, None))
    assert prefixes.match(["xshop:a", "shop:a", "shop", "shop:"]) == [(1, "shop:a"), (3, "shop:")]
    assert prefixes.match([]) == []


def test_a_single_subscribe_that_is_refused_leaves_an_account_that_opened_meanwhile_to_the_prefix() -> None:
    client, prefix = watching({})
    wish = client.ask(op="subscribe", accounts=[{"account": "shop:b"}])
    client.watch.register(wish.subscriptions)
    client.watch.take(batch(5, 6, shop_b=1))
    client.end(client.session.refuse(wish, "upstream_unavailable", ""))
    assert [each.account for each in client.session.adopt(prefix)] == ["shop:b"]


def test_what_opens_while_the_partition_is_repaired_waits_for_the_cut_with_all_others() -> None:
    client, _ = watching({"shop:a": 3})
    client.watch.take(batch(6, 7, shop_b=1))
    assert [row["account"] for frame in client.heard() for row in frame.get("accounts", ())] == ["shop:b"]
    assert client.held == {"shop:a": 3}, "block 6 is lost, and may have changed the other"
    repair = client.watch.begin_repair()
    assert repair is not None
    client.watch.finish(repair, {"shop:a": state(5), "shop:b": state(1)}, 7, 0)
    client.heard()
    assert client.held == {"shop:a": 5, "shop:b": 1}


class FeedToPrefix(RuleBasedStateMachine):
    """One partition where accounts are opened all the time; the feed loses, repeats and restarts; lists and reads are slow and
    run ahead. Two clients watch a prefix."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[dict[str, int]] = [{}]
        """The versions of all accounts after each block."""
        self.watch = PartitionWatch(0, {}, CUT_WAIT_MS)
        self.clients = [Client(watch=self.watch) for _ in range(2)]
        self.prefixes: list[PrefixSubscription | None] = [None, None]
        self.published, self.boot = -1, 0
        self.coming: list[FeedBatch] = []
        self.reads: list[tuple[Client, Watch, Read]] = []
        self.late: list[tuple[Client, PrefixSubscription, list[Subscription]]] = []
        self.lists: list[tuple[PrefixSubscription, int, int]] = []
        self.repair: Read | None = None
        self.left = 0

    @property
    def head(self) -> int:
        return len(self.log) - 2

    def at(self, position: int) -> dict[str, int]:
        return self.log[position + 1]

    @rule(name=st.sampled_from(["s1", "s2", "s3", "s4", "x1"]), other=st.sampled_from(["s1", "s2", "s3", "x1"]))
    def a_block(self, name: str, other: str) -> None:
        now = dict(self.at(self.head))
        for each in {name, other}:
            now[each] = now.get(each, -1) + 1
        self.log.append(now)

    def _publish(self, blocks: int) -> FeedBatch:
        upto = min(self.head, self.published + blocks)
        old, new = self.at(self.published), self.at(upto)
        rows = rows_of({name: v for name, v in new.items() if old.get(name) != v})
        sent = FeedBatch(0, 0, str(self.boot), self.published, upto, rows)
        self.published = upto
        return sent

    @rule(blocks=st.integers(0, 2), arrives=st.booleans())
    def a_batch(self, blocks: int, arrives: bool) -> None:
        """As a feed does that asks first and brings it later."""
        sent = self._publish(blocks)
        every = list(sent.rows.each())
        wanted = self.watch.interest.accounts(sent.upto, marks_of(sent.rows.accounts)).tolist()
        self.coming.append(replace(sent, rows=AccountRows.of([every[at] for at in wanted])))
        if arrives:
            self.what_is_coming_arrives()

    @rule()
    def what_is_coming_arrives(self) -> None:
        coming, self.coming = self.coming, []
        for each in coming:
            breaks = self.watch.breaks
            self.watch.take(each)
            if self.watch.breaks != breaks and self.repair is None:
                self.repair = self.watch.begin_repair()

    @rule(restart=st.booleans(), back=st.integers(0, 2))
    def the_feed_is_disturbed(self, restart: bool, back: int) -> None:
        if restart:
            self.boot, self.published = self.boot + 1, max(-1, self.published - back)
        else:
            self._publish(1)

    @rule(client=st.integers(0, 1))
    def subscribe(self, client: int) -> None:
        if self.prefixes[client] is None:
            self.prefixes[client] = self.clients[client].register("s")

    @rule(client=st.integers(0, 1))
    def unsubscribe(self, client: int) -> None:
        prefix = self.prefixes[client]
        if prefix is not None and prefix.acknowledged:
            self.clients[client].heard()
            self.clients[client].ask(op="unsubscribe", prefix="s")
            self.prefixes[client] = None

    @rule()
    def lists_are_ordered(self) -> None:
        listing = {id(prefix) for prefix, _, _ in self.lists}
        for prefix in self.watch.prefixes:
            if prefix.unlisted and id(prefix) not in listing:
                self.lists.append((prefix, self.watch.asked_at_least, self.watch.breaks))

    @rule(ahead=st.integers(0, 2))
    def lists_come(self, ahead: int) -> None:
        lists, self.lists = self.lists, []
        for prefix, least, breaks in lists:
            if prefix.open and breaks == self.watch.breaks:
                there = self.at(min(self.head, max(least, 0) + ahead))
                self.watch.listed(prefix, sorted(name for name in there if name.startswith("s")))
                self._took_list(prefix)

    def _took_list(self, prefix: PrefixSubscription) -> None:
        client = next(each for each in self.clients if each.session is prefix.session)
        if prefix.acknowledged:
            self._adopt(client, prefix)
        elif not any(wish.prefix is prefix for _, wish, _ in self.reads):
            wish = client.session.snapshot(prefix)
            assert isinstance(wish, Watch)
            self.reads.append((client, wish, self.watch.register(wish.subscriptions)))

    def _adopt(self, client: Client, prefix: PrefixSubscription) -> None:
        found = client.session.adopt(prefix)
        if found:
            self.watch.register(found)
            self.late.append((client, prefix, found))
        prefix.look()

    @precondition(lambda self: self.reads)
    @rule(ahead=st.integers(0, 2))
    def a_snapshot_is_read(self, ahead: int) -> None:
        client, wish, read = self.reads.pop(0)
        position = min(self.head, max(read.min_position, 0) + ahead)
        versions = {name: v for name, v in self.at(position).items() if name in read.accounts}
        assert wish.prefix is not None
        client.session.acknowledge(wish, versions)
        self.watch.finish(read, {name: state(v) for name, v in versions.items()}, position, 0)
        self._adopt(client, wish.prefix)

    @precondition(lambda self: self.late)
    @rule(ahead=st.integers(0, 2))
    def late_ones_are_read(self, ahead: int) -> None:
        """As `Subscribes` does it."""
        client, prefix, found = self.late.pop(0)
        read = self.watch.register([each for each in found if each.open])
        position = min(self.head, max(read.min_position, 0) + ahead)
        versions = {name: v for name, v in self.at(position).items() if name in read.accounts}
        silent = [each for each in read.subscriptions if not each.live]
        for each in silent:
            each.found()
        client.session.acknowledge_read(prefix.id, found, versions, prefix=prefix)
        self.watch.finish(
            replace(read, subscriptions=silent), {name: state(v) for name, v in versions.items()}, position, 0
        )
        prefix.look()

    @precondition(lambda self: self.repair is not None)
    @rule(ahead=st.integers(0, 2))
    def a_repair_is_read(self, ahead: int) -> None:
        repair, self.repair = self.repair, None
        assert repair is not None
        position = min(self.head, max(repair.min_position, 0) + ahead)
        there = self.at(position)
        self.watch.finish(repair, {name: state(there[name]) for name in repair.accounts if name in there}, position, 0)
        self.repair = self.watch.begin_repair()

    @rule(client=st.integers(0, 1))
    def flush(self, client: int) -> None:
        self.clients[client].heard()

    @invariant()
    def what_a_client_was_told_is_a_cut(self) -> None:
        for each in self.clients:
            held = {name: v for name, v in each.held.items() if name in each.session.by_account}
            assert any(held.items() <= self.at(position).items() for position in range(-1, self.head + 1)), held

    @invariant()
    def nothing_newer_is_there_than_what_a_heartbeat_would_say(self) -> None:
        for client, prefix in zip(self.clients, self.prefixes, strict=True):
            upto = self.watch.told_up_to
            if prefix is not None and upto >= 0 and client.session.outbox.empty and partitions_told(client.session):
                for name, version in self.at(upto).items():
                    assert not name.startswith("s") or client.held.get(name, -1) >= version

    def teardown(self) -> None:
        """Once everything outstanding is read and the feed has caught up, every client has the truth, of every account."""
        for _ in range(4):
            while self.head > self.published:
                self.a_batch(100, True)
            self.a_batch(0, True)
            self.lists_are_ordered()
            self.lists_come(2)
            while self.reads:
                self.a_snapshot_is_read(2)
            while self.late:
                self.late_ones_are_read(2)
            while self.repair is not None:
                self.a_repair_is_read(2)
        truth = {name: v for name, v in self.at(self.head).items() if name.startswith("s")}
        for client, prefix in zip(self.clients, self.prefixes, strict=True):
            client.heard()
            if prefix is not None and prefix.acknowledged:
                assert client.held == truth
                assert client.complete[prefix.id]
                assert all(each.stage is Stage.LIVE for each in client.session.by_account.values())
            assert not client.errors


FeedToPrefix.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
test_feed_to_prefix = FeedToPrefix.TestCase
