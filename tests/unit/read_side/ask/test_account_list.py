"""Several accounts at one moment over HTTP: some ids, or a page by name; and those that were not there then are told as such."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fanfold.api.questions import ACCOUNTS_MAX
from read_side.ask import account_list
from read_side.doors.http_api import IDS_BYTES_MAX
from tests.unit.read_side.archive import Archive
from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.ask.test_lists import EUR
from tests.unit.read_side.ask.test_stale import Damaged
from tests.unit.read_side.ask.test_transfers import USD, Bank
from tests.unit.read_side.block_maker import changed, moved, opened
from tests.unit.read_side.doors.test_http_api import Side
from write_side.contract.block.block import decode
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.codes import Flag
from write_side.contract.words.times import format_time
from write_side.ledger.commands.commands import OpenAccount

FUTURE = "2099-01-01T00:00:00Z"
BEFORE_ALL = "2001-01-01T00:00:00Z"


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[Damaged]:
    found = Damaged(tmp_path)
    await found.open()
    yield found
    await found.stop()


async def some(bank: Archive, *names: str, as_of: str | None = None, more: str = "") -> dict[str, Any]:
    moment = "" if as_of is None else f"&as_of={as_of}"
    found: dict[str, Any] = await bank.page(f"/v1/accounts?ids={','.join(names)}{moment}{more}")
    return found


def hash_of(bank: Bank, position: str) -> str:
    partition, sequence = map(int, position.split(":"))
    return decode(bank.partitions.writers[partition].blocks[sequence]).header.block_hash.hex()


def at(bank: Bank, partition: int, sequence: int) -> str:
    return format_time(decode(bank.partitions.writers[partition].blocks[sequence]).header.created_at_us)


async def test_some_accounts_are_told_as_each_of_them_is_alone(bank: Archive) -> None:
    names = sorted((bank.alice, bank.bob, bank.carol))
    page = await some(bank, *reversed(names))
    assert page["accounts"] == [await bank.page(f"/v1/accounts/{name}") for name in names]
    assert page.keys() == {"accounts", "positions"}
    assert page["positions"] == "0:1,1:0"


async def test_accounts_as_of_a_moment_are_as_each_alone_and_each_partition_tells_its_block(bank: Archive) -> None:
    chance = random.Random(3)
    names = [bank.alice, bank.bob, bank.carol]
    for amount in range(1, 6):
        await bank.send(amount)
        await bank.partitions.settle()
        await bank.partitions.say(0, moved("@world", bank.carol, amount))
        await bank.partitions.say(1, changed(bank.bob, chance.choice((Flag.CREDIT_FROZEN, Flag(0)))))
        await bank.partitions.say(1, changed(bank.bob, clear=Flag.CREDIT_FROZEN))
    last = [len(writer.blocks) - 1 for writer in bank.partitions.writers]
    for _ in range(12):
        positions = f"0:{chance.randint(0, last[0])},1:{chance.randint(0, last[1])}"
        for moment in (positions, at(bank, (p := chance.randint(0, 1)), chance.randint(1, last[p]))):
            page = await some(bank, *names, as_of=moment)
            alone = [await bank.page(f"/v1/accounts/{name}?as_of={moment}") for name in sorted(names)]
            assert page["accounts"] == alone, moment
            assert "absent" not in page
            told = {each["partition"]: each for each in page["partitions"]}
            assert [*told] == [0, 1]
            for each in told.values():
                assert each["block_hash"] == hash_of(bank, each["position"])
            assert page["positions"] == ",".join(each["position"] for each in told.values())
            assert {(each["position"], each["final"]) for each in page["accounts"]} <= {
                (each["position"], each["final"]) for each in told.values()
            }


async def test_an_account_that_was_not_there_then_is_told_as_such(bank: Archive) -> None:
    young = bank.partitions.name(0, "young")
    await bank.partitions.say(0, opened(young), moved("@world", young, 3))
    await bank.partitions.say(0, moved("@world", young, 4))
    nobody = bank.partitions.name(1, "nobody")
    page = await some(bank, bank.alice, young, nobody, as_of="0:1,1:0")
    assert [each["account"] for each in page["accounts"]] == [bank.alice]
    assert page["absent"] == [{"account": nobody, "position": "1:0"}, {"account": young, "position": "0:1"}]
    page = await some(bank, young, as_of="0:2")
    assert ([each["posted"] for each in page["accounts"]], "absent" in page) == (["3"], False)
    page = await some(bank, nobody)
    assert (page["accounts"], page["absent"]) == ([], [{"account": nobody, "position": "1:0"}])


async def test_a_moment_before_the_first_block_has_nobody_in_it(bank: Archive) -> None:
    page = await some(bank, bank.alice, bank.bob, as_of=BEFORE_ALL)
    assert page == {
        "accounts": [],
        "positions": "",
        "absent": [{"account": bank.alice}, {"account": bank.bob}],
        "partitions": [{"partition": p, "position": None, "final": True} for p in (0, 1)],
    }


async def test_a_moment_in_the_future_is_told_and_is_not_final(bank: Archive) -> None:
    page = await some(bank, bank.alice, bank.bob, as_of=FUTURE)
    now = await some(bank, bank.alice, bank.bob)
    assert [each["final"] for each in page["accounts"] + page["partitions"]] == [False] * 4
    added = ("final", "block_hash")
    told = [{name: each[name] for name in each if name not in added} for each in page["accounts"]]
    assert (told, page["positions"]) == (now["accounts"], now["positions"])
    newest = at(bank, 0, 1)
    assert not (await some(bank, bank.alice, as_of=newest))["partitions"][0]["final"]
    await bank.partitions.say(0, moved("@world", bank.carol, 1))
    later = await some(bank, bank.alice, as_of=newest)
    assert [(each["final"], each["position"]) for each in later["accounts"]] == [(True, "0:1")]


async def test_an_account_that_was_opened_is_never_told_as_absent_of_now_or_of_the_future(bank: Archive) -> None:
    for number in range(4):
        name = bank.partitions.name(number % 2, f"new{number}")
        await bank.partitions.say(number % 2, opened(name))
        moment = ("", f"&as_of={FUTURE}")[number // 2]
        reply = await ask(bank.app(), "GET", f"/v1/accounts?ids={name}{moment}")
        assert [each["account"] for each in reply.document["accounts"]] == [name]
        assert "absent" not in reply.document
    await bank.stop()
    await bank.partitions.say(0, opened(late := bank.partitions.name(0, "late")))
    for moment in ("", f"&as_of={FUTURE}", "&as_of=0:9"):
        reply = await ask(bank.app(), "GET", f"/v1/accounts?ids={late}{moment}")
        assert (reply.status, reply.code) == (503, "view_rebuilding")
    reply = await ask(bank.app(), "GET", f"/v1/accounts?ids={late}&as_of=0:1")
    assert reply.document["absent"] == [{"account": late, "position": "0:1"}], (
        "then it was not there, whatever came since"
    )


REFUSED = (
    ("ids=", "account_malformed", "ids"),
    ("ids=alice,", "account_malformed", "ids"),
    ("ids=al%20ice", "account_malformed", "ids"),
    ("ids=@world", "account_malformed", "ids"),
    (f"ids={'a' * 65}", "account_malformed", "ids"),
    ("ids=alice%0A", "account_malformed", "ids"),
    ("ids=alice,bob,alice", "parameter_malformed", "ids"),
    ("ids=alice&prefix=a", "parameter_malformed", "ids"),
    ("ids=alice&asset=USD/2", "parameter_malformed", "ids"),
    ("ids=alice&owner=anna", "parameter_malformed", "ids"),
    ("ids=alice&limit=5", "parameter_malformed", "ids"),
    ("ids=alice&cursor=YWxpY2U", "parameter_malformed", "ids"),
    ("ids=alice&partitions=2", "parameter_malformed", "partitions"),
    ("ids=alice&as_of=12", "parameter_malformed", "as_of"),
    ("as_of=12", "parameter_malformed", "as_of"),
    ("as_of=then", "parameter_malformed", "as_of"),
    ("as_of=", "parameter_malformed", "as_of"),
    ("as_of=2026-02-30T00:00:00Z", "parameter_malformed", "as_of"),
    ("as_of=0:1", "position_malformed", "as_of"),
    ("as_of=0:1,1:0,2:0", "position_malformed", "as_of"),
    ("as_of=0:1,0:2", "position_malformed", "as_of"),
)


@pytest.mark.parametrize(("query", "code", "field"), REFUSED)
async def test_what_cannot_be_meant_is_refused_by_name(bank: Archive, query: str, code: str, field: str) -> None:
    reply = await bank.get(f"/v1/accounts?{query}")
    assert (reply.status, reply.code, reply.document["field"]) == (400, code, field)


async def test_a_version_is_no_moment_of_several_accounts_and_the_refusal_says_so(bank: Archive) -> None:
    reply = await bank.get(f"/v1/accounts?ids={bank.alice}&as_of=1")
    assert "a version is of one account alone" in reply.document["detail"]


async def test_positions_must_name_the_partitions_where_the_accounts_live(bank: Archive) -> None:
    assert (await some(bank, bank.alice, as_of="0:1"))["positions"] == "0:1"
    reply = await bank.get(f"/v1/accounts?ids={bank.alice},{bank.bob}&as_of=0:1")
    assert (reply.status, reply.code) == (400, "position_malformed")
    assert "has none of partition 1" in reply.document["detail"]


async def test_a_position_that_is_not_there_yet_is_409(bank: Archive) -> None:
    reply = await bank.get(f"/v1/accounts?ids={bank.alice},{bank.bob}&as_of=0:2,1:0")
    assert (reply.status, reply.code, reply.document["position"]) == (409, "position_not_reached", "0:1")


async def test_a_thousand_accounts_are_told_at_one_moment_and_more_are_refused(bank: Archive) -> None:
    names = [f"customer-{number:04}" for number in range(ACCOUNTS_MAX + 1)]
    for partition in (0, 1):
        mine = [name for name in names[:-1] if partition_of(name, 2) == partition]
        await bank.partitions.say(partition, *map(opened, mine))
        await bank.partitions.say(partition, *(moved("@world", name, 1 + number) for number, name in enumerate(mine)))
    then = ",".join(f"{p}:{len(writer.blocks) - 1}" for p, writer in enumerate(bank.partitions.writers))
    now = await some(bank, *names[:-1])
    assert [each["account"] for each in now["accounts"]] == names[:-1]
    for partition in (0, 1):
        await bank.partitions.say(
            partition, *(moved("@world", each, 5) for each in names[:-1] if partition_of(each, 2) == partition)
        )
    page = await some(bank, *names[:-1], as_of=then)
    assert page["positions"] == then
    assert [(each["account"], each["posted"], each["version"]) for each in page["accounts"]] == [
        (each["account"], each["posted"], each["version"]) for each in now["accounts"]
    ]
    reply = await bank.get(f"/v1/accounts?ids={','.join(names)}")
    assert (reply.status, reply.code, reply.document["field"]) == (400, "parameter_malformed", "ids")
    reply = await bank.get(f"/v1/accounts?ids={'a' * IDS_BYTES_MAX}")
    assert (reply.status, reply.code, reply.document["field"]) == (400, "parameter_malformed", "query")


async def test_ids_of_some_partitions_are_those_that_live_there(bank: Archive) -> None:
    page = await some(bank, bank.alice, bank.bob, as_of="0:1", more="&partitions=0")
    assert ([each["account"] for each in page["accounts"]], page["positions"]) == ([bank.alice], "0:1")
    assert "absent" not in page, "of the other nothing was asked"


async def all_pages(bank: Archive, query: str) -> list[dict[str, Any]]:
    pages = [await bank.page(f"/v1/accounts?{query}")]
    while "next" in pages[-1]:
        pages.append(await bank.page(f"/v1/accounts?{query}&cursor={pages[-1]['next']}"))
    return pages


async def test_a_page_of_a_moment_has_the_accounts_that_were_there_then(bank: Archive) -> None:
    chance = random.Random(5)
    seen: list[tuple[str, str, list[dict[str, Any]]]] = []
    for turn in range(4):
        for partition in (0, 1):
            names = [bank.partitions.name(partition, f"n{chance.randrange(10**6):x}") for _ in range(6)]
            await bank.partitions.say(
                partition, *(OpenAccount(name, (USD, EUR)[i % 2], 0, f"o{i % 3}") for i, name in enumerate(names))
            )
            await bank.partitions.say(partition, *(moved("@world", name, turn + 1) for name in names[::2]))
        for query in ("limit=1000", "prefix=n&limit=1000", "asset=EUR/2&limit=1000", "owner=o1&limit=1000"):
            page = await bank.page(f"/v1/accounts?{query}")
            seen.append((query, page["positions"], page["accounts"]))
    for query, positions, accounts in seen:
        [page] = await all_pages(bank, f"{query}&as_of={positions}")
        assert [
            {name: each[name] for name in each if name not in ("final", "block_hash")} for each in page["accounts"]
        ] == accounts
        assert all(each["final"] for each in page["partitions"])
        small = await all_pages(bank, f"{query.replace('1000', '2')}&as_of={positions}")
        assert [each for one in small for each in one["accounts"]] == page["accounts"]
        assert {one["positions"] for one in small} == {positions}
    [page] = await all_pages(bank, f"as_of={BEFORE_ALL}")
    assert (page["accounts"], page["positions"]) == ([], "")


async def test_a_page_of_a_moment_of_few_among_many_is_short_and_goes_on(
    bank: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_list, "LOOKED_AT_MAX", 4)
    await bank.partitions.say(0, *(opened(bank.partitions.name(0, f"m{number:03}")) for number in range(40)))
    pages = await all_pages(bank, "as_of=0:1,1:0&limit=2")
    assert len(pages) > 3
    assert [each["account"] for page in pages for each in page["accounts"]] == sorted(
        (bank.alice, bank.bob, bank.carol)
    )


async def test_what_is_damaged_keeps_nothing_of_what_is_final_and_is_told_of_the_rest(damaged: Damaged) -> None:
    bank, told = damaged, await damaged.damage()
    names = [bank.alice, bank.bob, nobody := bank.partitions.name(0, "nobody")]
    page = await some(bank, *names, as_of="0:1,1:0")
    assert [each.get("stale_since") for each in page["accounts"] + page["partitions"]] == [None] * 4
    assert (page["absent"], "stale" in page) == ([{"account": nobody, "position": "0:1"}], False)
    page = await some(bank, bank.alice, bank.bob, as_of=FUTURE)
    assert page["stale"] == [told]
    assert [each.get("stale_since") for each in page["accounts"]] == [bank.since, None]
    assert [each.get("stale_since") for each in page["partitions"]] == [bank.since, None]
    assert "stale" not in await some(bank, bank.bob, as_of=FUTURE)
    assert (await some(bank, bank.alice))["stale"] == [told]
    for moment in ("", f"&as_of={FUTURE}"):
        reply = await bank.get(f"/v1/accounts?ids={bank.alice},{nobody}{moment}")
        assert (reply.status, reply.code) == (503, "partition_unavailable"), "it may be in what is damaged"
    reply = await bank.get(f"/v1/accounts?ids={bank.alice}&as_of=0:9")
    assert (reply.status, reply.code) == (503, "partition_unavailable")
    page = await bank.page(f"/v1/accounts?as_of={FUTURE}")
    assert page["stale"] == [told]
    assert "stale" not in await bank.page("/v1/accounts?as_of=0:1,1:0")


async def test_accounts_of_partitions_that_are_not_followed_here_are_elsewhere(tmp_path: Path) -> None:
    side = Side(4, projects=(0, 1), archive=tmp_path)
    names = {p: next(n for i in range(1000) if partition_of(n := f"a-{i}", 4) == p) for p in range(4)}
    for p, writer in enumerate(side.writers):
        await writer.append(opened(names[p]), moved("@world", names[p], 10 + p))
    await side.start()
    await side.keep()
    for moment in ("", f"&as_of={BEFORE_ALL}", "&as_of=0:0,1:0,2:0,3:0"):
        reply = await ask(side.app(), "GET", f"/v1/accounts?ids={','.join(names.values())}{moment}")
        assert (reply.status, reply.code, reply.document["partitions"]) == (503, "partition_elsewhere", [2, 3])
        reply = await ask(side.app(), "GET", f"/v1/accounts?ids={names[0]},{names[1]}{moment}")
        assert (reply.status, len(reply.document["accounts"])) == (200, 0 if BEFORE_ALL in moment else 2)
        reply = await ask(side.app(), "GET", f"/v1/accounts?ids={','.join(names.values())}{moment}&partitions=0,1")
        assert reply.status == 200
    await side.stop()


async def test_without_history_a_moment_is_503_and_now_is_told() -> None:
    bank = Bank()
    await bank.open()
    assert (await bank.get(f"/v1/accounts?ids={bank.alice}")).status == 200
    for query in (f"ids={bank.alice}&as_of={FUTURE}", "as_of=0:1,1:0"):
        reply = await bank.get(f"/v1/accounts?{query}")
        assert (reply.status, reply.code) == (503, "history_unavailable")
        assert "FANFOLD_ARCHIVE" in reply.document["reason"]
    await bank.stop()


async def test_a_moment_waits_for_the_position_that_is_wanted(bank: Archive) -> None:
    reply = await bank.get(f"/v1/accounts?ids={bank.alice}&as_of=0:1&min_position=0:2&wait_ms=0")
    assert (reply.status, reply.code) == (409, "position_not_reached")
    await bank.partitions.say(0, moved("@world", bank.alice, 1))
    page = await some(bank, bank.alice, as_of="0:2", more="&min_position=0:2")
    assert [each["posted"] for each in page["accounts"]] == ["101"]
