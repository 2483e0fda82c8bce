"""`fanfold bench ids`: the longest stop that a partition's tables make while they grow and forget, block by block.

Nothing is decided and nothing logged: room is made for a block's rows, and they are put in. Of the remembered ids `max_ms` is the
longest time of a block while the table fills, `forget_ms` what forgetting half of them takes (the cut-off found, and they are
gone), and `swept_max_ms` the longest of a block after that, until their rows are swept out. `at_once_ms` is what the whole pass
takes that the blocks share between them. Accounts and open holds (`tables.py`) are told in the same way.
`ever`: what it costs that each id is found for ever (`every_id.py`).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.benchmarks import every_id, report
from tests.benchmarks.tables import account_stops, hold_stops, milliseconds
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.ids import IdRow, IdTable, find_id, put_id

HOLDS_AN_ID = 16
"""Ids that are filled for each hold that is open: a million beside the default of FANFOLD_IDS_MAX."""


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: ids in all; partitions means nothing here."""
    for count in (4_000, 4_000):  # compiled by then
        _Filling(_ids(count)).measure(1_000)
        account_stops(2_000, 500), hold_stops(2_000, 500)
    cpu, started = time.process_time(), time.perf_counter()
    filling = _Filling(_ids(transfers))
    told = filling.measure(block)
    took_s, cpu = time.perf_counter() - started, time.process_time() - cpu
    del filling
    return report.line(
        "ids",
        rate=transfers / took_s,
        unit="ids",
        durable=False,
        latencies_ms=told.pop("waits_ms"),
        **told,
        ever=every_id.measure(folder, transfers, block),
        accounts=account_stops(accounts, block) | {"rows": accounts},
        holds=hold_stops(transfers // HOLDS_AN_ID, block) | {"rows": transfers // HOLDS_AN_ID},
        ids=transfers,
        block=block,
        cpu_ns_per_id=round(cpu / transfers * 1e9),
        load="random ids with a time, one partition, nothing decided",
    )


def _ids(count: int) -> npt.NDArray[np.uint64]:
    """Of version 7: they carry a time, here their number."""
    octets = np.random.default_rng(26).integers(0, 256, (count, 16), np.uint8)
    octets[:, 6] = (octets[:, 6] & 0x0F) | 0x70
    octets[:, 8] = (octets[:, 8] & 0x3F) | 0x80
    return octets.view("<u8")


class _Filling:
    def __init__(self, ids: npt.NDArray[np.uint64]) -> None:
        self.table, self.ids, self.digest = IdTable(), ids, np.zeros(2, np.uint64)
        self.reserved_ms: list[float] = []

    def measure(self, block: int) -> dict[str, Any]:
        """Fill the table, forget half, go on until it is swept; then the same with the sweep at once."""
        waits = [self._block(at, at + block) for at in range(0, len(self.ids), block)]
        reserve_max_ms = max(self.reserved_ms)
        forget_ms = milliseconds(self._forget_half)
        swept = []
        again = self.ids.copy()
        again[:, 1] ^= np.uint64(1 << 32)  # others than those
        at = 0
        while self.table.used - self.table.count >= len(self.ids) // 16 or self.table._swept is not None:
            swept.append(self._block(at, at + block, again))
            at += block
        at_once_ms = milliseconds(self._forget_half) + milliseconds(self.table.sweep)
        return {
            "waits_ms": waits,
            "max_ms": round(max(waits), 2),
            "reserve_max_ms": round(reserve_max_ms, 2),
            "forget_ms": round(forget_ms, 2),
            "swept_max_ms": round(max(swept), 2),
            "swept_p50_ms": round(float(np.median(swept)), 2),
            "swept_blocks": len(swept),
            "at_once_ms": round(at_once_ms, 1),
        }

    def _forget_half(self) -> None:
        median_us = self.table.median_time_us()
        assert median_us is not None
        self.table.forget_before(median_us, median_us, self.digest)

    def _block(self, start: int, stop: int, ids: npt.NDArray[np.uint64] | None = None) -> float:
        part = (self.ids if ids is None else ids)[start:stop]
        table, started = self.table, time.perf_counter()
        table.reserve(len(part))
        self.reserved_ms.append((time.perf_counter() - started) * 1000)
        first_us = start if ids is None else start + len(self.ids)
        _put(table.arrays, self.digest, table.used, part, first_us)
        table.used += len(part)
        table.count += len(part)
        return (time.perf_counter() - started) * 1000


@njit(cache=True, nogil=True)
def _put(table: Any, digest: Any, used: int, ids: Any, first_us: int) -> None:
    for i in range(len(ids)):
        a, b = ids[i, 0], ids[i, 1]
        put_id(table, digest, find_id(table, a, b), used + i, IdRow(a, b, a, b, used + i, first_us + i, 1, 1))
