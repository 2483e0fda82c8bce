"""Accounts that are told at most so often: what leaves when, that the newest does, and that it is a cut."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.messages import Item, StreamError, decode, item
from gateway.protocol.outbox import Outbox
from gateway.protocol.pace import Pace
from gateway.protocol.session import Session
from gateway.protocol.subscription import PHASES_UNSENT_MAX, Subscription
from gateway.protocol.wishes import Watch

TRANSFER = bytes(range(16))


def state(version: int) -> Item:
    return item(version, "USD/2", "5", "0", "5", "2026-01-01T00:00:00.000000Z")


def subscribed(session: Session, *accounts: str, id: int = 1, **asked: Any) -> list[Subscription]:
    """Acknowledged, live, and told as of version 0."""
    wanted = [{"account": name} for name in accounts]
    watch = session.receive(json.dumps({"op": "subscribe", "id": id, "accounts": wanted} | asked))
    assert isinstance(watch, Watch)
    for subscription in watch.subscriptions:
        subscription.offer(state(0))
    session.acknowledge(watch, dict.fromkeys(accounts, 0))
    for subscription in watch.subscriptions:
        subscription.found()
        subscription.release()
    return watch.subscriptions


class Shell:
    """Writes at once, and lets rest by its own clock."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now_ms = 0
        self.told: list[tuple[int, dict[int, int]]] = []
        """When, and the versions by sub."""
        self.others: list[dict[str, Any]] = []
        self._rests: list[tuple[int, Pace]] = []

    def flush(self) -> None:
        frames, _ = self.session.outbox.take()
        for frame in map(json.loads, frames):
            if frame["op"] == "balances":
                self.told.append((self.now_ms, {each["sub"]: each["v"] for each in frame["items"]}))
            else:
                self.others.append(frame)
        self._rests += [(self.now_ms + pace.rest_ms, pace) for pace in self.session.outbox.rests_begun()]

    def pass_ms(self, ms: int) -> None:
        end_ms = self.now_ms + ms
        while self._rests and (first := min(self._rests, key=lambda each: each[0]))[0] <= end_ms:
            self._rests.remove(first)
            self.now_ms = first[0]
            self.session.outbox.go_on(first[1])
            self.flush()
        self.now_ms = end_ms


def test_the_first_change_goes_at_once_and_what_follows_waits_the_newest_of_it() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=4)
    shell.flush()
    shell.pass_ms(1_000)
    for version in range(1, 9):
        alice.offer(state(version))
        shell.flush()
        shell.pass_ms(100)
    shell.pass_ms(1_000)
    assert shell.told == [(0, {1: 0}), (1_000, {1: 1}), (1_250, {1: 3}), (1_500, {1: 5}), (1_750, {1: 8})]


def test_what_has_no_pace_goes_as_it_comes_beside_what_has_one() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=1)
    [bob] = subscribed(session, "bob", id=2)
    shell.flush()
    for version in range(1, 4):
        alice.offer(state(version))
        bob.offer(state(version))
        shell.flush()
    assert shell.told[1:] == [(0, {2: 1}), (0, {2: 2}), (0, {2: 3})]
    shell.pass_ms(1_000)
    assert shell.told[-1] == (1_000, {1: 3})


def test_the_last_request_that_names_an_account_says_its_pace() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=1)
    shell.flush()
    alice.offer(state(1))
    subscribed(session, "alice", id=2)
    shell.flush()
    alice.offer(state(2))
    shell.flush()
    assert [told for _, told in shell.told] == [{1: 0}, {1: 1}, {1: 2}]
    shell.pass_ms(5_000)
    assert len(shell.told) == 3, "and nothing twice"


def test_phases_keep_the_pace_and_the_newest_of_each_transfer_waits() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=2, transfers=True)
    shell.flush()
    shell.others.clear()
    for phase in ("debiting", "crediting", "done"):
        alice.offer_phase(TRANSFER, phase)
        shell.flush()
    assert shell.others == []
    shell.pass_ms(500)
    assert [each["phase"] for each in shell.others] == ["done"]
    for number in range(PHASES_UNSENT_MAX + 1):
        alice.offer_phase(number.to_bytes(16, "big"), "done")
        shell.flush()
    shell.pass_ms(500)
    assert shell.others[1]["op"] == "transfers_missed"


