"""What cannot be read keeps nothing of the rest from being told: it is named, and the exit code says that something lacks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from fanfold.answers import AccountStatus, BalanceChange, ConnectionState
from fanfold.cli import watch
from tests.unit.fanfold.stub_wallet import StubWallet
from tests.unit.fanfold.test_cli import run

AT = "2026-01-01T00:00:00.000000Z"


@pytest.fixture
def wallet(wallet: StubWallet) -> StubWallet:
    """With accounts in it."""
    for account in ("alice", "bob", "carol"):
        run("open", account, "USD/2")
    return wallet


def test_balance_shows_the_accounts_that_can_be_read_and_names_the_others(wallet: StubWallet) -> None:
    wallet.unreadable = {"bob": "partition_unavailable"}
    told = run("balance", "alice", "bob", "carol", "nobody", "--json", code=2)
    assert [json.loads(line)["account"] for line in told.stdout.splitlines()] == ["alice", "carol"]
    assert "bob: not answered (partition_unavailable)" in told.stderr
    assert "it is damaged" in told.stderr
    assert "nobody: No such account" in told.stderr
    assert run("balance", "alice", "nobody", code=1).stdout


def test_a_balance_from_before_a_damaged_place_is_shown_as_old(wallet: StubWallet) -> None:
    wallet.stale = {"bob"}
    told = run("balance", "alice", "bob", "--json", code=2)
    assert [json.loads(line).get("stale_since") for line in told.stdout.splitlines()] == [None, AT]
    assert f"bob: old, of {AT} or before" in told.stderr


def test_balance_of_what_nobody_can_read_names_every_account(wallet: StubWallet) -> None:
    wallet.unreadable = {"alice": "partition_elsewhere", "bob": "partition_unavailable"}
    told = run("balance", "alice", "bob", code=2)
    assert "alice: not answered (partition_elsewhere)" in told.stderr
    assert "bob: not answered (partition_unavailable)" in told.stderr


def test_balance_of_a_service_that_is_away_says_so_once(wallet: StubWallet) -> None:
    wallet.fail_next = 1_000
    assert run("balance", "alice", "bob", code=2).stderr.count("Nothing was asked to change") == 1


def test_system_shows_the_partitions_that_can_be_read_and_names_the_others(wallet: StubWallet) -> None:
    run("transfer", "@world", "alice", "5.00", "USD/2")
    wallet.away = {1}
    told = run("system", "USD/2", code=2)
    assert "-5.00" in told.stdout
    assert "USD/2: partition 1 did not answer" in told.stderr
    document = json.loads(run("system", "USD/2", "--json", code=2).stdout)
    assert document["unanswered"] == [{"partition": 1, "code": "partition_unavailable"}]
    wallet.away = {0, 1}
    assert run("system", "USD/2", code=2).stdout == ""
    wallet.away = set()
    assert "unanswered" not in json.loads(run("system", "USD/2", "--json").stdout)


def test_watch_in_a_pipe_names_the_accounts_of_which_nothing_can_be_told(wallet: StubWallet) -> None:
    wallet.unreadable = {"bob": "partition_unavailable"}
    command = [sys.executable, "-m", "fanfold.cli.main", "watch", "alice", "bob", "nobody"]
    environment = os.environ | {"FANFOLD_URL": wallet.url}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = {process.stderr.readline() for _ in range(2)}
        process.stdout.readline()
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    assert first.startswith("alice\t")
    assert any(line.startswith("bob: ") and "(partition_unavailable)" in line for line in said)
    assert any(line.startswith("nobody: not open yet") for line in said)
    assert process.returncode == 143


def test_a_terminal_shows_the_others_and_says_why_one_has_no_figures() -> None:
    alice = BalanceChange("alice", "USD/2", 1, 500, 0, 500, AT, True)
    statuses = {name: AccountStatus(name, "partition_elsewhere") for name in ("bob", "nobody")}
    live = ConnectionState(True, "up to date")
    lines = watch.drawing(["alice", "bob"], {"alice": alice}, live, 100, 40, statuses)
    assert any("5.00" in line for line in lines)
    assert [line for line in lines if "partition_elsewhere" in line] == [
        "bob: This process does not project that partition (partition_elsewhere); shown once it can be read"
    ]
    assert lines[-1] == "live: up to date"
