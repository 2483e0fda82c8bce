"""Feed and reads joined: whatever is lost, repeated or late, a client sees cuts, rising versions, and in the end the truth."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.protocol import partition_watch
from gateway.protocol.cursor import Cursor, Verdict, judge
from gateway.protocol.messages import Item, item
from gateway.protocol.partition_watch import PartitionWatch, Read
from gateway.protocol.session import Session
from gateway.protocol.subscription import Stage, Watcher
from gateway.protocol.wishes import Unwatch, Watch
from read_side.contract.feed import FeedBatch
from read_side.contract.marks import marks_of
from read_side.contract.phases import PhaseRows
from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from write_side.contract.words.atoms import NO_FLOOR

CUT_WAIT_MS = 1_000


def batch(after: int, upto: int, *, generation: int = 0, boot: str = "a", rows: AccountRows = EMPTY_ROWS) -> FeedBatch:
    return FeedBatch(0, generation, boot, after, upto, rows)


def test_a_batch_that_starts_where_the_last_ended_is_next_and_overlap_is_no_gap() -> None:
    cursor = Cursor(0, "a", 10)
    assert judge(cursor, batch(10, 12)) is Verdict.NEXT
    assert judge(cursor, batch(8, 12)) is Verdict.NEXT


def test_a_repeated_batch_and_a_heartbeat_change_nothing() -> None:
    cursor = Cursor(0, "a", 10)
    assert judge(cursor, batch(8, 10)) is Verdict.SEEN
    assert judge(cursor, batch(10, 10)) is Verdict.SEEN


def test_a_gap_another_boot_another_generation_and_the_first_batch_break() -> None:
    cursor = Cursor(0, "a", 10)
    assert judge(cursor, batch(11, 12)) is Verdict.BROKEN
    assert judge(cursor, batch(11, 11)) is Verdict.BROKEN
    assert judge(cursor, batch(10, 12, boot="b")) is Verdict.BROKEN
    assert judge(cursor, batch(10, 12, generation=1)) is Verdict.BROKEN
    assert judge(None, batch(10, 12)) is Verdict.BROKEN


class World:
    """The truth: a log of blocks over a few accounts, and every account's state after each of them."""

    def __init__(self, accounts: int) -> None:
        self.history: list[dict[str, tuple[int, int]]] = [{}]
        self.names = [f"a{i}" for i in range(accounts)]

    @property
    def head(self) -> int:
        return len(self.history) - 2

    def at(self, position: int) -> dict[str, tuple[int, int]]:
        """Version and balance of every account after block `position`."""
        return self.history[position + 1]

    def open(self, name: str) -> None:
        self.history.append({**self.at(self.head), name: (0, 0)})

    def transfer(self, source: str, target: str) -> None:
        now = dict(self.at(self.head))
        for name, amount in ((source, -1), (target, 1)):
            version, balance = now[name]
            now[name] = (version + 1, balance + amount)
        self.history.append(now)

    def rows(self, after: int, upto: int) -> AccountRows:
        old, new = self.at(after), self.at(upto)
        changed = [name for name in new if new[name] != old.get(name)]
        return AccountRows.of([AccountRow(n, "USD/2", new[n][1], 0, NO_FLOOR, new[n][0], 0) for n in changed])

    def items(self, accounts: list[str], position: int) -> dict[str, Item]:
        state = self.at(position)
        return {
            name: item(state[name][0], "USD/2", str(state[name][1]), "0", None, "1970-01-01T00:00:00.000000Z")
            for name in accounts
            if name in state
        }


