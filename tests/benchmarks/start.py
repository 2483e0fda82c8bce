"""`fanfold bench start`: how long `fanfold up` takes until it answers, over a log of small blocks, with and without a snapshot.

The log is made here and not synced; some blocks before its end a snapshot is taken, and another one at its end, as a service does
all the while. Then the service is started: without snapshots, which folds the whole log; from the
first of the two, as after a crash; and after a clean stop. The clock stops at the first balance that is read through the public
door; `cpu_s` is the service's processor time until then.

`stop_max_ms`: the longest time for which an event loop stood still while the second snapshot was taken in its process, beside the
longest in a second without. Time in which the loop could have gone on and had no core is not counted (Linux, schedstat).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

from structlog.testing import capture_logs

from tests.benchmarks import report
from tests.benchmarks.connection import Connection
from tests.benchmarks.made_log import LogMaker
from tests.benchmarks.requests import processor_s
from tests.end_to_end import load, processes
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import prepare_folder
from write_side.contract.snapshots.snapshots import Snapshots, named
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.snapshot import compile_snapshots
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.deciding.compile_ahead import compile_ahead

TICK_S: Final = 0.001
IDLE_S: Final = 1.0
SINCE: Final = 20
SINCE_MAX: Final = 250_000
"""One block in so many came after the first snapshot, and no more than a service lets come."""
ONLY: Final = {"FANFOLD_SNAPSHOT_BLOCKS": str(10**9), "FANFOLD_SNAPSHOT_MINUTES": "10000"}
"""No snapshot while it is measured."""


class Made(NamedTuple):
    """A log with a snapshot before its end. account: that it has; blocks, since: in all, and behind the snapshot."""

    account: str
    blocks: int
    since: int
    partitions: int
    first: dict[str, float]
    second: dict[str, float]


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers, accounts: in all."""
    made = await make(folder, transfers=transfers, accounts=accounts, partitions=partitions, block=block)
    return await measure(folder, made, accounts=accounts, block=block)


async def make(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> Made:
    """Write the log, and take the snapshots."""
    data, snapshots = folder / "data", folder / "data" / "snapshots"
    prepare_folder(data, partitions)
    compile_ahead()
    compile_snapshots()
    names = [f"account-{i:07d}" for i in range(accounts)]
    makers = [LogMaker(data, number, partitions, names) for number in range(partitions)]
    blocks = transfers // (block * partitions)
    since = min(max(1, blocks // SINCE), SINCE_MAX)
    for maker in makers:
        maker.make(blocks - since, block)
    first = await _take(data, makers)
    for maker in makers:
        maker.make(since, block)
    second = await _take(data, makers)
    for number in range(partitions):
        newest = named(FileStore(snapshots), number)[0]
        (snapshots / newest.name).unlink()
    total = sum(maker.state.chained.sequence + 1 for maker in makers)
    return Made(makers[0].names[0], total, since * partitions, partitions, first, second)


async def measure(folder: Path, made: Made, *, accounts: int, block: int) -> str:
    """The report line of starts over a log that is there."""
    name = made.account
    without = await _start(folder, name, {"FANFOLD_SNAPSHOTS": "off"})
    crashed = await _start(folder, name, ONLY)
    stopping = await processes.start("up", environment=_environment(folder, ONLY), errors=folder / "errors.txt")
    stop_s = await _seconds(stopping.interrupt())
    stopped = await _start(folder, name, ONLY)
    return report.line(
        "start",
        rate=made.blocks / without["seconds"],
        unit="blocks",
        durable=False,
        without=without,
        with_snapshot=crashed,
        after_clean_stop=stopped,
        clean_stop_s=round(stop_s, 2),
        first_taken=made.first,
        next_taken=made.second,
        stop_max_ms=made.second["stop_max_ms"],
        blocks=made.blocks,
        blocks_since=made.since,
        accounts=accounts,
        partitions=made.partitions,
        block=block,
    )


async def _take(data: Path, makers: list[LogMaker]) -> dict[str, float]:
    """Take a snapshot of each partition beside a loop that should never stand still."""
    log = await FileLog.open_read_only(data, sync=lambda descriptor: None)
    store = FileStore(data / "snapshots")
    positions = {number: lambda: 0 for number in range(len(makers))}
    taker = SnapshotTaker(Snapshots(store, log), log, positions, SnapshotLimits(), FINGERPRINTS)
    ticking = asyncio.create_task(_ticking())
    await asyncio.sleep(IDLE_S)
    idle_ms = await _longest(ticking)
    ticking, started = asyncio.create_task(_ticking()), time.perf_counter()
    with capture_logs():
        for number in positions:
            assert await taker.take(number)
    took_s, stop_ms = time.perf_counter() - started, await _longest(ticking)
    await log.close()
    size = sum((data / "snapshots" / named(store, number)[0].name).stat().st_size for number in positions)
    return {
        "seconds": round(took_s, 2),
        "mb": round(size / 1e6, 1),
        "stop_max_ms": round(stop_ms, 1),
        "idle_stop_max_ms": round(idle_ms, 1),
    }


async def _ticking() -> float:
    """The longest time between two turns that should follow each other, beyond what was slept, until it is cancelled."""
    longest, before = 0.0, _now_s()
    try:
        while True:
            await asyncio.sleep(TICK_S)
            now = _now_s()
            longest, before = max(longest, now - before - TICK_S), now
    except asyncio.CancelledError:
        return longest * 1000


def _now_s() -> float:
    """A clock that stands still while this thread waits for a core."""
    waited_ns = int(Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()[1])
    return time.perf_counter() - waited_ns / 1e9


async def _longest(ticking: asyncio.Task[float]) -> float:
    ticking.cancel()
    return await ticking


async def _start(folder: Path, account: str, environment: dict[str, str]) -> dict[str, float]:
    """Start the service, read a balance, kill it."""
    begun = time.perf_counter()
    service = await processes.start("up", environment=_environment(folder, environment), errors=folder / "errors.txt")
    try:
        connection = await Connection.open(service.address)
        status, _ = await connection.ask("GET", f"/v1/accounts/{account}")
        answered_s, cpu_s = time.perf_counter() - begun, processor_s(service.process.pid)
        assert status == HTTPStatus.OK
        await connection.close()
    finally:
        await service.kill()
    return {"seconds": round(answered_s, 2), "cpu_s": round(cpu_s, 2)}


def _environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    return {**load.folder_of(folder / "data"), **more}


async def _seconds(work: Awaitable[Any]) -> float:
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun
