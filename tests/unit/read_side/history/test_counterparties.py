"""Statements of accounts whose money goes to other partitions: the accounts on the other side, named from the home's log."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.read_side.archive import Archive
from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.ask.test_transfers import USD, new_id
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.doors.test_http_api import Side
from tests.unit.read_side.partitions import Partitions
from write_side.contract.block import block_rows
from write_side.contract.block.block import decode
from write_side.contract.block.block_rows import BlockRows
from write_side.contract.block.columns import DETAILS, LEGS, LINKS, PENDING, REPEATS, STEPS
from write_side.ledger.commands.commands import (
    Capture,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    Protocol,
    Reverse,
    Transfer,
)


async def lines(bank: Archive, account: str) -> list[tuple[str, str, list[str]]]:
    """Kind, amount and the other accounts of each line, the oldest first."""
    page = await bank.page(f"/v1/accounts/{account}/entries?order=oldest")
    return [(each["kind"], each["amount"], each["accounts"]) for each in page["entries"]]


@pytest.mark.parametrize("protocol", Protocol)
async def test_each_side_names_the_other_one(bank: Archive, protocol: Protocol) -> None:
    await bank.send(7, protocol)
    await bank.partitions.settle()
    await bank.send(3, protocol, reverse=True)
    await bank.partitions.settle()
    assert {others for _, _, told in (await lines(bank, bank.alice))[1:] for others in told} == {bank.bob}
    assert {others for _, _, told in await lines(bank, bank.bob) for others in told} == {bank.alice}
    moves = [(kind, amount) for kind, amount, _ in await lines(bank, bank.bob) if amount != "0"]
    assert [amount for _, amount in moves] == ["7", "-3"]


async def test_before_the_other_side_has_moved_it_is_named_too(bank: Archive) -> None:
    await bank.send(7)
    assert (await lines(bank, bank.alice))[-1] == ("transfer", "-7", [bank.bob])


async def test_what_came_back_names_the_account_that_it_did_not_reach(bank: Archive) -> None:
    nobody = bank.partitions.name(1, "nobody")
    legs = tuple(sorted([Leg(bank.alice, -1, USD), Leg(nobody, 1, USD)]))
    await bank.partitions.say(0, LegsTransfer(new_id(), legs))
    await bank.partitions.settle()
    assert (await lines(bank, bank.alice))[-2:] == [("transfer", "-1", [nobody]), ("answer", "1", [nobody])]


async def test_of_several_legs_all_are_named_those_of_the_own_partition_too(bank: Archive) -> None:
    legs = tuple(sorted([Leg(bank.alice, -5, USD), Leg(bank.bob, 2, USD), Leg(bank.carol, 3, USD)]))
    await bank.partitions.say(0, LegsTransfer(new_id(), legs))
    await bank.partitions.settle()
    for account in (bank.alice, bank.bob, bank.carol):
        others = sorted({bank.alice, bank.bob, bank.carol} - {account})
        assert sorted((await lines(bank, account))[-1][2]) == others


async def test_a_system_account_is_named_with_its_asset(bank: Archive) -> None:
    legs = tuple(sorted([Leg("@world", -5, USD), Leg(bank.alice, 2, USD), Leg(bank.bob, 3, USD)]))
    await bank.partitions.say(0, LegsTransfer(new_id(), legs))
    await bank.partitions.settle()
    assert sorted((await lines(bank, bank.bob))[-1][2]) == ["@world:USD/2", bank.alice]


async def test_a_capture_names_the_accounts_of_its_hold(bank: Archive) -> None:
    hold = new_id()
    await bank.partitions.say(0, Hold(hold, tuple(sorted([Leg(bank.alice, -9, USD), Leg(bank.bob, 9, USD)]))))
    await bank.partitions.say(0, Capture(new_id(), hold, 4))
    await bank.partitions.settle()
    await bank.partitions.say(0, Capture(new_id(), hold))
    await bank.partitions.settle()
    assert [(amount, told) for _, amount, told in (await lines(bank, bank.alice))[-2:]] == [
        ("-4", [bank.bob]), ("-5", [bank.bob])
    ]  # fmt: skip
    assert [(amount, told) for _, amount, told in await lines(bank, bank.bob)] == [
        ("4", [bank.alice]), ("5", [bank.alice])
    ]  # fmt: skip


async def test_a_reversal_names_the_accounts_of_what_it_reverses(bank: Archive) -> None:
    paid = await bank.send(6)
    await bank.partitions.settle()
    back = tuple(sorted([Leg(bank.alice, 6, USD), Leg(bank.bob, -6, USD)]))
    await bank.partitions.say(0, Reverse(new_id(), paid.bytes, back))
    await bank.partitions.settle()
    for account, other in ((bank.alice, bank.bob), (bank.bob, bank.alice)):
        told = await lines(bank, account)
        assert told[-1][2] == [other]
    assert sum(int(amount) for _, amount, _ in await lines(bank, bank.bob)) == 0


async def test_lines_within_the_partition_name_whom_they_changed(bank: Archive) -> None:
    await bank.partitions.say(0, moved(bank.alice, bank.carol, 2), moved("@world", bank.alice, 1))
    assert (await lines(bank, bank.alice))[-2:] == [
        ("transfer", "-2", [bank.carol]),
        ("transfer", "1", ["@world:USD/2"]),
    ]


async def test_lines_in_every_form_and_of_one_transfer_say_the_same(bank: Archive) -> None:
    paid = await bank.send(7)
    await bank.partitions.settle()
    for query in ("format=ndjson", f"transfer={paid}&format=ndjson"):
        text = (await bank.get(f"/v1/accounts/{bank.bob}/entries?{query}")).body.decode()
        assert f'"accounts":["{bank.alice}"]' in text
    text = (await bank.get(f"/v1/accounts/{bank.bob}/entries?format=csv")).body.decode()
    assert f",{bank.alice},,,,\r\n" in text


async def test_where_the_home_is_not_followed_transit_stands_with_the_id_of_the_transfer(tmp_path: Path) -> None:
    side = Side(2, projects=(1,), archive=tmp_path)
    partitions = Partitions(side.log)
    alice, bob = partitions.name(0, "alice"), partitions.name(1, "bob")
    await partitions.say(0, opened(alice), Transfer(new_id(), "@world", alice, 100, USD))
    await partitions.say(1, opened(bob))
    there, back = uuid.uuid4(), uuid.uuid4()
    await partitions.say(0, LegsTransfer(there.bytes, tuple(sorted([Leg(alice, -7, USD), Leg(bob, 7, USD)]))))
    await partitions.settle()
    await partitions.say(1, LegsTransfer(back.bytes, tuple(sorted([Leg(alice, 2, USD), Leg(bob, -2, USD)]))))
    await side.start()
    await side.keep()
    page = (await ask(side.app(), "GET", f"/v1/accounts/{bob}/entries?order=oldest")).document
    assert [(each["transfer"], each["accounts"]) for each in page["entries"]] == [
        (str(there), ["@transit:USD/2"]), (str(back), [alice])
    ], "its own log has the name of whom it pays"  # fmt: skip
    await side.stop()


async def test_where_the_history_of_the_home_is_not_read_yet_transit_stands(bank: Archive) -> None:
    await bank.send(7)
    await bank.partitions.settle()
    history = bank.projectors[0].history
    assert history is not None
    assert (await lines(bank, bank.bob))[-1][2] == [bank.alice]
    history.unavailable = "it is being read"
    assert (await lines(bank, bank.bob))[-1][2] == ["@transit:USD/2"]


def plain(value: Any) -> Any:
    return value.tobytes() if isinstance(value, np.ndarray) else value


async def test_rows_read_where_they_lie_are_those_of_the_decoded_block(
    bank: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold, across = new_id(), tuple(sorted([Leg(bank.alice, -2, USD), Leg(bank.bob, 2, USD)]))
    repeated = LegsTransfer(new_id(), across, Protocol.TCC, Note("order 1", '{"a":"b"}'))
    for turn in range(3):
        notes = [Note("x" * turn * 100) if turn else Note()] * (turn * 150)
        several: list[Command] = [LegsTransfer(new_id(), across, Protocol.SAGA, note) for note in notes]
        several += [Hold(hold, across), repeated, repeated] if turn == 1 else []
        several += [Capture(new_id(), hold, 1), moved(bank.alice, bank.carol, 10_000)] if turn == 2 else []
        await bank.partitions.say(0, *several)
        await bank.partitions.settle()
    rows = 0
    for data in (each for writer in bank.partitions.writers for each in writer.blocks):
        block = decode(data)
        with monkeypatch.context() as older:
            older.setattr(block_rows, "PLAIN_COLUMNS_SINCE", 99)
            decoded = BlockRows(memoryview(data))
        for section in (REPEATS, LEGS, PENDING, STEPS, LINKS, DETAILS):
            columns: dict[str, Any] = getattr(block, section.name)
            for outcome in range(len(block.outcomes["kind"]) + 1):
                told = np.flatnonzero(columns["outcome"] == outcome)
                expected = [tuple(plain(column[at]) for column in columns.values()) for at in told]
                assert BlockRows(memoryview(data)).of(section, outcome, [*columns]) == expected
                if outcome < 3:
                    assert decoded.of(section, outcome, [*columns]) == expected
                rows += len(expected)
    assert rows > 1_000
