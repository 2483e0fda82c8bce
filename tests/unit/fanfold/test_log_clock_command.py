"""What `fanfold log clock` says to a person, and to a program."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from fanfold.cli.log_clock import document_of, in_words, told_of
from fanfold.cli.main import app
from tests.unit.read_side.block_maker import BlockMaker, opened
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_path
from write_side.wiring import LogTime, PartitionTime

NOW_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000
UP = "fanfold up"
FINE = PartitionTime(0, "0:7", NOW_US - DAY_US, NOW_US, LogTime.FINE)
EMPTY = PartitionTime(1, None, None, NOW_US, LogTime.FINE)
AHEAD = PartitionTime(2, "2:3", NOW_US + 2 * DAY_US, NOW_US, LogTime.REFUSED)
FURTHER = PartitionTime(3, "3:9", NOW_US + 365 * DAY_US + 3_600_000_000, NOW_US, LogTime.REFUSED)
UNREAD = PartitionTime(4, "4:1", NOW_US - DAY_US, NOW_US, None, "no answer")


@pytest.fixture
def log_of_a_process() -> Iterator[None]:
    """What a command sets for the whole process ends with it: it names the standard error of its own runner."""
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize(
    ("us", "words"),
    [
        (0, "less than a second"),
        (-1_500_000, "1 second"),
        (61_000_000, "1 minute 1 second"),
        (DAY_US + 61_000_000, "1 day 1 minute"),
        (365 * DAY_US + 7_200_000_000, "365 days 2 hours"),
        (400_000 * DAY_US, "400,000 days"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(us: int, words: str) -> None:
    assert in_words(us) == words


def test_a_log_that_is_behind_or_empty_is_good() -> None:
    lines = told_of([FINE, EMPTY], UP).splitlines()
    assert lines[2:4] == [
        "0\t0:7\t2026-09-20T14:13:20.000000Z\t1 day ago\ttakes it",
        "1\t-\t-\tno block yet\ttakes it",
    ]
    assert lines[-1].startswith("good: ")
    assert document_of([FINE, EMPTY], UP)["verdict"] == "fine"


def test_the_command_names_the_newest_block_of_all_partitions() -> None:
    command = "FANFOLD_ACCEPT_LOG_TIME=2027-09-21T15:13:20.000000Z fanfold up"
    told = told_of([FINE, EMPTY, AHEAD, FURTHER], UP)
    assert f"\n\n  {command}\n\n" in told
    assert "AHEAD by 365 days 1 hour at 3:9" in told
    assert "No money is affected" in told
    assert "until 2027-09-21T15:13:20.000000Z" in told
    assert "id_expired\nuntil 2027-09-14T15:13:20.000000Z" in told, "7 days before the log's time"
    document = document_of([FINE, EMPTY, AHEAD, FURTHER], UP)
    assert (document["verdict"], document["command"]) == ("refused", command)
    assert [each["verdict"] for each in document["partitions"]] == ["fine", "fine", "refused", "refused"]
    assert document["partitions"][2]["ahead_us"] == 2 * DAY_US


def test_ids_of_now_are_taken_where_the_log_is_ahead_by_less_than_they_are_remembered() -> None:
    assert "id_expired" not in told_of([AHEAD], UP)


def test_a_log_that_is_gone_on_with_is_told_as_ahead_still() -> None:
    told = told_of([AHEAD._replace(verdict=LogTime.ACCEPTED)], UP)
    assert "FANFOLD_ACCEPT_LOG_TIME says so" in told
    assert "fanfold up" not in told
    assert "take it away then" in told


def test_what_could_not_be_read_is_told_beside_what_could() -> None:
    lines = told_of([FINE, UNREAD], UP).splitlines()
    assert "partition 4: no answer" in lines
    assert lines[-1].startswith("NOT ALL READ")
    assert document_of([FINE, UNREAD], UP)["verdict"] == "unread"
    assert document_of([FURTHER, UNREAD], UP)["verdict"] == "refused"
    assert "of all partitions that could be read" in told_of([FURTHER, UNREAD], UP)


@pytest.mark.usefixtures("log_of_a_process")
@pytest.mark.parametrize(("ahead_us", "code"), [(-365 * DAY_US, 0), (365 * DAY_US, 1)])
def test_the_exit_code_says_whether_a_partition_is_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead_us: int, code: int
) -> None:
    monkeypatch.setenv("FANFOLD_DATA", str(tmp_path))
    _made(tmp_path, ahead_us)
    result = CliRunner().invoke(app, ["log", "clock", "--json"])
    assert result.exit_code == code, result.output
    document = json.loads(result.stdout)
    assert (document["verdict"], len(document["partitions"])) == ("refused" if code else "fine", 2)
    monkeypatch.setenv("FANFOLD_ACCEPT_LOG_TIME", document["until"] or "2027-01-01T00:00:00Z")
    result = CliRunner().invoke(app, ["log", "clock", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["verdict"]) == (code, "accepted" if code else "fine")


@pytest.mark.usefixtures("log_of_a_process")
def test_a_log_that_cannot_be_read_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANFOLD_DATA", str(tmp_path))
    result = CliRunner().invoke(app, ["log", "clock"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "There is no log in" in result.stderr
    _made(tmp_path, 0)
    segment = segment_path(partition_folder(tmp_path, 0), 0)
    segment.rename(tmp_path / "aside")
    segment.mkdir()
    result = CliRunner().invoke(app, ["log", "clock"])
    assert result.exit_code == 2
    assert "NOT ALL READ" in result.stdout
    monkeypatch.setenv("FANFOLD_ACCEPT_LOG_TIME", "tomorrow")
    result = CliRunner().invoke(app, ["log", "clock"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must be a time with its zone" in result.stderr


def _made(folder: Path, ahead_us: int) -> None:
    async def make() -> None:
        log = await FileLog.open(folder, 2)
        await BlockMaker(log, 0, start_us=time.time_ns() // 1000 + ahead_us).append(opened("alice"))
        await log.close()

    asyncio.run(make())
