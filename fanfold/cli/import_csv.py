"""The command `import`: a file of transactions through the service's ordinary door, in order, harmless to repeat."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from fanfold.answers import Moved, Opened, Pending, Refusal
from fanfold.cli.asking import DEFAULT_URL, REFUSED, Url, check_url, fail, run
from fanfold.cli.saying import laid_out, say
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client, NotAnswered
from fanfold.commands import Open, Transfer
from fanfold.rows import BadFile, Row, Skipped, rows

ROWS_A_BATCH: Final = 4_096
"""With an opening for each row the 8,192 items that the service takes. One batch in flight: order in the log is the file's."""

SHOWN_MAX: Final = 20
"""Refusals and skipped rows kept and shown; the rest is counted."""


@dataclass
class Summary:
    """What became of the rows. `repeated`: done by an earlier import, so no money moved this time."""

    rows: int = 0
    accounts_opened: int = 0
    done: int = 0
    repeated: int = 0
    refused: int = 0
    skipped_zero: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    refusals: list[Skipped] = field(default_factory=list)

    def skip(self, row: Skipped) -> None:
        self.rows += 1
        if row.code == "amount_zero":
            self.skipped_zero += 1
        else:
            self._refuse(row)

    def settle(self, row: Row, opened: Opened | Refusal | None, moved: Moved | Refusal, sequence: int) -> None:
        """`sequence`: the block of the account's opening answer in this import; what was done before it is a repeat."""
        self.rows += 1
        self.accounts_opened += isinstance(opened, Opened) and not opened.existed
        if isinstance(moved, Refusal):
            self._refuse(Skipped(row.line, moved.code, moved.title))
        elif _sequence(moved.position) < sequence:
            self.repeated += 1
        else:
            self.done += 1

    def _refuse(self, row: Skipped) -> None:
        self.refused += 1
        if len(self.refusals) < SHOWN_MAX:
            self.refusals.append(row)

    def document(self) -> dict[str, object]:
        return asdict(self) | {"refusals": [row._asdict() for row in self.refusals]}


def import_csv(
    file: Annotated[Path, typer.Argument(help="CSV file, also compressed (.gz), or - for standard input")],
    asset: Annotated[str, typer.Option(help="what the amounts are: code and decimals")] = "CZK/2",
    floor: Annotated[
        int | None, typer.Option(help="floor of the accounts it opens, minor units (default: none)")
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
) -> None:
    """Import transactions from a CSV file, in its order.

    Columns: transaction, account, amount (signed minor units). A positive amount is a deposit from @world, a negative one
    a withdrawal to it. Accounts are opened as they come, rows of amount 0 are skipped, other columns are only part of a
    row's identity. Importing the same file again is harmless for as long as the service remembers ids (7 days).
    Ends with 1 when a row was refused.

    Examples:

      fanfold import transactions.csv.gz

      fanfold import points.csv --asset PTS/0 --floor 0 --json
    """
    check_url(url)
    try:
        with _open(file) as text, _progress(file, quiet=as_json) as progress:
            task = progress.add_task("importing", total=_count_rows(file))
            importing = _import(url, rows(csv.reader(text), asset=asset, floor=floor), progress, task)
            summary = run(importing, may_be_done="Import the file again: rows that are in move nothing twice.")
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror or 'it is not what its name says'}.")
    except (UnicodeDecodeError, csv.Error, EOFError, zlib.error):
        fail(
            f"{file} is not a CSV file in UTF-8. Rows before the bad place may be imported; repeating them is harmless."
        )
    except BadFile as bad:
        fail(str(bad))
    say(json.dumps(summary.document()) if as_json else _told(summary), changed=True)
    if summary.refused:
        raise typer.Exit(REFUSED)


async def _import(url: str, source: Iterator[Row | Skipped], progress: Progress, task: TaskID) -> Summary:
    summary = Summary()
    started = time.monotonic()
    sequences: dict[str, int] = {}
    async with Client(url) as client:
        while batch := list(itertools.islice(source, ROWS_A_BATCH)):
            taken = [row for row in batch if isinstance(row, Row)]
            try:
                answers = iter(await client.transfer_batch(_commands(taken)))
            except NotAnswered as failure:
                raise NotAnswered(f"{failure} {summary.rows} rows are in, and perhaps some more.") from None
            for row in batch:
                if isinstance(row, Skipped):
                    summary.skip(row)
                else:
                    _settle(summary, row, answers, sequences)
            progress.advance(task, len(batch))
    summary.seconds = round(time.monotonic() - started, 3)
    summary.rows_per_second = round(summary.rows / max(summary.seconds, 0.001), 1)
    return summary


def _commands(taken: list[Row]) -> list[Open | Transfer]:
    commands: list[Open | Transfer] = []
    for row in taken:
        if row.opening is not None:
            commands.append(row.opening)
        commands.append(row.transfer)
    return commands


def _settle(
    summary: Summary, row: Row, answers: Iterator[Opened | Moved | Pending | Refusal], sequences: dict[str, int]
) -> None:
    account = row.transfer.debit if row.transfer.credit.startswith("@") else row.transfer.credit
    opened: Opened | Refusal | None = None
    if row.opening is not None:
        answer = next(answers)
        assert not isinstance(answer, Moved | Pending), "answers come in the order of the commands"
        opened = answer
        # A transfer lives in its account's partition, so the two sequences count the same blocks.
        sequences[account] = _sequence(opened.position) if isinstance(opened, Opened) else 0
    moved = next(answers)
    # Every row is a deposit or a withdrawal, which one partition decides: never pending.
    assert not isinstance(moved, Opened | Pending), "answers come in the order of the commands"
    summary.settle(row, opened, moved, sequences[account])


def _sequence(position: str) -> int:
    return int(position.partition(":")[2])


@contextmanager
def _open(file: Path) -> Iterator[IO[str]]:
    if str(file) == "-":
        yield sys.stdin
        return
    packed = file.suffix == ".gz"
    # A mark at the beginning, as spreadsheets write it, is no part of the first column's name.
    with gzip.open(file, "rb") if packed else file.open("rb") as raw:
        yield io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _count_rows(file: Path) -> int | None:
    """Lines behind the heading, for the progress bar only; unknown for a stream."""
    if str(file) == "-":
        return None
    with _open(file) as text:
        return max(0, sum(1 for _ in text) - 1)


def _progress(file: Path, *, quiet: bool) -> Progress:
    columns = (
        TextColumn(file.name, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)


COLUMNS: Final = (Column("line", right=True), Column("code"), Column("what it means", folds=True))


def _told(summary: Summary) -> str:
    lines = [
        f"{summary.rows:,} rows: {summary.done:,} done, {summary.repeated:,} repeated, {summary.refused:,} refused, "
        f"{summary.skipped_zero:,} of amount 0 skipped; {summary.accounts_opened:,} accounts opened; "
        f"{summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    ]
    if summary.refused:
        lines += [
            f"first refusals ({len(summary.refusals)} of {summary.refused})",
            laid_out(sheet_of(summary.refusals)),
        ]
    return "\n".join(lines)


def sheet_of(refusals: list[Skipped]) -> Sheet:
    return Sheet(COLUMNS, [(str(row.line), row.code, row.reason) for row in refusals])
