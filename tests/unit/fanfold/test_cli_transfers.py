"""Transfers under way as a person meets them: the list from the service, the explanation from the log."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest

from tests.unit.fanfold.stub_wallet import StubWallet
from tests.unit.fanfold.test_cli import run
from tests.unit.read_side.block_maker import opened
from tests.unit.read_side.partitions import Partitions
from write_side.contract.log.log_file import FileLog
from write_side.ledger.commands.commands import Leg, LegsTransfer, Transfer

USD = "USD/2"
TRANSFER = uuid.UUID("01970f3e-7b1a-4c3e-8a2b-1234567890ab")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two partitions; 30.00 went from an account of the one to an account of the other, as a saga."""

    async def fill() -> None:
        file = await FileLog.open(tmp_path / "data", 2)
        partitions = Partitions(file)
        alice, bob = partitions.name(0, "alice"), partitions.name(1, "bob")
        await partitions.say(0, opened(alice))
        await partitions.say(1, opened(bob))
        await partitions.say(0, Transfer(uuid.uuid4().bytes, "@world", alice, 10_000, USD))
        legs = tuple(sorted([Leg(alice, -3_000, USD), Leg(bob, 3_000, USD)]))
        await partitions.say(0, LegsTransfer(TRANSFER.bytes, legs))
        await partitions.settle()
        await file.close()

    asyncio.run(fill())
    monkeypatch.setenv("FANFOLD_DATA", str(tmp_path / "data"))


def test_what_is_under_way_is_listed_with_what_it_waits_for(wallet: StubWallet) -> None:
    listed = run("transfers", "--phase", "trying,paying", "--older-than", "5").stdout
    assert "trying,paying" in listed
    assert "try of step 1 in partition 2" in listed
    assert "5.0 s" in listed


def test_stuck_means_a_minute_or_more(wallet: StubWallet) -> None:
    [found] = json.loads(run("transfers", "--stuck", "--json").stdout)
    assert (found["id"], found["age_ms"]) == ("open", 60_000)
    [found] = json.loads(run("transfers", "--stuck", "--older-than", "90", "--json").stdout)
    assert found["age_ms"] == 90_000


def test_one_partition_that_does_not_answer_keeps_nothing_of_the_others_from_being_told(wallet: StubWallet) -> None:
    wallet.away = {1}
    told = run("transfers", "--stuck", "--json", code=2)
    assert [each["partition"] for each in json.loads(told.stdout)] == [0]
    assert "partition 1 did not answer" in told.stderr
    assert "it is damaged" in told.stderr
    assert "partition 0" not in told.stderr
    wallet.away = {0, 1}
    assert "in the partitions that answer" in run("transfers", code=2).stdout


def test_a_list_that_is_old_of_one_partition_is_shown_and_says_so(wallet: StubWallet) -> None:
    since = "2026-01-01T00:00:00.000000Z"
    wallet.stale_partitions = [{"partition": 1, "stale_since": since, "reason": "partition 1 stops before block 7"}]
    for more in ((), ("--json",)):
        told = run("transfers", *more, code=2)
        assert "open" in told.stdout
        assert f"partition 1 is old, of {since} or before" in told.stderr


def test_some_partitions_are_asked_for_by_their_numbers(wallet: StubWallet) -> None:
    wallet.away = {0}
    [found] = json.loads(run("transfers", "--partitions", "1", "--json").stdout)
    assert found["partition"] == 1
    assert "parameter_malformed" in run("transfers", "--partitions", "7", code=1).stderr
    assert "must be numbers" in run("transfers", "--partitions", "a", code=2).stderr


def test_a_transfer_is_explained_from_the_log(log: None) -> None:
    told = run("explain", str(TRANSFER)).stdout
    assert "1. partition 0" in told
    assert "transfer (saga): pending, now crediting" in told
    assert "asks     partition 1 to try step 1" in told
    assert "posted 100.00 -> 70.00, held 0.00" in told
    assert "in flight 30.00 USD/2 of this transfer" in told
    assert "heard    try of step 1: done in partition 1" in told
    assert "in flight 0.00 USD/2 of this transfer; 0.00 in the transit accounts of all partitions" in told
    document = json.loads(run("explain", str(TRANSFER), "--json").stdout)
    assert [step["partition"] for step in document["steps"]] == [0, 1, 0]


def test_an_unknown_or_malformed_id_is_a_sentence(log: None) -> None:
    assert "No partition knows this id" in run("explain", str(uuid.uuid4()), code=1).stderr
    assert "TRANSFER" in run("explain", "nonsense", code=2).stderr