class Client:
    """What one client believes, from the frames it was sent."""

    def __init__(self) -> None:
        self.session = Session(100)
        self.accounts: dict[int, str] = {}
        self.held: dict[str, tuple[int, int]] = {}
        self.current: set[str] = set()
        """Accounts of which something was sent in this subscription."""
        self.silent: set[str] = set()
        """Accounts that it named while they were silent: they stand still until that is answered, while the others go on."""
        self.anew: set[str] = set()
        """Accounts that it named last without saying what it has, since they are open."""
        self.acked: set[str] = set()
        """Accounts that an ack named and nothing ended since."""
        self.next_id = 1

    def flush(self) -> None:
        for frame in self.session.outbox.take()[0]:
            self._see(json.loads(frame))
        for name in list(self.silent):
            known = self.session.by_account.get(name)
            if known is None or known.stage is Stage.LIVE:
                self.silent.discard(name)

    def _see(self, frame: dict[str, Any]) -> None:
        if frame["op"] == "ack":
            self.accounts |= {row["sub"]: row["account"] for row in frame.get("accounts", [])}
            # What it has unsubscribed before it heard of it, it does not count.
            named = {row["account"] for row in frame.get("accounts", []) if row["sub"] in self.session.by_number}
            self.acked |= named
            self.current -= named  # its state is sent again
        elif frame["op"] == "balances":
            for row in frame["items"]:
                account = self.accounts[row["sub"]]
                held = self.held.get(account, (-1, 0))[0]
                first = account not in self.current
                assert row.get("snapshot", False) == first, "the first item of a subscription, and only it, says so"
                assert row["v"] > held or (first and row["v"] == held), "a version went back"
                self.held[account] = (row["v"], int(row["posted"]))
                self.current.add(account)


