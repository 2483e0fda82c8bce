"""`fanfold project` as users run it: over a real file log, killed, run again, in a pipe, given nonsense."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end import processes
from tests.end_to_end.test_publish import made_log
from tests.unit.read_side.whole_log.event_telling import plain_events

LIMIT_S = 120.0
MONTHLY = "read_side.projections.examples.monthly_totals:MonthlyTotals"
LEADERS = "read_side.projections.examples.leaderboard:Leaderboard"


def asked(path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return db.execute(question).fetchall()


def count(path: Path) -> int:
    """How many blocks are in it; none while there is no such file or table."""
    try:
        return int(asked(path, "SELECT coalesce(sum(sequence), 0) FROM fanfold_checkpoint")[0][0])
    except sqlite3.OperationalError:
        return 0


async def test_a_projection_that_is_killed_has_every_event_once_and_the_examples_say_what_the_log_says(
    tmp_path: Path,
) -> None:
    blocks = await made_log(tmp_path / "data", blocks=60, transfers=300)
    environment = {"FANFOLD_LOG": f"file:{tmp_path / 'data'}"}
    state = tmp_path / "monthly.db"
    arguments = ("project", MONTHLY, "--state", str(state))
    for kill in range(2):
        process = await asyncio.create_subprocess_exec(
            *processes.COMMAND, *arguments, env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(LIMIT_S):
            while await asyncio.to_thread(count, state) <= kill * 20:
                assert process.returncode is None
        process.kill()
        await process.wait()
    code, out, errors = await processes.command(*arguments, "--once", "--json", environment=environment)
    assert code == 0, errors
    expected: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    newest: dict[str, int] = {}
    for event in (each for p, of_partition in enumerate(blocks) for each in plain_events(of_partition, p)):
        if event["type"] == "fanfold.entry.v1":
            amount = int(event["data"]["amount"])
            expected[event["subject"], event["time"][:7]][amount < 0] += abs(amount)
            newest[event["subject"]] = int(event["data"]["posted"])
    found = asked(state, "SELECT account, month, came, went FROM monthly_totals")
    assert {(account, month): [came, went] for account, month, came, went in found} == expected
    assert json.loads(out)["rows"] == len(expected)

    leaders = ("project", LEADERS, "--state", str(tmp_path / "leaders.db"))
    code, out, errors = await processes.command(*leaders, "--once", "--live", environment=environment)
    assert code == 0, errors
    told = {each["account"]: each["score"] for each in json.loads(out.splitlines()[-1])}
    assert told == newest
    for command in (arguments, leaders):
        code, out, errors = await processes.command(*command, "--verify", environment=environment)
        assert (code, "is what the log says" in out) == (0, True), errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "names no projection"),
        (("no.such:Thing",), "cannot be imported"),
        (("json:nope",), "has no attribute"),
        (("json:loads",), "is no projection"),
        ((MONTHLY, "--live"), "has no `question`"),
        ((MONTHLY, "--verify", "--once"), "--verify changes nothing"),
        ((LEADERS, "--live", "--json"), "leave out --json"),
        ((MONTHLY, "--once"), "There is no log in"),
    ],
)
async def test_nonsense_is_told_in_a_sentence_and_ends_with_2(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    environment = {"FANFOLD_LOG": f"file:{tmp_path / 'absent'}", "COLUMNS": "200"}
    state = ("--state", str(tmp_path / "state.db"))
    code, out, errors = await processes.command("project", *arguments, *state, environment=environment)
    assert (code, out) == (2, ""), errors
    assert said in errors
    assert "Traceback" not in errors
