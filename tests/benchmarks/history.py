"""`fanfold bench history`: the past of a busy account among many millions of entries.

First a log is made (not measured, not synced). Then its history is sealed from nothing: blocks read, checked, sorted, written,
synced and joined (`rate`, entries a second of the clock; `seal_us` processor time an entry). Then pages of 50 from random places
of the statement of the account with most entries, and the account as of random versions: in this process, and through the public
door of `fanfold up` over the same folder (`door_...`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import numpy as np

from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from read_side.history.past import last_version, state_at
from read_side.history.segment import Segment
from read_side.history.statement import page_of
from tests.benchmarks import report, writes
from tests.end_to_end import load, processes
from write_side.contract.block.block import read_header
from write_side.contract.log.log import Log, Record
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State

PAGE = 50
ASKED = 2_000
"""Questions of each kind in this process, and half as many through the door."""


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. One partition is asked, the others only lie beside it."""
    data = folder / "data"
    making = await FileLog.open(data, partitions, sync=lambda descriptor: None)
    await writes.measure(
        "history", making, transfers=transfers, accounts=accounts, block=block, log_kind="file, not synced"
    )
    log = await FileLog.open_read_only(data)
    history = History(SegmentFolder(data / "archive", FileStore(data / "archive"), 0))
    begun_s, cpu_s = time.perf_counter(), time.process_time()
    await _seal(history, log)
    seconds, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    await log.close()
    parts = history.parts()
    entries = sum(len(part.account) for part in parts)
    account, versions = _busiest(parts)
    pages_ms = _asked(lambda version: page_of(parts, account, range(1, version + 1), PAGE, newest_first=True), versions)
    as_of_ms = _asked(lambda version: state_at(parts, account, version), versions)
    name = await _name_of(data, account)
    door = await _through_the_door(folder, name, versions, max(10, ASKED // 2))
    return report.line(
        "history",
        rate=entries / seconds,
        unit="entries",
        durable=True,
        seal_us=round(cpu_s / max(1, entries) * 1e6, 3),
        entries=entries,
        entries_of_account=versions,
        files=len(history.folder.sealed),
        bytes_per_entry=round(sum(len(each.data) for each in history.folder.sealed) / max(1, entries), 1),
        page_p50_ms=_at(pages_ms, 50),
        page_p99_ms=_at(pages_ms, 99),
        as_of_p50_ms=_at(as_of_ms, 50),
        as_of_p99_ms=_at(as_of_ms, 99),
        door_page_p50_ms=_at(door[0], 50),
        door_page_p99_ms=_at(door[0], 99),
        door_as_of_p50_ms=_at(door[1], 50),
        door_as_of_p99_ms=_at(door[1], 99),
        transfers=transfers,
        accounts=accounts,
        partitions=partitions,
        block=block,
    )


async def _seal(history: History, log: Log) -> None:
    """All of the log, as a start over a folder without history does."""
    last = Record(-1, b"")
    async for records in log.read(0):
        last = records[-1]
    header = read_header(last.data)
    history.open()
    history.begin_at(header.sequence, header.block_hash, last.offset)
    await history.fill(log)


def _busiest(parts: list[Segment]) -> tuple[int, int]:
    """The account with most entries, and how many."""
    counts: dict[int, int] = {}
    for part in parts:
        for account, size in zip(part.accounts.tolist(), np.diff(part.rows).tolist(), strict=True):
            counts[account] = counts.get(account, 0) + size
    account = max(counts, key=lambda each: counts[each])
    assert last_version(parts, account, parts[0].last) == counts[account]
    return account, counts[account]


def _asked(question: Callable[[int], object], versions: int) -> list[float]:
    chance, waits_ms = random.Random(1), []
    for _ in range(ASKED):
        version = chance.randint(1, versions)
        begun_s = time.perf_counter()
        question(version)
        waits_ms.append((time.perf_counter() - begun_s) * 1e3)
    return waits_ms


async def _name_of(data: Path, account: int) -> str:
    log = await FileLog.open_read_only(data)
    replay = Replay(State(0))
    async for records in log.read(0):
        replay.take_all(records)
        if replay.state.count > account:
            break
    await log.close()
    return replay.state.names[account]


async def _through_the_door(folder: Path, account: str, versions: int, asked: int) -> tuple[list[float], list[float]]:
    """Latencies of pages, and of the account as of versions, one after the other."""
    chance = random.Random(2)
    waits_ms: tuple[list[float], list[float]] = ([], [])
    async with (
        processes.running("up", environment=load.folder_of(folder / "data"), errors=folder / "errors.txt") as service,
        aiohttp.ClientSession() as session,
    ):
        address = f"{service.address}/v1/accounts/{account}"
        await _until_whole(session, f"{address}/entries?limit=1")
        for _ in range(asked):
            version = chance.randint(1, versions)
            moment = await _timed(session, f"{address}?as_of={version}", waits_ms[1])
            assert moment["version"] == version
            page = await _timed(session, f"{address}/entries?limit={PAGE}&before={moment['at']}", waits_ms[0])
            assert all(entry["version"] < version for entry in page["entries"])
    return waits_ms


async def _timed(session: aiohttp.ClientSession, address: str, waits_ms: list[float]):  # type: ignore[no-untyped-def]
    begun_s = time.perf_counter()
    async with session.get(address) as answer:
        document = await answer.json()
    waits_ms.append((time.perf_counter() - begun_s) * 1e3)
    assert answer.status == 200, document
    return document


async def _until_whole(session: aiohttp.ClientSession, address: str) -> None:
    while True:
        async with session.get(address) as answer:
            if answer.status == 200:
                return


def _at(waits_ms: list[float], percent: float) -> float:
    return round(float(np.percentile(waits_ms, percent)), 3)
