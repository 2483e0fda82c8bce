"""What `fanfold verify` says to a person: of the view, of snapshots, and of history decided again."""

from __future__ import annotations

import pytest

from fanfold.cli import verify as command
from fanfold.cli.verify import _document, _told, _Wishes
from read_side.whole_log.compare_snapshots import SnapshotsCompared
from read_side.whole_log.compare_view import RowDiffers, ViewCompared
from read_side.wiring import PartitionVerdict, Verdict
from write_side.wiring import LogDecidedAgain, PartitionDecidedAgain

WISHES = _Wishes([], "redis://user:secret@here:6379", False, None, True)
GOOD = PartitionVerdict(0, "0:7")


def test_what_was_decided_again_and_what_was_not_is_told_with_its_count() -> None:
    again = LogDecidedAgain([PartitionDecidedAgain(0, "0:7", 8, 1_234, {"a repeated message": 3})])
    lines = _told(Verdict([GOOD]), again, WISHES).splitlines()
    assert "partition 0: 1,234 outcomes decided again, as the log has them" in lines
    assert "  not decided again: 3 (a repeated message)" in lines
    assert lines[-1].startswith("good: ")
    document = _document(Verdict([GOOD]), again)
    assert document["code_change"]["not_decided_again"] == {"a repeated message": 3}
    assert (document["verdict"], document["code_change"]["verdict"]) == ("good", "same")


def test_a_log_that_is_decided_otherwise_now_is_good_and_the_code_is_what_changed() -> None:
    other = PartitionDecidedAgain(0, "0:3", 4, 9, {}, "block 0:4 is decided otherwise now: outcome 0")
    again = LogDecidedAgain([other, PartitionDecidedAgain(1, "1:7", 8, 9)])
    lines = _told(Verdict([GOOD, PartitionVerdict(1, "1:7")]), again, WISHES).splitlines()
    assert "partition 0: block 0:4 is decided otherwise now: outcome 0" in lines
    assert lines[-2].startswith("good: ")
    assert lines[-1].startswith("CHANGED: ")


def test_what_could_not_be_read_is_no_change() -> None:
    unread = LogDecidedAgain([PartitionDecidedAgain(0, None, problem="no answer", unread=True)])
    assert _told(Verdict([GOOD]), unread, WISHES).splitlines()[-1].startswith("NOT ALL DECIDED AGAIN")


def test_differing_accounts_are_told_up_to_a_bound_and_no_password_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "SHOWN_MAX", 2)
    rows = [RowDiffers(f"account-{i}", 3, None if i else 4, "posted", "5", None if i else "6") for i in range(3)]
    seen = ViewCompared("0:7", 1, 9, 70, rows, "the live view is not what the log says")
    verdict = Verdict([PartitionVerdict(0, "0:7", problem=seen.problem, view=seen)])
    lines = _told(verdict, None, WISHES).splitlines()
    assert "  account-0: version 3 in the view, 4 by the log; posted 5, by the log 6" in lines
    assert "  account-1: version 3 in the view, not there by the log; posted 5, by the log not there" in lines
    assert "  and 68 more; --json tells 3 of all" in lines
    same = Verdict([PartitionVerdict(0, "0:7", view=ViewCompared("0:7", 1, 9))])
    told = _told(same, None, WISHES)
    assert "the view in redis://here:6379 says the same in 9 rows, at 0:7" in told
    assert "secret" not in told


def test_each_snapshot_that_is_right_is_named() -> None:
    one = PartitionVerdict(0, "0:7", snapshots=SnapshotsCompared(["p00000-7-writer.snapshot"]))
    none = PartitionVerdict(1, "1:7", snapshots=SnapshotsCompared())
    lines = _told(Verdict([one, none]), None, WISHES).splitlines()
    assert "partition 0: p00000-7-writer.snapshot is what the log says" in lines
    assert "partition 1: there is no snapshot, so none was compared" in lines
