"""`fanfold bench rebuild [--log kafka]`: the balance view made again from the log beside the live one, compared and switched.

Measured from the start of the rebuild to the switch: blocks read, hashes, chain, versions, zero sums and digests checked, rows
loaded and compared with the live ones. Reading comes from the page cache here, as after a restart of the process; with
--log kafka from a real broker beside it on the same cores. What the log is made with is not measured, and a file log not synced.

`stages_us` is processor time a block: reading the log, decoding with hash and chain, folding with every other check. It is taken
in a pass of its own, one stage after the other.
"""

from __future__ import annotations

import time
from contextlib import aclosing
from pathlib import Path

from prometheus_client import CollectorRegistry

from read_side.feed.feed_memory import MemoryFeed
from read_side.settings import ReadSettings
from read_side.views.view_memory import MemoryViewStore
from read_side.wiring import ReadSide, rebuild
from tests.benchmarks import report, writes
from tests.servers import shared_kafka, unique_name
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.state.fold_run import fold_run, follows
from write_side.contract.state.replay import Replay, read_together
from write_side.contract.state.state import State


async def run(
    folder: Path, *, transfers: int, accounts: int, partitions: int, block: int, with_kafka: bool = False
) -> str:
    """Returns the report line; first makes a log of that many transfers."""
    load = {"transfers": transfers, "accounts": accounts, "block": block}
    if with_kafka:
        with shared_kafka() as bootstrap:
            topic = unique_name("bench-rebuild")
            making = await KafkaLog.open(bootstrap, topic, create_partitions=partitions, replication=1, min_in_sync=1)
            await writes.measure("rebuild", making, log_kind="Kafka", **load)
            log = await KafkaLog.open(bootstrap, topic, replication=1, min_in_sync=1)
            return await _measure(log, log_kind="Kafka", **load)
    files = await FileLog.open(folder, partitions, sync=lambda descriptor: None)
    await writes.measure("rebuild", files, log_kind="file, not synced", **load)
    return await _measure(await FileLog.open_read_only(folder), log_kind="file", **load)


async def _measure(log: Log, *, transfers: int, accounts: int, block: int, log_kind: str) -> str:
    """Closes the log."""
    view = MemoryViewStore()
    live = ReadSide(ReadSettings(view="memory"), log, view, MemoryFeed(), CollectorRegistry())
    await live.start()
    cpu_s = time.process_time()
    result = await rebuild(log, view)
    cpu_s = time.process_time() - cpu_s
    told = result.document()
    blocks = sum(each.sequence + 1 for each in result.partitions)
    stages_us, size = await _stages(log)
    partitions = log.partitions
    await log.close()
    await live.run()  # which ends with its log: what it still asks is not left to the next benchmark
    return report.line(
        "rebuild",
        rate=told["rate"],
        unit="entries",
        durable=False,
        blocks_per_s=round(blocks / told["seconds"]),
        entries=told["entries"],
        seconds=told["seconds"],
        cpu_us_per_block=round(cpu_s / blocks * 1e6, 2),
        stages_us=stages_us,
        bytes_per_block=round(size / blocks, 1),
        compared=told["compared"],
        equal=told["equal"],
        switched=told["switched"],
        transfers=transfers,
        partitions=partitions,
        accounts=accounts,
        block=block,
        log=log_kind,
    )


async def _stages(log: Log) -> tuple[dict[str, float], int]:
    """Processor time a block by stage, over all partitions, and the bytes of all blocks. What is not plain is folded, and its
    time counted nowhere."""
    spent = dict.fromkeys(("read", "decode", "fold"), 0.0)
    blocks = size = 0
    for partition in range(log.partitions):
        replay = Replay(State(partition))
        async with aclosing(log.read(partition)) as runs:
            at = time.process_time()
            async for records in runs:
                spent["read"] += time.process_time() - at
                begun = time.process_time()
                reader, _ = read_together(records)
                spent["decode"] += time.process_time() - begun
                size += sum(len(each.data) for each in records)
                place = 0
                while place < len(records):
                    begun = time.process_time()
                    head = follows(replay.state)
                    plain = None if head is None else reader.plain(place, head)
                    decoded = time.process_time()
                    if plain is None:
                        replay.take(records[place])
                        place += 1
                        continue
                    fold_run(replay.state, plain)
                    spent["decode"] += decoded - begun
                    spent["fold"] += time.process_time() - decoded
                    place += len(plain.headers)
                    blocks += len(plain.headers)
                at = time.process_time()
    return {stage: round(seconds / max(1, blocks) * 1e6, 3) for stage, seconds in spent.items()}, size
