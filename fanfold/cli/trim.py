"""`fanfold trim`: the log forgets what its archive has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from rich.progress import DownloadColumn

from deploy.control_socket import TRIM
from deploy.named_log import log_folder_of_environment
from deploy.whole_log_work import trim_log_of_environment
from fanfold.cli.in_process import done_in_process
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say
from fanfold.cli.partitions import chosen_partitions
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from read_side.wiring import TrimWishes

COLUMNS: Final = (
    Column("partition", right=True),
    Column("began at", right=True),
    Column("begins at", right=True),
    Column("needed from", right=True),
    Column("archived to", right=True),
    Column("snapshot at", right=True),
    Column("ids to", right=True),
    Column("view at", right=True),
    Column("no further, because", folds=True),
)
_NAMES: Final = (
    "partition", "began", "begins", "before", "archived_to", "snapshot_at", "ids_at", "view_at", "keeps"
)  # fmt: skip


def trim(
    dry_run: Annotated[
        bool, typer.Option(help="compare and tell what would be forgotten: the log stays as it is")
    ] = False,
    partitions: Annotated[str, typer.Option(help="only these partitions, such as 0,2")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the result as one JSON object")] = False,
) -> None:
    """Let the log forget what lies in its archive, as far as no start and no view needs the log for it.

    The archive is where FANFOLD_LOG_ARCHIVE names one, for every process over this log: the process that writes copies the log
    there, 16 MiB at a time, and whoever asks for what was trimmed reads it there. What is forgotten was compared with the archive
    before, byte by byte. A partition keeps all behind its newest snapshot, behind what is archived, behind the place of its
    view, and what has ids that are in no file of FANFOLD_IDS yet, where that is a folder of this machine. All before "needed
    from" may go; a file log forgets whole segments of 256 MiB.

    Runs inside `fanfold up` where that serves this folder, beside the services over Kafka, and on a full disk. After kill -9
    run it again. Ends with 0 when all went well, also where nothing could be forgotten yet, with 2 when a partition could not
    be read, compared or trimmed.

    Examples:

      fanfold trim --dry-run

      FANFOLD_LOG=kafka://localhost:9092 FANFOLD_LOG_ARCHIVE=s3://wallet/log fanfold trim --json
    """
    with progress_line("{task.description}", DownloadColumn(table_column=kept()), quiet=as_json) as progress:
        task = progress.add_task("trimming", total=None)

        def on_progress(line: dict[str, Any]) -> None:
            progress.update(task, description=f"{line['partition']}: comparing", completed=line["compared"])

        with failures_told(UNREADABLE):
            result = asyncio.run(_trimmed(TrimWishes(chosen_partitions(partitions), dry_run), on_progress))
    trimmed = any(each["begins"] > each["began"] for each in result["partitions"])
    code = UNREADABLE if result["verdict"] == "failed" else 0
    say(json.dumps(result) if as_json else _told(result), changed=trimmed, code=code or NOT_TOLD)
    raise typer.Exit(code)


async def _trimmed(wishes: TrimWishes, on_progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """In the process that serves the folder, or from here. Raises ValueError, and as `trim_log_of_environment`."""
    folder = log_folder_of_environment()
    if folder is not None:
        try:
            return await done_in_process(folder, TRIM, wishes._asdict(), on_progress)
        except (FileNotFoundError, ConnectionRefusedError):
            pass  # nobody serves it
    return await trim_log_of_environment(wishes, on_progress)


def _told(result: dict[str, Any]) -> str:
    lines = [laid_out(sheet_of(result["partitions"]))]
    lines += [f"partition {each['partition']}: {each['problem']}" for each in result["partitions"] if each["problem"]]
    compared = sum(each["compared"] for each in result["partitions"])
    done = {"dry_run": "nothing was trimmed, as was asked", "trimmed": "trimmed", "failed": "not all was trimmed"}
    lines.append(f"{done[result['verdict']]}: {compared:,} bytes of the archive are those of the log")
    return "\n".join(lines)


def sheet_of(partitions: list[dict[str, Any]]) -> Sheet:
    return Sheet(COLUMNS, [tuple(_cell(each[name]) for name in _NAMES) for each in partitions])


def _cell(value: object) -> str:
    return "-" if value in (None, -1) else str(value)
