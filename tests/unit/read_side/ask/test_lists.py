"""Lists over HTTP: accounts by name, asset and owner; holds open on an account; what had a reference; and ids long forgotten."""

from __future__ import annotations

import random
import uuid
from pathlib import Path
from typing import Any

import pytest

from read_side.ask import account_list
from read_side.fold import account_order
from tests.unit.read_side.archive import Archive
from tests.unit.read_side.ask.test_transfers import USD, Bank, new_id
from tests.unit.read_side.block_maker import moved
from write_side.contract.state.ids import WINDOW_US
from write_side.ledger.commands.commands import Capture, Hold, Leg, LegsTransfer, Note, OpenAccount, Protocol, Void

EUR = "EUR/2"


async def names_of(bank: Archive, query: str) -> list[str]:
    """All pages."""
    found: list[str] = []
    page: dict[str, Any] = {"next": ""}
    while "next" in page:
        cursor = f"&cursor={page['next']}" if page["next"] else ""
        page = await bank.page(f"/v1/accounts?{query}{cursor}")
        found += [each["account"] for each in page["accounts"]]
    return found


@pytest.mark.parametrize("few", [account_order.FEW, 3])
async def test_accounts_are_listed_by_name_page_by_page_while_more_are_opened(
    bank: Archive, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(account_order, "FEW", few)
    chance = random.Random(1)
    known = {bank.alice, bank.bob, bank.carol}
    for turn in range(6):
        for partition in range(2):
            names = [bank.partitions.name(partition, f"n{chance.randrange(10**6):x}") for _ in range(7)]
            await bank.partitions.say(
                partition, *(OpenAccount(name, (USD, EUR)[i % 2], 0, f"o{i % 3}") for i, name in enumerate(names))
            )
            known |= set(names)
        limit = chance.randint(1, 5)
        assert await names_of(bank, f"limit={limit}") == sorted(known)
        assert await names_of(bank, f"prefix=n&limit={limit + 20}") == sorted(n for n in known if n.startswith("n"))
        if turn == 0:
            assert await names_of(bank, f"asset=EUR/2&limit={limit}") == sorted(await names_of(bank, "asset=EUR/2"))
    listed = (await bank.page("/v1/accounts?owner=o1&asset=EUR/2"))["accounts"]
    assert listed
    assert {(each["owner"], each["asset"]) for each in listed} == {("o1", EUR)}
    assert await names_of(bank, "prefix=zzz") == []


async def test_a_page_of_few_among_many_is_short_and_goes_on(bank: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_list, "LOOKED_AT_MAX", 4)
    names = sorted(bank.partitions.name(0, f"m{i:03}") for i in range(40))
    await bank.partitions.say(0, *(OpenAccount(name, EUR if i == 37 else USD, 0, "") for i, name in enumerate(names)))
    assert (await bank.page("/v1/accounts?asset=EUR/2&limit=2"))["accounts"] == []
    assert await names_of(bank, "asset=EUR/2&limit=2") == [names[37]]


@pytest.mark.parametrize(
    "query", ["cursor=@@", "cursor=YWJj!", "limit=0", "limit=1001", "prefix=@w", "asset=usd", "x=1"]
)
async def test_a_list_of_accounts_that_cannot_be_meant_is_refused(bank: Archive, query: str) -> None:
    assert (await bank.get(f"/v1/accounts?{query}")).status == 400


async def test_holds_open_on_an_account_are_listed_with_what_is_left(bank: Archive) -> None:
    legs = tuple(sorted([Leg(bank.alice, -30, USD), Leg(bank.carol, 30, USD)]))
    first, second, third = new_id(), new_id(), new_id()
    await bank.partitions.say(0, Hold(first, legs))
    await bank.partitions.say(0, Hold(second, legs), Hold(third, legs))
    await bank.partitions.say(0, Capture(new_id(), second, 10), Void(new_id(), third))
    page = await bank.page(f"/v1/accounts/{bank.alice}/holds")
    assert [(each["id"], each["amount"]) for each in page["holds"]] == [
        (str(uuid.UUID(bytes=first)), "30"), (str(uuid.UUID(bytes=second)), "20"),
    ]  # fmt: skip
    assert not page["more"]
    page = await bank.page(f"/v1/accounts/{bank.alice}/holds?limit=1")
    assert (len(page["holds"]), page["more"]) == (1, True)
    assert (await bank.page(f"/v1/accounts/{bank.carol}/holds"))["holds"] == []
    assert (await bank.get("/v1/accounts/nobody/holds")).status == 404


async def test_a_hold_tells_how_it_ended_in_parts(bank: Archive) -> None:
    hold, part, rest = new_id(), new_id(), new_id()
    legs = tuple(sorted([Leg(bank.alice, -30, USD), Leg(bank.carol, 30, USD)]))
    await bank.partitions.say(0, Hold(hold, legs))
    await bank.partitions.say(0, Capture(part, hold, 10))
    await bank.partitions.say(0, Void(rest, hold))
    told = await bank.transfer(uuid.UUID(bytes=hold))
    assert told["state"] == "over"
    assert [(each["kind"], each["id"]) for each in told["ended"]] == [
        ("capture", str(uuid.UUID(bytes=part))), ("void", str(uuid.UUID(bytes=rest))),
    ]  # fmt: skip


async def test_a_hold_tells_that_its_time_was_over(bank: Archive) -> None:
    hold = new_id()
    legs = tuple(sorted([Leg(bank.alice, -30, USD), Leg(bank.carol, 30, USD)]))
    deadline_us = bank.partitions.writers[0].now_us + 1_000_000
    await bank.partitions.say(0, Hold(hold, legs, deadline_us))
    for writer in bank.partitions.writers:
        writer.now_us += 2_000_000
    await bank.partitions.say(0, moved("@world", bank.carol, 1))
    told = await bank.transfer(uuid.UUID(bytes=hold))
    assert [(each["kind"], each["id"]) for each in told["ended"]] == [("expire", str(uuid.UUID(bytes=hold)))]


async def test_an_id_that_memory_forgot_is_answered_with_its_first_outcome(bank: Archive) -> None:
    done, refused, across = uuid.uuid4(), uuid.uuid4(), await bank.send(7)
    await bank.partitions.settle()
    await bank.partitions.say(0, moved(bank.alice, bank.carol, 5, done), moved(bank.alice, bank.carol, 5_000, refused))
    before = [await bank.transfer(each) for each in (done, refused, across)]
    for day in range(1, 4):
        for writer in bank.partitions.writers:
            writer.now_us += WINDOW_US // 2
        await bank.partitions.say(0, moved("@world", bank.carol, day))
    await bank.page(f"/v1/accounts/{bank.carol}")
    state = bank.projectors[0].fold.state
    assert state.find_transfer(done.bytes) is state.find_transfer(across.bytes) is None, "memory has forgotten them"
    assert [await bank.transfer(each) for each in (done, refused, across)] == before
    reply = await bank.get(f"/v1/transfers/{uuid.uuid4()}")
    assert reply.status == 404
    assert "remembered_since" not in reply.document, "every outcome that ever was has been looked at"


async def test_commands_are_found_by_their_reference(bank: Archive) -> None:
    legs = tuple(sorted([Leg(bank.alice, -1, USD), Leg(bank.carol, 1, USD)]))
    much = tuple(sorted([Leg(bank.alice, -10_000, USD), Leg(bank.carol, 10_000, USD)]))
    ids = [uuid.uuid4() for _ in range(3)]
    await bank.partitions.say(0, LegsTransfer(ids[0].bytes, legs, Protocol.SAGA, Note("invoice 7")))
    await bank.partitions.say(0, LegsTransfer(ids[1].bytes, legs, Protocol.SAGA, Note("invoice 8")))
    await bank.partitions.say(0, LegsTransfer(ids[2].bytes, much, Protocol.SAGA, Note("invoice 7")))
    page = await bank.page("/v1/transfers:find?reference=invoice%207")
    assert [(each["id"], each["result"]) for each in page["outcomes"]] == [
        (str(ids[2]), "refused"), (str(ids[0]), "done"),
    ]  # fmt: skip
    assert page["outcomes"][0]["code"] == "insufficient_available"
    assert (await bank.page("/v1/transfers:find?reference=invoice%207&limit=1"))["more"]
    assert (await bank.page("/v1/transfers:find?reference=none"))["outcomes"] == []
    assert (await bank.get("/v1/transfers:find")).status == 400


async def test_what_needs_history_says_why_it_is_not_there(tmp_path: Path) -> None:
    bank = Bank()
    await bank.open()
    reply = await bank.get("/v1/transfers:find?reference=x")
    assert (reply.status, reply.code) == (503, "history_unavailable")
    assert "FANFOLD_ARCHIVE" in reply.document["reason"]
    for target in ("entries", "holds"):
        reply = await bank.get(f"/v1/accounts/{bank.alice}/{target}")
        assert reply.status == (503 if target == "entries" else 200)
    await bank.stop()


async def test_the_trial_balance_of_a_moment_is_what_it_was_then_and_sums_to_zero(bank: Archive) -> None:
    seen: dict[str, Any] = {}
    for amount in range(1, 5):
        await bank.send(amount)
        await bank.partitions.settle()
        await bank.partitions.say(0, moved("@world", bank.carol, amount))
        told = await bank.page("/v1/system?asset=USD/2")
        accounts = (await bank.page("/v1/accounts?asset=USD/2"))["accounts"]
        assert int(told["world"]) + int(told["transit"]) + sum(int(each["posted"]) for each in accounts) == 0
        seen[told["positions"]] = (
            told,
            max(part["world"]["at"] for part in told["partitions"] if part["world"] is not None),
        )
    for number, (positions, (told, _)) in enumerate(seen.items()):
        then = await bank.page(f"/v1/system?asset=USD/2&as_of={positions}")
        for part in then["partitions"]:
            assert (len(part.pop("block_hash")), part.pop("final")) == (64, True)
        assert then == told, number
    before = await bank.page("/v1/system?asset=USD/2&as_of=2001-01-01T00:00:00Z")
    assert (before["world"], before["positions"]) == ("0", "")
    now = await bank.page("/v1/system?asset=USD/2&as_of=2099-01-01T00:00:00Z")
    assert now["world"] == told["world"]
    assert not any(part["final"] for part in now["partitions"])


@pytest.mark.parametrize(
    ("as_of", "status"), [("12", 400), ("0:1", 400), ("9:1", 400), ("2026-02-30T00:00:00Z", 400), ("0:99,1:99", 409)]
)
async def test_a_trial_balance_of_no_moment_is_refused(bank: Archive, as_of: str, status: int) -> None:
    assert (await bank.get(f"/v1/system?asset=USD/2&as_of={as_of}")).status == status


async def test_readiness_names_the_history_of_each_log_where_the_past_is_kept_too(bank: Archive) -> None:
    told = await bank.page("/readyz")
    assert [each["history"] for each in told["partitions"]] == [each.log_history for each in bank.projectors]
    assert all(each["history"] for each in told["partitions"])


async def test_a_transfer_between_partitions_is_found_as_it_ended(bank: Archive) -> None:
    legs = [Leg(bank.alice, -1, USD), Leg(bank.bob, 1, USD)]
    done, refused = uuid.uuid4(), uuid.uuid4()
    note = Note("order 9")
    await bank.partitions.say(0, LegsTransfer(done.bytes, tuple(sorted(legs)), Protocol.SAGA, note))
    assert [each["result"] for each in (await bank.page("/v1/transfers:find?reference=order%209"))["outcomes"]] == [
        "pending"
    ]
    await bank.partitions.settle()
    nobody = [Leg(bank.alice, -1, USD), Leg(bank.partitions.name(1, "nobody"), 1, USD)]
    await bank.partitions.say(0, LegsTransfer(refused.bytes, tuple(sorted(nobody)), Protocol.SAGA, note))
    await bank.partitions.settle()
    page = await bank.page("/v1/transfers:find?reference=order%209")
    assert [(each["id"], each["result"], each.get("code")) for each in page["outcomes"]] == [
        (str(refused), "refused", "account_unknown"), (str(done), "done", None),
    ]  # fmt: skip
    assert len((await bank.page("/v1/transfers:find?reference=order%209&limit=1"))["outcomes"]) == 1