class FeedToClients(RuleBasedStateMachine):
    """One projector, one partition, two clients; the feed loses, repeats and restarts; reads are slow and run ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(4)
        for name in self.world.names[:3]:
            self.world.open(name)
        self.watch = PartitionWatch(0, {}, CUT_WAIT_MS)
        self.clients = [Client(), Client()]
        self.published = -1
        self.boot = 0
        self.generation = 0
        self.old: list[FeedBatch] = []
        self.coming: list[FeedBatch] = []
        """Asked for by what was watched then, and not here yet."""
        self.orders: list[tuple[Client, Watch, Read]] = []
        self.repair: Read | None = None

    # The world and the feed.

    @rule(legs=st.permutations(range(3)), publish=st.booleans())
    def a_transfer_is_made(self, legs: list[int], publish: bool) -> None:
        self.world.transfer(*(self.world.names[i] for i in legs[:2]))
        if publish:
            self._deliver(self._publish(100))

    @precondition(lambda self: "a3" not in self.world.at(self.world.head))
    @rule()
    def the_last_account_is_opened(self) -> None:
        self.world.open("a3")

    @rule(blocks=st.integers(0, 2))
    def a_batch_arrives(self, blocks: int) -> None:
        self._deliver(self._publish(blocks))

    @rule(blocks=st.integers(0, 2))
    def a_batch_is_on_its_way(self, blocks: int) -> None:
        self._ask_for(self._publish(blocks))

    @rule()
    def what_is_on_its_way_arrives(self) -> None:
        coming, self.coming = self.coming, []
        for sent in coming:
            self.watch.take(sent)
            self._repair_when_due()

    @rule(
        kind=st.sampled_from(["lost", "lost", "lost", "again", "again", "restart", "rebuilt"]), back=st.integers(0, 3)
    )
    def the_feed_is_disturbed(self, kind: str, back: int) -> None:
        match kind:
            case "lost":
                self._publish(1)
            case "again":
                for sent in self.old[-1 - back :][:1]:
                    self._deliver(sent)
            case "restart":
                self.boot += 1
                self.published = max(-1, self.published - back)
            case _:
                self.generation += 1

    def _publish(self, blocks: int) -> FeedBatch:
        upto = min(self.world.head, self.published + blocks)
        rows = self.world.rows(self.published, upto)
        sent = FeedBatch(0, self.generation, str(self.boot), self.published, upto, rows)
        self.published = upto
        self.old.append(sent)
        return sent

    def _deliver(self, sent: FeedBatch) -> None:
        self._ask_for(sent)
        self.what_is_on_its_way_arrives()

    def _ask_for(self, sent: FeedBatch) -> None:
        """As a feed does that brings no more than what is watched."""
        rows = list(sent.rows.each())
        wanted = self.watch.interest.accounts(sent.upto, marks_of(sent.rows.accounts)).tolist()
        watched = [rows[at] for at in wanted if rows[at].account in self.watch._watched]
        assert {row.account for row in watched} == self.watch._watched.keys() & set(sent.rows.accounts)
        self.coming.append(replace(sent, rows=AccountRows.of(watched)))

    def _repair_when_due(self) -> None:
        if self.repair is None:
            self.repair = self.watch.begin_repair()

    # Clients and their reads.

    @rule(client=st.integers(0, 1), accounts=st.sets(st.integers(0, 3), min_size=1), resume=st.booleans())
    def subscribe(self, client: int, accounts: set[int], resume: bool) -> None:
        who = self.clients[client]
        names = [self.world.names[i] for i in sorted(accounts)]
        wanted: list[dict[str, object]] = [{"account": name} for name in names]
        for row in wanted:
            if resume and row["account"] in who.held:
                row["since"] = who.held[str(row["account"])][0]
        who.next_id += 1
        known = who.session.by_account
        who.silent |= {name for name in names if name not in known or not known[name].follows}
        wish = who.session.receive(json.dumps({"op": "subscribe", "id": who.next_id, "accounts": wanted}))
        assert isinstance(wish, Watch)
        self.orders.append((who, wish, self.watch.register(wish.subscriptions)))

    def _read_at(self, read: Read, ahead: int) -> int:
        """As old as what the read asks for, or newer."""
        return min(self.world.head, max(read.min_position, 0) + ahead)

    @precondition(lambda self: self.orders)
    @rule(data=st.data(), ahead=st.integers(0, 2))
    def a_snapshot_is_read(self, data: st.DataObject, ahead: int) -> None:
        who, wish, read = self.orders.pop(data.draw(st.integers(0, len(self.orders) - 1)))
        position = self._read_at(read, ahead)
        self._granted(who, wish, read, position)

    def _granted(self, who: Client, wish: Watch, read: Read, position: int) -> None:
        items = self.world.items(read.accounts, position)
        for each in wish.wanted:
            (who.anew.add if each.since is None else who.anew.discard)(each.account)
        who.session.acknowledge(wish, {name: found.version for name, found in items.items()})
        self.watch.finish(read, items, position, 0)

    @precondition(lambda self: self.orders)
    @rule(data=st.data())
    def a_snapshot_cannot_be_read(self, data: st.DataObject) -> None:
        who, wish, read = self.orders.pop(data.draw(st.integers(0, len(self.orders) - 1)))
        self.watch.forget(who.session.refuse(wish, "upstream_unavailable", "").subscriptions)
        self.watch.stay(read.subscriptions, 0)

    @precondition(lambda self: self.repair is not None)
    @rule(ahead=st.integers(0, 2))
    def a_repair_is_read(self, ahead: int) -> None:
        assert self.repair is not None
        position = self._read_at(self.repair, ahead)
        repair, self.repair = self.repair, None
        self.watch.finish(repair, self.world.items(repair.accounts, position), position, 0)
        self._repair_when_due()

    @rule(client=st.integers(0, 1), account=st.integers(0, 3))
    def unsubscribe(self, client: int, account: int) -> None:
        who = self.clients[client]
        known = who.session.by_account.get(self.world.names[account])
        if known is not None:
            who.session.receive(json.dumps({"op": "unsubscribe", "id": 0, "subs": [known.number]}))
            self.watch.forget([known])
            who.flush()
            who.acked.discard(known.account)
            who.anew.discard(known.account)
            who.current.discard(known.account)
            who.held.pop(known.account, None)

    @rule(client=st.integers(0, 1))
    def flush(self, client: int) -> None:
        self.clients[client].flush()

    # What must hold.

    @invariant()
    def what_a_client_believes_is_a_cut_at_one_position(self) -> None:
        for who in self.clients:
            live = {name: who.held[name] for name in who.current - who.silent}
            positions = range(-1, self.world.head + 1)
            assert any(live.items() <= self.world.at(position).items() for position in positions), live

    @invariant()
    def what_waits_is_bounded_by_subscriptions(self) -> None:
        for who in self.clients:
            assert who.session.outbox.waiting <= len(who.session.by_account)

    def teardown(self) -> None:
        """Once everything outstanding is read and the feed has caught up, every live client holds the truth."""
        while self.world.head > self.published:
            self._deliver(self._publish(100))
        self._deliver(self._publish(0))
        while self.orders:
            who, wish, read = self.orders.pop()
            self._granted(who, wish, read, self.world.head)
        for _ in range(2):
            if self.repair is not None:
                self.a_repair_is_read(0)
        assert self.repair is None
        truth = self.world.at(self.world.head)
        for who in self.clients:
            who.flush()
            self.what_a_client_believes_is_a_cut_at_one_position()
            assert who.acked <= set(who.session.by_account), "who was acked stays subscribed, whatever else was refused"
            for account, subscription in who.session.by_account.items():
                assert subscription.stage is Stage.LIVE, "who is not refused is served"
                if account in truth:
                    assert who.held[account] == truth[account]
                    assert account in who.current or account not in who.anew, "whoever says not what it has is told it"


FeedToClients.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
test_feed_to_clients = FeedToClients.TestCase


def test_a_snapshot_that_waits_for_a_silent_feed_is_let_go_after_the_bound() -> None:
    touched: dict[Watcher, None] = {}
    watch = PartitionWatch(0, touched, CUT_WAIT_MS)
    watch.take(batch(0, 5))
    session = Session(10)
    wish = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {"a": 3})
    watch.finish(read, {"a": item(3, "USD/2", "1", "0", "1", "t")}, 9, 1_000)
    watch.release_overdue(1_999)
    assert session.outbox.waiting == 0
    watch.release_overdue(2_000)
    assert session.outbox.waiting == 1
    assert session in touched


def test_both_legs_of_a_transfer_in_one_batch_leave_in_one_frame() -> None:
    world, watch, session = two_watched_accounts()
    world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "a", 1, 2, world.rows(1, 2)))
    [frame], count = session.outbox.take()
    assert count == 2
    assert {row["posted"] for row in json.loads(frame)["items"]} == {"-1", "1"}


def test_the_index_is_empty_when_nobody_watches() -> None:
    watch = PartitionWatch(0, {}, CUT_WAIT_MS)
    session = Session(10)
    wish = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a"}]}')
    assert isinstance(wish, Watch)
    watch.register(wish.subscriptions)
    assert len(watch) == 1
    watch.forget(session.end().subscriptions)
    watch.forget(wish.subscriptions)
    assert len(watch) == 0
    watch.take(batch(3, 4))
    assert watch.begin_repair() is None


def test_who_left_while_a_read_was_due_is_not_flushed() -> None:
    touched: dict[Watcher, None] = {}
    watch = PartitionWatch(0, touched, CUT_WAIT_MS)
    session = Session(10)
    wish = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    watch.forget(session.end().subscriptions)
    watch.finish(read, {}, 7, 0)
    watch.release_overdue(CUT_WAIT_MS)
    assert touched == {}


def two_watched_accounts() -> tuple[World, PartitionWatch, Session]:
    """a0 and a1, both live and up to date at position 1."""
    world = World(2)
    world.open("a0")
    world.open("a1")
    watch = PartitionWatch(0, {}, CUT_WAIT_MS)
    watch.take(FeedBatch(0, 0, "a", -1, 1, world.rows(-1, 1)))
    session = Session(10)
    wish = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a0"},{"account":"a1"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {})
    watch.finish(read, world.items(["a0", "a1"], 1), 1, 0)
    session.outbox.take()
    return world, watch, session


def test_a_snapshot_waits_until_the_feed_has_reached_the_position_it_was_read_at() -> None:
    world, watch, session = two_watched_accounts()
    session.receive('{"op":"unsubscribe","id":2,"subs":[2]}')
    world.transfer("a0", "a1")
    wish = session.receive('{"op":"subscribe","id":3,"accounts":[{"account":"a1"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {"a1": 1})
    watch.finish(read, world.items(["a1"], 2), 2, 0)
    assert session.outbox.waiting == 0, "a1 would be shown after the transfer, a0 before it"
    watch.take(FeedBatch(0, 0, "a", 1, 2, world.rows(1, 2)))
    assert session.outbox.waiting == 2


def test_a_lost_batch_is_repaired_and_nothing_is_sent_meanwhile() -> None:
    world, watch, session = two_watched_accounts()
    world.transfer("a0", "a1")
    world.open("a2")
    assert watch.take(FeedBatch(0, 0, "a", 2, 3, world.rows(2, 3))) is Verdict.BROKEN
    repair = watch.begin_repair()
    assert repair is not None
    assert (sorted(repair.accounts), repair.min_position) == (["a0", "a1"], 3)
    assert session.outbox.waiting == 0
    watch.finish(repair, world.items(["a0", "a1"], 3), 3, 0)
    assert session.outbox.waiting == 2
    assert watch.begin_repair() is None


def test_who_subscribes_during_a_repair_waits_for_its_position_with_all_others() -> None:
    world, watch, session = two_watched_accounts()
    session.receive('{"op":"unsubscribe","id":2,"subs":[2]}')
    assert watch.take(FeedBatch(0, 0, "b", 1, 1, EMPTY_ROWS)) is Verdict.BROKEN
    repair = watch.begin_repair()
    assert repair is not None
    world.transfer("a0", "a1")
    wish = session.receive('{"op":"subscribe","id":3,"accounts":[{"account":"a1"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {"a1": 1})
    watch.finish(read, world.items(["a1"], 2), 2, 0)
    watch.take(FeedBatch(0, 0, "b", 1, 2, world.rows(1, 2)))
    world.open("a2")
    watch.finish(repair, world.items(["a0"], 3), 3, 0)
    assert session.outbox.waiting == 0, "a1 would be shown after the transfer, and a0 wait for what the repair has read"
    watch.take(FeedBatch(0, 0, "b", 2, 3, world.rows(2, 3)))
    assert session.outbox.waiting == 2


def test_a_repair_that_the_feed_broke_again_is_done_again() -> None:
    world, watch, session = two_watched_accounts()
    world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "b", 2, 2, EMPTY_ROWS))
    first = watch.begin_repair()
    assert first is not None
    watch.take(FeedBatch(0, 0, "c", 2, 2, EMPTY_ROWS))
    watch.finish(first, world.items(["a0", "a1"], 2), 2, 0)
    assert session.outbox.waiting == 0
    second = watch.begin_repair()
    assert second is not None
    watch.finish(second, world.items(["a0", "a1"], 2), 2, 0)
    assert session.outbox.waiting == 2


def test_a_feed_that_breaks_all_the_time_does_not_silence_its_clients() -> None:
    world, watch, session = two_watched_accounts()
    for round in range(1, 12):
        world.transfer("a0", "a1")
        watch.take(FeedBatch(0, 0, str(round), world.head - 1, world.head, world.rows(world.head - 1, world.head)))
        assert watch.begin_repair() is not None, "always overtaken"
        watch.release_overdue(round * CUT_WAIT_MS // 10)
    [frame], _ = session.outbox.take()
    assert {row["posted"] for row in json.loads(frame)["items"]} == {"-11", "11"}


def phases(*changes: tuple[str, int, str]) -> PhaseRows:
    keys = [blake3(account.encode()).digest(16) for account, _, _ in changes]
    return PhaseRows(keys, [bytes([number]) * 16 for _, number, _ in changes], [phase for _, _, phase in changes])


def following(account: str) -> tuple[PartitionWatch, Session]:
    """A client that wants the phases of one account's transfers, live at position 1."""
    watch, session = PartitionWatch(0, {}, CUT_WAIT_MS), Session(10)
    watch.take(FeedBatch(0, 0, "a", -1, 1, EMPTY_ROWS))
    asked = {"op": "subscribe", "id": 1, "accounts": [{"account": account}], "transfers": True}
    wish = session.receive(json.dumps(asked))
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {})
    watch.finish(read, {}, 1, 0)
    session.outbox.take()
    return watch, session


