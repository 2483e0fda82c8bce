"""The command `import`: a file of transactions through the service's ordinary door, in order, harmless to repeat."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

from fanfold.amounts import BadAmount, decimals_of, units_of
from fanfold.answers import Opened, Refusal
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.requests import Open, Transfer
from fanfold.cli.asking import DEFAULT_URL, REFUSED, Url, check_url, fail, run
from fanfold.cli.csv_source import CsvSource, csv_source
from fanfold.cli.import_summary import Summary, sequence_of
from fanfold.cli.move_options import fail_typed
from fanfold.cli.output import NOT_TOLD, say
from fanfold.cli.progress import kept, progress_line
from fanfold.client import Client, NotAnswered
from fanfold.csv_lines import BadFile
from fanfold.rows import Row, Skipped, Terms, rows

ROWS_A_BATCH: Final = 4_096
"""With an opening for each row the 8,192 items that the service takes. One batch in flight: order in the log is the file's."""

SAMPLE_MAX: Final = 64
"""Rows, spread evenly over the file, whose other ids are asked for: enough to meet a file that was imported, or most of one."""


def import_csv(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV file in UTF-8, also compressed (gzip), or - for standard input")
    ],
    asset: Annotated[str, typer.Option(help="what the amounts are of: code and decimals, such as CZK/2")],
    minor: Annotated[
        bool | None,
        typer.Option("--minor/--major", help="amounts are whole minor units (1250) / as they are shown (12.50, 13)"),
    ] = None,
    floor: Annotated[
        str | None, typer.Option(help="floor of the accounts it opens, written like the amounts (default: none)")
    ] = None,
    separator: Annotated[str, typer.Option(help="what parts the cells: one character, or `tab`")] = ",",
    former_ids: Annotated[
        bool, typer.Option("--former-ids", help="rows have the ids that former versions made of all cells")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print the summary as one JSON object")] = False,
) -> None:
    """Import transactions from a CSV file, in its order.

    Columns: transaction, account, amount (with a sign). A positive amount is a deposit from @world, a negative one a withdrawal
    to it. Accounts are opened as they come; rows of amount 0 are skipped. Whole amounts of an asset that has decimals need
    --minor or --major.

    A row is known by its transaction, account, amount and asset, or by the column id where there is one: importing it again is
    harmless for as long as the service remembers ids (7 days), also with other columns or in another order. With another amount,
    or in the other unit, it is another row and moves money too. Ends with 1 when a row was refused, or is in with other cells.

    The whole file is read before anything is sent, and nothing is when its encoding, quotes, separator or heading are wrong, two
    rows have one `id`, or an amount could be in either unit. A row with a wrong number of cells (a blank line, too), a malformed
    amount or no transaction is told and left out.

    Examples:

      fanfold import transactions.csv.gz --asset CZK/2 --minor

      fanfold import points.csv --asset PTS/0 --floor 0 --json

      fanfold import bank.csv --asset EUR/2 --separator ';'
    """
    check_url(url)
    parted = "\t" if separator in ("tab", "\\t") else separator
    if len(parted) != 1 or parted in '"\r\n':
        fail_typed("--separator must be one character, or `tab`.")
    terms = _terms(asset, minor, floor, former_ids)
    try:
        with csv_source(file, parted) as source:
            count, sample = _checked(source, parted, terms)
            with _progress(file, quiet=as_json) as progress:
                task = progress.add_task("importing", total=count)
                found = rows(source.records(), parted, terms)
                importing = _import(url, found, sample, former_ids, lambda done: progress.advance(task, done))
                summary = run(importing, may_be_done="Import the file again: rows that are in move nothing twice.")
    except BadFile as bad:
        fail(f"{'Standard input' if str(file) == '-' else file}: {bad}")
    say(
        json.dumps(summary.document()) if as_json else summary.told(),
        changed=True,
        code=NOT_TOLD if summary.all_in else REFUSED,
    )
    if not summary.all_in:
        raise typer.Exit(REFUSED)


def _terms(asset: str, minor: bool | None, floor: str | None, former: bool) -> Terms:
    """Ends the command where they are typed wrongly."""
    try:
        whole = bool(minor) or (former and minor is None)  # former versions knew nothing else
        lowest = None if floor is None or floor == "none" else units_of(floor, asset, minor=whole)
        if former and minor is False and decimals_of(asset):
            fail_typed("Former versions imported whole minor units only: --former-ids goes with --minor.")
        decimals_of(asset)
    except BadAmount as bad:
        fail_typed(f"--floor or --asset {bad}. Nothing was imported.")
    return Terms(asset, True if whole else minor, lowest, former)


