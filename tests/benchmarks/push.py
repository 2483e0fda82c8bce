"""`fanfold bench push`: what a gateway pays for what its clients watch, and for what nobody does.

The gateway is a process of its own with a feed over a socket, as from Redis; clients and feed are another process on the same
cores. Rates are of the server's processor time, so that it is not the clients that are measured:

- `rate`: single-account pushes a core-second, each a frame of its own to a socket of its own.
- `floor_rate`: the same of a bare asyncio protocol that hears the same feed and writes as many bytes to as many sockets.
  Each is told again when its clients have been, so the faster one is told more often, and its clients sleep less: a send
  that wakes the other process costs the sender 1 to 2 us more, and the slower server pays that. So beside it:
- `paced_us`, `floor_paced_us`, `of_floor_paced`: of a push of both while they are told equally often, half as often as the
  gateway managed. It is the same work with the same wake-ups.
- `coalesced_rate`: changes taken a core-second, times their watchers, while they come faster than they can leave.
- `heartbeat_us`: of a heartbeat to a silent socket.
- `ledger_us` and the like: over a feed in Redis (`push_ledger.py`).
- `p50_ms`, `p99_ms`: from the feed's word to the client, at that pace.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmarks import push_ledger, report
from tests.benchmarks.push_clients import Ledger, Socket, opened
from tests.benchmarks.requests import processor_s

GROUP: Final = 100
"""Sockets whose accounts change in one block."""
HEARTBEAT_MS: Final = 1_000
WATCHERS: Final = 100
HOT: Final = 100
"""Of the coalesced rate: so many sockets watch so many accounts each, the same."""
IDLE_S: Final = 3.0


class Running(NamedTuple):
    pid: int
    port: int
    ledger: Ledger

    def rss_kib(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


async def run(
    folder: Path,
    *,
    transfers: int,
    accounts: int,
    partitions: int,
    block: int,
    ledger_rate: int = 100_000,
    idle_partitions: int = push_ledger.IDLE_PARTITIONS,
) -> str:
    """The report line. transfers: single pushes; accounts: sockets, each watches one of its own. ledger_rate: changes a second of
    accounts that nobody watches. Needs a Redis."""
    accounts = max(GROUP, accounts // GROUP * GROUP)
    rounds = max(1, transfers // accounts)
    told: dict[str, Any] = {}
    async with _server("gateway") as server:
        before_kib = server.rss_kib()
        sockets = await _sockets(server, accounts)
        told["rss_per_socket_kib"] = round((server.rss_kib() - before_kib) / accounts, 2)
        told |= await _idle(server, sockets)
        single = await _single(server, sockets, rounds)
        pace = single["wall_rate"] / 2
        waits_ms, paced_us = await _half_load(server, sockets, min(rounds, 20), pace)
        told["coalesced_rate"] = await _coalesced(server, max(20, rounds))
        _close(sockets)
    async with _server("bare") as server:
        sockets = await _sockets(server, accounts)
        floor = await _single(server, sockets, rounds)
        _, floor_paced_us = await _half_load(server, sockets, min(rounds, 20), pace)
        _close(sockets)
    told |= await push_ledger.measure(ledger_rate, idle_partitions)
    return report.line(
        "push",
        rate=single["rate"],
        unit="pushes a core-second",
        durable=False,
        latencies_ms=waits_ms,
        floor_rate=round(floor["rate"]),
        of_floor=round(single["rate"] / floor["rate"], 3),
        paced_us=round(paced_us, 2),
        floor_paced_us=round(floor_paced_us, 2),
        of_floor_paced=round(floor_paced_us / paced_us, 3),
        wall_rate=round(single["wall_rate"]),
        floor_wall_rate=round(floor["wall_rate"]),
        push_us=round(1e6 / single["rate"], 2),
        sockets=accounts,
        pushes=rounds * accounts,
        load=f"{GROUP} accounts a block; rates by the server's processor time, wall_rate with clients on the same cores",
        **told,
    )


async def _sockets(server: Running, count: int) -> list[Socket]:
    return await opened(server.port, [[_account(n)] for n in range(count)], [n // GROUP for n in range(count)])


async def _idle(server: Running, sockets: list[Socket]) -> dict[str, Any]:
    """Nobody is told anything but heartbeats."""
    await asyncio.sleep(2 * HEARTBEAT_MS / 1_000)
    before, cpu_s = sum(each.heartbeats for each in sockets), processor_s(server.pid)
    await asyncio.sleep(IDLE_S)
    heard, cpu_s = sum(each.heartbeats for each in sockets) - before, processor_s(server.pid) - cpu_s
    return {"heartbeats": heard, "heartbeat_us": round(cpu_s / max(1, heard) * 1e6, 2)}


async def _single(server: Running, sockets: list[Socket], rounds: int) -> dict[str, float]:
    """Each group's accounts change, and again when all of its sockets have been told."""
    cpu_s, started = processor_s(server.pid), time.perf_counter()
    groups = [sockets[first : first + GROUP] for first in range(0, len(sockets), GROUP)]
    await asyncio.gather(*(_rounds(server, number, group, rounds) for number, group in enumerate(groups)))
    took_s, cpu_s = time.perf_counter() - started, processor_s(server.pid) - cpu_s
    pushes = rounds * len(sockets)
    return {"rate": pushes / max(cpu_s, 0.01), "wall_rate": pushes / took_s}


