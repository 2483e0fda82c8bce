"""Commands about the log: `tail` and `verify`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from enum import StrEnum
from functools import partial
from typing import Annotated, Final

import typer
from rich.progress import ProgressColumn, TextColumn, TimeElapsedColumn

from deploy.services import archive_of, archive_place, open_log_to_read, snapshots_of
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, complain, laid_out, say, say_next
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from read_side.contract.how_far import check_partitions
from read_side.wiring import Verdict, events_of, verify_log
from write_side.contract.log.log import Log, LogDamaged
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.position import parse_positions
from write_side.wiring import PartitionStopped

BROKEN: Final = 1
"""Exit code: the log does not hold together. It says more than that nobody could be told."""


def tail(
    after: Annotated[str, typer.Option(help="print only what lies behind these positions, such as 0:17")] = "",
    follow: Annotated[bool, typer.Option(help="go on with what comes; --no-follow ends at the log's end")] = True,
) -> None:
    """Print the events of the log as JSON lines, from the beginning.

    Examples:

      fanfold tail --no-follow | jq .outcome | sort | uniq -c

      fanfold tail --after 0:17
    """
    with failures_told(UNREADABLE):
        behind = parse_positions(after, "--after") if after else {}
        asyncio.run(_tail(behind, follow))


async def _tail(behind: dict[int, int], follow: bool) -> None:
    log = await open_log_to_read()
    try:
        check_partitions(behind, log.partitions, "--after")
        ended = await asyncio.gather(*(_tailed(log, p, behind.get(p, -1), follow) for p in range(log.partitions)))
    finally:
        await log.close()
    if not all(ended):
        raise typer.Exit(UNREADABLE)


async def _tailed(log: Log, partition: int, behind: int, follow: bool) -> bool:
    """Whether it came to its end: what cannot be read in one partition is told, and keeps nothing of the others."""
    try:
        await _tail_partition(log, partition, behind, follow)
    except PartitionStopped as failure:
        complain(f"fanfold: partition {partition}: {failure}")
        return False
    return True


async def _tail_partition(log: Log, partition: int, behind: int, follow: bool) -> None:
    replay = Replay(State(partition))
    async with aclosing(log.tail(partition) if follow else log.read(partition)) as runs:
        async for records in runs:
            for record in records:
                folded = replay.take(record)
                if folded is not None and folded.block.header.sequence > behind:
                    lines = [json.dumps(event) for event in events_of(folded.block, replay.state)]
                    if lines:  # the first block of a writer has none
                        say_next("\n".join(lines))


class Against(StrEnum):
    """What is made from the log and can be compared with it."""

    ARCHIVE = "archive"


def verify(
    from_snapshot: Annotated[
        bool, typer.Option(help="check from the newest snapshot on; blocks before it are believed and not read")
    ] = False,
    against: Annotated[
        list[Against] | None,
        typer.Option(help="compare this with the log as well: `archive`, the history that statements are told from"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the verdict as one JSON object")] = False,
) -> None:
    """Replay the log and check every block: hash, chain, versions, zero sums, state digest. Changes nothing.

    Ends with 0 when everything holds, with 1 when not, with 2 when the log or a partition of it cannot be read. May run
    beside the service.

    Examples:

      fanfold verify

      fanfold verify --against archive

      FANFOLD_LOG=kafka://localhost:9092 fanfold verify --json
    """
    with failures_told(UNREADABLE):
        with_archive = Against.ARCHIVE in (against or ())
        verdict = asyncio.run(_verify(quiet=as_json, from_snapshot=from_snapshot, with_archive=with_archive))
    code = {"good": 0, "broken": BROKEN, "unread": UNREADABLE}[verdict.word]
    told = json.dumps(verdict.document()) if as_json else _told(verdict, from_snapshot, archive_place())
    say(told, code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.completed:,.0f} outcomes", table_column=kept()),
        TimeElapsedColumn(table_column=kept()),
    )


async def _verify(quiet: bool, from_snapshot: bool, with_archive: bool) -> Verdict:
    try:
        log = await open_log_to_read()
    except LogDamaged as damage:
        return Verdict([], str(damage))
    try:
        with progress_line("verifying", *progress_figures(), quiet=quiet) as progress:
            task = progress.add_task("verify", total=None)
            advance = partial(progress.advance, task)
            archive = archive_of(log) if with_archive else {}
            return await verify_log(log, advance, snapshots_of(log), begin=from_snapshot, archive=archive)
    finally:
        await log.close()


def _told(verdict: Verdict, from_snapshot: bool, place: str) -> str:
    lines = [laid_out(sheet_of(verdict))] if verdict.partitions else []
    lines += verdict.problems
    lines += [
        f"partition {found.partition} was begun at the snapshot of {found.begun_after}: blocks up to it were not read"
        if found.begun_after is not None
        else f"partition {found.partition} has no snapshot that could be begun at: every block was read"
        for found in verdict.partitions
        if from_snapshot
    ]
    lines += [
        f"partition {found.partition}: no history is sealed in {place}, so none was compared"
        if found.archived < 0
        else f"partition {found.partition}: the history in {place} says the same, up to block {found.partition}:{found.archived}"
        for found in verdict.partitions
        if found.archived is not None and found.problem is None
    ]
    read = "every block that was read" if any(found.begun_after for found in verdict.partitions) else "every block"
    lines.append(_LAST_LINES[verdict.word].format(read=read))
    return "\n".join(lines)


_LAST_LINES: Final = {
    "good": "good: {read} follows from the ones before it",
    "broken": "BROKEN: see above",
    "unread": "NOT ALL READ: see above; what was read is good",
}
FIGURES: Final = ("blocks", "outcomes", "entries", "accounts", "skipped")


def sheet_of(verdict: Verdict) -> Sheet:
    columns = (
        Column("partition", right=True),
        Column("position"),
        *(Column(name, right=True) for name in FIGURES),
        Column("digest"),
        Column("verdict"),
    )
    rows = [
        (
            str(found.partition),
            found.position or "-",
            *(f"{getattr(found, name):,}" for name in FIGURES),
            found.digest,
            "good" if found.problem is None else "unread" if found.unread else "BROKEN",
        )
        for found in verdict.partitions
    ]
    return Sheet(columns, rows)
