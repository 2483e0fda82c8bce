"""The file of the webhooks: durable, private, and changed by commands beside the process that delivers."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from read_side.webhooks.batches import Batch
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.delivery import Lane
from read_side.webhooks.hooks import HOOKS_MAX, Wants
from read_side.webhooks.kept_hooks import SECRETS_MAX, KeptHooks, NoHook, Stored
from read_side.whole_log.event_place import LAST, Place
from tests.unit.read_side.webhooks.webhook_stage import SECRET, hook

FAILING = Lane(Place(17, 3, 1), b"h" * 32, Place(18, 0, 0), 3, 5, 7, "answered 500")
LETTER = Batch(Place(18, 0, 0), "msg_1", b"{}", 2)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "webhooks.db"


@pytest.fixture
def kept(path: Path) -> Iterator[KeptHooks]:
    made = KeptHooks.opened(path)
    yield made
    made.close()


def test_what_is_kept_is_there_for_the_next_process_and_for_its_owner_alone(path: Path, kept: KeptHooks) -> None:
    told = hook(wants=Wants(prefix="team1."))
    kept.add(told, 1, {1: 5})
    assert kept.store([Stored(told, 0, FAILING)]) == [True]
    other = KeptHooks.opened(path)
    assert other.hooks(2) == [told]
    assert other.lanes("wh_1") == {0: FAILING, 1: Lane(Place(4, LAST, LAST))}
    other.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SECRET not in repr(told)


def test_a_delivery_that_was_under_way_while_a_person_replayed_or_removed_moves_nothing(kept: KeptHooks) -> None:
    before = hook()
    kept.add(before, 1)
    kept.replay("wh_1", {0: 3}, 0)
    assert kept.store([Stored(before, 0, FAILING)]) == [False]
    assert not kept.bury(before, 0, FAILING, LETTER, "x", 1)
    assert kept.lanes("wh_1") == {0: Lane(Place(2, LAST, LAST))}
    [now] = kept.hooks(1)
    kept.remove("wh_1")
    assert kept.store([Stored(now, 0, FAILING)]) == [False]
    assert (kept.hooks(1), kept.lanes("wh_1"), kept.dead("wh_1")) == ([], {}, [])


def test_a_pause_stays_and_a_resume_has_what_failed_tried_at_once(kept: KeptHooks) -> None:
    told = hook()
    kept.add(told, 1)
    assert kept.store([Stored(told, 0, FAILING, "it answered 410")]) == [True]
    assert [each.paused for each in kept.hooks(1)] == ["it answered 410"]
    kept.resume("wh_1")
    assert [each.paused for each in kept.hooks(1)] == [None]
    assert kept.lanes("wh_1")[0] == Lane(FAILING.place, FAILING.block_hash, FAILING.until)


def test_old_secrets_sign_until_their_time_is_over(kept: KeptHooks) -> None:
    kept.add(hook(), 1)
    kept.rotate("wh_1", "whsec_new", 10, 100)
    assert [each.secrets for each in kept.hooks(50)] == [("whsec_new", SECRET)]
    assert [each.secrets for each in kept.hooks(100)] == [("whsec_new",)]
    for number in range(SECRETS_MAX - 1):
        kept.rotate("wh_1", f"whsec_{number}", 200, 10**9)
    with pytest.raises(NoHook, match="--keep-hours 0"):
        kept.rotate("wh_1", "whsec_more", 200, 10**9)


def test_letters_are_listed_tried_again_and_discarded(kept: KeptHooks) -> None:
    told = hook()
    kept.add(told, 1)
    for _ in range(3):
        assert kept.bury(told, 0, FAILING, LETTER, "answered 500", 9)
    assert kept.counted("wh_1") == (3, 0)
    assert kept.retry("wh_1", None) == 3
    assert kept.next_due("wh_1") == (1, "msg_1", b"{}")
    kept.tried(1, None)
    kept.tried(2, "answered 502")
    assert [(each.number, each.error, each.due) for each in kept.dead("wh_1")] == [
        (2, "answered 502", 0),
        (3, "answered 500", 1),
    ]
    kept.discard("wh_1", 3)
    for wrong in (lambda: kept.retry("wh_1", 3), lambda: kept.discard("wh_1", 3), lambda: kept.pause("wh_2", "x")):
        with pytest.raises(NoHook):
            wrong()


def test_there_are_as_many_webhooks_as_a_process_can_deliver_to(kept: KeptHooks) -> None:
    for number in range(HOOKS_MAX):
        kept.add(hook(f"wh_{number}"), 1)
    with pytest.raises(NoHook, match="32"):
        kept.add(hook("wh_more"), 1)


def test_what_cannot_be_a_file_of_webhooks_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    other.write_text("not a database, and long enough to be taken for one" * 20)
    with pytest.raises(HooksUnavailable):
        KeptHooks.opened(other)
    assert other.read_text().startswith("not a database")
    (tmp_path / "file").touch()
    with pytest.raises(HooksUnavailable):
        KeptHooks.opened(tmp_path / "file" / "webhooks.db")
