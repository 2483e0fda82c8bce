"""Three brokers, and two of them go: writes are refused truthfully, `/readyz` says so, and all goes on when they are back."""

from __future__ import annotations

import asyncio
import gc
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.servers import POLL_S, KafkaCluster, unique_name
from tests.unit.read_side.asgi_client import Reply, ask
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.log.topic_kafka import EVENTS_TOPIC
from write_side.queue.queue_kafka import KafkaQueue
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log

# aiokafka leaves the transports of a broker that is gone to the collector, whatever closes its clients.
pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIMIT_S = 120.0  # only ever reached by a test that fails
APPEND_WAIT_MS = 4_000


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What those transports say is heard in the test that left them, and not in a later one."""
    yield
    gc.collect()


class Bank:
    """A write side with one account, `alice`, that money is paid to; `paid` are ids that were answered as done."""

    def __init__(self, side: WriteSide) -> None:
        self.side = side
        self.paid: set[str] = set()
        self.unknown: set[str] = set()
        self.refused: set[str] = set()

    async def send(self, method: str, target: str, document: dict[str, Any] | None = None) -> Reply:
        body = b"" if document is None else json.dumps(document).encode()
        return await asyncio.wait_for(ask(self.side.app, method, target, body), LIMIT_S)

    async def open(self) -> None:
        assert (await self.send("PUT", "/v1/accounts/alice", {"asset": "USD/2"})).status == 201

    async def pay(self, transfer: str | None = None) -> Reply:
        """One cent. The answer is done, unknown, or a refusal that says that nothing was taken."""
        transfer = transfer or str(uuid.uuid4())
        reply = await self.send(
            "POST",
            "/v1/transfers",
            {"id": transfer, "from": "@world", "to": "alice", "amount": "1", "asset": "USD/2"},
        )
        if reply.status == 201:
            self.paid.add(transfer)
        elif reply.document["code"] == "outcome_unknown":
            self.unknown.add(transfer)
        else:
            assert reply.document["code"] in ("partition_stopped", "starting"), reply.document
            self.refused.add(transfer)
        return reply

    async def until(self, ready: Callable[[Reply], bool]) -> Reply:
        """The first answer of /readyz of which this is true."""
        async with asyncio.timeout(LIMIT_S):
            while not ready(reply := await self.send("GET", "/readyz")):  # noqa: ASYNC110  (nobody else tells)
                await asyncio.sleep(POLL_S)
        return reply

    async def check(self) -> None:
        """Every id asked for again: each has one outcome, and the balance is their number, no more and no less."""
        last = None
        for transfer in sorted(self.paid | self.unknown | self.refused):
            last = await self.pay(transfer)
            assert last.status == 201, last.document
        last = await self.pay()
        [alice] = [each for each in last.document["accounts"] if each["account"] == "alice"]
        assert int(alice["posted"]) == len(self.paid)


@asynccontextmanager
async def bank(cluster: KafkaCluster) -> AsyncIterator[Bank]:
    cluster.all_there()
    topic = unique_name("away")
    settings = WriteSettings(log=f"kafka://{cluster.bootstrap}", topic=topic, partitions=1, answer_wait_ms=3_000)
    log = await KafkaLog.open(cluster.bootstrap, f"{topic}.events", create_partitions=1, append_wait_ms=APPEND_WAIT_MS)
    queue = await KafkaQueue.open(
        cluster.bootstrap,
        topic=f"{topic}.commands",
        partitions=1,
        replication=3,
        min_in_sync=2,
        append_wait_ms=APPEND_WAIT_MS,
    )
    side = WriteSide(settings, log, queue, CollectorRegistry())
    await side.start()
    running = asyncio.ensure_future(side.run())
    try:
        yield Bank(side)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        async with asyncio.timeout(LIMIT_S):
            await queue.close()
            await log.close()


@pytest.mark.parametrize("how", ["killed", "hanging"])
async def test_two_of_three_brokers_away_is_said_and_all_goes_on_when_they_are_back(
    kafka_cluster: KafkaCluster, how: str
) -> None:
    async with bank(kafka_cluster) as one:
        await one.open()
        assert (await one.pay()).status == 201
        assert (await one.until(lambda reply: reply.status == 200)).document["status"] == "ready"
        away = kafka_cluster.brokers[1:]
        with capture_logs() as said:
            for broker in away:
                if how == "killed":
                    broker.kill()
                else:
                    broker.pause()
            at_once = await one.pay()  # nobody has noticed yet
            assert at_once.status == 503
            told = await one.until(lambda reply: reply.status != 200)
            assert (await one.pay()).status == 503
        assert any("partition 0" in reason for reason in told.document["reasons"])
        assert [each for each in said if each["log_level"] == "error" and each.get("partition") == 0 and each["reason"]]
        if how == "killed":
            kafka_cluster.start()
        else:
            for broker in away:
                broker.resume()
        ready = await one.until(lambda reply: reply.status == 200)
        assert ready.document["status"] == "ready"
        assert (await one.pay()).status == 201
        await one.check()


async def test_an_idle_write_side_notices_that_brokers_are_away(kafka_cluster: KafkaCluster) -> None:
    async with bank(kafka_cluster) as one:
        await one.open()
        await one.until(lambda reply: reply.status == 200)
        for broker in kafka_cluster.brokers[:2]:
            broker.pause()
        told = await one.until(lambda reply: reply.status != 200)
        assert "partition 0" in told.document["reasons"][0]
        refused = await one.pay()
        assert (refused.status, refused.document["code"]) == (503, "partition_stopped")
        for broker in kafka_cluster.brokers[:2]:
            broker.resume()
        await one.until(lambda reply: reply.status == 200)
        assert (await one.pay()).status == 201
        await one.check()


async def test_one_of_three_brokers_away_stops_nothing_for_long(kafka_cluster: KafkaCluster) -> None:
    async with bank(kafka_cluster) as one:
        await one.open()
        for broker in kafka_cluster.brokers:
            broker.kill()
            async with asyncio.timeout(LIMIT_S):
                while (await one.pay()).status != 201:  # noqa: ASYNC110  (a client asks again)
                    await asyncio.sleep(POLL_S)
            kafka_cluster.start()
            await one.until(lambda reply: reply.status == 200)
        await one.check()


async def test_a_start_while_brokers_are_away_says_so_and_ends(kafka_cluster: KafkaCluster) -> None:
    kafka_cluster.all_there()
    log = await KafkaLog.open(kafka_cluster.bootstrap, create_partitions=1)
    await log.close()
    kafka_cluster.kill()
    settings = WriteSettings(log=f"kafka://{kafka_cluster.bootstrap}", topic=EVENTS_TOPIC.removesuffix(".events"))
    with pytest.raises(LogFailed, match="cannot be reached"):
        await asyncio.wait_for(open_log(settings, writing=True), LIMIT_S)