def test_a_phase_goes_to_those_who_watch_a_leg_of_the_transfer() -> None:
    watch, session = following("a")
    watch.take(FeedBatch(0, 0, "a", 1, 2, EMPTY_ROWS, phases(("b", 1, "trying"), ("a", 2, "crediting"))))
    [frame], _ = session.outbox.take()
    assert json.loads(frame) == {
        "op": "transfer",
        "sub": 1,
        "id": str(uuid.UUID(bytes=b"\2" * 16)),
        "phase": "crediting",
    }


def test_a_broken_feed_says_that_phases_may_have_gone_by() -> None:
    watch, session = following("a")
    watch.take(FeedBatch(0, 0, "a", 5, 6, EMPTY_ROWS, phases(("a", 1, "done"))))
    assert session.outbox.take()[0] == [], "nothing before the repair"
    repair = watch.begin_repair()
    assert repair is not None
    watch.finish(repair, {}, 6, 0)
    missed, done = (json.loads(frame) for frame in session.outbox.take()[0])
    assert missed == {"op": "transfers_missed", "sub": 1}
    assert done["phase"] == "done"


def test_nobody_is_told_phases_after_leaving() -> None:
    watch, session = following("a")
    watch.forget(session.end().subscriptions)
    watch.take(FeedBatch(0, 0, "a", 1, 2, EMPTY_ROWS, phases(("a", 1, "done"))))
    assert session.outbox.take()[0] == []
    assert watch._by_key == {}


