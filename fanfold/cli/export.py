"""`fanfold export`: the events of the log as files for whoever asks with SQL."""

from __future__ import annotations

import asyncio
import datetime
import json
from pathlib import Path
from typing import Annotated

import typer

from deploy.whole_log_work import export_events
from fanfold.cli.known_failures import UNREADABLE, code_of_partitions, failures_told
from fanfold.cli.output import NOT_TOLD, say
from fanfold.cli.progress import progress_line
from fanfold.cli.publish import progress_figures
from fanfold.cli.times import TIME_HELP, time_of
from read_side.wiring import PartitionExported, Span
from write_side.contract.words.position import parse_positions
from write_side.contract.words.times import time_us


def export(
    parquet: Annotated[Path, typer.Option(help="the folder; made where it is missing", metavar="FOLDER")],
    since: Annotated[str, typer.Option(metavar="TIME", help=f"from this time on: {TIME_HELP}")] = "",
    before: Annotated[str, typer.Option(metavar="TIME", help="up to this time, which is not in it")] = "",
    from_position: Annotated[
        str, typer.Option(help="from these blocks on, such as 0:17; of partitions that are not named everything")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Write the events of the log as Parquet files, a folder for each UTC day.

    A file is named day=2026-01-31/part-0-17-42.parquet by its partition, first and last block. A row is an event, as `fanfold
    publish` tells it: each account that was opened (kind `open`) and each entry; amounts are whole minor units. Goes up to the
    end of the log as it is now. Run it again for what has come since: what is there is not written again. What stops one
    partition keeps nothing from the others. Ends with 1 when a partition is damaged or its files are of another log, with 2
    when it could not be done.

    Examples:

      fanfold export --parquet ./events

      fanfold export --parquet ./events --since 2026-01-01 --before 2026-02-01
    """
    with progress_line("exporting", *progress_figures(), quiet=as_json) as progress:
        task = progress.add_task("exporting", total=None)
        with failures_told(UNREADABLE):
            span = Span(
                _us(time_of(since, "--since")),
                _us(time_of(before, "--before")),
                parse_positions(from_position, "--from-position") if from_position else {},
            )
            found = asyncio.run(export_events(parquet, span, lambda n: progress.advance(task, n)))
    code = code_of_partitions(found)
    say(json.dumps(_document(found)) if as_json else _told(found, parquet), code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def _document(found: list[PartitionExported]) -> dict[str, object]:
    return {
        "events": sum(each.events for each in found),
        "files": sum(each.files for each in found),
        "partitions": [
            {name: value for name, value in vars(each).items() if value is not None and value is not False}
            for each in found
        ],
    }


def _told(found: list[PartitionExported], folder: Path) -> str:
    events, files = sum(each.events for each in found), sum(each.files for each in found)
    places = ", ".join(each.position for each in found if each.position is not None)
    goes = f"it goes up to {places}" if places else "there is nothing in it yet"
    return f"wrote {events:,} events in {files:,} files to {folder}: {goes}"


def _us(moment: datetime.datetime | None) -> int | None:
    return None if moment is None else time_us(moment)
