"""`fanfold bench door`: single transfers over the stream's `submit`, from many clients that each keep some in flight.

End to end over real sockets, against `fanfold up` over its file log, with the clients in another process on the same cores.
Every transfer is durable before its answer. `floor_rate` is what the same clients get, in the same run, from a bare asyncio
protocol that answers with as many bytes and does nothing for it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.routes import BATCH, NDJSON
from tests.benchmarks import report
from tests.benchmarks.door_client import USD, account
from tests.benchmarks.requests import processor_s
from tests.end_to_end import load, processes

WARM = 8
"""A share of the transfers, one in so many, is asked before, and not counted."""


async def run(
    folder: Path,
    *,
    transfers: int,
    accounts: int,
    partitions: int,
    block: int,
    clients: int,
    in_flight: int,
    zipf: float,
) -> str:
    """The report line. transfers: in all, one at least for each client."""
    accounts = max(2, accounts)
    environment = {
        **load.folder_of(folder / "data"),
        "FANFOLD_PARTITIONS": str(partitions),
        "FANFOLD_BLOCK_COMMANDS_MAX": str(block),
    }
    how = [str(each) for each in (clients, in_flight, accounts, zipf)]
    async with processes.running("up", environment=environment, errors=folder / "errors.txt") as service:
        await open_accounts(service.address, accounts)
        await _asked(service.address, *how, str(transfers // WARM), "1", str(partitions))
        blocks, cpu_s = await _blocks(service.address), processor_s(service.process.pid)
        told = await _asked(service.address, *how, str(transfers), "2", str(partitions))
        cpu_s = processor_s(service.process.pid) - cpu_s
        blocks = await _blocks(service.address) - blocks
    async with _peer(told["submit_bytes"], told["answer_bytes"]) as address:
        floor = await _asked(address, *how, str(transfers), "2", str(partitions))
    asked, rate = told["transfers"], told["transfers"] / told["took_s"]
    floor_rate = floor["transfers"] / floor["took_s"]
    return report.line(
        "door",
        rate=rate,
        unit="transfers",
        durable=True,
        latencies_ms=np.repeat(told["waits_ms"], told["counts"]).tolist(),
        floor_rate=round(floor_rate),
        of_floor=round(rate / floor_rate, 3),
        service_cpu_us=round(cpu_s / asked * 1e6, 1),
        clients_cpu_us=round(told["cpu_s"] / asked * 1e6, 1),
        blocks=blocks,
        transfers_a_block=round(asked / blocks, 1),
        transfers=asked,
        clients=clients,
        in_flight=in_flight,
        accounts=accounts,
        zipf=zipf,
        partitions=partitions,
        submit_bytes=told["submit_bytes"],
        answer_bytes=told["answer_bytes"],
        load="one transfer a submit; service_cpu_us, clients_cpu_us: processor time of each process a transfer",
    )


async def open_accounts(address: str, accounts: int) -> None:
    """In batches."""
    async with aiohttp.ClientSession() as session:
        for first in range(0, accounts, BATCH_LINES_MAX):
            lines = [
                json.dumps({"open": {"account": account(number), "asset": USD, "floor": None}})
                for number in range(first, min(accounts, first + BATCH_LINES_MAX))
            ]
            headers = {"content-type": NDJSON}
            async with session.post(address + BATCH.path, data="\n".join(lines), headers=headers) as answer:
                said = await answer.text()
                assert answer.status == 200, said
                assert said.count('"status":201') == len(lines), said[:1_000]


async def _blocks(address: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(address + "/v1/positions") as answer:
        document = await answer.json()
    return sum(int(each["accepted"]) + 1 for each in document["partitions"])


async def _asked(*arguments: str) -> dict[str, Any]:
    """What the clients saw."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.door_client", *arguments,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 30,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        process.stdin.write(b"\n")
        told: dict[str, Any] = json.loads(await process.stdout.readline())
        await process.wait()
        return told
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def _peer(submit_bytes: int, answer_bytes: int) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.door_peer", str(submit_bytes), str(answer_bytes),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.kill()
        await process.wait()
