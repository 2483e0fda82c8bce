"""Whether writes would be answered, looked at every few seconds: an idle partition appends nothing and would notice nothing.

A look costs one small request a broker and topic. It says what is so, and stops nobody: who waits goes on waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from write_side.contract.log.log import Log
from write_side.owner.partition import Partition
from write_side.queue.command_queue import CommandQueue

LOOK_S: Final = 2.0
"""Between two looks: `/readyz` is late by this and by what a look may take (`brokers_kafka.LOOK_WAIT_MS`)."""


async def look(log: Log, queue: CommandQueue, partitions: Sequence[Partition], every_s: float = LOOK_S) -> None:
    """Tell each partition, for ever."""
    while True:
        try:
            blocks, commands = await asyncio.gather(log.troubles(), queue.troubles())
            found = {**commands, **blocks}
        except Exception as failure:
            reason = f"its log and queue could not be looked at ({type(failure).__name__}: {failure})"
            found = {partition.number: reason for partition in partitions}
        for partition in partitions:
            partition.looked_at(found.get(partition.number))
        await asyncio.sleep(every_s)
