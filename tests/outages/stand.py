"""The deployed set-up as users run it: three brokers, a Redis, each side as a process; all of it can go away and come back."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from tests.end_to_end import processes
from tests.outages.cases import Case, How
from tests.servers import LOOPBACK, KafkaCluster, RedisServer, free_port

PARTITIONS: Final = 3

COMMANDS: Final = {"write side": "write-side", "read side": "projector", "gateway": "gateway"}
"""Side -> the command that starts it, in the order of their starts."""

T = TypeVar("T")


class Stand:
    """`away` and `back` do a case; `ended` names sides that are not there and should be."""

    def __init__(self, cluster: KafkaCluster, redis: RedisServer, folder: Path, servers: ThreadPoolExecutor) -> None:
        self._cluster = cluster
        self._redis = redis
        self._folder = folder
        self._servers = servers
        self._sides: dict[str, processes.Service] = {}
        self._told: set[asyncio.Task[None]] = set()
        ports = {side: free_port() for side in COMMANDS}
        self.addresses = {side: f"http://{LOOPBACK}:{port}" for side, port in ports.items()}
        self._environment = {
            "FANFOLD_LOG": f"kafka://{cluster.bootstrap}",
            "FANFOLD_PARTITIONS": str(PARTITIONS),
            "FANFOLD_VIEW": redis.url,
            "FANFOLD_PORT": str(ports["gateway"]),
            "FANFOLD_WRITE_PORT": str(ports["write side"]),
            "FANFOLD_READ_PORT": str(ports["read side"]),
            "FANFOLD_WRITE_URL": self.addresses["write side"],
            "FANFOLD_READ_URL": self.addresses["read side"],
        }

    async def start(self) -> None:
        for side in COMMANDS:
            await self._start(side)

    async def stop(self) -> None:
        for service in self._sides.values():
            if service.process.returncode is None:
                service.process.send_signal(signal.SIGCONT)
                await service.kill()
        await asyncio.gather(*self._told)

    def ended(self) -> list[str]:
        return [side for side, service in self._sides.items() if service.process.returncode is not None]

    async def away(self, case: Case) -> None:
        if case.side is not None:
            service = self._sides[case.side]
            if case.how is How.PAUSED:
                service.process.send_signal(signal.SIGSTOP)
            else:
                await service.kill()
            return
        for broker in self._cluster.brokers[: case.brokers]:
            await self._on_servers(broker.pause if case.how is How.PAUSED else broker.kill)
        if case.redis:
            await self._on_servers(self._redis.pause if case.how is How.PAUSED else self._redis.stop)

    async def back(self, case: Case) -> None:
        """Returns when what was away answers."""
        if case.side is not None:
            if case.how is How.PAUSED:
                self._sides[case.side].process.send_signal(signal.SIGCONT)
            else:
                await self._start(case.side)
            return
        if case.redis:
            await self._on_servers(self._redis.resume if case.how is How.PAUSED else self._redis.start)
        if case.how is How.KILLED:
            await self._on_servers(self._cluster.start)
            return
        for broker in self._cluster.brokers[: case.brokers]:
            await self._on_servers(broker.resume)

    async def _start(self, side: str) -> None:
        errors = self._folder / f"{side.replace(' ', '-')}.txt"
        service = self._sides[side] = await processes.start(
            COMMANDS[side], environment=self._environment, errors=errors
        )
        told = asyncio.create_task(_keep(service, errors.with_suffix(".log")))
        self._told.add(told)
        told.add_done_callback(self._told.discard)

    async def _on_servers(self, do: Callable[[], T]) -> T:
        """In a thread, for it blocks; in one that stays, for a server ends with the thread that started it."""
        return await asyncio.get_running_loop().run_in_executor(self._servers, do)


async def _keep(service: processes.Service, log: Path) -> None:
    """What a side logs, until it ends: a pipe that nobody reads fills up and stops who writes to it."""
    assert service.process.stdout is not None
    with log.open("ab") as kept:
        while line := await service.process.stdout.readline():
            kept.write(line)
            kept.flush()


@asynccontextmanager
async def standing(cluster: KafkaCluster, redis: RedisServer, folder: Path) -> AsyncIterator[Stand]:
    """The sides over these servers, started; ended by process id. folder: where what they say is kept."""
    with ThreadPoolExecutor(1, "servers") as servers:
        stand = Stand(cluster, redis, folder, servers)
        try:
            await stand.start()
            yield stand
        finally:
            await stand.stop()
