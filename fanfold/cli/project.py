"""`fanfold project`: your own projection of the log, kept in a SQLite file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.whole_log_work import keep_projection, verify_projection
from fanfold.cli.known_failures import STOPPED, UNREADABLE, code_of_partitions, failures_told
from fanfold.cli.output import NOT_TOLD, say, say_next
from fanfold.cli.progress import progress_line
from fanfold.cli.publish import progress_figures
from read_side.wiring import Answer, Compared, Declared, NoProjection, PartitionProjected, Projected, named


def project(
    projection: Annotated[str, typer.Argument(help="where it is: a module and a name in it, my_module:Totals")],
    state: Annotated[
        Path | None, typer.Option(help="the SQLite file of its rows (NAME.db in this folder)", metavar="FILE")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="end at the end of the log as it is now")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="make it again beside what is there, then replace that")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="make it again and compare it with the file, which stays as it is")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="print what its question is answered with, whenever that changes")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Keep the rows of your own projection at the end of the log: every event in them once.

    A projection is a class of some 20 lines: read_side/projections/README.md begins with one, and says how it is tested. Rows
    and how far they go are stored in one transaction, so kill it and start it again as you like. Readers open the file at any
    time: sqlite3 -readonly FILE. A file of another log, another projection or another version of its code is refused. What stops
    one partition keeps nothing from the others. Ends with 1 when a partition is stopped or rows differ, with 2 when it could not
    be done.

    Examples:

      fanfold project my_module:Totals

      fanfold project my_module:Totals --from-start --once

      fanfold project my_module:Totals --verify

      fanfold project my_module:Leaderboard --live
    """
    if verify and (once or from_start or live):
        raise typer.BadParameter("--verify changes nothing: it goes with --state and --json alone")
    if live and as_json:
        raise typer.BadParameter("--live prints JSON lines by itself: leave out --json")
    told = _named(projection)
    if live and told.question is None:
        raise typer.BadParameter(f"{told.name} has no `question`, whose answer --live prints")
    path = state or Path(f"{told.name}.db")
    with progress_line("projecting", *progress_figures(), quiet=as_json or live) as progress:
        task = progress.add_task("projecting", total=None)

        def on_events(events: int) -> None:
            progress.advance(task, events)

        with failures_told(UNREADABLE):
            if verify:
                compared = asyncio.run(verify_projection(told, path, on_events))
                code = code_of_partitions(compared.partitions) or (STOPPED if compared.count else 0)
                document, text = _compared(compared), _told_compared(compared, told, path)
            else:
                keep = keep_projection(
                    told, path, once=once, from_start=from_start, on_events=on_events, on_answer=_say if live else None
                )
                kept = asyncio.run(keep)
                code = code_of_partitions(kept.partitions)
                document, text = _kept(kept), _told_kept(kept, told, path)
    # What was live goes on standing alone on standard output.
    if not live:
        say(json.dumps(document) if as_json else text, code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def _say(answer: Answer) -> None:
    say_next(json.dumps(answer.rows))


def _named(text: str) -> Declared:
    """The projection that is called so. Raises typer.BadParameter where there is none, or it is none."""
    try:
        return named(text)
    except NoProjection as missing:
        raise typer.BadParameter(str(missing), param_hint="PROJECTION") from None


def _document(found: list[PartitionProjected]) -> dict[str, Any]:
    return {
        "events": sum(each.events for each in found),
        "partitions": [
            {name: value for name, value in vars(each).items() if value is not None and value is not False}
            for each in found
        ],
    }


def _kept(kept: Projected) -> dict[str, Any]:
    return _document(kept.partitions) | {"rows": kept.rows}


def _compared(compared: Compared) -> dict[str, Any]:
    whole = all(each.problem is None for each in compared.partitions)
    return _document(compared.partitions) | {
        "rows": compared.rows,
        "equal": whole and compared.count == 0,
        "different": compared.count if whole else None,
        "differences": compared.differences,
    }


def _places(found: list[PartitionProjected]) -> str:
    places = ", ".join(each.position for each in found if each.position is not None)
    return f"up to {places}" if places else "of an empty log"


def _told_kept(kept: Projected, told: Declared, path: Path) -> str:
    events = sum(each.events for each in kept.partitions)
    if kept.rows is None:
        return (
            f"{told.name} was not made again: {path} is as it was. Run the same command again once that is put right."
        )
    rows = f"{path} has {kept.rows:,} rows of {told.name}"
    return f"took {events:,} events, {_places(kept.partitions)}: {rows}"


def _told_compared(compared: Compared, told: Declared, path: Path) -> str:
    if any(each.problem is not None for each in compared.partitions):
        return f"{told.name} in {path} was not compared."
    if not compared.count:
        return f"{told.name} in {path} is what the log says, {_places(compared.partitions)}: {compared.rows:,} rows"
    lines = [
        f"{told.name} in {path} is not what the log says, {_places(compared.partitions)}. Rows that differ: {compared.count:,}"
    ]
    for each in compared.differences:
        lines.append(f"  {_row(each['key'])}: stored {_row(each['stored'])}, made again {_row(each['made'])}")
    if compared.count > len(compared.differences):
        lines.append(f"  and {compared.count - len(compared.differences):,} more")
    lines.append(
        "Nothing was changed. Either its code has changed and its version was not raised, or it asks for what is no event; "
        "--from-start makes it again."
    )
    return "\n".join(lines)


def _row(values: list[Any] | None) -> str:
    return "nothing" if values is None else ", ".join(str(value) for value in values)
