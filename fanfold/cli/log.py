"""`fanfold tail`: the events of the log as lines."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Annotated

import typer

from deploy.named_log import open_log_to_read
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import complain, say_next
from read_side.contract.how_far import check_partitions
from read_side.wiring import events_of
from write_side.contract.log.log import Log
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.position import parse_positions
from write_side.wiring import PartitionStopped


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
