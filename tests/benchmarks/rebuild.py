"""`fanfold bench rebuild`: the balance view made again from the file log beside the live one, compared and switched.

Measured from the start of the rebuild to the switch: blocks read, hashes, chain, versions, zero sums and digests checked, rows
loaded and compared with the live ones. Reading comes from the page cache here, as after a restart of the process.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from read_side.feed.feed_memory import MemoryFeed
from read_side.settings import ReadSettings
from read_side.views.view_memory import MemoryViewStore
from read_side.wiring import build_read_side, rebuild
from tests.benchmarks import report, writes
from write_side.contract.log.log_file import FileLog


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """Returns the report line; first makes a log of that many transfers."""
    await writes.run(folder, transfers=transfers, accounts=accounts, partitions=partitions, block=block)
    log = await FileLog.open_read_only(folder)
    view = MemoryViewStore()
    live = build_read_side(ReadSettings(view="memory"), log, view, MemoryFeed(), CollectorRegistry())
    await live.start()
    result = await rebuild(log, view)
    await log.close()
    told = result.document()
    return report.line(
        "rebuild",
        rate=told["rate"],
        unit="entries",
        durable=True,
        entries=told["entries"],
        seconds=told["seconds"],
        compared=told["compared"],
        equal=told["equal"],
        switched=told["switched"],
        partitions=partitions,
        accounts=accounts,
        block=block,
        log="file",
    )