def _checked(source: CsvSource, separator: str, terms: Terms) -> tuple[int, list[Row]]:
    """How many rows there are, and some that have other ids, spread evenly. Raises BadFile before anything is sent."""
    sample: list[Row] = []
    count, stride = 0, 1
    for row in rows(source.records(), separator, terms._replace(both=True, units=True)):
        if isinstance(row, Row) and (row.other_id or row.unit_id) and count % stride == 0:
            sample.append(row)
            if len(sample) > SAMPLE_MAX:
                sample, stride = sample[::2], stride * 2
        count += 1
    return count, sample


async def _import(
    url: str, source: Iterator[Row | Skipped], sample: Sequence[Row], former: bool, tell: Callable[[int], None]
) -> Summary:
    summary = Summary()
    started = time.monotonic()
    sequences: dict[str, int] = {}
    async with Client(url) as client:
        await _refuse_other_ids(client, sample, former)
        await _refuse_other_unit(client, sample)
        while batch := _next_batch(source, summary):
            taken = [row for row in batch if isinstance(row, Row)]
            try:
                answers = iter(await client.transfer_batch(_commands(taken)))
            except NotAnswered as failure:
                told = f"{failure} {summary.rows} rows are in, and perhaps some more."
                raise NotAnswered(told, problem=failure.problem) from None
            for row in batch:
                if isinstance(row, Skipped):
                    summary.skip(row)
                else:
                    _settle(summary, row, answers, sequences)
            tell(len(batch))
    summary.seconds = round(time.monotonic() - started, 3)
    summary.rows_per_second = round(summary.rows / max(summary.seconds, 0.001), 1)
    return summary


def _next_batch(source: Iterator[Row | Skipped], summary: Summary) -> list[Row | Skipped]:
    try:
        return list(itertools.islice(source, ROWS_A_BATCH))
    except BadFile:
        raise BadFile(
            f"It changed while it was read, or cannot be read again. {summary.rows} rows are in. Import it again when it "
            "is whole: rows that are in move nothing twice."
        ) from None


async def _moved(client: Client, ids: Sequence[str]) -> list[bool]:
    answers = await asyncio.gather(*(client.transfer_outcome(id) for id in ids))
    return [isinstance(answer, Moved | Pending) for answer in answers]


async def _refuse_other_unit(client: Client, sample: Sequence[Row]) -> None:
    """A file that was imported in the other unit would be moved a second time. Raises BadFile.

    Two amounts of one transaction may be a hundredfold of each other, so a row that is in as it is now says nothing.
    """
    could = [(row.transfer.id, row.unit_id) for row in sample if row.unit_id is not None]
    found = await _moved(client, [unit_id for _, unit_id in could])
    now = await _moved(client, [id for (id, _), there in zip(could, found, strict=True) if there])
    if not all(now):
        raise BadFile(
            "It was imported in the other unit (--minor instead of --major, or the other way round): in this one its rows are "
            "other rows, and would move money again. Nothing was imported."
        )


async def _refuse_other_ids(client: Client, sample: Sequence[Row], former: bool) -> None:
    """A file that was imported under other ids would be moved a second time. Raises BadFile."""
    if not any(await _moved(client, [row.other_id for row in sample if row.other_id is not None])):
        return
    if former:
        raise BadFile(
            "It was imported without --former-ids: with them its rows would move again. Nothing was imported."
        )
    raise BadFile(
        "It was imported by a former version of this command, whose ids were made of all cells of a row. Its rows have other ids "
        "now and would move again. Say --former-ids, for this file and for longer versions of it. Nothing was imported."
    )


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
    opened: Opened | Refusal | None = None
    if row.opening is not None:
        answer = next(answers)
        assert not isinstance(answer, Moved | Pending), "answers come in the order of the commands"
        opened = answer
        # A transfer lives in its account's partition, so the two sequences count the same blocks.
        sequences[row.account] = sequence_of(opened)
    moved = next(answers)
    # Every row is a deposit or a withdrawal, which one partition decides: never pending.
    assert not isinstance(moved, Opened | Pending), "answers come in the order of the commands"
    summary.settle(row, opened, moved, sequences[row.account])


def _progress(file: Path, *, quiet: bool) -> Progress:
    name = file.name.replace("{", "{{").replace("}", "}}")  # what is in braces would be looked up
    return progress_line(name, *progress_figures(), quiet=quiet)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        MofNCompleteColumn(table_column=kept()),
        TextColumn("rows", table_column=kept()),
        TimeRemainingColumn(table_column=kept()),
    )
