"""`fanfold bench lone`: what one POST costs when few come at once, stage by stage: blocks of one, as most wallets make them.

The write side serves as `fanfold write-side` does (uvicorn, intake, one writer, a durable log: fdatasync a block, or Kafka with
acks=all); the client is another process. 1, 4, 16 and 64 requests at once, each load twice: as it is, for latency and
processor time, and with its stages timed, which costs some microseconds each itself.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from prometheus_client import CollectorRegistry

from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import BoundedHttpProtocol
from deploy.serving import listen, serve
from tests.benchmarks import lone_client, report
from tests.benchmarks.stages import Place, timing
from tests.servers import shared_kafka, unique_name
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_kafka import KafkaLog
from write_side.doors import http_api
from write_side.intake.intake import Intake
from write_side.intake.lane import Lane
from write_side.ledger.commands.commands import OpenAccount
from write_side.ledger.deciding import next_block
from write_side.owner.outcomes import Outcomes
from write_side.owner.writer import Writer
from write_side.queue.queue_kafka import KafkaQueue
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

AT_ONCE: Final = (1, 4, 16, 64)
LOOPBACK: Final = "127.0.0.1"


class _Door:
    """The write side's application under a method that can be timed."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.answer(scope, receive, send)

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


STAGES: Final = (
    Place("door", _Door, "answer"),
    Place("http parsing", BoundedHttpProtocol, "data_received"),
    Place("body", http_api, "parse_object"),
    Place("body", http_api, "transfer_body"),
    Place("body", http_api, "command_of"),
    Place("intake", Intake, "submit"),
    Place("record", Lane, "_leave"),
    Place("record", Lane, "_send"),
    Place("record", KafkaQueue, "append"),
    Place("writer", Writer, "run"),
    Place("writer", Writer, "_decide"),
    Place("writer", Writer, "_append_decided"),
    Place("decide", next_block, "decide"),
    Place("encode", next_block, "encode"),
    Place("check", next_block, "decode_made"),
    Place("check", next_block, "grammar_fault"),
    Place("append", FileLog, "append"),
    Place("append", FileLog, "_append"),
    Place("append", KafkaLog, "append"),
    Place("read back", Writer, "_read_back"),
    Place("answer", Outcomes, "accepted"),
    Place("answer", Outcomes, "answers"),
    Place("answer", http_api, "json_response"),
)
"""What a stage calls of another one is that one's. door: routes, headers, the way in and out. rest (not in here): turns of the
event loop, tasks, hand-overs between threads, and what clients of Kafka do by themselves."""


async def run(
    folder: Path, *, transfers: int, accounts: int, partitions: int, block: int, with_kafka: bool = False
) -> str:
    """The report line. transfers: POSTs in all; accounts: at least two."""
    found: dict[str, Any] = {}
    waits: dict[int, list[float]] = {}
    requests = max(AT_ONCE[-1], transfers // (2 * len(AT_ONCE)))
    names = max(2, accounts)
    with ExitStack() as stack:
        address = f"kafka://{stack.enter_context(shared_kafka())}" if with_kafka else ""
        for timed in (False, True):
            settings = WriteSettings(
                log=address or f"file:{folder / str(timed)}",
                topic=unique_name("lone"),
                partitions=partitions,
                replication=1,
                min_in_sync=1,
                block_commands_max=block,
            )
            await _serve(settings, timed, requests, names, found, waits)
    return report.line(
        "lone",
        rate=found["64"]["rate"],
        unit="transfers",
        durable=True,
        latencies_ms=waits[1],
        at_once=found,
        requests=requests,
        accounts=names,
        partitions=partitions,
        log="Kafka, acks=all, read back" if with_kafka else "file, fdatasync a block",
        load="single POSTs to a write side, each connection one at a time; microseconds of processor time a request",
    )


async def _serve(
    settings: WriteSettings,
    timed: bool,
    requests: int,
    accounts: int,
    found: dict[str, Any],
    waits: dict[int, list[float]],
) -> None:
    """A write side for as long as all loads take."""
    with ExitStack() as stack:
        stack.enter_context(_collector_as_it_was())
        bound = stack.enter_context(listen(LOOPBACK, 0))
        spent_ns = stack.enter_context(timing(STAGES if timed else ()))
        log = await open_log(settings, writing=True)
        queue = await open_queue(settings, log)
        side = WriteSide(settings, log, queue, CollectorRegistry(), ids=settings.ids_folder())

        async def load() -> None:
            opened = await side.intake.submit(
                [OpenAccount(lone_client.account(number), lone_client.USD, -(10**12), "") for number in range(accounts)]
            )
            assert all(answer.status == 201 for answer in opened)
            address = f"http://{LOOPBACK}:{bound.getsockname()[1]}"
            for at_once in AT_ONCE:
                client = await _Client.connected(address, at_once, accounts, warm=max(at_once, requests // 10))
                first = side.partitions[0].outcomes.state.chained.sequence
                spent_ns.clear()
                cpu_s = time.process_time()
                took_s, asked = await client.ask(requests)
                cpu_us = (time.process_time() - cpu_s) / requests * 1e6
                if timed:
                    found[str(at_once)] |= {"stages_us": _by_stage(dict(spent_ns), requests, cpu_us)}
                    continue
                waits[at_once] = asked
                p50_ms, p99_ms = np.percentile(asked, (50, 99))
                blocks = side.partitions[0].outcomes.state.chained.sequence - first
                found[str(at_once)] = {
                    "rate": round(requests / took_s),
                    "p50_ms": round(float(p50_ms), 2),
                    "p99_ms": round(float(p99_ms), 2),
                    "cpu_us": round(cpu_us),
                    "a_block": round(requests / max(1, blocks), 1),
                }

        try:
            await serve(
                _Door(side.app),
                bound,
                start=side.start,
                work=[load, side.run],
                drain=side.drain,
                on_started=lambda: None,
                hosts=AllowedHosts(LOOPBACK),
            )
        finally:
            await queue.close()
            await log.close()


@contextmanager
def _collector_as_it_was() -> Iterator[None]:
    """A service sets the collector for the life of its process; here another benchmark or test comes after it."""
    thresholds = gc.get_threshold()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


class _Client:
    """The process that asks: connected and warm before anything is measured."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def connected(cls, address: str, at_once: int, accounts: int, *, warm: int) -> _Client:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.benchmarks.lone_client", address, str(at_once), str(accounts), str(warm)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        await process.stdout.readline()
        return cls(process)

    async def ask(self, requests: int) -> tuple[float, list[float]]:
        """How long all of them took, and the milliseconds of each. The process ends with it."""
        said, _ = await self._process.communicate(b"%d\n" % requests)
        told = json.loads(said)
        return told["took_s"], told["waits_ms"]


def _by_stage(spent_ns: dict[str, int], requests: int, cpu_us: float) -> dict[str, float]:
    found = {stage: round(spent / requests / 1000, 1) for stage, spent in spent_ns.items()}
    return found | {"rest": round(cpu_us - sum(found.values()), 1)}