async def _rounds(server: Running, number: int, group: list[Socket], rounds: int) -> None:
    names = [_account(number * GROUP + n) for n in range(len(group))]
    told = asyncio.Event()
    for socket in group:
        socket.on_balances = told
    before = [socket.balances for socket in group]
    for n in range(1, rounds + 1):
        await server.ledger.tell(names, n, number)
        while any(socket.balances < had + n for socket, had in zip(group, before, strict=True)):
            told.clear()
            await told.wait()
    for socket in group:
        socket.on_balances = None


async def _half_load(server: Running, sockets: list[Socket], rounds: int, rate: float) -> tuple[list[float], float]:
    """Milliseconds from the feed's word to each client, at this many pushes a second; microseconds of the server's a push."""
    groups = [sockets[first : first + GROUP] for first in range(0, len(sockets), GROUP)]
    said_s: list[list[float]] = [[] for _ in groups]
    had = [socket.balances for socket in sockets]
    for socket in sockets:
        socket.told_s = []
    cpu_s = processor_s(server.pid)
    version, due_s = 1 << 20, time.perf_counter()
    for _ in range(rounds):
        version += 1
        for number in range(len(groups)):
            due_s += GROUP / rate
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            said_s[number].append(time.perf_counter())
            await server.ledger.tell([_account(number * GROUP + n) for n in range(GROUP)], version, number)
    # The bare protocol sends one version for ever, and all of it.
    while any(  # noqa: ASYNC110 - what is waited for has no event
        each.newest < version and each.balances < before + rounds for each, before in zip(sockets, had, strict=True)
    ):
        await asyncio.sleep(0.05)
    pushed = sum(socket.balances for socket in sockets) - sum(had)
    took_us = max(processor_s(server.pid) - cpu_s, 0.01) / pushed * 1e6
    waits_ms = []
    for number, group in enumerate(groups):
        for socket in group:
            assert socket.told_s is not None
            if len(socket.told_s) == rounds:  # or some were replaced by newer ones, and which is not known
                waits_ms += [(then - said) * 1_000 for then, said in zip(socket.told_s, said_s[number], strict=True)]
            socket.told_s = None
    return waits_ms, took_us


async def _coalesced(server: Running, batches: int) -> float:
    names = [f"hot-{n:03d}" for n in range(HOT)]
    sockets = await opened(server.port, [names] * WATCHERS, [1 << 20] * WATCHERS)
    cpu_s = processor_s(server.pid)
    for version in range(1, batches + 1):
        await server.ledger.tell(names, version)
    while any(socket.newest < batches for socket in sockets):  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.05)
    cpu_s = processor_s(server.pid) - cpu_s
    _close(sockets)
    return round(batches * HOT * WATCHERS / max(cpu_s, 0.01))


def _close(sockets: list[Socket]) -> None:
    for socket in sockets:
        socket.close()


def _account(number: int) -> str:
    return f"watched-{number:07d}"


@asynccontextmanager
async def _server(kind: str) -> AsyncIterator[Running]:
    connected: asyncio.Future[asyncio.StreamWriter] = asyncio.get_running_loop().create_future()

    async def take(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set_result(writer)

    feed = await asyncio.start_server(take, "127.0.0.1", 0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.push_server", kind, str(feed.sockets[0].getsockname()[1]), str(HEARTBEAT_MS),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        ledger = Ledger(await connected)
        ledger.beat()
        yield Running(process.pid, port, ledger)
    finally:
        if connected.done():
            connected.result().close()
        process.kill()
        await process.wait()
        feed.close()