def told(session: Session) -> dict[int, int]:
    """The version of each sub in what is sent now."""
    frames, _ = session.outbox.take()
    return {item["sub"]: item["v"] for frame in frames for item in json.loads(frame).get("items", ())}


@pytest.mark.parametrize(("history", "reached"), [("other", 9), ("other", 1), ("one", 1), (None, 1)])
def test_of_a_log_that_was_put_back_everything_is_told_again_though_its_versions_are_lower(
    history: str | None, reached: int
) -> None:
    world, watch, session = two_watched_accounts()
    watch.history = "one"
    for _ in range(3):
        world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "a", 1, 4, world.rows(1, 4)))
    assert told(session) == {1: 3, 2: 3}
    before = world.items(["a0", "a1"], 1)
    watch.take(FeedBatch(0, 0, "b", -1, reached, AccountRows.of([])))
    repair = watch.begin_repair()
    assert repair is not None
    watch.finish(repair, before, reached, 0, history)
    again = watch.begin_repair()
    assert again is not None, "what the feed said meanwhile was taken for old"
    assert again.min_position == max(reached, 1) if reached != 9 else 9
    watch.finish(again, before, reached, 0, history)
    assert told(session) == {1: 0, 2: 0}
    assert watch.begin_repair() is None


def test_of_a_repair_that_was_read_in_parts_before_and_after_the_log_was_put_back_nothing_hides_what_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(partition_watch, "ACCOUNTS_PER_MESSAGE_MAX", 1)
    world, watch, session = two_watched_accounts()
    watch.history = "one"
    for _ in range(3):
        world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "b", -1, 4, AccountRows.of([])))
    repair = watch.begin_repair()
    assert repair is not None
    now = world.items(["a0", "a1"], 2)  # of another log, as long as the one before
    watch.finish(repair, world.items(["a0"], 4) | {"a1": now["a1"]}, 4, 0, "two")
    again = watch.begin_repair()
    assert again is not None
    watch.finish(again, now, 4, 0, "two")
    assert watch.begin_repair() is None
    assert told(session) == {1: 1, 2: 1}


