"""What it costs that every id is found for ever: noting and writing them, and looking up ids without a time, block by block.

Written and joined in a folder as beside a log, by one thread here; looked up in the mapped files, in the page cache.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from write_side.contract.block.block import ZERO_HASH
from write_side.contract.snapshots.store_file import FileStore
from write_side.id_runs.folder import Mark, RunFolder
from write_side.id_runs.runs import IdRuns, Ran
from write_side.ledger.rules.ran_before import ROW_WIDTH

LOOKED_UP: int = 8_192
"""Ids a block that is looked up."""
BLOCKS: int = 50


def measure(folder: Path, count: int, block: int) -> dict[str, Any]:
    """For `count` ids: processor time and time by the clock of keeping one, of looking up one that never ran and one that did."""
    place = folder / "ids"
    runs = IdRuns(RunFolder(place, FileStore(place, synced=False), 0))
    random = np.random.default_rng(31)
    none = np.empty((0, ROW_WIDTH), np.uint64)
    known = np.empty((0, 2), np.uint64)
    cpu_s, began_s = 0.0, time.perf_counter()
    for number in range(-(-count // block)):
        rows = random.integers(0, 2**63, (min(block, count - number * block), ROW_WIDTH), np.uint64)
        if number % max(1, count // block // BLOCKS) == 0:
            known = np.concatenate((known, rows[: LOOKED_UP // BLOCKS + 1, :2]))
        begun_s = time.process_time()
        runs.add(Ran(rows, none, Mark(number, ZERO_HASH, 0, 0, strays=False)))
        runs.tidy()
        cpu_s += time.process_time() - begun_s
    took_s = time.perf_counter() - began_s
    unknown_us = [_us_an_id(runs, random.integers(0, 2**63, (LOOKED_UP, 2), np.uint64)) for _ in range(BLOCKS)]
    known_us = [_us_an_id(runs, np.ascontiguousarray(known[:LOOKED_UP])) for _ in range(BLOCKS)]
    return {
        "kept_cpu_us": round(cpu_s / count * 1e6, 3),
        "kept_us": round(took_s / count * 1e6, 3),
        "unknown_us": round(float(np.median(unknown_us)), 3),
        "known_us": round(float(np.median(known_us)), 3),
        "files": len(runs.folder.sealed),
        "bytes_per_id": round(sum(path.stat().st_size for path in place.glob("*")) / count, 1),
    }


def _us_an_id(runs: IdRuns, ids: np.ndarray) -> float:
    began_s = time.perf_counter()
    runs.find(ids, np.ones(len(ids), np.bool_))
    return (time.perf_counter() - began_s) / len(ids) * 1e6
