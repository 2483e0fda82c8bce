"""`fanfold bench cross`: how long a transfer between two partitions takes over a real Kafka broker, one at a time.

From the intake's submit to its answer, which is given when the transfer has ended: through the command topic, a block, a message,
and so on. One line tells both protocols; `p50_ms` and `p99_ms` are the saga's, which is the default.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from tests.benchmarks import report
from tests.servers import shared_kafka, unique_name
from write_side.contract.words.atoms import partition_of
from write_side.intake.intake import Intake
from write_side.ledger.commands.commands import Leg, LegsTransfer, OpenAccount, Protocol, Transfer
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

USD = "USD/2"


async def run(_folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: of each protocol; a tenth of them warms up. accounts: in all, at least one a partition."""
    with shared_kafka() as bootstrap:
        settings = WriteSettings(
            log=f"kafka://{bootstrap}",
            topic=unique_name("bench"),
            partitions=max(2, partitions),
            replication=1,
            min_in_sync=1,
            block_commands_max=block,
        )
        log = await open_log(settings, writing=True)
        queue = await open_queue(settings, log)
        side = WriteSide(settings, log, queue, CollectorRegistry(), ids=settings.ids_folder())
        await side.start()
        running = asyncio.create_task(side.run())
        try:
            waits = await _measure(side.intake, log.partitions, transfers)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await queue.close()
            await log.close()
    tcc_p50, tcc_p99 = (round(float(v), 2) for v in np.percentile(waits[Protocol.TCC], (50, 99)))
    saga = waits[Protocol.SAGA]
    return report.line(
        "cross",
        rate=1000 / float(np.mean(saga)),
        unit="transfers",
        durable=True,
        latencies_ms=saga,
        tcc_p50_ms=tcc_p50,
        tcc_p99_ms=tcc_p99,
        transfers=len(saga),
        partitions=log.partitions,
        load="one transfer between two partitions at a time, each protocol",
    )


async def _measure(intake: Intake, partitions: int, transfers: int) -> dict[Protocol, list[float]]:
    giver, taker = (next(n for n in map(str, range(999)) if partition_of(n, partitions) == p) for p in range(2))
    await intake.submit([OpenAccount(giver, USD, 0, ""), OpenAccount(taker, USD, 0, "")])
    await intake.submit([Transfer(uuid.uuid4().bytes, "@world", giver, 10**12, USD)])
    legs = tuple(sorted((Leg(giver, -1, USD), Leg(taker, 1, USD))))
    waits: dict[Protocol, list[float]] = {protocol: [] for protocol in Protocol}
    warm = max(1, transfers // 10)
    for number in range(transfers):
        for protocol in Protocol:
            started = time.perf_counter()
            [answer] = await intake.submit([LegsTransfer(uuid.uuid4().bytes, legs, protocol)])
            assert answer.status == 201, answer.document
            if number >= warm:
                waits[protocol].append((time.perf_counter() - started) * 1000)
    return waits
