"""`fanfold rebuild`: the view made again from the log, beside the live one."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Annotated, Any

import typer
from rich.progress import ProgressColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.control_socket import REBUILD
from deploy.whole_log_work import rebuild_views
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say
from fanfold.cli.partitions import chosen_partitions
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.view_work import work_on_view
from read_side.wiring import Wishes

NOT_SWITCHED = 1
"""Exit code: the live view stays. It says more than that nobody could be told."""

SHOWN_MAX = 20
"""Differences in the table; `--json` has them all."""


def rebuild(
    accept_differences: Annotated[
        bool, typer.Option(help="switch to the rebuilt view even where it differs from the live one")
    ] = False,
    from_snapshot: Annotated[
        bool, typer.Option(help="fold from the newest snapshot on; what is before is believed and not checked again")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="compare only: the live view stays, whatever is found")] = False,
    partitions: Annotated[str, typer.Option(help="only of these partitions, such as 0,2")] = "",
    view: Annotated[str, typer.Option(help="where the view is, such as redis://host:6379; default FANFOLD_VIEW")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Make the view again from the log, compare every row with the live view, and switch when all are equal.

    Accounts that differ are listed, each with the first version from which on the live view is not what the log says.

    The view that was live is kept for `fanfold rollback`, one at a time: the next switch keeps another one instead. After kill -9
    run it again; one that runs already refuses a second one. Reads and pushes go on meanwhile, and nothing is pushed again.

    Which view: the one over the log and in the place that FANFOLD_LOG and FANFOLD_VIEW name (the folder ./data if they name
    none). Where FANFOLD_URL names another service, nothing is done. Ends with 0 when switched (or, in a dry run, equal), with 1
    when not, with 2 when it could not be done.

    Examples:

      fanfold rebuild

      fanfold rebuild --dry-run --partitions 0,2

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_VIEW=redis://localhost:6379 fanfold rebuild --json
    """
    with progress_line("{task.description}", *progress_figures(), quiet=as_json) as progress:
        tasks: dict[int, TaskID] = {}

        def on_progress(line: dict[str, Any]) -> None:
            told = {"completed": line["entries"], "total": line["entries_total"], "rate": line["rate"]}
            name = f"{line['partition']}: {line['stage']}"
            if line["partition"] in tasks:
                progress.update(tasks[line["partition"]], description=name, **told)
            else:
                tasks[line["partition"]] = progress.add_task(name, **told)

        with failures_told(UNREADABLE):
            wishes = Wishes(accept_differences, from_snapshot, dry_run, chosen_partitions(partitions))
            here = partial(rebuild_views, wishes, on_progress, view)
            result = asyncio.run(work_on_view(REBUILD, wishes._asdict(), here, on_progress, view))
    text = json.dumps(result) if as_json else _told(result, from_snapshot)
    code = 0 if result["switched"] or (dry_run and result["equal"]) else NOT_SWITCHED
    say(text, changed=result["switched"], code=NOT_TOLD if result["switched"] else code)
    raise typer.Exit(code)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        TaskProgressColumn(table_column=kept()),
        TextColumn("{task.fields[rate]:,.0f} entries/s", table_column=kept()),
        TimeRemainingColumn(table_column=kept()),
    )


COLUMNS = (
    Column("account", folds=True),
    Column("first version", right=True),
    Column("column"),
    Column("live", right=True),
    Column("rebuilt", right=True),
)
_NAMES = ("account", "first_version", "column", "live", "rebuilt")


def _told(result: dict[str, Any], from_snapshot: bool) -> str:
    shown = [difference for part in result["partitions"] for difference in part["differences"]][:SHOWN_MAX]
    lines = [laid_out(sheet_of(shown))] if shown else []
    for part in result["partitions"] if from_snapshot else ():
        begun = part["begun_after"]
        lines.append(
            f"partition {part['partition']} was begun at the snapshot of {begun}: blocks up to it were believed and not read"
            if begun
            else f"partition {part['partition']} has no snapshot that could be begun at: every block was read"
        )
    did = {"switched": "switched to the rebuilt view", "equal": "the live view stays, it is the same"}.get(
        result["verdict"], "the live view stays"
    )
    lines.append(
        f"{did}: {result['compared']:,} rows compared, {result['different']:,} different, {result['entries']:,} entries "
        f"folded in {result['seconds']:.1f} s ({result['rate']:,}/s)"
    )
    return "\n".join(lines)


def sheet_of(differences: list[dict[str, Any]]) -> Sheet:
    return Sheet(COLUMNS, [tuple(str(each[name]) for name in _NAMES) for each in differences])
