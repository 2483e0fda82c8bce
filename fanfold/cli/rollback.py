"""`fanfold rollback`: the view of before the last switch, caught up and live again."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Annotated, Any

import typer
from rich.progress import ProgressColumn, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.control_socket import ROLL_BACK
from deploy.whole_log_work import roll_back_views
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from fanfold.cli.view_work import work_on_view


def rollback(
    view: Annotated[str, typer.Option(help="where the view is, such as redis://host:6379; default FANFOLD_VIEW")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Go back to the view that was live before the last `fanfold rebuild` switched, once it has caught up with the log.

    One older view is kept, until the next switch keeps another; a rollback keeps the one that it replaces, so a second rollback
    goes forth again. What changed since is written from the log, with every check; other rows stay as they were kept, right or
    wrong. Reads and pushes go on meanwhile, and nothing is pushed again.

    Nothing is done while a rebuild runs, and where the older view cannot be caught up. After kill -9 run it again: what was begun
    is ended and not turned back. Ends with 0 when the older view is live, with 2 when it could not be done.

    Examples:

      fanfold rollback

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_VIEW=redis://localhost:6379 fanfold rollback --json
    """
    with progress_line("{task.description}", *progress_figures(), quiet=as_json) as progress:
        tasks: dict[int, TaskID] = {}

        def on_progress(line: dict[str, Any]) -> None:
            told = {"completed": line["blocks"], "total": line["blocks_total"], "rate": line["rate"]}
            if line["partition"] in tasks:
                progress.update(tasks[line["partition"]], **told)
            else:
                tasks[line["partition"]] = progress.add_task(f"{line['partition']}: catching up", **told)

        with failures_told(UNREADABLE):
            here = partial(roll_back_views, on_progress, view)
            result = asyncio.run(work_on_view(ROLL_BACK, {}, here, on_progress, view))
    say(json.dumps(result) if as_json else _told(result), changed=True, code=NOT_TOLD)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        TaskProgressColumn(table_column=kept()),
        TextColumn("{task.fields[rate]:,.0f} blocks/s", table_column=kept()),
        TimeRemainingColumn(table_column=kept()),
    )


def _told(result: dict[str, Any]) -> str:
    lines = [laid_out(sheet_of(result["partitions"]))] if result["partitions"] else []
    lines += [f"partition {partition} keeps no older view and is as it was" for partition in result["unkept"]]
    if result["verdict"] == "ended":
        lines.append("a rollback that was killed is ended: the older view is live. Run it again to go forth")
    else:
        lines.append("rolled back: the older view is live, and the other one is kept. Run it again to go forth")
    return "\n".join(lines)


COLUMNS = (
    Column("partition", right=True),
    Column("was", right=True),
    Column("is", right=True),
    Column("kept at"),
    Column("now at"),
)


def sheet_of(partitions: list[dict[str, Any]]) -> Sheet:
    names = ("partition", "old_generation", "new_generation", "kept_at", "position")
    return Sheet(COLUMNS, [tuple(str(each[name]) for name in names) for each in partitions])
