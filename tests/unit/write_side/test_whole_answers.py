"""A transfer across partitions is answered alike by POST, by the same POST again and by GET: what it was about, and the state
after it of the accounts that its home knows."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.write_side.two_partitions import TwoPartitions, account, transfer_id

USD = "USD/2"
ALICE, CAROL = account(0, "alice"), account(0, "carol")
BOB, DAVE = account(1, "bob"), account(1, "dave")
ID, HOLD, OTHER = transfer_id(1), transfer_id(2), transfer_id(3)
TRANSFERS = "/v1/transfers"
PAYMENT: dict[str, Any] = {"id": ID, "from": ALICE, "to": BOB, "amount": "30", "asset": USD}
PARTLY_AT_HOME = [
    {"account": ALICE, "amount": "-30", "asset": USD},
    {"account": BOB, "amount": "20", "asset": USD},
    {"account": CAROL, "amount": "10", "asset": USD},
]
NOT_OF_THE_OUTCOME = ("legs", "step_accounts", "reversed_by")
"""What GET adds: the legs of the command, the accounts after each step, and what became of the transfer later."""

pytestmark = pytest.mark.parametrize("protocol", ["saga", "tcc"])


@pytest.fixture
async def bank() -> AsyncIterator[TwoPartitions]:
    async with TwoPartitions() as found:
        await _fill(found)
        yield found


async def _fill(bank: TwoPartitions) -> None:
    """alice and carol in one partition, bob and dave in the other; alice and bob have 100."""
    for name in (ALICE, BOB, CAROL, DAVE):
        await bank.done("PUT", f"/v1/accounts/{name}", {"asset": USD})
        if name in (ALICE, BOB):
            deposit = {"id": str(uuid.uuid4()), "from": "@world", "to": name, "amount": "100", "asset": USD}
            await bank.done("POST", TRANSFERS, deposit)


async def _everywhere(bank: TwoPartitions, path: str, command: dict[str, Any]) -> dict[str, Any]:
    """The one answer to this command: at once, repeated, from another process, and asked for later."""
    first = await bank.ask("POST", path, command)
    again = await bank.ask("POST", path, command)
    assert (again.status, again.document) == (first.status, first.document | {"repeated": True})
    later = await bank.told_later(command["id"], first.document["position"])
    assert {name: told for name, told in later.items() if name not in NOT_OF_THE_OUTCOME} == first.document
    await bank.restart()
    restarted = await bank.ask("POST", path, command)
    assert (restarted.status, restarted.document) == (first.status, first.document | {"repeated": True})
    return first.document


def _states(document: dict[str, Any]) -> dict[str, tuple[str, str, int]]:
    return {each["account"]: (each["posted"], each["held"], each["version"]) for each in document["accounts"]}


async def test_a_transfer_tells_the_accounts_of_its_home(bank: TwoPartitions, protocol: str) -> None:
    told = await _everywhere(bank, TRANSFERS, PAYMENT | {"protocol": protocol})
    assert told["result"] == "done"
    # A saga debits at once, tcc holds first and moves then.
    assert _states(told) == {ALICE: ("70", "0", 2 if protocol == "saga" else 3)}


async def test_an_account_that_is_touched_twice_is_told_as_the_transfer_left_it(
    bank: TwoPartitions, protocol: str
) -> None:
    command = {"id": ID, "legs": PARTLY_AT_HOME, "protocol": protocol}
    told = await _everywhere(bank, TRANSFERS, command)
    # A saga credits carol with an equal hold, and lets it go when bob is credited.
    versions = (2, 2) if protocol == "saga" else (3, 1)
    assert _states(told) == {ALICE: ("70", "0", versions[0]), CAROL: ("10", "0", versions[1])}


async def test_a_state_is_told_as_of_the_transfer_whatever_came_later(bank: TwoPartitions, protocol: str) -> None:
    command = PAYMENT | {"protocol": protocol}
    first = await bank.done("POST", TRANSFERS, command)
    await bank.done("POST", TRANSFERS, {"id": OTHER, "from": ALICE, "to": CAROL, "amount": "1", "asset": USD})
    assert await bank.done("POST", TRANSFERS, command) == first | {"repeated": True}
    [alice] = first["accounts"]
    assert alice["posted"] == "70"
    assert alice["position"].startswith("0:")


async def test_a_capture_names_its_hold_and_tells_what_is_still_held(bank: TwoPartitions, protocol: str) -> None:
    await bank.done("POST", "/v1/holds", {"id": HOLD, "from": ALICE, "to": BOB, "amount": "50", "asset": USD})
    told = await _everywhere(bank, f"/v1/holds/{HOLD}/capture", {"id": ID, "amount": "20", "protocol": protocol})
    assert told["hold"] == HOLD
    assert {name: state[:2] for name, state in _states(told).items()} == {ALICE: ("80", "30")}


async def test_a_final_capture_tells_the_account_with_the_rest_let_go(bank: TwoPartitions, protocol: str) -> None:
    await bank.done("POST", "/v1/holds", {"id": HOLD, "from": ALICE, "to": BOB, "amount": "50", "asset": USD})
    capture = {"id": ID, "amount": "20", "final": True, "protocol": protocol}
    told = await _everywhere(bank, f"/v1/holds/{HOLD}/capture", capture)
    assert {name: state[:2] for name, state in _states(told).items()} == {ALICE: ("80", "0")}


async def test_a_reversal_names_what_it_reverses(bank: TwoPartitions, protocol: str) -> None:
    await bank.done("POST", TRANSFERS, PAYMENT)
    told = await _everywhere(bank, f"/v1/transfers/{ID}/reverse", {"id": OTHER, "protocol": protocol})
    assert told["reverses"] == ID
    # It is run where the transfer was: alice's partition is home again.
    assert {name: state[:2] for name, state in _states(told).items()} == {ALICE: ("100", "0")}


async def test_reference_and_metadata_are_given_back(bank: TwoPartitions, protocol: str) -> None:
    note = {"reference": "order 7", "metadata": {"a": "b"}}
    told = await _everywhere(bank, TRANSFERS, PAYMENT | note | {"protocol": protocol})
    assert {name: told[name] for name in note} == note


async def test_a_refused_capture_names_its_hold_and_no_accounts(bank: TwoPartitions, protocol: str) -> None:
    await bank.done("POST", "/v1/holds", {"id": HOLD, "from": ALICE, "to": BOB, "amount": "50", "asset": USD})
    await bank.done("PATCH", f"/v1/accounts/{BOB}", {"id": OTHER, "credit": "frozen"})
    told = await _everywhere(bank, f"/v1/holds/{HOLD}/capture", {"id": ID, "protocol": protocol})
    assert (told["code"], told["phase"], told["hold"]) == ("account_frozen_for_credit", "refused", HOLD)
    assert "accounts" not in told


async def test_what_is_under_way_says_what_it_is_about(bank: TwoPartitions, protocol: str) -> None:
    await bank.done("POST", "/v1/holds", {"id": HOLD, "from": ALICE, "to": BOB, "amount": "50", "asset": USD})
    reply = await bank.ask("POST", f"/v1/holds/{HOLD}/capture", {"id": ID, "protocol": protocol}, "wait=0")
    assert (reply.status, reply.document["result"], reply.document["hold"]) == (202, "pending", HOLD)


async def test_a_dry_run_of_a_capture_tells_what_the_answer_would(bank: TwoPartitions, protocol: str) -> None:
    hold = await bank.done(
        "POST", "/v1/holds", {"id": str(uuid.uuid4()), "from": ALICE, "to": BOB, "amount": "50", "asset": USD}
    )
    told = await _dry_and_real(
        bank, f"/v1/holds/{hold['id']}/capture", {"amount": "20", "final": True, "protocol": protocol}
    )
    assert told["hold"] == hold["id"]


@pytest.mark.parametrize("receiver", [BOB, CAROL])
async def test_a_dry_run_of_a_reversal_tells_what_the_answer_would(
    bank: TwoPartitions, protocol: str, receiver: str
) -> None:
    done = await bank.done("POST", TRANSFERS, PAYMENT | {"id": str(uuid.uuid4()), "to": receiver})
    told = await _dry_and_real(bank, f"/v1/transfers/{done['id']}/reverse", {"protocol": protocol})
    assert told["reverses"] == done["id"]


async def _dry_and_real(bank: TwoPartitions, path: str, command: dict[str, Any]) -> dict[str, Any]:
    """The answer to a dry run, once the command itself is answered alike."""
    named = command | {"id": str(uuid.uuid4())}
    dry = await bank.done("POST", path, named | {"dry_run": True})
    real = await bank.done("POST", path, named)
    assert _states(dry) == _states(real) != {}
    assert dry["result"] == real["result"] == "done"
    return dry