def test_who_waits_for_the_pace_is_withdrawn_with_all_that_waits() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=1, transfers=True)
    shell.flush()
    alice.offer(state(1))
    alice.offer_phase(TRANSFER, "done")
    assert not session.outbox.empty, "a heartbeat would claim that it was told"
    assert not session.outbox
    session.receive('{"op":"unsubscribe","id":2,"subs":[1]}')
    session.outbox.take()
    assert session.outbox.empty
    shell.pass_ms(2_000)
    assert len(shell.told) == 1


def test_a_phase_that_waits_is_told_though_another_request_for_its_account_is_refused() -> None:
    session = Session(10)
    shell = Shell(session)
    [alice] = subscribed(session, "alice", max_rate_hz=1, transfers=True)
    first, second = (
        session.receive(json.dumps({"op": "subscribe", "id": id, "accounts": [{"account": "alice"}]} | asked))
        for id, asked in ((2, {"max_rate_hz": 1, "transfers": True}), (3, {}))
    )
    assert isinstance(first, Watch)
    assert isinstance(second, Watch)
    shell.flush()
    session.acknowledge(first, {"alice": 0})
    shell.flush()
    alice.offer(state(0))  # told before, and to be told again
    alice.offer_phase(TRANSFER, "done")
    session.refuse(second, "upstream_unavailable", "")
    shell.flush()
    shell.pass_ms(2_000)
    assert [each["phase"] for each in shell.others if each["op"] == "transfer"] == ["done"]
    assert [told for _, told in shell.told] == [{1: 0}, {1: 0}], "and the state that was granted"


def test_an_outbox_in_which_nothing_has_a_pace_knows_of_none() -> None:
    assert Outbox().rests_begun() == []


@given(st.text(max_size=20) | st.integers() | st.floats() | st.none() | st.lists(st.integers()) | st.booleans())
def test_a_rate_that_is_none_is_refused_and_names_the_field(rate: object) -> None:
    if type(rate) is int and 1 <= rate <= 1_000:
        return
    asked = {"op": "subscribe", "id": 3, "accounts": [{"account": "alice"}], "max_rate_hz": rate}
    text = json.dumps(asked)
    found = decode(text)
    assert isinstance(found, StreamError)
    assert found.code == "body_malformed"
    if "NaN" not in text and "Infinity" not in text:
        assert found.id == 3
        assert "max_rate_hz" in found.detail


CHANGES = st.lists(
    st.tuples(st.sampled_from(("both", "alice", "bob", "carol", "flush", "again")), st.integers(0, 400)), max_size=60
)


@given(rate=st.integers(1, 20), changes=CHANGES)
def test_at_any_time_what_was_told_at_a_pace_is_a_cut_and_no_frame_comes_too_early(
    rate: int, changes: list[tuple[str, int]]
) -> None:
    """alice and bob have one pace, carol none; `both` is a transfer between alice and bob."""
    session = Session(10)
    shell = Shell(session)
    subscriptions = dict(zip(("alice", "bob"), subscribed(session, "alice", "bob", max_rate_hz=rate), strict=True))
    [subscriptions["carol"]] = subscribed(session, "carol", id=2)
    shell.flush()
    now = dict.fromkeys(subscriptions, 0)
    states = [(0, 0)]
    for what, then_ms in changes:
        if what == "again":
            subscribed_again = subscribed(session, "carol", id=3)
            now["carol"] += 1
            subscribed_again[0].offer(state(now["carol"]))
        for name in {"both": ("alice", "bob"), "flush": (), "again": ()}.get(what, (what,)):
            now[name] += 1
            subscriptions[name].offer(state(now[name]))
        states.append((now["alice"], now["bob"]))
        shell.flush()
        shell.pass_ms(then_ms)
    shell.pass_ms(2_000)
    held = {1: 0, 2: 0}
    last_ms = -10_000
    for at_ms, told in shell.told:
        paced = {sub: version for sub, version in told.items() if sub in held}
        if paced:
            assert at_ms - last_ms >= 1_000 / rate
            last_ms = at_ms
            held |= paced
            assert (held[1], held[2]) in states
    assert (held[1], held[2]) == states[-1]
    assert [v for _, told in shell.told for sub, v in told.items() if sub == 3][-1] == now["carol"]
