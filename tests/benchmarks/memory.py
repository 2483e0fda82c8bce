"""`fanfold bench memory`: what an account and a remembered id cost in resident memory, and a process that holds nothing.

Logs are made with a few and with many accounts or ids, and a service folds each from its beginning, in a process of its own
that tells what it holds when it would answer (`memory_process.py`): `fanfold up`; `fanfold projector` with its view in memory;
the same with its view in Redis. A figure an account or an id is the difference of two such processes, of what is resident and
not the page cache of files, which the mapped log is. Names are as long as real ones.

`collect_ms`: the longest of five full collections in `fanfold up` with the most accounts, as it serves; `collect_all_ms`: with
nothing left out of them. `rate` is how many accounts a second of the start of `fanfold up` are folded.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Final

from tests.benchmarks import report
from tests.benchmarks.made_log import LogMaker
from tests.servers import shared_redis
from write_side.contract.log.log_file_folder import prepare_folder
from write_side.ledger.deciding.compile_ahead import compile_ahead

FEW: Final = 1_000
"""Accounts of the log that the others are compared with, or a tenth of the many where those are fewer."""
READY_S: Final = 300.0

Held = dict[str, float]


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: how many ids; block: transfers a block of theirs."""
    few = min(FEW, accounts // 10)
    compile_ahead()
    _make(folder / "few", partitions, few, 0, block)
    _make(folder / "accounts", partitions, accounts, 0, block)
    _make(folder / "ids", partitions, few, transfers, block)
    prepare_folder(folder / "empty", partitions)
    up_few = await _held(folder / "few", "up")  # first: whatever is still to be compiled is, by then
    began = time.perf_counter()
    up = await _held(folder / "accounts", "up")
    took_s = time.perf_counter() - began
    up_ids, empty = [await _held(folder / log, "up") for log in ("ids", "empty")]
    alone_few, alone, alone_ids = [await _held(folder / log, "projector") for log in ("few", "accounts", "ids")]
    apart_few, apart = [await _held_with_redis(folder / log) for log in ("few", "accounts")]
    more = accounts - few
    return report.line(
        "memory",
        rate=accounts / took_s,
        unit="accounts",
        durable=False,
        bytes_per_account=_bytes(up, up_few, more),
        bytes_per_account_projector=_bytes(alone, alone_few, more),
        bytes_per_account_projector_redis=_bytes(apart, apart_few, more),
        bytes_per_id=_bytes(up_ids, up_few, transfers),
        bytes_per_id_projector=_bytes(alone_ids, alone_few, transfers),
        first_start_rss_mb=round(empty["rss_mb"]),
        first_start_own_mb=round(empty["own_mb"]),
        accounts_rss_mb=round(up["rss_mb"]),
        collect_ms=round(up["collect_ms"], 2),
        collect_all_ms=round(up["collect_all_ms"], 1),
        collect_all_few_ms=round(up_few["collect_all_ms"], 1),
        accounts=accounts,
        ids=transfers,
        partitions=partitions,
    )


def _bytes(many: Held, few: Held, more: int) -> float:
    return round((many["own_mb"] - few["own_mb"]) * (1 << 20) / more, 1)


def _make(data: Path, partitions: int, accounts: int, transfers: int, block: int) -> None:
    prepare_folder(data, partitions)
    names = [f"user:{number:09d}" for number in range(accounts)]
    for number in range(partitions):
        maker = LogMaker(data, number, partitions, names)
        maker.make(transfers // (block * partitions), block)


async def _held_with_redis(data: Path) -> Held:
    with shared_redis() as url:
        return await _held(data, "projector", {"FANFOLD_VIEW": url, "FANFOLD_VIEW_PREFIX": f"bench-{data.name}"})


async def _held(data: Path, service: str, more: dict[str, str] | None = None) -> Held:
    """What the service over this log holds when it would answer."""
    environment = {
        "FANFOLD_DATA": str(data),
        "FANFOLD_LOG": f"file:{data}",
        "FANFOLD_PORT": "0",
        "FANFOLD_READ_PORT": "0",
        "FANFOLD_SNAPSHOTS": "off",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.memory_process", service,
        env=os.environ | environment | (more or {}), stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(READY_S):
            told, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    held: Held = json.loads(told)
    return held
