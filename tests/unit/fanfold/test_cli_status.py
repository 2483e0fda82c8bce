"""`fanfold status`: a partition a line, whole at any width, and an exit code that says whether all is well."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from fanfold.answers import positions_of
from fanfold.cli import status
from fanfold.cli.status import drawing
from tests.unit.fanfold.stub_wallet import StubWallet
from tests.unit.fanfold.test_cli import run

REASON = "nothing moves: its log has records that were not read for 31 s"


def _far(partition: int, **more: Any) -> dict[str, Any]:
    marks = dict.fromkeys(("accepted", "folded", "stored", "pushed"), 17)
    lag = dict.fromkeys(("unread", "unfolded", "unstored", "unpushed", "oldest_unapplied_ms"), 0)
    return {"partition": partition, "position": f"{partition}:17", **marks, **lag, "unit": "records", **more}


def test_all_is_well(wallet: StubWallet) -> None:
    wallet.far = [_far(0), _far(1, unit="bytes", unread=912, unstored=3, unpushed=4, oldest_unapplied_ms=250)]
    wallet.elsewhere = [2, 3]
    first, *rows, last = run("status").stdout.splitlines()
    assert first.split("\t") == [column.name for column in status.COLUMNS]
    assert [row.split("\t") for row in rows] == [
        ["0", "0:17", "0 records", "0", "0", "0", "0 ms", "well"],
        ["1", "1:17", "912 bytes", "0", "3", "4", "250 ms", "well"],
    ]
    assert last == "projected by other processes: 2, 3"


def test_a_partition_that_does_not_get_on_is_told_and_makes_the_exit_code_2(wallet: StubWallet) -> None:
    unread = {"unread": None, "oldest_unapplied_ms": None, "position": None}
    wallet.far = [_far(0), _far(1, **unread, reason=REASON), _far(2, unread=9, oldest_unapplied_ms=31_500)]
    out = run("status", code=2).stdout
    assert f"1\t-\tunknown\t0\t0\t0\tunknown\t{REASON}" in out
    assert "2\t2:17\t9 records\t0\t0\t0\t31 s\twell" in out
    told = json.loads(run("status", "--json", code=2).stdout)
    assert told == {"partitions": wallet.far, "elsewhere": []}


def test_a_partition_whose_log_is_damaged_says_since_when_it_is_stale(wallet: StubWallet) -> None:
    since, reason = "2026-01-01T00:00:00.000000Z", "partition 1 stops before block 18: its hash is wrong"
    wallet.far = [_far(0), _far(1, stale_since=since, reason=reason)]
    well, old = run("status", code=2).stdout.splitlines()[1:]
    assert well.endswith("\twell")
    assert old.endswith(f"\tstale since {since}: {reason}")
    assert json.loads(run("status", "--json", code=2).stdout)["partitions"] == wallet.far


def test_a_service_that_does_not_answer_makes_the_exit_code_2(wallet: StubWallet) -> None:
    wallet.fail_next, wallet.fail_code = 100, "starting"
    assert "(starting)" in run("status", code=2).stderr


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("height", [5, 24, 200])
def test_a_window_without_room_shows_those_that_are_not_well_and_counts_the_rest(width: int, height: int) -> None:
    parts = [_far(number, **({"reason": "it is damaged"} if number == 29 else {})) for number in range(30)]
    lines = drawing(positions_of({"partitions": parts}), None, width, height)
    whole = "\n".join(lines)
    assert "29:17" in whole
    shown = sum(f"{number}:17" in whole.split() for number in range(30))
    assert shown == 30 or f"and {30 - shown} more partitions, 0 of them not well" in whole
    assert shown == 1 or sum(max(1, -(-len(line) // width)) for line in lines) < height


def test_what_was_told_last_stays_when_there_is_no_answer_and_is_said_to_be_old() -> None:
    lines = drawing(positions_of({"partitions": [_far(0)]}), "no answer.", 80, 24)
    assert lines[-1] == "NOT live: no answer."
    assert "0:17" in lines[2]
    assert drawing(None, "no answer.", 80, 24) == ["NOT live: no answer."]


@pytest.fixture
def three_rounds(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """`--watch` sleeps no second, does what is in the list between its rounds, and is ended like by Ctrl-C after the third."""
    between: list[Callable[[], None]] = [lambda: None, lambda: None]

    class Time:
        CancelledError = asyncio.CancelledError

        @staticmethod
        async def sleep(_seconds: float) -> None:
            if not between:
                raise KeyboardInterrupt
            between.pop(0)()

    monkeypatch.setattr(status, "asyncio", Time)
    return between


def test_watch_prints_plain_lines_where_there_is_no_terminal(
    wallet: StubWallet, three_rounds: list[Callable[[], None]]
) -> None:
    wallet.far = [_far(0), _far(1)]
    three_rounds[0] = lambda: wallet.far.__setitem__(0, _far(0, reason=REASON))
    lines = run("status", "--watch", code=130).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["partition", "0", "1", "0", "1", "0", "1"]
    assert [line.split("\t")[-1] for line in lines[1::2]] == ["well", REASON, REASON]


def test_watch_as_json_is_an_object_a_line_and_goes_on_when_there_is_no_answer(
    wallet: StubWallet, three_rounds: list[Callable[[], None]]
) -> None:
    wallet.far = [_far(0)]

    def fail() -> None:
        wallet.fail_next = 7

    three_rounds[0] = fail
    ran = run("status", "--watch", "--json", code=130)
    assert [json.loads(line)["partitions"] for line in ran.stdout.splitlines()] == [wallet.far] * 2
    assert "no answer." in ran.stderr
