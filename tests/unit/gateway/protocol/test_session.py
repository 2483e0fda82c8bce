"""One client: what it asked, what it is sent, and that versions only rise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.close_codes import CloseCode
from gateway.protocol.messages import Item, item
from gateway.protocol.outbox import text_frame
from gateway.protocol.session import ERRORS_MAX, Session
from gateway.protocol.subscription import PHASES_UNSENT_MAX, Subscription
from gateway.protocol.wishes import Close, Unwatch, Watch


def state(version: int, posted: str = "5") -> Item:
    return item(version, "USD/2", posted, "0", posted, "2026-01-01T00:00:00.000000Z")


def sent(session: Session) -> list[dict[str, Any]]:
    frames, _ = session.outbox.take()
    return [json.loads(frame) for frame in frames]


def subscribe(session: Session, *accounts: str | tuple[str, int], id: int = 1, transfers: bool = False) -> Watch:
    wanted = [{"account": a} if isinstance(a, str) else {"account": a[0], "since": a[1]} for a in accounts]
    asked = {"op": "subscribe", "id": id, "accounts": wanted} | ({"transfers": True} if transfers else {})
    wish = session.receive(json.dumps(asked))
    assert isinstance(wish, Watch)
    return wish


def live(session: Session, account: str, version: int, transfers: bool = False) -> Subscription:
    """A subscription that has been sent its snapshot."""
    watch = subscribe(session, account, transfers=transfers)
    [subscription] = watch.subscriptions
    subscription.offer(state(version))
    session.acknowledge(watch, {account: version})
    subscription.release()
    session.outbox.take()
    return subscription


def test_the_ack_goes_out_before_the_snapshot_and_the_first_item_says_so() -> None:
    session = Session(10)
    watch = subscribe(session, "alice")
    watch.subscriptions[0].offer(state(4, "900"))
    session.acknowledge(watch, {"alice": 4})
    watch.subscriptions[0].release()
    watch.subscriptions[0].offer(state(5, "800"))
    ack, balances = sent(session)
    assert ack == {"op": "ack", "id": 1, "accounts": [{"account": "alice", "sub": 1, "version": 4}]}
    assert balances["items"] == [
        {"sub": 1, "snapshot": True, "asset": "USD/2", "v": 5, "posted": "800", "held": "0", "available": "800",
         "at": "2026-01-01T00:00:00.000000Z"}
    ]  # fmt: skip
    watch.subscriptions[0].offer(state(6))
    [balances] = sent(session)
    assert "snapshot" not in balances["items"][0]


def test_nothing_is_sent_before_the_ack_even_when_released() -> None:
    session = Session(10)
    watch = subscribe(session, "alice")
    watch.subscriptions[0].offer(state(4))
    watch.subscriptions[0].release()
    assert sent(session) == []


def test_the_newest_balance_replaces_the_unsent_one() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1)
    for version in range(2, 100):
        subscription.offer(state(version))
    assert session.outbox.waiting == 1
    [balances] = sent(session)
    assert [row["v"] for row in balances["items"]] == [99]


def test_an_older_version_never_follows_a_newer_one() -> None:
    session = Session(10)
    subscription = live(session, "alice", 7)
    subscription.offer(state(7))
    subscription.offer(state(6))
    assert sent(session) == []


def test_resume_sends_nothing_when_the_client_is_up_to_date() -> None:
    session = Session(10)
    watch = subscribe(session, ("alice", 4))
    watch.subscriptions[0].offer(state(4))
    session.acknowledge(watch, {"alice": 4})
    watch.subscriptions[0].release()
    [ack] = sent(session)
    assert ack["accounts"][0]["version"] == 4


def test_resume_never_sends_what_is_older_than_the_client_has() -> None:
    session = Session(10)
    watch = subscribe(session, ("alice", 9))
    watch.subscriptions[0].offer(state(4))
    session.acknowledge(watch, {"alice": 4})
    watch.subscriptions[0].release()
    assert [frame["op"] for frame in sent(session)] == ["ack"]
    watch.subscriptions[0].offer(state(10))
    assert [frame["op"] for frame in sent(session)] == ["balances"]


def test_subscribing_again_keeps_the_number_and_sends_the_state_again() -> None:
    session = Session(10)
    subscription = live(session, "alice", 4)
    watch = subscribe(session, "alice", id=2)
    assert watch.subscriptions == [subscription]
    session.acknowledge(watch, {"alice": 4})
    subscription.offer(state(4))
    subscription.release()
    ack, balances = sent(session)
    assert ack["accounts"][0]["sub"] == 1
    assert balances["items"][0]["snapshot"] is True


def test_a_held_subscription_is_silent_and_sends_the_newest_when_released() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1)
    subscription.offer(state(2))
    subscription.hold()
    subscription.offer(state(3))
    assert sent(session) == []
    subscription.release()
    assert [row["v"] for row in sent(session)[0]["items"]] == [3]


def test_unsubscribing_twice_equals_once() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1)
    subscription.offer(state(2))
    assert session.receive('{"op":"unsubscribe","id":2,"subs":[1,99]}') == Unwatch([subscription])
    assert session.receive('{"op":"unsubscribe","id":3,"subs":[1]}') is None
    subscription.release()
    subscription.offer(state(3))
    assert sent(session) == [{"op": "ack", "id": 2}, {"op": "ack", "id": 3}]


def test_too_many_subscriptions_are_refused_whole() -> None:
    session = Session(2)
    live(session, "alice", 1)
    text = '{"op":"subscribe","id":5,"accounts":[{"account":"bob"},{"account":"carol"}]}'
    assert session.receive(text) is None
    [error] = sent(session)
    assert (error["op"], error["id"], error["code"]) == ("error", 5, "too_many_subscriptions")
    assert list(session.by_account) == ["alice"]


def test_a_state_that_cannot_be_read_leaves_nothing_subscribed() -> None:
    session = Session(2)
    watch = subscribe(session, "alice")
    assert session.refuse(watch, "upstream_unavailable", "try again") == Unwatch(watch.subscriptions)
    assert not session.by_account
    assert not session.by_number
    assert sent(session)[0]["code"] == "upstream_unavailable"


def test_a_client_that_only_makes_mistakes_is_let_go() -> None:
    session = Session(2)
    wishes = [session.receive("nonsense") for _ in range(ERRORS_MAX)]
    assert wishes[:-1] == [None] * (ERRORS_MAX - 1)
    assert wishes[-1] == Close(CloseCode.TOO_MANY_ERRORS)


def test_ping_is_answered_with_its_id() -> None:
    session = Session(2)
    assert session.receive('{"op":"ping","id":3}') is None
    assert sent(session) == [{"op": "pong", "id": 3}]


def test_status_is_told() -> None:
    session = Session(2)
    session.tell_status(False)
    assert sent(session) == [{"op": "status", "live": False}]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_text_frames_are_what_rfc_6455_says(size: int) -> None:
    from websockets.frames import Frame, Opcode

    payload = b"x" * size
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


@given(st.lists(st.integers(0, 30) | st.sampled_from(["flush", "hold", "release"])))
def test_versions_only_rise_whatever_is_offered(steps: list[int | str]) -> None:
    session = Session(2)
    subscription = live(session, "alice", 0)
    seen = 0
    for step in steps:
        match step:
            case int(version):
                subscription.offer(state(version))
            case "hold":
                subscription.hold()
            case "release":
                subscription.release()
            case _:
                for frame in sent(session):
                    [row] = frame["items"]
                    assert row["v"] > seen
                    seen = row["v"]
    subscription.release()
    for frame in sent(session):
        seen = frame["items"][0]["v"]
    assert seen == max([step for step in steps if isinstance(step, int)], default=0)


ONE, TWO = bytes([1]) * 16, bytes([2]) * 16


def test_phases_are_for_those_who_asked_for_them() -> None:
    session = Session(10)
    live(session, "alice", 1).offer_phase(ONE, "trying")
    assert sent(session) == []
    live(session, "bob", 1, transfers=True).offer_phase(ONE, "trying")
    assert sent(session) == [
        {"op": "transfer", "sub": 2, "id": "01010101-0101-0101-0101-010101010101", "phase": "trying"}
    ]


def test_the_newest_phase_of_a_transfer_replaces_the_unsent_one() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1, transfers=True)
    for phase in ("trying", "capturing", "paying"):
        subscription.offer_phase(ONE, phase)
    subscription.offer_phase(TWO, "trying")
    assert [(frame["id"][:2], frame["phase"]) for frame in sent(session)] == [("01", "paying"), ("02", "trying")]
    assert sent(session) == []


def test_phases_follow_the_balances_that_they_explain() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1, transfers=True)
    subscription.offer_phase(ONE, "done")
    subscription.offer(state(2))
    assert [frame["op"] for frame in sent(session)] == ["balances", "transfer"]


def test_a_slow_client_keeps_a_bounded_number_of_phases_and_hears_of_it() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1, transfers=True)
    for number in range(PHASES_UNSENT_MAX + 5):
        subscription.offer_phase(number.to_bytes(16, "big"), "trying")
    missed, *frames = sent(session)
    assert missed == {"op": "transfers_missed", "sub": 1}
    assert len(frames) == PHASES_UNSENT_MAX
    assert int(frames[-1]["id"].replace("-", ""), 16) == PHASES_UNSENT_MAX + 4


def test_phases_wait_while_the_subscription_is_held_and_go_when_it_is_closed() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1, transfers=True)
    subscription.hold()
    subscription.offer_phase(ONE, "trying")
    assert sent(session) == []
    subscription.release()
    assert [frame["op"] for frame in sent(session)] == ["transfer"]
    subscription.offer_phase(ONE, "done")
    session.receive('{"op":"unsubscribe","id":2,"subs":[1]}')
    assert [frame["op"] for frame in sent(session)] == ["ack"]


def test_a_second_subscribe_without_transfers_ends_them() -> None:
    session = Session(10)
    subscription = live(session, "alice", 1, transfers=True)
    subscription.offer_phase(ONE, "trying")
    session.acknowledge(subscribe(session, "alice", id=2), {"alice": 1})
    subscription.release()
    assert [frame["op"] for frame in sent(session)] == ["ack"]


@pytest.mark.parametrize(
    ("theirs", "ours", "is_sent"),
    [(None, "h", False), ("h", "h", False), ("g", "h", True), ("h", None, True), (None, None, False)],
)
def test_a_version_of_another_history_counts_for_nothing(theirs: str | None, ours: str | None, is_sent: bool) -> None:
    session = Session(10)
    wanted = {"account": "alice", "since": 9} | ({"history": theirs} if theirs else {})
    watch = session.receive(json.dumps({"op": "subscribe", "id": 1, "accounts": [wanted]}))
    assert isinstance(watch, Watch)
    watch.subscriptions[0].offer(state(9))
    session.acknowledge(watch, {"alice": 9}, histories={"alice": ours} if ours else {})
    watch.subscriptions[0].offer(state(9))
    watch.subscriptions[0].release()
    ack, *balances = sent(session)
    assert ack["accounts"][0].get("history") == ours
    assert bool(balances) is is_sent


def test_a_share_that_was_not_read_at_first_has_its_version_judged_when_it_is() -> None:
    session = Session(10)
    watch = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"alice","since":9,"history":"g"}]}')
    assert isinstance(watch, Watch)
    session.acknowledge(watch, {}, unread={"alice": "partition_unavailable"})
    [subscription] = watch.subscriptions
    subscription.found()
    session.acknowledge_read(1, watch.subscriptions, {"alice": 4}, histories={"alice": "h"})
    subscription.offer(state(4))
    subscription.release()
    _, ack, balances = sent(session)
    assert ack["accounts"] == [{"account": "alice", "sub": 1, "version": 4, "history": "h"}]
    assert balances["items"][0]["v"] == 4


@pytest.mark.parametrize("history", ["", "x" * 65, 1, None, []])
def test_what_is_no_history_is_refused(history: object) -> None:
    session = Session(10)
    wanted = {"account": "alice", "since": 9, "history": history}
    assert session.receive(json.dumps({"op": "subscribe", "id": 1, "accounts": [wanted]})) is None
    assert sent(session)[0]["code"] == "body_malformed"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 10**18)), min_size=1, max_size=12),
    st.booleans(),
)
def test_what_leaves_as_bytes_is_what_leaves_as_frames_whatever_is_shared(
    changes: list[tuple[int, bool, int]], begins: bool
) -> None:
    """Two clients with the same items, one taken as frames and one as bytes; with other numbers of the same account."""
    framed, bytewise = Session(10), Session(10)
    live(bytewise, "other", 0) if begins else None
    live(framed, "other", 0) if begins else None
    names = ["a", "b", "c", "d"]
    subscriptions = [[live(session, name, 0) for name in names] for session in (framed, bytewise)]
    third = Session(10)
    for name in ("d", "c", "b", "a"):  # whose numbers are others
        live(third, name, 0)
    for version, (which, leaves, amount) in enumerate(changes, 1):
        shared = state(version, str(amount))
        for watchers in (*subscriptions, list(third.by_account.values())[::-1]):
            watchers[which].offer(shared)
        if leaves:
            frames, count = framed.outbox.take()
            assert bytewise.outbox.take_bytes() == (b"".join(map(text_frame, frames)), count)
            told, _ = third.outbox.take_bytes()
            assert told[4:].startswith(b'{"op":"balances"') or told[2:].startswith(b'{"op":"balances"')
            assert all(f'"sub":{4 - n}'.encode() in told for n in {which})
    frames, count = framed.outbox.take() if framed.outbox else ([], 0)
    assert bytewise.outbox.take_bytes() == (b"".join(map(text_frame, frames)), count)
    assert bytewise.outbox.take_bytes() == (b"", 0)


def test_one_that_is_held_or_paced_leaves_no_other_way() -> None:
    session = Session(10)
    subscription = live(session, "a", 0)
    subscription.offer(state(1))
    session.outbox.held = True
    assert session.outbox.take_bytes() == (b"", 0)
    session.outbox.answer(b"{}")
    assert session.outbox.take_bytes() == (text_frame(b"{}"), 0)
    session.outbox.held = False
    told, count = session.outbox.take_bytes()
    assert (json.loads(told[told.index(b"{") :])["items"][0]["v"], count) == (1, 1)
    assert (subscription.sent, subscription.has) == (1, 1)
