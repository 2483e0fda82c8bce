"""explain: the log asked what became of one transfer. Every partition is replayed, with all checks, and nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from read_side.tell.transfer_trace import PartitionTrace, Step, linked_ids, steps_of
from write_side.contract.log.log import Log, Record


async def explain(log: Log, transfer_id: bytes) -> list[Step]:
    """What every partition did for a transfer or hold, in order of time; empty when no partition knows it.

    Raises LogFailed, ChainBroken, CheckFailed.
    """
    traces = [PartitionTrace(partition, transfer_id) for partition in range(log.partitions)]
    await asyncio.gather(*(_follow(log, trace) for trace in traces))
    if linked := linked_ids(traces):  # each is told from its own first outcome on, so the logs are read once more
        traces = [PartitionTrace(partition, transfer_id, linked) for partition in range(log.partitions)]
        await asyncio.gather(*(_follow(log, trace) for trace in traces))
    return steps_of(traces)


def explain_records(logs: Sequence[Sequence[Record]], transfer_id: bytes) -> list[Step]:
    """As `explain`, of the records of every partition's log."""
    traces = _taken(logs, transfer_id, frozenset())
    if linked := linked_ids(traces):
        traces = _taken(logs, transfer_id, linked)
    return steps_of(traces)


def _taken(logs: Sequence[Sequence[Record]], transfer_id: bytes, linked: frozenset[bytes]) -> list[PartitionTrace]:
    traces = [PartitionTrace(partition, transfer_id, linked) for partition in range(len(logs))]
    for trace, records in zip(traces, logs, strict=True):
        _take(trace, records)
    return traces


async def _follow(log: Log, trace: PartitionTrace) -> None:
    async with aclosing(log.read(trace.partition)) as runs:
        async for records in runs:
            await asyncio.to_thread(_take, trace, records)


def _take(trace: PartitionTrace, records: Sequence[Record]) -> None:
    for record in records:
        trace.take(record)
