"""The past in a program and at the prompt: pages, every line, moments, and amounts that are shown whole."""

from __future__ import annotations

import csv
import datetime
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfold import Accounts, AccountState, Client, Entries, NotAnswered, Refusal, http_answers
from fanfold.api.answers.statement import Entry
from fanfold.api.retry import Waits
from fanfold.cli.statement import sheet_of
from tests.unit.fanfold.running_reads import RunningReads
from tests.unit.fanfold.test_cli import run
from tests.unit.fanfold.test_cli_sheets import _on_a_terminal
from tests.unit.read_side.block_maker import changed, moved, opened
from tests.unit.read_side.doors.test_http_api import Side
from write_side.contract.block.block import decode
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.words.codes import Flag
from write_side.contract.words.times import format_time
from write_side.ledger.commands.commands import Hold, Leg, LegsTransfer, Note, Void

PAID = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ab")
NO_ZONE = datetime.datetime.fromisoformat("2026-01-01T00:00:00")
LINES = 2_105
"""Of alice: 1,000.00 in, then 0.01 out in turn to bob, and a freeze at last."""


async def _moves(side: Side) -> None:
    [writer] = side.writers
    await writer.append(opened("alice"), opened("bob", NO_FLOOR), opened("idle"))
    await writer.append(moved("@world", "alice", 10_000_000))
    legs = (Leg("alice", -250, "USD/2"), Leg("bob", 250, "USD/2"))
    await writer.append(LegsTransfer(PAID.bytes, legs, note=Note("=order 7", '{"shop":"berlin"}')))
    for _ in range(2):
        await writer.append(*(moved("alice", "bob", 1) for _ in range(1_051)))
    await writer.append(changed("alice", Flag.CREDIT_FROZEN))
    await side.projectors[0].shown.sequence.reach(6, 20.0)


@pytest.fixture(scope="module")
def reads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningReads]:
    with RunningReads(tmp_path_factory.mktemp("archive")).running() as running:
        running.do(_moves)
        yield running


