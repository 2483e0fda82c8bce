"""`fanfold bench ids`: the longest stop that the table of remembered ids makes while it fills, block by block.

Nothing is decided and nothing logged: only room is made for a block's ids, and they are put in. `max_ms` is the longest of all
blocks, `reserve_max_ms` the longest time that making room took, and `forget_ms` what forgetting half of them takes at the end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks import report
from write_side.contract.compiled import njit
from write_side.contract.hash_index import find_row
from write_side.contract.ids import IdTable, put_id


async def run(_folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: ids in all; accounts and partitions mean nothing here."""
    table, warm = IdTable(), IdTable()
    ids = np.random.default_rng(26).integers(0, 2**64, (transfers, 2), np.uint64)
    _fill(warm, ids[: min(transfers, 10_000)], 1_000)
    cpu, started = time.process_time(), time.perf_counter()
    waits, reserved = _fill(table, ids, block)
    took_s, cpu = time.perf_counter() - started, time.process_time() - cpu
    started = time.perf_counter()
    table.forget_before(transfers // 2, transfers // 2, np.zeros(2, np.uint64))
    forget_ms = (time.perf_counter() - started) * 1000
    return report.line(
        "ids",
        rate=transfers / took_s,
        unit="ids",
        durable=False,
        latencies_ms=waits,
        max_ms=round(max(waits), 2),
        reserve_max_ms=round(max(reserved), 2),
        forget_ms=round(forget_ms, 1),
        ids=transfers,
        block=block,
        cpu_ns_per_id=round(cpu / transfers * 1e9),
        load="random ids, one partition, nothing decided",
    )


def _fill(table: IdTable, ids: npt.NDArray[np.uint64], block: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each block, and of making room for it."""
    waits, reserved = [], []
    for at in range(0, len(ids), block):
        part = ids[at : at + block]
        started = time.perf_counter()
        table.reserve(len(part))
        reserved.append((time.perf_counter() - started) * 1000)
        _put(table.rows, table.slots, table.secret, table.count, part)
        waits.append((time.perf_counter() - started) * 1000)
        table.count += len(part)
    return waits, reserved


@njit(cache=True, nogil=True)
def _put(rows: Any, slots: Any, secret: Any, count: int, ids: Any) -> None:
    for i in range(len(ids)):
        row, a, b = count + i, ids[i, 0], ids[i, 1]
        put_id(rows, slots, secret, find_row(rows, slots, secret, a, b), row, a, b, a, b, row, row, 1, 1)
