"""The client of `bench lone`, a process of its own: `python -m tests.benchmarks.lone_client ADDRESS AT_ONCE ACCOUNTS WARM`.

Connects, asks WARM times, says `ready`, reads how many requests are wanted, and prints how long they took together and each for
itself, as JSON. Ids are UUIDv7, as a careful client makes them.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
import uuid

from tests.benchmarks.connection import Connection

USD = "USD/2"


def account(number: int) -> str:
    return f"account-{number}"


def _new_id() -> str:
    made_ms = time.time_ns() // 1_000_000
    raw = bytearray(made_ms.to_bytes(6, "big") + os.urandom(10))
    raw[6], raw[8] = 0x70 | raw[6] & 0x0F, 0x80 | raw[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(raw)))


async def _ask(connections: list[Connection], requests: int, accounts: int) -> list[float]:
    """Milliseconds of each of these requests."""
    waits_ms: list[float] = []
    left = requests

    async def some(connection: Connection) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            debit, credit = random.sample(range(accounts), 2)
            body = {"id": _new_id(), "from": account(debit), "to": account(credit), "amount": "1", "asset": USD}
            started = time.perf_counter()
            status, said = await connection.ask("POST", "/v1/transfers", body)
            waits_ms.append((time.perf_counter() - started) * 1000)
            assert status == 201, (status, said)

    await asyncio.gather(*map(some, connections))
    return waits_ms


async def _main(address: str, at_once: int, accounts: int, warm: int) -> None:
    connections = [await Connection.open(address) for _ in range(at_once)]
    await _ask(connections, warm, accounts)
    print("ready", flush=True)
    requests = int(await asyncio.to_thread(sys.stdin.readline))
    started = time.perf_counter()
    waits_ms = await _ask(connections, requests, accounts)
    print(json.dumps({"took_s": time.perf_counter() - started, "waits_ms": waits_ms}))
    await asyncio.gather(*(connection.close() for connection in connections))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], *map(int, sys.argv[2:])))
