"""`fanfold bench deployed`: how long a lone request takes through gateway and sides as processes, over real Kafka and Redis.

One client, one connection, one request at a time: nothing is gathered with it and nothing hides a wait, so the numbers are the
sum of every timer, buffer and hand-over between a client and the log. `p50_ms` and `p99_ms` are those of a POST.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import numpy as np

from tests.benchmarks import report
from tests.benchmarks.connection import Connection
from tests.end_to_end import deployed
from tests.servers import shared_kafka, shared_redis

USD = "USD/2"


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line. transfers: how many POSTs, and as many GETs; a tenth of them warms up."""
    with shared_kafka() as bootstrap, shared_redis() as redis_url:
        environment = deployed.environment_of(bootstrap, redis_url, partitions)
        environment["FANFOLD_BLOCK_COMMANDS_MAX"] = str(block)
        async with deployed.running(environment, folder / "errors.txt") as gateway:
            connection = await Connection.open(gateway.address)
            names = [f"account-{number}" for number in range(max(1, accounts))]
            for name in names:
                status, said = await connection.ask("PUT", f"/v1/accounts/{name}", {"asset": USD})
                assert status == 201, said
            gets, posts = await _measure(connection, names, transfers)
            await connection.close()
    get_p50, get_p99 = (round(float(v), 2) for v in np.percentile(gets, (50, 99)))
    return report.line(
        "deployed",
        rate=1000 / float(np.mean(posts)),
        unit="transfers",
        durable=True,
        latencies_ms=posts,
        get_p50_ms=get_p50,
        get_p99_ms=get_p99,
        transfers=len(posts),
        partitions=partitions,
        load="one request at a time through gateway, write side and projector, over Kafka and Redis",
    )


async def _measure(connection: Connection, names: list[str], transfers: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each GET and each POST, in turn."""
    gets: list[float] = []
    posts: list[float] = []
    warm = max(1, transfers // 10)
    for number in range(transfers):
        name = names[number % len(names)]
        body = {"id": str(uuid.uuid4()), "from": "@world", "to": name, "amount": "1", "asset": USD}
        started = time.perf_counter()
        status, said = await connection.ask("POST", "/v1/transfers", body)
        posted = time.perf_counter()
        assert status == 201, said
        # Without a position: a read that waits for the view to catch up is another question.
        status, said = await connection.ask("GET", f"/v1/accounts/{names[number // 2 % len(names)]}")
        got = time.perf_counter()
        assert status == 200, said
        if number >= warm:
            posts.append((posted - started) * 1000)
            gets.append((got - posted) * 1000)
    return gets, posts
