"""What a log adapter alone can do: `python -m tests.benchmarks.logs file|kafka|disk [--blocks N]`, one JSON line a block size.

`disk` compares ways to make an append durable (the file as it grows, space reserved before, zeros written before). The figures
behind the decisions in write_side/contract/log/DECISIONS.md come from here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.ports.log_adapters import block
from tests.servers import running_kafka, unique_name
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_kafka import KafkaLog

ROWS = (0, 2_000, 24_000)
"""Outcomes a block: 144 bytes, 42 KB and 505 KB, as one transfer, a busy REST server and 8,192 transfers make them."""
RESERVED_BYTES = 128 * 1024 * 1024


@asynccontextmanager
async def _opened(adapter: str) -> AsyncIterator[Log]:
    if adapter == "kafka":
        with running_kafka() as kafka:
            yield await KafkaLog.open(
                kafka.bootstrap, unique_name("bench"), create_partitions=1, replication=1, min_in_sync=1
            )
    else:
        with tempfile.TemporaryDirectory(dir=".") as folder:
            yield await FileLog.open(Path(folder), 1)


async def measure_log(adapter: str, blocks: int) -> list[dict[str, Any]]:
    """Append and read back, one at a time; append alone; read everything."""
    lines = []
    for rows in ROWS:
        data = block(1, rows)
        async with _opened(adapter) as log:
            await log.append(0, data)
            took_ms = []
            async with aclosing(log.tail(0)) as tail:
                await anext(tail)
                begin = time.perf_counter()
                for _ in range(blocks):
                    at = time.perf_counter()
                    appending = asyncio.ensure_future(log.append(0, data))
                    await anext(tail)
                    await appending
                    took_ms.append((time.perf_counter() - at) * 1000)
                both_s = time.perf_counter() - begin
            begin = time.perf_counter()
            for _ in range(blocks):
                await log.append(0, data)
            append_s = time.perf_counter() - begin
            begin = time.perf_counter()
            size = sum([len(record.data) async for run in log.read(0) for record in run])
            read_s = time.perf_counter() - begin
            await log.close()
        took_ms.sort()
        lines.append(
            {
                "name": f"log-{adapter}",
                "block_bytes": len(data),
                "append_and_read_back_per_s": round(blocks / both_s),
                "p50_ms": round(took_ms[blocks // 2], 2),
                "p99_ms": round(took_ms[blocks * 99 // 100], 2),
                "append_per_s": round(blocks / append_s),
                "append_mb_per_s": round(blocks * len(data) / append_s / 1e6),
                "read_mb_per_s": round(size / read_s / 1e6),
            }
        )
    return lines


def measure_disk(blocks: int) -> list[dict[str, Any]]:
    lines = []
    for rows in ROWS:
        data = block(1, rows)
        count = min(blocks, RESERVED_BYTES // len(data))
        for way in ("grown", "reserved", "zeroed"):
            with tempfile.NamedTemporaryFile(dir=".") as file:
                descriptor = file.fileno()
                begin = time.perf_counter()
                if way == "reserved":
                    os.posix_fallocate(descriptor, 0, RESERVED_BYTES)
                elif way == "zeroed":
                    os.pwrite(descriptor, bytes(RESERVED_BYTES), 0)
                os.fsync(descriptor)
                prepared_ms = (time.perf_counter() - begin) * 1000
                took_us = []
                for number in range(count):
                    at = time.perf_counter()
                    os.pwrite(descriptor, data, number * len(data))
                    os.fdatasync(descriptor)
                    took_us.append((time.perf_counter() - at) * 1e6)
            took_us.sort()
            lines.append(
                {
                    "name": "log-disk",
                    "way": way,
                    "block_bytes": len(data),
                    "p50_us": round(took_us[count // 2]),
                    "p99_us": round(took_us[count * 99 // 100]),
                    "prepared_ms": round(prepared_ms),
                }
            )
    return lines


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", choices=("file", "kafka", "disk"))
    arguments.add_argument("--blocks", type=int, default=250)
    chosen = arguments.parse_args()
    if chosen.what == "disk":
        lines = measure_disk(chosen.blocks)
    else:
        lines = asyncio.run(measure_log(chosen.what, chosen.blocks))
    for line in lines:
        print(json.dumps(line))


if __name__ == "__main__":
    main()
