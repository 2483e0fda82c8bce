"""`fanfold bench gets`: what reading a balance costs `fanfold up`, beside the least that any answer costs over the same server.

The bare one is an ASGI application that sends a balance which was made before, under the server of every door (uvicorn with our
bounds), and nothing else: no routes, no view, no position. Both are asked in turn, one connection one request at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.benchmarks import report
from tests.benchmarks.connection import Connection
from tests.benchmarks.requests import open_accounts, processor_s
from tests.end_to_end import load, processes

TURNS: Final = 5
CONNECTIONS: Final = (1, 64)


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: GETs of each turn, load and server; accounts: at least one."""
    environment = {
        **load.folder_of(folder / "data"),
        "FANFOLD_PARTITIONS": str(partitions),
        "FANFOLD_BLOCK_COMMANDS_MAX": str(block),
    }
    names = [f"account-{number}" for number in range(max(1, accounts))]
    async with processes.running("up", environment=environment, errors=folder / "errors.txt") as service:
        await open_accounts(service.address, names)
        connection = await Connection.open(service.address)
        _, body = await connection.ask("GET", f"/v1/accounts/{names[0]}")
        await connection.close()
        async with _bare(body) as (address, pid):
            servers = {"up": (service.address, service.process.pid), "bare": (address, pid)}
            spent_us: dict[tuple[str, int], list[float]] = {(name, n): [] for name in servers for n in CONNECTIONS}
            began, waits_ms = time.perf_counter(), list[float]()
            for _ in range(TURNS):
                for (name, connections), spent in spent_us.items():
                    waits = await _asked(*servers[name], names, connections, transfers, spent)
                    waits_ms += waits if name == "up" else []
            took_s = time.perf_counter() - began
    us = {name: {str(n): round(statistics.median(spent_us[name, n]), 1) for n in CONNECTIONS} for name in servers}
    most = str(CONNECTIONS[-1])
    return report.line(
        "gets",
        rate=_a_core_second(us["up"][most]),
        unit="GETs a core-second",
        durable=False,
        latencies_ms=waits_ms,
        cpu_us=us,
        bare_rate=round(_a_core_second(us["bare"][most])),
        share_of_bare=round(_a_core_second(us["up"][most]) / max(1, _a_core_second(us["bare"][most])), 2),
        asked=transfers,
        turns=TURNS,
        took_s=round(took_s, 1),
        accounts=len(names),
        partitions=partitions,
        load="GET /v1/accounts/ACCOUNT, each connection one at a time; processor time of the server, median of turns",
    )


def _a_core_second(us: float) -> float:
    """How many; 0 where they were too few for the 10 ms in which the system counts processor time."""
    return 1e6 / us if us else 0.0


async def _asked(
    address: str, pid: int, names: list[str], connections: int, wanted: int, spent_us: list[float]
) -> list[float]:
    """Milliseconds of each request."""
    left, waits_ms = wanted, list[float]()

    async def some(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            begun = time.perf_counter()
            status, _ = await connection.ask("GET", f"/v1/accounts/{names[left % len(names)]}")
            waits_ms.append((time.perf_counter() - begun) * 1000)
            assert status == 200, status

    opened = [await Connection.open(address) for _ in range(min(connections, wanted))]
    cpu_s = processor_s(pid)
    await asyncio.gather(*map(some, opened))
    spent_us.append((processor_s(pid) - cpu_s) / wanted * 1e6)
    for connection in opened:
        await connection.close()
    return waits_ms


@asynccontextmanager
async def _bare(body: bytes) -> AsyncIterator[tuple[str, int]]:
    """Address and process of a server that answers everything with these bytes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.bare_server", body.decode(), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip(), process.pid
    finally:
        process.terminate()
        await process.wait()
