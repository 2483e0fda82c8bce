"""The command `statement`: what moved an account, line by line, with the balance after each."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Final, cast

import typer

from fanfold.amounts import money
from fanfold.answers import Refusal
from fanfold.api.answers.statement import Entries, Entry
from fanfold.api.csv_cells import cell, flags_cell
from fanfold.api.malformed import Malformed
from fanfold.api.questions import ENTRIES_DEFAULT, ENTRIES_MAX, Direction
from fanfold.api.values import told_of
from fanfold.cli.asking import (
    DEFAULT_URL,
    NOT_ANSWERED,
    Url,
    check_url,
    fail,
    fail_refused,
    refuse_system,
    run,
    stale,
)
from fanfold.cli.move_options import fail_typed
from fanfold.cli.output import complain, is_terminal, laid_out, say, say_next
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.times import TIME_HELP, time_of
from fanfold.client import Client, NotAnswered

CSV_COLUMNS: Final = (
    "version", "at", "position", "transfer", "kind", "asset", "amount", "posted", "held", "available", "accounts", "reference",
    "metadata", "held_change", "flags",
)  # fmt: skip
AMOUNTS: Final = ("amount", "posted", "held", "available")


@dataclass(frozen=True)
class Which:
    """Which lines of a statement."""

    since: Annotated[str | None, typer.Option(metavar="TIME", help=f"only from this time on: {TIME_HELP}")] = None
    before: Annotated[str | None, typer.Option(metavar="TIME", help="only up to this time, which is not in it")] = None
    direction: Annotated[str | None, typer.Option(help="only what it received (in), or gave (out)")] = None
    transfer: Annotated[str | None, typer.Option(metavar="ID", help="only of this transfer or command")] = None
    oldest_first: Annotated[bool, typer.Option("--oldest-first", help="begin with the oldest")] = False
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="so many lines at most")] = ENTRIES_DEFAULT
    min_position: Annotated[str | None, typer.Option(help="not older than this, such as 0:17 from a transfer")] = None
    all_lines: Annotated[bool, typer.Option("--all", help="every line, instead of --limit")] = False


@dataclass(frozen=True)
class Form:
    """How lines are told: a table, or lines for a program."""

    as_csv: Annotated[
        bool, typer.Option("--csv", help="print CSV, for a spreadsheet; amounts are as they are shown")
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line; amounts are minor units")] = False

    def lines(self, page: Entries, *, begins: bool) -> str:
        """A page as it is said, "" where there is nothing to say. begins: whether nothing was said before."""
        if self.as_json:
            return "\n".join(json.dumps(told_of(entry)) for entry in page.entries)
        if self.as_csv:
            return csv_of(page, heading=begins)
        if not page.entries:
            return ""
        # On a terminal each page is a table: columns are as wide as what they have, and those without anything are left out.
        sheet = sheet_of(page, every_column=not is_terminal())
        return laid_out(sheet) if begins or is_terminal() else "\n".join(sheet.lines(None)[1:])


def statement(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="id of the account")],
    *,
    which: Which,
    form: Form,
    url: Url = DEFAULT_URL,
) -> None:
    """Show what moved an account, with the balance after each line; the newest first.

    No line is left out or told twice, however much moves meanwhile. Where there are more lines than --limit, that is said on
    standard error. `held` is what holds take from what is available: a hold moves nothing, and `held change` says what it takes.
    A freeze and the like move nothing either; `flags` are what the account may not do after one, `none` where nothing is left.

    Examples:

      fanfold statement alice

      fanfold statement alice --since 2026-01-01 --before 2026-02-01 --oldest-first --all --csv

      fanfold statement alice --direction out --limit 10
    """
    refuse_system([account])
    if form.as_csv and form.as_json:
        fail_typed("Give either --csv or --json, not both.")
    if which.direction not in (None, "in", "out"):
        fail_typed("--direction must be in or out.")
    try:
        since, before = time_of(which.since, "--since"), time_of(which.before, "--before")
    except Malformed as wrong:
        fail_typed(f"{wrong.field} {wrong.detail}.")
    run(_tell(check_url(url), account, which, (since, before), form))


async def _tell(url: str, account: str, which: Which, times: Sequence[datetime.datetime | None], form: Form) -> None:
    """Page after page, as it comes. Raises NotAnswered."""
    told, begins, page = 0, True, None
    async with Client(url) as client:
        asked = client.entries(
            account,
            order="oldest" if which.oldest_first else "newest",
            limit=ENTRIES_MAX if which.all_lines else min(which.limit, ENTRIES_MAX),
            since=times[0],
            before=times[1],
            direction=cast("Direction | None", which.direction),
            transfer=which.transfer,
            min_position=which.min_position,
        )
        try:
            async for page in asked:
                if isinstance(page, Refusal):
                    fail_refused(page)
                some = page.entries if which.all_lines else page.entries[: which.limit - told]
                if lines := form.lines(replace(page, entries=some), begins=begins):
                    say_next(lines)
                    begins = False
                told += len(some)
                if told >= which.limit and not which.all_lines:
                    if len(some) < len(page.entries) or page.next is not None:
                        complain("There may be more lines than these: --limit or --all shows them.")
                    break
        except NotAnswered:
            if told:
                complain(f"These are the first {told} lines, and not all.")
            raise
    assert isinstance(page, Entries), "a refusal has ended the command"
    if begins and not form.as_json:
        say(f"{account} has no such lines up to position {page.position}.")
    if page.stale_since is not None:
        fail(f"{account}: {stale(page.stale_since)}", NOT_ANSWERED)


COLUMNS: Final = (
    Column("version", right=True),
    Column("at"),
    Column("kind"),
    *(Column(name, right=True) for name in AMOUNTS),
    Column("asset"),
    Column("accounts", folds=True),
    Column("reference", folds=True),
    Column("transfer"),
)
SOME_HAVE: Final = (Column("held change", right=True), Column("flags", folds=True))
"""What most lines have nothing of."""


def sheet_of(page: Entries, *, every_column: bool = False) -> Sheet:
    """A page for the eye. every_column: also those of which no line has anything."""
    some = [(_held_change(page.asset, entry), flags_cell(entry.flags)) for entry in page.entries]
    shown = [at for at in range(len(SOME_HAVE)) if every_column or any(cells[at] for cells in some)]
    return Sheet(
        (*COLUMNS, *(SOME_HAVE[at] for at in shown)),
        [
            (*_cells(page.asset, entry), *(cells[at] for at in shown))
            for entry, cells in zip(page.entries, some, strict=True)
        ],
    )


def _cells(asset: str, entry: Entry) -> Sequence[str]:
    amounts = (money(amount, asset) for amount in (entry.amount, entry.posted, entry.held, entry.available))
    others = " ".join(entry.accounts)
    return (str(entry.version), entry.at, entry.kind, *amounts, asset, others, entry.reference or "", entry.transfer)


def _held_change(asset: str, entry: Entry) -> str:
    return "" if entry.held_change is None else money(entry.held_change, asset)


def csv_of(page: Entries, *, heading: bool) -> str:
    """A page for a spreadsheet: amounts as they are shown, without commas between thousands."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if heading:
        rows.writerow(CSV_COLUMNS)
    for entry in page.entries:
        told = asdict(entry) | {"asset": page.asset, "accounts": " ".join(entry.accounts)}
        told |= {name: _plain(getattr(entry, name), page.asset) for name in (*AMOUNTS, "held_change")}
        told["flags"] = flags_cell(entry.flags)
        told["metadata"] = None if entry.metadata is None else json.dumps(entry.metadata, separators=(",", ":"))
        rows.writerow(["" if told[name] is None else cell(str(told[name])) for name in CSV_COLUMNS])
    return text.getvalue().rstrip("\n")


def _plain(amount: int | None, asset: str) -> str | None:
    return None if amount is None else money(amount, asset).replace(",", "")