class PutBack:
    """Two accounts that a client was told of, and a log that was put back to before the second one opened; read once."""

    def __init__(self, undecided: tuple[str, ...] = ()) -> None:
        self.world, self.watch, self.session = two_watched_accounts()
        self.watch.history = "one"
        self.watch.take(FeedBatch(0, 0, "b", -1, 0, AccountRows.of([])))
        self.repair(undecided)

    def repair(self, undecided: tuple[str, ...] = ()) -> None:
        repair = self.watch.begin_repair()
        assert repair is not None
        self.watch.finish(repair, self.world.items(["a0"], 0), 0, 0, "two", undecided)

    def heard(self) -> list[Any]:
        return [json.loads(frame) for frame in self.session.outbox.take()[0]]

    def opens(self, upto: int = 1) -> None:
        rows = AccountRows.of([AccountRow("a1", "USD/2", 5, 0, NO_FLOOR, 0, 0)])
        self.watch.take(FeedBatch(0, 0, "b", upto - 1, upto, rows))


GONE = {"account": "a1", "sub": 2, "version": None, "code": "account_not_found", "history": "two"}


def test_an_account_that_the_log_has_no_more_is_told_so_once_and_when_it_opens_again_its_state() -> None:
    log = PutBack()
    assert log.heard() == [], "it is read again: the feed may have told more of that history meanwhile"
    log.repair()
    gone, balances = log.heard()
    assert gone == {"op": "ack", "id": 1, "accounts": [GONE]}
    assert [(each["sub"], each["snapshot"]) for each in balances["items"]] == [(1, True)]
    log.opens()
    [balances] = log.heard()
    assert [(each["sub"], each["v"], each["snapshot"]) for each in balances["items"]] == [(2, 0, True)]
    log.watch.take(FeedBatch(0, 0, "c", -1, 1, AccountRows.of([])))
    repair = log.watch.begin_repair()
    assert repair is not None
    log.watch.finish(repair, log.world.items(["a0", "a1"], 1), 1, 0, "two")
    assert log.heard() == []


def test_of_an_account_that_opened_again_before_its_client_read_only_that_is_told() -> None:
    log = PutBack()
    log.repair()
    log.opens()
    [balances] = log.heard()
    assert [each["sub"] for each in balances["items"]] == [1, 2]


