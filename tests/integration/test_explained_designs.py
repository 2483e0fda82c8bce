"""`fanfold explain --demo 2pc` and `redis`: the same transfer, step by step, on real servers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.cli.main import app

ALL = 10_000


def _told(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["explain", "--demo", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _sums(told: Any) -> dict[str, int]:
    return {each["step"]: sum(map(int, each["balances"].values())) for each in told["steps"]}


@pytest.mark.redis
@pytest.mark.zookeeper
@pytest.mark.usefixtures("redis_url", "zookeeper_server")  # skips where they are missing
def test_redis_loses_what_was_debited_when_the_service_dies_before_the_credit() -> None:
    told = _told("redis")
    assert (told["result"], told["lost"], _sums(told)) == ("done", "0", {"debited": ALL - 3_000, "credited": ALL})
    told = _told("redis", "--fail", "crash")
    assert (told["result"], told["lost"], told["recovered"]["requests"]) == (None, "3000", [])
    told = _told("redis", "--fail", "credit")
    assert (told["result"], told["lost"]) == ("refused", "0")
    assert [each["what"] for step in told["steps"] for each in step["requests"]] == ["debit", "credit", "give back"]
    told = _told("redis", "--fail", "debit")
    assert (told["result"], told["lost"], len(told["steps"])) == ("refused", "0", 1)


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres_servers")
def test_two_phase_commit_loses_nothing_and_locks_both_accounts_until_it_is_recovered() -> None:
    told = _told("2pc")
    assert (told["result"], told["lost"]) == ("done", "0")
    assert [step["step"] for step in told["steps"] if step["locked"]] == [
        "one_prepared", "prepared", "decided", "one_committed"
    ]  # fmt: skip
    assert {step: found for step, found in _sums(told).items() if found != ALL} == {"one_committed": ALL - 3_000}
    told = _told("2pc", "--fail", "credit")
    assert (told["result"], told["lost"]) == ("refused", "0")


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres_servers")
def test_a_coordinator_that_dies_in_doubt_is_told_in_words() -> None:
    result = CliRunner().invoke(app, ["explain", "--demo", "2pc", "--fail", "crash"])
    assert result.exit_code == 0, result.output
    for told in (
        "both accounts are locked",
        "prepare (forced to disk)",
        "is killed",
        "rollback prepared",
        "all the money is there",
    ):
        assert told in result.stdout, told