@pytest.fixture(autouse=True)
def here(reads: RunningReads, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FANFOLD_URL", reads.url)
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    reads.fail_after, reads.requests = None, 0
    yield
    reads.fail_after = None


def at(reads: RunningReads, sequence: int) -> str:
    return format_time(decode(reads.side.writers[0].blocks[sequence]).header.created_at_us)


async def test_awaited_a_statement_is_one_page(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        page = await client.entries("alice", limit=2)
        assert isinstance(page, Entries)
        assert [(entry.version, entry.kind, entry.posted) for entry in page.entries] == [
            (LINES, "change", 9_997_648), (LINES - 1, "transfer", 9_997_648)
        ]  # fmt: skip
        behind = await client.entries("alice", limit=1, cursor=page.next)
        assert isinstance(behind, Entries)
        assert behind.entries[0].version == LINES - 2


async def test_iterated_a_statement_is_every_page(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        for order in ("newest", "oldest"):
            pages = [page async for page in client.entries("alice", order=order, limit=1_000)]
            assert len(pages) == 3
            found = [entry.version for page in pages if isinstance(page, Entries) for entry in page.entries]
            assert found == sorted(range(1, LINES + 1), reverse=order == "newest")


async def test_entries_are_of_a_time_a_direction_or_a_transfer(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        paid = await client.entries("alice", transfer=str(PAID))
        assert isinstance(paid, Entries)
        [entry] = paid.entries
        assert (entry.amount, entry.reference, entry.metadata, entry.accounts) == (
            -250, "=order 7", {"shop": "berlin"}, ("bob",)
        )  # fmt: skip
        came = await client.entries("alice", direction="in")
        assert isinstance(came, Entries)
        assert [each.version for each in came.entries] == [1]
        zone = datetime.timezone(datetime.timedelta(hours=2))
        since, before = (datetime.datetime.fromisoformat(at(reads, n)).astimezone(zone) for n in (2, 4))
        early = await client.entries("alice", since=since, before=before, order="oldest")
        assert isinstance(early, Entries)
        assert [each.version for each in early.entries] == [1, 2]
        with pytest.raises(ValueError, match="since needs a time zone"):
            client.entries("alice", since=NO_ZONE)


async def test_a_refusal_is_the_last_page(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        assert [page.code async for page in client.entries("nobody") if isinstance(page, Refusal)] == [
            "account_not_found"
        ]
        refused = await client.entries("alice", limit=5_000)
        assert isinstance(refused, Refusal)
        assert refused.code == "parameter_malformed"


async def test_who_gets_no_answer_on_the_way_goes_on_with_the_last_cursor(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        reads.fail_after = 1
        pages: list[Entries] = []

        async def take(cursor: str | None) -> None:
            async for page in client.entries("alice", limit=1_000, cursor=cursor):
                assert isinstance(page, Entries)
                pages.append(page)

        with pytest.raises(NotAnswered):
            await take(None)
        reads.fail_after = None
        await take(pages[-1].next)
        assert [each.version for page in pages for each in page.entries] == [*range(LINES, 0, -1)]


async def test_a_balance_is_told_as_of_a_time_a_position_and_a_version(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        moment = datetime.datetime.fromisoformat(at(reads, 3))
        for as_of in (moment, at(reads, 3), "0:3", 2):
            was = await client.balance("alice", as_of=as_of)
            assert isinstance(was, AccountState)
            assert (was.version, was.posted, was.position, was.final) == (2, 9_999_750, "0:3", True)
            assert was.block_hash == decode(reads.side.writers[0].blocks[3]).header.block_hash.hex()
        now = await client.balance("alice")
        assert isinstance(now, AccountState)
        assert (now.block_hash, now.final) == (None, None)
        with pytest.raises(ValueError, match="as_of needs a time zone"):
            await client.balance("alice", as_of=NO_ZONE)


def test_a_statement_in_a_pipe_is_plain_lines_with_one_heading(reads: RunningReads) -> None:
    told = run("statement", "alice", "--limit", "1500")
    heading, *lines = told.stdout.splitlines()
    assert heading.split("\t") == (
        [
            "version", "at", "kind", "amount", "posted", "held", "available", "asset", "accounts", "reference", "transfer",
            "held change", "flags",
        ]
    )  # fmt: skip
    assert lines[0].split("\t")[-2:] == ["", "credit_frozen"]
    assert lines[1].split("\t")[-2:] == ["", ""]
    assert [int(line.split("\t")[0]) for line in lines] == [*range(LINES, LINES - 1500, -1)]
    assert "There may be more lines than these" in told.stderr
    first = run("statement", "alice", "--oldest-first", "--limit", "2").stdout.splitlines()[1:]
    assert first[0].split("\t")[2:9] == (
        ["transfer", "100,000.00", "100,000.00", "0.00", "100,000.00", "USD/2", "@world:USD/2"]
    )
    assert first[1].split("\t")[9:] == ["=order 7", str(PAID), "", ""]


def test_all_of_a_statement_is_all_of_it(reads: RunningReads) -> None:
    told = run("statement", "alice", "--all", "--json")
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["version"] for line in lines] == [*range(LINES, 0, -1)]
    assert (lines[-1]["amount"], lines[-1]["available"], "reference" in lines[-1]) == (10_000_000, 10_000_000, False)
    assert told.stderr == ""
    assert len(run("statement", "alice", "--all", "--direction", "in").stdout.splitlines()) == 2
    assert "may be more" not in run("statement", "alice", "--limit", str(LINES)).stderr


def test_a_statement_is_cut_at_days_and_at_times_of_any_zone(reads: RunningReads) -> None:
    there = datetime.datetime.fromisoformat(at(reads, 3)).astimezone(datetime.timezone(datetime.timedelta(hours=-7)))
    told = run("statement", "alice", "--oldest-first", "--before", there.isoformat(), "--json").stdout
    assert [json.loads(line)["version"] for line in told.splitlines()] == [1]
    day = at(reads, 3)[:10]
    told = run("statement", "alice", "--oldest-first", "--since", day, "--limit", "1", "--json").stdout
    assert [json.loads(line)["version"] for line in told.splitlines()] == [1]
    assert "no such lines" in run("statement", "alice", "--before", day).stdout


def test_a_statement_for_a_spreadsheet_has_amounts_as_they_are_shown(reads: RunningReads) -> None:
    told = run("statement", "alice", "--all", "--csv", "--oldest-first").stdout
    rows = [*csv.DictReader(io.StringIO(told))]
    assert [int(row["version"]) for row in rows] == [*range(1, LINES + 1)]
    assert (rows[0]["amount"], rows[0]["asset"], rows[0]["accounts"]) == ("100000.00", "USD/2", "'@world:USD/2")
    assert (rows[1]["amount"], rows[1]["reference"], rows[1]["metadata"]) == ("-2.50", "'=order 7", '{"shop":"berlin"}')
    assert [row["available"] for row in csv.DictReader(io.StringIO(run("statement", "bob", "--csv").stdout))] == [
        ""
    ] * 50
    assert run("statement", "idle", "--csv").stdout == told.partition("\n")[0] + "\n"


def test_a_line_of_a_hold_shows_what_it_takes_and_one_of_flags_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = uuid.uuid4().bytes

    async def hold(side: Side) -> None:
        [writer] = side.writers
        legs = (Leg("alice", -250, "USD/2"), Leg("bob", 250, "USD/2"))
        await writer.append(opened("alice"), opened("bob"), moved("@world", "alice", 1_000))
        await writer.append(Hold(held, legs))
        await writer.append(
            changed("alice", Flag.DEBIT_FROZEN),
            changed("alice", clear=Flag.DEBIT_FROZEN),
            Void(uuid.uuid4().bytes, held),
        )
        await side.projectors[0].shown.sequence.reach(3, 20.0)

    with RunningReads(tmp_path).running() as running:
        running.do(hold)
        monkeypatch.setenv("FANFOLD_URL", running.url)
        lines = [json.loads(line) for line in run("statement", "alice", "--oldest-first", "--json").stdout.splitlines()]
        assert [(each["kind"], each.get("held_change"), each.get("flags")) for each in lines] == [
            ("transfer", None, None), ("hold", 250, None), ("change", None, ["debit_frozen"]), ("change", None, []),
            ("void", -250, None),
        ]  # fmt: skip
        rows = [*csv.DictReader(io.StringIO(run("statement", "alice", "--oldest-first", "--csv").stdout))]
        assert [(row["held_change"], row["flags"]) for row in rows] == [
            ("", ""), ("2.50", ""), ("", "debit_frozen"), ("", "none"), ("-2.50", "")
        ]  # fmt: skip
        shown = _on_a_terminal("statement", "alice", width=400)
        assert all(each in shown for each in ("held change", "-2.50", "debit_frozen", "none"))
        assert "held change" not in _on_a_terminal("statement", "bob", width=400)


def test_an_account_without_lines_is_told_as_one(reads: RunningReads) -> None:
    assert run("statement", "idle").stdout == "idle has no such lines up to position 0:6.\n"
    assert run("statement", "idle", "--json").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nobody",), 1, "account_not_found"),
        (("alice", "--since", "yesterday"), 2, "--since must be a day or a time"),
        (("alice", "--before", "2026-01-31T12:00:00"), 2, "--before needs a time zone"),
        (("alice", "--min-position", "0:99"), 1, "position_not_reached"),
        (("alice", "--transfer", "x"), 1, "id_malformed"),
        (("alice", "--direction", "up"), 2, "--direction must be in or out"),
        (("alice", "--csv", "--json"), 2, "not both"),
        (("alice", "--limit", "0"), 2, "--limit"),
        ((), 2, "ACCOUNT"),
    ],
)
def test_a_statement_that_cannot_be_told_ends_like_every_command(
    reads: RunningReads, arguments: tuple[str, ...], code: int, told: str
) -> None:
    assert told in run("statement", *arguments, code=code).stderr


def test_a_statement_that_is_cut_short_says_so(reads: RunningReads) -> None:
    reads.fail_after = 1
    result = run("statement", "alice", "--all", "--json", code=2)
    assert len(result.stdout.splitlines()) == 1_000
    assert "These are the first 1000 lines, and not all." in result.stderr
    assert "overloaded" in result.stderr


def test_a_balance_as_of_a_moment_names_its_block(reads: RunningReads) -> None:
    heading, line = run("balance", "alice", "--as-of", at(reads, 3)).stdout.splitlines()
    block_hash = decode(reads.side.writers[0].blocks[3]).header.block_hash.hex()
    told = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
    assert (told["posted"], told["position"], told["final"], told["block hash"]) == (
        "99,997.50",
        "0:3",
        "yes",
        block_hash,
    )
    for moment in ("0:3", "2"):
        state = json.loads(run("balance", "alice", "--as-of", moment, "--json").stdout)
        assert (state["posted"], state["block_hash"], state["final"]) == (9_999_750, block_hash, True)
    newest = json.loads(run("balance", "alice", "--as-of", "2999-01-01T00:00:00Z", "--json").stdout)
    assert (newest["version"], newest["final"]) == (LINES, False)
    now = json.loads(run("balance", "alice", "--json").stdout)
    assert not {"block_hash", "final"} & now.keys()


@pytest.mark.parametrize(
    ("moment", "told"),
    [("9999", "version_unknown"), ("0:99", "position_not_reached"), ("1:0", "position_malformed"),
     ("then", "as_of must be a time in UTC"), ("0:0", "account_not_found")],
)  # fmt: skip
def test_a_moment_that_is_none_ends_with_1(reads: RunningReads, moment: str, told: str) -> None:
    assert told in run("balance", "alice", "--as-of", moment, code=1).stderr


async def test_several_balances_are_told_as_of_one_moment(reads: RunningReads) -> None:
    async with Client(reads.url) as client:
        then = await client.balances(["bob", "nobody", "alice"], as_of="0:3")
        assert isinstance(then, Accounts)
        assert [(each.account, each.posted, each.final) for each in then.accounts] == [
            ("alice", 9_999_750, True), ("bob", 250, True)
        ]  # fmt: skip
        assert [(each.account, each.position) for each in then.absent] == [("nobody", "0:3")]
        [partition] = then.partitions
        block_hash = decode(reads.side.writers[0].blocks[3]).header.block_hash.hex()
        assert (partition.position, partition.block_hash, partition.final) == ("0:3", block_hash, True)
        now = await client.balances(["alice"])
        assert isinstance(now, Accounts)
        assert (now.accounts[0].version, now.accounts[0].final, now.partitions) == (LINES, None, ())
        refused = await client.balances(["alice", "alice"])
        assert isinstance(refused, Refusal)
        with pytest.raises(ValueError, match="as_of needs a time zone"):
            await client.balances(["alice"], as_of=NO_ZONE)


def test_balances_as_of_a_moment_are_one_request_and_stand_in_the_order_typed(reads: RunningReads) -> None:
    told = run("balance", "bob", "alice", "bob", "--as-of", at(reads, 3), "--json")
    assert reads.requests == 1
    states = [json.loads(line) for line in told.stdout.splitlines()]
    assert [(each["account"], each["posted"], each["position"]) for each in states] == [
        ("bob", 250, "0:3"), ("alice", 9_999_750, "0:3"), ("bob", 250, "0:3")
    ]  # fmt: skip
    assert states[1] == json.loads(run("balance", "alice", "--as-of", at(reads, 3), "--json").stdout)


def test_an_account_that_was_not_there_then_is_named_and_ends_with_1(reads: RunningReads) -> None:
    told = run("balance", "alice", "nobody", "--as-of", "0:3", code=1)
    assert "99,997.50" in told.stdout
    assert "nobody: No such account (account_not_found). It was not there at position 0:3." in told.stderr
    told = run("balance", "alice", "bob", "--as-of", "2001-01-01T00:00:00Z", code=1)
    assert (told.stdout, told.stderr.count("It was not there before the first block.")) == ("", 2)


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("12", "a version is of one account alone"),
        ("0:99", "position_not_reached"),
        ("then", "as_of must be a time in UTC"),
    ],
)
def test_a_moment_that_is_none_of_several_accounts_is_refused_once(reads: RunningReads, moment: str, told: str) -> None:
    assert run("balance", "alice", "bob", "--as-of", moment, code=1).stderr.count(told) == 1


def test_more_accounts_than_one_answer_has_are_not_asked_for(reads: RunningReads) -> None:
    names = [f"a{number}" for number in range(1_001)]
    assert "1,000 accounts at most" in run("balance", *names, "--as-of", "0:3", code=2).stderr
    assert reads.requests == 0


def test_what_another_process_follows_keeps_nothing_of_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [next(n for i in range(100) if partition_of(n := f"a-{i}", 2) == p) for p in (0, 1)]

    async def open_both(side: Side) -> None:
        for name, writer in zip(names, side.writers, strict=True):
            await writer.append(opened(name), moved("@world", name, 7))
        await side.projectors[0].shown.sequence.reach(1, 20.0)

    with RunningReads(tmp_path, 2, (0,)).running() as running:
        running.do(open_both)
        monkeypatch.setenv("FANFOLD_URL", running.url)
        told = run("balance", *names, "--as-of", "2999-01-01T00:00:00Z", "--json", code=2)
        assert [json.loads(line)["account"] for line in told.stdout.splitlines()] == names[:1]
        assert f"{names[1]}: not answered" in told.stderr
        assert "partition 1 did not answer" in told.stderr


MOST = 10**18
LONG = Entry(
    2**40, "2026-01-01T00:00:00.000000Z", "1023:1099511627776", str(PAID), "transfer", -MOST, -MOST, MOST, None, ("a" * 64,) * 32,
    "r" * 128,
)  # fmt: skip


@pytest.mark.parametrize("width", [20, 60, 80, 200, 400, None])
def test_no_cell_of_a_statement_is_cut(width: int | None) -> None:
    sheet = sheet_of(Entries("alice", "ABCDEFGHIJKLMNOP/18", (LONG, LONG), "0:1"))
    lines = sheet.lines(width)
    for row in sheet.rows:
        for column, cell in zip(sheet.columns, row, strict=True):
            assert column.folds or any(cell in line for line in lines), column.name


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_terminal_shows_every_figure_of_a_statement(reads: RunningReads, width: int) -> None:
    for arguments in (("statement", "alice", "--limit", "3", "--oldest-first"), ("balance", "alice", "--as-of", "0:3")):
        shown = _on_a_terminal(*arguments, width=width)
        assert all(figure in shown for figure in ("99,997.50", at(reads, 3)))
    assert "100,000.00" in _on_a_terminal("statement", "alice", "--limit", "3", "--oldest-first", width=width)