def test_of_an_account_that_was_named_while_that_was_found_out_nothing_is_said_before_it_has_been_read_there() -> None:
    world, watch, session = two_watched_accounts()
    watch.history = "one"
    world.open("a2")
    watch.take(FeedBatch(0, 0, "b", -1, 1, AccountRows.of([])))
    repair = watch.begin_repair()
    assert repair is not None
    wish = session.receive('{"op": "subscribe", "id": 7, "accounts": [{"account": "a2"}]}')
    assert isinstance(wish, Watch)
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {"a2": 0})
    watch.finish(read, world.items(["a2"], 2), 2, 0, "one")
    watch.finish(repair, world.items(["a0", "a1"], 1), 1, 0, "two")
    for now_ms in (0, 2 * CUT_WAIT_MS):
        watch.release_overdue(now_ms)
    assert "account_not_found" not in str(session.outbox.take()[0])
    again = watch.begin_repair()
    assert again is not None
    watch.finish(again, world.items(["a0", "a1", "a2"], 2), 2, 0, "two")
    watch.release_overdue(4 * CUT_WAIT_MS)
    watch.release_overdue(9 * CUT_WAIT_MS)
    frames = [json.loads(frame) for frame in session.outbox.take()[0]]
    assert [item["sub"] for frame in frames for item in frame["items"]] == [3]


def test_where_nobody_knows_whether_the_log_has_an_account_still_that_is_told() -> None:
    log = PutBack()
    log.repair(("a1",))
    assert log.heard()[0]["accounts"] == [GONE | {"code": "view_rebuilding"}]


def test_of_an_account_that_is_not_watched_any_more_or_never_was_there_nothing_is_told() -> None:
    log = PutBack()
    ended = log.session.receive('{"op": "unsubscribe", "id": 2, "subs": [2]}')
    assert isinstance(ended, Unwatch)
    log.watch.forget(ended.subscriptions)
    log.heard()
    log.repair()
    assert [frame["op"] for frame in log.heard()] == ["balances"]
    watch, session = PartitionWatch(0, {}, CUT_WAIT_MS), Session(10)
    wish = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"nobody"}]}')
    assert isinstance(wish, Watch)
    watch.take(FeedBatch(0, 0, "a", -1, 5, AccountRows.of([])))
    read = watch.register(wish.subscriptions)
    session.acknowledge(wish, {})
    watch.finish(read, {}, 5, 0, "one")
    session.outbox.take()
    watch.take(FeedBatch(0, 0, "b", -1, 2, AccountRows.of([])))
    while (repair := watch.begin_repair()) is not None:
        watch.finish(repair, {}, 2, 0, "two")
    assert session.outbox.take()[0] == []


def test_what_was_asked_for_of_a_log_that_was_put_back_keeps_no_repair_going() -> None:
    """The block that was on its way is gone; who waited for it would repair for ever."""
    world, watch, _ = two_watched_accounts()
    watch.history = "one"
    watch.interest.accounts(9, marks_of(["a0"]))
    watch.take(FeedBatch(0, 0, "b", -1, 1, AccountRows.of([])))
    repair = watch.begin_repair()
    assert repair is not None
    assert repair.min_position == 9
    watch.finish(repair, world.items(["a0", "a1"], 1), 1, 0, "other")
    again = watch.begin_repair()
    assert again is not None
    assert again.min_position == 1
    watch.finish(again, world.items(["a0", "a1"], 1), 1, 0, "other")
    assert watch.begin_repair() is None


def test_who_is_named_while_a_batch_is_on_its_way_is_read_as_of_that_batch() -> None:
    world, watch, session = two_watched_accounts()
    world.open("a2")
    watch.interest.accounts(2, marks_of(["a2"]))
    wish = session.receive('{"op": "subscribe", "id": 7, "accounts": [{"account": "a2"}]}')
    assert isinstance(wish, Watch)
    assert watch.register(wish.subscriptions).min_position == 2


def test_a_writer_that_only_started_again_takes_nothing_back() -> None:
    world, watch, session = two_watched_accounts()
    watch.history = "one"
    world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "a", 1, 2, world.rows(1, 2)))
    assert told(session) == {1: 1, 2: 1}
    world.transfer("a0", "a1")
    watch.take(FeedBatch(0, 0, "a", 2, 3, world.rows(2, 3)))
    assert told(session) == {1: 2, 2: 2}
    assert watch.begin_repair() is None
