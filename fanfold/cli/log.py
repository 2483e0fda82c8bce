"""Commands about the log: `tail` and `verify`."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy.services import open_log_to_read
from fanfold.cli.told import UNREADABLE, told
from read_side.wiring import Verdict, events_of, verify_log
from write_side.contract.log import Log, LogDamaged
from write_side.contract.position import parse_positions
from write_side.contract.replay import Replay
from write_side.contract.state import State


def tail(
    after: Annotated[str, typer.Option(help="print only what lies behind these positions, such as 0:17")] = "",
    follow: Annotated[bool, typer.Option(help="go on with what comes; --no-follow ends at the log's end")] = True,
) -> None:
    """Print the events of the log as JSON lines, from the beginning.

    Examples:

      fanfold tail --no-follow | jq .outcome | sort | uniq -c

      fanfold tail --after 0:17
    """
    with told(UNREADABLE):
        behind = parse_positions(after, "--after") if after else {}
        try:
            asyncio.run(_tail(behind, follow))
        except BrokenPipeError:
            sys.stderr.close()  # a closed pipe is how `head` says that it has enough


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
                    lines = [json.dumps(event) + "\n" for event in events_of(folded.block, replay.state)]
                    sys.stdout.writelines(lines)
            sys.stdout.flush()


def verify(
    as_json: Annotated[bool, typer.Option("--json", help="print the verdict as one JSON object")] = False,
) -> None:
    """Replay the log and check every block: hash, chain, versions, zero sums, state digest. Changes nothing.

    Ends with 0 when everything holds, with 1 when not, with 2 when the log cannot be read. May run beside the service.

    Examples:

      fanfold verify

      FANFOLD_LOG=kafka://localhost:9092 fanfold verify --json
    """
    with told(UNREADABLE):
        verdict = asyncio.run(_verify(quiet=as_json))
    if as_json:
        print(json.dumps(verdict.document()))
    else:
        _print(verdict)
    raise typer.Exit(0 if verdict.good else 1)


async def _verify(quiet: bool) -> Verdict:
    try:
        log = await open_log_to_read()
    except LogDamaged as damage:
        return Verdict([], str(damage))
    columns = (TextColumn("verifying"), BarColumn(), TextColumn("{task.completed:,.0f} outcomes"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
            task = progress.add_task("verify", total=None)
            return await verify_log(log, lambda outcomes: progress.advance(task, outcomes))
    finally:
        await log.close()


def _print(verdict: Verdict) -> None:
    table = Table("partition", "position", "blocks", "outcomes", "entries", "accounts", "skipped", "digest", "verdict")
    for found in verdict.partitions:
        numbers = (found.blocks, found.outcomes, found.entries, found.accounts, found.skipped)
        table.add_row(
            str(found.partition),
            found.position or "-",
            *(f"{number:,}" for number in numbers),
            found.digest[:16],
            "good" if found.problem is None else "BROKEN",
        )
    Console().print(table)
    for problem in (verdict.problem, *(found.problem for found in verdict.partitions)):
        if problem is not None:
            print(problem)
    print("good: every block follows from the ones before it" if verdict.good else "BROKEN: see above")
