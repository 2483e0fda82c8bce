"""The past of an account over HTTP: its statement, page by page, and the account as of a moment."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from read_side.history.keeping import keep
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import changed, moved, opened
from tests.unit.read_side.doors.test_http_api import LIMIT_S, Side
from write_side.contract.block.block import decode
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.words.codes import Flag
from write_side.contract.words.times import format_time
from write_side.ledger.commands.commands import Capture, Hold, Leg, LegsTransfer, Note

ENTRIES = "/v1/accounts/alice/entries"
ALICE = "/v1/accounts/alice"
PAID = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ab")
HELD = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ac")
NOTED = Note("order 7", '{"shop":"berlin"}')
CAPTURED = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ad")
FORMULA = Note("=1+1")


def between(debit: str, credit: str, amount: int) -> tuple[Leg, Leg]:
    legs = Leg(debit, -amount, "USD/2"), Leg(credit, amount, "USD/2")
    return (legs[0], legs[1]) if debit < credit else (legs[1], legs[0])


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[Side]:
    """Block 0 is an epoch's, 1 opens alice, bob and idle; from 2 on a block is a version of alice, the capture in 5 two: it
    moves, and lets the rest go. bob has no floor."""
    found = Side(1, archive=tmp_path / "archive")
    [writer] = found.writers
    await writer.epoch()
    await writer.append(opened("alice"), opened("bob", NO_FLOOR), opened("idle"))
    await writer.append(moved("@world", "alice", 100))
    await writer.append(LegsTransfer(PAID.bytes, between("alice", "bob", 30), note=NOTED))
    await writer.append(Hold(HELD.bytes, between("alice", "bob", 20), note=FORMULA))
    await writer.append(Capture(CAPTURED.bytes, HELD.bytes, 5, final=True))
    await writer.append(changed("alice", Flag.CREDIT_FROZEN))
    await found.start()
    await found.keep()
    yield found
    await found.stop()


def at(side: Side, sequence: int) -> str:
    """When a block was made."""
    return format_time(decode(side.writers[0].blocks[sequence]).header.created_at_us)


def block_hash(side: Side, sequence: int) -> str:
    return decode(side.writers[0].blocks[sequence]).header.block_hash.hex()


async def get(side: Side, target: str) -> Reply:
    return await ask(side.app(), "GET", target)


async def page(side: Side, query: str = "", account: str = "alice") -> dict[str, Any]:
    reply = await get(side, f"/v1/accounts/{account}/entries{'?' * bool(query)}{query}")
    assert reply.status == 200, reply
    document: dict[str, Any] = reply.document
    return document


async def versions(side: Side, query: str = "", account: str = "alice") -> list[int]:
    return [entry["version"] for entry in (await page(side, query, account))["entries"]]


async def test_a_statement_tells_every_change_with_the_balance_after_it_newest_first(side: Side) -> None:
    document = await page(side)
    assert (document["account"], document["asset"], document["position"]) == ("alice", "USD/2", "0:6")
    assert "next" not in document
    told = [
        tuple(entry[name] for name in ("version", "kind", "amount", "posted", "held", "available", "accounts"))
        for entry in document["entries"]
    ]
    assert told == [
        (6, "change", "0", "65", "0", "65", []),
        (5, "capture", "0", "65", "0", "65", ["bob"]),
        (4, "capture", "-5", "65", "15", "50", ["bob"]),
        (3, "hold", "0", "70", "20", "50", []),
        (2, "transfer", "-30", "70", "0", "70", ["bob"]),
        (1, "transfer", "100", "100", "0", "100", ["@world:USD/2"]),
    ]
    changes = [tuple(entry.get(name) for name in ("held_change", "flags")) for entry in document["entries"]]
    assert changes == [
        (None, ["credit_frozen"]), ("-15", None), ("-5", None), ("20", None), (None, None), (None, None)
    ], "what holds took or let go, and what the account may not do, only where that changed"  # fmt: skip
    paid = document["entries"][4]
    assert (paid["transfer"], paid["position"], paid["at"]) == (str(PAID), "0:3", at(side, 3))
    assert (paid["reference"], paid["metadata"]) == ("order 7", {"shop": "berlin"})
    assert not {"reference", "metadata"} & document["entries"][5].keys()


async def test_without_a_floor_no_line_says_what_is_available(side: Side) -> None:
    entries = (await page(side, account="bob"))["entries"]
    assert [(entry["amount"], entry["posted"], entry["available"]) for entry in entries] == [
        ("5", "35", None), ("30", "30", None)
    ]  # fmt: skip


async def test_pages_follow_each_other_in_both_orders(side: Side) -> None:
    for order, expected in (("newest", [6, 5, 4, 3, 2, 1]), ("oldest", [1, 2, 3, 4, 5, 6])):
        for limit, pages in ((1, 6), (2, 3), (4, 2), (5, 2), (6, 1)):
            told = [await page(side, f"order={order}&limit={limit}")]
            while (cursor := told[-1].get("next")) is not None:
                told.append(await page(side, f"order={order}&limit={limit}&cursor={cursor}"))
            found = [entry["version"] for each in told for entry in each["entries"]]
            assert (found, len(told)) == (expected, pages)


async def test_a_page_may_go_on_with_another_limit_or_form(side: Side) -> None:
    cursor = (await page(side, "limit=2"))["next"]
    assert await versions(side, f"cursor={cursor}&limit=1000") == [4, 3, 2, 1]
    assert (await get(side, f"{ENTRIES}?cursor={cursor}&format=csv")).status == 200


async def test_since_is_of_that_time_and_before_is_not(side: Side) -> None:
    assert await versions(side, f"since={at(side, 3)}") == [6, 5, 4, 3, 2]
    assert await versions(side, f"before={at(side, 3)}") == [1]
    assert await versions(side, f"since={at(side, 3)}&before={at(side, 5)}&order=oldest") == [2, 3]
    assert await versions(side, f"since={at(side, 5)}&before={at(side, 3)}") == []
    assert await versions(side, "since=9999-12-31T23:59:59.999999Z") == []
    assert await versions(side, "before=0001-01-01T00:00:00Z") == []
    assert await versions(side, "since=0001-01-01T00:00:00.1Z&before=9999-12-31T23:59:59Z") == [6, 5, 4, 3, 2, 1]


async def test_a_direction_leaves_out_what_moves_nothing(side: Side) -> None:
    assert await versions(side, "direction=in") == [1]
    assert await versions(side, "direction=out") == [4, 2]
    first = await page(side, "direction=out&limit=1")
    assert await versions(side, f"direction=out&limit=1&cursor={first['next']}") == [2]


async def test_entries_of_a_transfer_are_those_of_its_id(side: Side) -> None:
    for id in (PAID, str(PAID).upper()):
        assert await versions(side, f"transfer={id}") == [2]
    assert await versions(side, f"transfer={HELD}") == [3], "a capture has an id of its own"
    assert await versions(side, f"transfer={CAPTURED}") == [5, 4]
    assert await versions(side, f"transfer={CAPTURED}&order=oldest") == [4, 5]
    assert await versions(side, f"transfer={CAPTURED}&direction=out") == [4]
    assert await versions(side, f"transfer={PAID}&direction=in") == []
    assert await versions(side, f"transfer={PAID}&before={at(side, 3)}") == []
    assert await versions(side, f"transfer={uuid.uuid4()}") == []
    assert await versions(side, f"transfer={PAID}", "idle") == []


async def test_entries_of_a_transfer_come_in_pages_too(side: Side) -> None:
    for order, expected in (("newest", [5, 4]), ("oldest", [4, 5])):
        question = f"transfer={CAPTURED}&order={order}&limit=1"
        first = await page(side, question)
        last = await page(side, f"{question}&cursor={first['next']}")
        assert [entry["version"] for each in (first, last) for entry in each["entries"]] == expected
        assert "next" not in last


async def test_an_account_without_entries_has_an_empty_page(side: Side) -> None:
    document = await page(side, account="idle")
    assert (document["entries"], document["position"], "next" in document) == ([], "0:6", False)
    was = (await get(side, "/v1/accounts/idle?as_of=0")).document
    assert (was["version"], was["posted"], was["position"], was["at"]) == (0, "0", "0:1", at(side, 1))


async def test_the_statement_of_nobody_is_404_up_to_a_position(side: Side) -> None:
    for target in ("/v1/accounts/nobody/entries", "/v1/accounts/nobody?as_of=0:2"):
        reply = await get(side, target)
        assert (reply.status, reply.code, reply.document["position"]) == (404, "account_not_found", "0:6")


OTHER_QUESTIONS = (
    "/v1/accounts/bob/entries?limit=2",
    f"{ENTRIES}?order=oldest",
    f"{ENTRIES}?direction=out",
    f"{ENTRIES}?since=2020-01-01T00:00:00Z",
    f"{ENTRIES}?before=2030-01-01T00:00:00Z",
    f"{ENTRIES}?transfer={PAID}",
)


@pytest.mark.parametrize("target", OTHER_QUESTIONS)
async def test_a_cursor_is_of_one_question(side: Side, target: str) -> None:
    cursor = (await page(side, "limit=2"))["next"]
    reply = await get(side, f"{target}&cursor={cursor}")
    assert (reply.status, reply.code, reply.document["field"]) == (400, "cursor_malformed", "cursor")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "parameter_malformed"),
        ("limit=1001", "parameter_malformed"),
        ("limit=-1", "parameter_malformed"),
        ("limit=", "parameter_malformed"),
        ("limit=5&limit=5", "parameter_malformed"),
        ("order=latest", "parameter_malformed"),
        ("order=", "parameter_malformed"),
        ("direction=both", "parameter_malformed"),
        ("format=xml", "parameter_malformed"),
        ("since=yesterday", "parameter_malformed"),
        ("since=2026-01-31", "parameter_malformed"),
        ("since=2026-01-31T12:00:00", "parameter_malformed"),
        ("since=2026-01-31T12:00:00%2B01:00", "parameter_malformed"),
        ("since=2026-02-30T12:00:00Z", "parameter_malformed"),
        ("since=0000-01-01T00:00:00Z", "parameter_malformed"),
        ("before=2026-01-31T24:00:00Z", "parameter_malformed"),
        ("before=2026-01-31T23:59:60Z", "parameter_malformed"),
        ("before=2026-01-31T12:00:00.1234567Z", "parameter_malformed"),
        ("transfer=nonsense", "id_malformed"),
        ("transfer=00000000-0000-0000-0000-000000000000", "id_malformed"),
        ("cursor=", "cursor_malformed"),
        ("cursor=AA", "cursor_malformed"),
        ("cursor=!", "cursor_malformed"),
        ("cursor=" + "A" * 23, "cursor_malformed"),
        ("cursor=" + "A" * 129, "cursor_malformed"),
        ("min_position=9:1", "position_malformed"),
        ("wait_ms=10001", "parameter_malformed"),
        ("min_version=1", "parameter_malformed"),
        ("as_of=1", "parameter_malformed"),
        ("nonsense=1", "parameter_malformed"),
    ],
)
async def test_malformed_questions_of_a_statement_are_400(side: Side, query: str, code: str) -> None:
    reply = await get(side, f"{ENTRIES}?{query}")
    assert (reply.status, reply.code) == (400, code)
    assert b"nonsense" not in reply.body


@pytest.mark.parametrize("name", ["al ice", "@world", "", "a/b", "a" * 65, "alice%0A"])
async def test_a_statement_of_what_is_no_account_is_400(side: Side, name: str) -> None:
    reply = await get(side, f"/v1/accounts/{name}/entries")
    assert (reply.status, reply.code) == (400, "account_malformed")


async def test_an_account_may_be_called_entries(side: Side) -> None:
    await side.writers[0].append(opened("entries"), moved("@world", "entries", 3))
    assert (await get(side, "/v1/accounts/entries?min_position=0:7")).document["posted"] == "3"
    assert await versions(side, account="entries") == [1]


async def test_a_statement_waits_for_the_position_that_is_wanted(side: Side) -> None:
    waiting = asyncio.ensure_future(page(side, "min_position=0:7&wait_ms=10000&limit=1"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await side.writers[0].append(moved("alice", "bob", 1))
    document = await asyncio.wait_for(waiting, LIMIT_S)
    assert (document["position"], document["entries"][0]["posted"]) == ("0:7", "64")
    reply = await get(side, f"{ENTRIES}?min_position=0:8&wait_ms=0")
    assert (reply.status, reply.code, reply.document["position"]) == (409, "position_not_reached", "0:7")


async def test_a_version_a_position_and_a_time_name_the_same_moment(side: Side) -> None:
    expected = {
        "account": "alice", "asset": "USD/2", "posted": "70", "held": "20", "available": "50", "floor": "0", "version": 3,
        "flags": [], "position": "0:4", "at": at(side, 4), "block_hash": block_hash(side, 4), "final": True,
    }  # fmt: skip
    for moment in ("3", "0:4", at(side, 4)):
        reply = await get(side, f"{ALICE}?as_of={moment}")
        assert (reply.status, reply.document) == (200, expected), moment
    now = (await get(side, ALICE)).document
    assert (await get(side, f"{ALICE}?as_of=0:6")).document == now | {"final": True, "block_hash": block_hash(side, 6)}
    assert now["flags"] == ["credit_frozen"]


async def test_between_two_changes_the_account_is_as_the_first_left_it(side: Side) -> None:
    await side.writers[0].append(moved("@world", "bob", 1))
    reply = await get(side, f"{ALICE}?as_of=0:7&min_position=0:7")
    assert (reply.document["version"], reply.document["position"], reply.document["at"]) == (6, "0:7", at(side, 6))
    assert reply.document["block_hash"] == block_hash(side, 7)


async def test_a_time_is_final_only_once_a_later_block_has_been_folded(side: Side) -> None:
    newest = at(side, 6)
    for moment in (newest, "9999-12-31T23:59:59Z"):
        was = (await get(side, f"{ALICE}?as_of={moment}")).document
        assert (was["version"], was["position"], was["final"]) == (6, "0:6", False)
    assert (await get(side, f"{ALICE}?as_of={at(side, 5)}")).document["final"] is True
    await side.writers[0].append(moved("@world", "bob", 1))
    was = (await get(side, f"{ALICE}?as_of={newest}&min_position=0:7")).document
    assert (was["version"], was["position"], was["final"]) == (6, "0:6", True)


async def test_before_its_opening_there_was_no_account(side: Side) -> None:
    for moment, position in (("0:0", "0:0"), (at(side, 0), "0:0"), ("1970-01-01T00:00:00Z", None)):
        reply = await get(side, f"{ALICE}?as_of={moment}")
        assert (reply.status, reply.code, reply.document.get("position")) == (404, "account_not_found", position)
    assert (await get(side, f"{ALICE}?as_of=0:1")).document["version"] == 0


async def test_a_version_that_the_account_has_not_had_is_404_with_what_is_known(side: Side) -> None:
    for version in ("7", "9" * 18):
        reply = await get(side, f"{ALICE}?as_of={version}")
        assert (reply.status, reply.code) == (404, "version_unknown")
        assert (reply.document["version"], reply.document["position"]) == (6, "0:6")


async def test_a_position_that_is_not_there_yet_is_409(side: Side) -> None:
    reply = await get(side, f"{ALICE}?as_of=0:7")
    assert (reply.status, reply.code, reply.document["position"]) == (409, "position_not_reached", "0:6")


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("", "parameter_malformed"),
        ("yesterday", "parameter_malformed"),
        ("-1", "parameter_malformed"),
        ("01", "parameter_malformed"),
        ("1" * 19, "parameter_malformed"),
        ("2026-01-31", "parameter_malformed"),
        ("2026-01-31T12:00:00", "parameter_malformed"),
        ("2026-02-30T12:00:00Z", "parameter_malformed"),
        ("2026-13-01T00:00:00Z", "parameter_malformed"),
        ("0000-01-01T00:00:00Z", "parameter_malformed"),
        ("0:-1", "parameter_malformed"),
        ("0:1,", "parameter_malformed"),
        ("0:1,0:2", "position_malformed"),
        ("1:0", "position_malformed"),
        ("9:1", "position_malformed"),
    ],
)
async def test_a_moment_that_is_none_is_400(side: Side, moment: str, code: str) -> None:
    reply = await get(side, f"{ALICE}?as_of={moment}")
    assert (reply.status, reply.code) == (400, code)


async def test_what_is_wanted_is_waited_for_before_the_past_is_looked_at(side: Side) -> None:
    for query in ("min_version=7", "min_position=0:7"):
        reply = await get(side, f"{ALICE}?as_of=1&{query}&wait_ms=0")
        assert reply.status == 409
    waiting = asyncio.ensure_future(get(side, f"{ALICE}?as_of=7&min_version=7&wait_ms=10000"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await side.writers[0].append(moved("alice", "bob", 1))
    assert (await asyncio.wait_for(waiting, LIMIT_S)).document["posted"] == "64"


async def test_head_is_get_without_the_body_of_the_past_too(side: Side) -> None:
    for target in (
        ENTRIES,
        f"{ENTRIES}?limit=2&format=csv",
        f"{ENTRIES}?limit=0",
        f"{ALICE}?as_of=2",
        f"{ALICE}?as_of=9",
    ):
        got, head = await get(side, target), await ask(side.app(), "HEAD", target)
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


async def in_lines(side: Side, target: str) -> list[Reply]:
    """Every page, each from the link of the one before."""
    replies = [await get(side, target)]
    while (link := replies[-1].headers.get("link")) is not None:
        target, rel = link.removeprefix("<").split(">; ")
        assert rel == 'rel="next"'
        replies.append(await get(side, target))
        assert len(replies) < 20
    return replies


@pytest.mark.parametrize("query", ["", "&order=oldest", "&direction=out", "&since=2020-01-01T00:00:00Z"])
async def test_links_lead_through_every_line_in_either_form(side: Side, query: str) -> None:
    expected = (await page(side, query.removeprefix("&")))["entries"]
    replies = await in_lines(side, f"{ENTRIES}?format=ndjson&limit=2{query}")
    assert {reply.headers["content-type"] for reply in replies} == {"application/x-ndjson"}
    lines = [json.loads(line) for reply in replies for line in reply.body.decode().splitlines()]
    assert lines == expected
    replies = await in_lines(side, f"{ENTRIES}?limit=2{query}&format=csv")
    assert {reply.headers["content-type"] for reply in replies} == {"text/csv; charset=utf-8"}
    rows = [row for reply in replies for row in csv.DictReader(io.StringIO(reply.body.decode(), newline=""))]
    assert [(int(row["version"]), row["amount"], row["posted"], row["transfer"]) for row in rows] == [
        tuple(entry[name] for name in ("version", "amount", "posted", "transfer")) for entry in expected
    ]


@pytest.mark.parametrize("cursor", ["cursor", "%63ursor", "c%75rsor"])
async def test_a_link_replaces_the_cursor_however_it_was_written(side: Side, cursor: str) -> None:
    first = (await page(side, "limit=1"))["next"]
    replies = await in_lines(side, f"{ENTRIES}?{cursor}={first}&limit=1&format=ndjson")
    assert [json.loads(reply.body)["version"] for reply in replies] == [5, 4, 3, 2, 1]


async def test_a_table_is_never_taken_for_formulas(side: Side) -> None:
    text = (await get(side, f"{ENTRIES}?format=csv")).body.decode()
    rows = {row["version"]: row for row in csv.DictReader(io.StringIO(text, newline=""))}
    assert text.splitlines()[0].startswith("version,at,position,transfer,kind,amount,posted,held,available,accounts,")
    assert rows["3"]["reference"] == "'=1+1"
    assert (rows["4"]["amount"], rows["2"]["accounts"], rows["1"]["accounts"]) == ("-5", "bob", "'@world:USD/2")
    assert (rows["2"]["reference"], json.loads(rows["2"]["metadata"])) == ("order 7", {"shop": "berlin"})
    assert [(rows[str(version)]["held_change"], rows[str(version)]["flags"]) for version in (6, 5, 3, 2)] == [
        ("", "credit_frozen"), ("-15", ""), ("20", ""), ("", "")
    ]  # fmt: skip
    await side.writers[0].append(changed("alice", clear=Flag.CREDIT_FROZEN))
    freed = (await get(side, f"{ENTRIES}?format=csv&limit=1&min_position=0:7")).body.decode()
    assert [row["flags"] for row in csv.DictReader(io.StringIO(freed))] == ["none"]
    assert (await page(side, "limit=1"))["entries"][0]["flags"] == []
    empty = (await get(side, "/v1/accounts/idle/entries?format=csv")).body.decode()
    assert len(empty.splitlines()) == 1, "the heading"
    assert (await get(side, "/v1/accounts/idle/entries?format=ndjson")).body == b""


async def test_a_version_that_the_log_has_is_never_said_not_to_be(side: Side) -> None:
    for version in (7, 8, 9):
        await side.writers[0].append(moved("alice", "bob", 1))
        assert (await get(side, f"{ALICE}?as_of={version}")).document["version"] == version
        assert (await get(side, f"{ALICE}?as_of=0:{version}")).document["version"] == version
    await side.stop()
    await side.writers[0].append(moved("alice", "bob", 1))
    for moment in ("10", "0:10"):
        reply = await get(side, f"{ALICE}?as_of={moment}")
        assert (reply.status, reply.code) == (503, "view_rebuilding")


async def test_what_a_damaged_log_may_have_is_503_and_the_rest_says_since_when_it_is_old(tmp_path: Path) -> None:
    side = Side(1, archive=tmp_path)
    await side.writers[0].append(opened("alice"), moved("@world", "alice", 5))
    await side.log.append(0, b"damaged")
    await side.start()
    await side.keep()
    for moment in ("2", "0:1"):
        reply = await get(side, f"{ALICE}?as_of={moment}")
        assert (reply.status, reply.code) == (503, "partition_unavailable")
    document = await page(side)
    assert ([entry["posted"] for entry in document["entries"]], document["stale_since"]) == (["5"], at(side, 0))
    was = (await get(side, f"{ALICE}?as_of=9999-12-31T23:59:59Z")).document
    assert (was["posted"], was["final"], was["stale_since"]) == ("5", False, at(side, 0))
    assert "stale_since" not in (await get(side, f"{ALICE}?as_of=1")).document
    await side.stop()


async def both_unavailable(side: Side, reason: str) -> None:
    for target in (ENTRIES, f"{ALICE}?as_of=1"):
        reply = await get(side, target)
        assert (reply.status, reply.code) == (503, "history_unavailable")
        assert reason in reply.document["reason"]
        assert reply.headers["retry-after"]
    assert (await get(side, ALICE)).status == 200


async def test_history_that_is_being_read_is_503_and_balances_are_told(tmp_path: Path) -> None:
    side = Side(1, archive=tmp_path)
    await side.writers[0].append(opened("alice"), moved("@world", "alice", 5))
    await side.start()
    await both_unavailable(side, "is being read")
    await side.keep()
    assert await versions(side) == [1]
    await side.stop()


async def test_a_history_that_cannot_be_kept_is_told_and_balances_are_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.history.history.SEALED_BYTES", 1)
    monkeypatch.setattr("read_side.history.history.FRESH_ROWS", 1)
    side = Side(1, archive=tmp_path)
    await side.writers[0].append(opened("alice"), moved("@world", "alice", 5))
    await side.start()
    [history] = side.histories
    put = history.folder._store.put

    def full(name: str, pieces: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(history.folder._store, "put", full)
    keeping = asyncio.ensure_future(keep(side.histories, side.log, side.timer.sleep))
    gauge = "fanfold_projector_history_failing{partition="
    for fails in (True, False):
        while (history.failing is not None) is not fails:
            await side.timer.tick()
        ready = await get(side, "/readyz")
        reasons = ready.document["degraded"]
        assert (ready.status, len(reasons)) == (200, int(fails))
        assert all(
            "partition 0: its history is not kept ([Errno 28] No space left on device)" in each for each in reasons
        )
        assert f'{gauge}"0"}} {float(fails)}' in (await get(side, "/metrics")).body.decode()
        assert (await get(side, ALICE)).document["posted"] == "5"
        monkeypatch.setattr(history.folder._store, "put", put)
    assert (await get(side, ENTRIES)).status == 200
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await side.stop()


async def test_history_that_is_off_is_503_and_says_which_setting_it_is() -> None:
    side = Side(1)
    await side.writers[0].append(opened("alice"), moved("@world", "alice", 5))
    await side.start()
    await both_unavailable(side, "FANFOLD_ARCHIVE is off")
    await side.stop()


async def test_history_of_another_log_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEALED_BYTES", "FRESH_ROWS"):
        monkeypatch.setattr(f"read_side.history.history.{name}", 1)
    for name in ("alice", "other"):
        side = Side(1, archive=tmp_path)
        await side.writers[0].append(opened("alice"), opened(name), moved("@world", "alice", 5))
        await side.start()
        if name == "alice":
            await side.keep()
        else:
            with pytest.raises(Exception, match="of another log"):
                await side.keep()
            await both_unavailable(side, "")
        await side.stop()


PARTITIONS = 4


def named(partition: int, word: str) -> str:
    return next(n for i in range(1000) if partition_of(n := f"{word}-{i}", PARTITIONS) == partition)


async def test_the_past_of_a_partition_is_told_where_it_is_projected(tmp_path: Path) -> None:
    side = Side(PARTITIONS, projects=(0, 1), archive=tmp_path)
    for p, writer in enumerate(side.writers):
        await writer.append(opened(named(p, "a")), moved("@world", named(p, "a"), 10 + p))
    await side.start()
    await side.keep()
    assert await versions(side, account=named(1, "a")) == [1]
    for target in (f"/v1/accounts/{named(2, 'a')}/entries", f"/v1/accounts/{named(2, 'a')}?as_of=1"):
        reply = await get(side, target)
        assert (reply.status, reply.code, reply.document["partitions"]) == (503, "partition_elsewhere", [2])
    await side.stop()


async def test_of_several_positions_that_of_the_accounts_partition_counts(tmp_path: Path) -> None:
    side = Side(PARTITIONS, archive=tmp_path)
    account = named(1, "a")
    for p, writer in enumerate(side.writers):
        await writer.append(opened(named(p, "a")), moved("@world", named(p, "a"), 10 + p))
        await writer.append(moved("@world", named(p, "a"), 1))
    await side.start()
    await side.keep()
    assert (await get(side, f"/v1/accounts/{account}?as_of=0:9,1:0,3:1")).document["posted"] == "11"
    for moment in ("0:1", "0:1,3:0"):
        reply = await get(side, f"/v1/accounts/{account}?as_of={moment}")
        assert (reply.status, reply.code, reply.document["field"]) == (400, "position_malformed", "as_of")
        assert "none of partition 1" in reply.document["detail"]
    await side.stop()
