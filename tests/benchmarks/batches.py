"""`fanfold bench batches`: transfers to `fanfold up` in batches, lines of JSON and Arrow, a client with one request at a time.

`ndjson_us` and `arrow_us` are processor time of the service a transfer, from the body's first byte to the answer's last; `rate`
is of the lines. Every transfer is durable before its answer, and between accounts that are there.
"""

from __future__ import annotations

import io
import json
import random
import statistics
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pyarrow as pa

from fanfold.api.routes import ARROW, NDJSON
from tests.benchmarks import report
from tests.benchmarks.requests import USD, open_accounts, processor_s
from tests.end_to_end import load, processes

PATH = "/v1/transfers:batch"
WARM = 1
"""Batches of each kind that are not counted."""


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: of each kind, in batches of `block` lines."""
    environment = {**load.folder_of(folder / "data"), "FANFOLD_PARTITIONS": str(partitions)}
    names = [f"account-{number}" for number in range(max(2, accounts))]
    batches = WARM + max(1, transfers // block)
    async with processes.running("up", environment=environment, errors=folder / "errors.txt") as service:
        await open_accounts(service.address, names)
        lines = await _measured(service, NDJSON, [_lines(names, block) for _ in range(batches)], block)
        columns = await _measured(service, ARROW, [_columns(names, block) for _ in range(batches)], block)
    assert lines.last.count(b'"result":"done"') == block, "a line of the last batch is not done"
    return report.line(
        "batches",
        rate=1e3 * block / statistics.mean(lines.waits_ms),
        unit="transfers",
        durable=True,
        latencies_ms=lines.waits_ms,
        ndjson_us=round(lines.cpu_us, 2),
        arrow_us=round(columns.cpu_us, 2),
        arrow_rate=round(1e3 * block / statistics.mean(columns.waits_ms)),
        transfers=block * (batches - WARM),
        lines=block,
        accounts=len(names),
        partitions=partitions,
    )


class _Measured(NamedTuple):
    waits_ms: list[float]
    cpu_us: float
    """A line."""
    last: bytes
    """The answer to the last batch."""


async def _measured(service: processes.Service, kind: str, bodies: list[bytes], lines: int) -> _Measured:
    waits_ms: list[float] = []
    cpu_s, told = 0.0, b""
    async with aiohttp.ClientSession() as session:
        for number, body in enumerate(bodies):
            if number == WARM:
                cpu_s = processor_s(service.process.pid)
            began_s = time.perf_counter()
            async with session.post(service.address + PATH, data=body, headers={"Content-Type": kind}) as answer:
                told = await answer.read()
                assert answer.status == 200, told
            waits_ms.append((time.perf_counter() - began_s) * 1000)
    cpu_s = processor_s(service.process.pid) - cpu_s
    return _Measured(waits_ms[WARM:], cpu_s / lines / (len(bodies) - WARM) * 1e6, told)


def _lines(names: list[str], count: int) -> bytes:
    lines = [
        json.dumps({"id": str(uuid.uuid4()), "from": debit, "to": credit, "amount": "1", "asset": USD})
        for debit, credit in _pairs(names, count)
    ]
    return "\n".join(lines).encode()


def _columns(names: list[str], count: int) -> bytes:
    debits, credits = zip(*_pairs(names, count), strict=True)
    table = pa.table(
        {
            "id": pa.array([uuid.uuid4().bytes for _ in range(count)], pa.binary(16)),
            "from": list(debits),
            "to": list(credits),
            "amount": pa.array([1] * count, pa.int64()),
            "asset": [USD] * count,
        }
    )
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue()


def _pairs(names: list[str], count: int) -> list[tuple[str, ...]]:
    return [tuple(random.sample(names, 2)) for _ in range(count)]
