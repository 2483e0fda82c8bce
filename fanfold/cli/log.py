"""Commands about the log: `tail` and `verify`."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.services import open_log_to_read, snapshots_of
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say, say_next
from fanfold.cli.sheet import Column, Sheet
from read_side.wiring import Verdict, events_of, verify_log
from write_side.contract.log.log import Log, LogDamaged
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.position import parse_positions

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
        await asyncio.gather(*(_tail_partition(log, p, behind.get(p, -1), follow) for p in range(log.partitions)))
    finally:
        await log.close()


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


def verify(
    from_snapshot: Annotated[
        bool, typer.Option(help="check from the newest snapshot on; blocks before it are believed and not read")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the verdict as one JSON object")] = False,
) -> None:
    """Replay the log and check every block: hash, chain, versions, zero sums, state digest. Changes nothing.

    Ends with 0 when everything holds, with 1 when not, with 2 when the log cannot be read. May run beside the service.

    Examples:

      fanfold verify

      FANFOLD_LOG=kafka://localhost:9092 fanfold verify --json
    """
    with failures_told(UNREADABLE):
        verdict = asyncio.run(_verify(quiet=as_json, from_snapshot=from_snapshot))
    say(json.dumps(verdict.document()) if as_json else _told(verdict), code=NOT_TOLD if verdict.good else BROKEN)
    raise typer.Exit(0 if verdict.good else BROKEN)


async def _verify(quiet: bool, from_snapshot: bool) -> Verdict:
    try:
        log = await open_log_to_read()
    except LogDamaged as damage:
        return Verdict([], str(damage))
    columns = (TextColumn("verifying"), BarColumn(), TextColumn("{task.completed:,.0f} outcomes"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
            task = progress.add_task("verify", total=None)
            snapshots = snapshots_of(log) if from_snapshot else None
            return await verify_log(log, lambda outcomes: progress.advance(task, outcomes), snapshots)
    finally:
        await log.close()


def _told(verdict: Verdict) -> str:
    lines = [laid_out(sheet_of(verdict))] if verdict.partitions else []
    lines += verdict.problems
    lines += [
        f"partition {found.partition} was begun at the snapshot of {found.begun_after}: blocks up to it were not read"
        for found in verdict.partitions
        if found.begun_after is not None
    ]
    lines.append("good: every block follows from the ones before it" if verdict.good else "BROKEN: see above")
    return "\n".join(lines)


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
            "good" if found.problem is None else "BROKEN",
        )
        for found in verdict.partitions
    ]
    return Sheet(columns, rows)
