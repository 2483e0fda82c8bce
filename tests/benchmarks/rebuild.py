"""`fanfold bench rebuild`: the balance view made again from the file log beside the live one, compared and switched.

Measured from the start of the rebuild to the switch: blocks read, hashes, chain, versions, zero sums and digests checked, rows
loaded and compared with the live ones. Reading comes from the page cache here, as after a restart of the process. What the log
is made with is not measured, and not synced.

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
from write_side.contract.block.run import RunReader
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.state.fold_run import fold_run, follows
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """Returns the report line; first makes a log of that many transfers."""
    making = await FileLog.open(folder, partitions, sync=lambda descriptor: None)
    await writes.measure(
        "rebuild", making, transfers=transfers, accounts=accounts, block=block, log_kind="file, not synced"
    )
    log = await FileLog.open_read_only(folder)
    view = MemoryViewStore()
    live = ReadSide(ReadSettings(view="memory"), log, view, MemoryFeed(), CollectorRegistry())
    await live.start()
    cpu_s = time.process_time()
    result = await rebuild(log, view)
    cpu_s = time.process_time() - cpu_s
    told = result.document()
    blocks = sum(each.sequence + 1 for each in result.partitions)
    stages_us = await _stages(log)
    await log.close()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
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
        partitions=partitions,
        accounts=accounts,
        block=block,
        log="file",
    )


async def _stages(log: Log) -> dict[str, float]:
    """Processor time a block by stage, over all partitions. What is not plain is folded, and counted nowhere."""
    spent = dict.fromkeys(("read", "decode", "fold"), 0.0)
    blocks = 0
    for partition in range(log.partitions):
        replay = Replay(State(partition))
        async with aclosing(log.read(partition)) as runs:
            at = time.process_time()
            async for records in runs:
                spent["read"] += time.process_time() - at
                assert isinstance(records, Frames)
                reader, place = RunReader(records.data, records.starts), 0
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
    return {stage: round(seconds / max(1, blocks) * 1e6, 3) for stage, seconds in spent.items()}
