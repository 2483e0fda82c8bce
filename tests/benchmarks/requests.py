"""`fanfold bench requests`: single POSTs to `fanfold up`, from many clients that each keep some in flight, as its users have it.

A client with some in flight has as many connections (HTTP/1.1). Each opens one first; all others come in one burst beside that
load, which is when a connection or a request can starve. So the longest waits are told beside the percentiles: `max_ms` of a
request on an open connection, `first_answer_max_ms` from the first packet of a connection to its first answer.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
import uuid
from pathlib import Path

from tests.benchmarks import report
from tests.benchmarks.connection import Connection, connecting
from tests.end_to_end import load, processes

USD = "USD/2"
ALONE_S = 0.5
"""So long the first connections are alone."""
OPENERS = 32
"""Accounts are opened over this many connections."""


async def run(
    folder: Path, *, transfers: int, accounts: int, partitions: int, block: int, clients: int, in_flight: int
) -> str:
    """The report line. transfers: POSTs in all, at least one a connection; accounts: at least two."""
    environment = {
        **load.folder_of(folder / "data"),
        "FANFOLD_PARTITIONS": str(partitions),
        "FANFOLD_BLOCK_COMMANDS_MAX": str(block),
    }
    async with processes.running("up", environment=environment, errors=folder / "errors.txt") as service:
        names = [f"account-{number}" for number in range(max(2, accounts))]
        await open_accounts(service.address, names)
        cpu_s, started = processor_s(service.process.pid), time.perf_counter()
        left = _Left(transfers)
        asking = [
            asyncio.create_task(_client(service.address, names, left, connecting(service.address), started))
            for _ in range(clients)
        ]
        if in_flight > 1:
            await asyncio.sleep(ALONE_S)
            begun = time.perf_counter()
            burst = [connecting(service.address) for _ in range(clients * (in_flight - 1))]
            asking += [asyncio.create_task(_client(service.address, names, left, client, begun)) for client in burst]
        asked = await asyncio.gather(*asking)
        took_s, cpu_s = time.perf_counter() - started, processor_s(service.process.pid) - cpu_s
    transfers = left.asked
    firsts = [waits[0] for waits in asked]
    waits = [wait for waits in asked for wait in waits[1:]] or firsts
    return report.line(
        "requests",
        rate=transfers / took_s,
        unit="transfers",
        durable=True,
        latencies_ms=waits,
        max_ms=round(max(waits), 2),
        first_answer_max_ms=round(max(firsts), 2),
        service_cpu_ms=round(cpu_s * 1000 / transfers, 3),
        transfers=transfers,
        clients=clients,
        in_flight=in_flight,
        partitions=partitions,
        load="single POSTs over HTTP/1.1, each connection one at a time; service_cpu_ms: processor time of the service a POST",
    )


class _Left:
    """Requests that nobody has asked yet; who asks when there are none left asks one more than was wanted."""

    def __init__(self, wanted: int) -> None:
        self.asked = 0
        self._wanted = wanted

    def take(self) -> None:
        self.asked += 1

    @property
    def some(self) -> bool:
        return self.asked < self._wanted


async def _client(address: str, names: list[str], left: _Left, client: socket.socket, started: float) -> list[float]:
    """Milliseconds of each of its requests, of which there is one at least; of the first one since `started`."""
    waits: list[float] = []
    connection = await Connection.over(client, address)
    while left.some or not waits:
        left.take()
        debit, credit = random.sample(names, 2)
        body = {"id": str(uuid.uuid4()), "from": debit, "to": credit, "amount": "1", "asset": USD}
        status, said = await connection.ask("POST", "/v1/transfers", body)
        answered = time.perf_counter()
        assert status == 201, (status, said)
        waits.append((answered - started) * 1000)
        started = answered
    await connection.close()
    return waits


async def open_accounts(address: str, names: list[str]) -> None:
    async def some(share: list[str]) -> None:
        connection = await Connection.open(address)
        for name in share:
            status, said = await connection.ask("PUT", f"/v1/accounts/{name}", {"asset": USD, "floor": None})
            assert status == 201, (status, said)
        await connection.close()

    await asyncio.gather(*(some(names[start::OPENERS]) for start in range(min(OPENERS, len(names)))))


def processor_s(pid: int) -> float:
    """Processor time of a process and its threads so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
