"""The topic of commands over a real broker: trimmed below what the log has consumed, cut by somebody, deleted and made again."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from prometheus_client import CollectorRegistry, generate_latest

import write_side.owner.trimmer
from tests.end_to_end import deployed, load, processes
from tests.servers import POLL_S, make_topic, unique_name
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.write_side.deciding import NOON_US, id_at
from write_side.contract.log.delete_records_kafka import delete_records
from write_side.contract.log.log import LogFailed
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Transfer
from write_side.owner.partition import Standing
from write_side.queue.command_queue import CommandQueue
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

# aiokafka leaves the transports of clients whose topic went away to the collector.
pytestmark = [pytest.mark.kafka, pytest.mark.filterwarnings("ignore::ResourceWarning")]

LIMIT_S = 60.0  # only ever reached by a test that fails
PARTITIONS = 2
NAMES = [next(name for name in map(str, range(64)) if partition_of(name, PARTITIONS) == p) for p in range(PARTITIONS)]


class Bank:
    """A process of the write side with one account a partition; `paid` are ids that were answered as done."""

    def __init__(self, side: WriteSide, queue: CommandQueue, registry: CollectorRegistry) -> None:
        self.side, self.queue, self._registry = side, queue, registry
        self.paid: list[tuple[int, str]] = []

    async def send(self, method: str, target: str, document: dict[str, Any]) -> Reply:
        return await asyncio.wait_for(ask(self.side.app, method, target, json.dumps(document).encode()), LIMIT_S)

    async def open(self) -> None:
        for name in NAMES:
            assert (await self.send("PUT", f"/v1/accounts/{name}", {"asset": "USD/2"})).status in (200, 201)

    async def pay(self, partition: int, transfer: str | None = None) -> Reply:
        transfer, to = transfer or str(uuid.uuid4()), NAMES[partition]
        document = {"id": transfer, "from": "@world", "to": to, "amount": "1", "asset": "USD/2"}
        reply = await self.send("POST", "/v1/transfers", document)
        if reply.status == 201:
            assert (reply.document["id"], reply.document["result"]) == (transfer, "done")
            assert [each["account"] for each in reply.document["accounts"]] == [to]
            self.paid.append((partition, transfer))
        return reply

    async def pay_many(self, count: int, partitions: Sequence[int] = range(PARTITIONS)) -> None:
        replies = [await self.pay(p) for _ in range(count) for p in partitions]
        assert {reply.status for reply in replies} == {201}

    def consumed_to(self, partition: int) -> int:
        consumed = self.side.partitions[partition].consumed
        assert consumed is not None
        return consumed.to

    async def trimmed(self, partition: int) -> int:
        """Waits until all that is consumed is gone; where the queue begins then."""
        async with asyncio.timeout(LIMIT_S):
            while (begins_at := await self.queue.begins_at(partition)) < self.consumed_to(partition):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        return begins_at

    async def standing(self, partition: int, wanted: Standing) -> None:
        async with asyncio.timeout(LIMIT_S):
            while self.side.partitions[partition].standing is not wanted:  # noqa: ASYNC110 -- nobody tells a test
                await asyncio.sleep(POLL_S)

    async def balances_are(self, paid: Sequence[tuple[int, str]]) -> None:
        """Each is answered as it was, and the balances are their number: nothing is lost and nothing is there twice."""
        for partition, transfer in paid:
            reply = await self.pay(partition, transfer)
            assert (reply.status, reply.document["id"]) == (201, transfer)
        for partition in range(PARTITIONS):
            state = self.side.partitions[partition].outcomes.state
            number = state.number_of(NAMES[partition])
            assert number is not None
            assert state.posted[number] == len({each for each in paid if each[0] == partition})

    def metric(self, name: str) -> list[str]:
        return [line for line in generate_latest(self._registry).decode().splitlines() if line.startswith(name)]


@pytest.fixture
def settings(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> WriteSettings:
    monkeypatch.setattr(write_side.owner.trimmer, "LOOK_S", 0.05)
    return WriteSettings(
        log=f"kafka://{kafka_bootstrap}",
        topic=unique_name("trimmed"),
        partitions=PARTITIONS,
        replication=1,
        min_in_sync=1,
        commands_kept_minutes=0,
        answer_wait_ms=5_000,
    )


def but(settings: WriteSettings, **values: Any) -> WriteSettings:
    return settings.model_copy(update=values)


@asynccontextmanager
async def bank(settings: WriteSettings) -> AsyncIterator[Bank]:
    registry = CollectorRegistry()
    async with AsyncExitStack() as stack:
        log = await open_log(settings, writing=True)
        stack.push_async_callback(log.close)
        queue = await open_queue(settings, log)
        stack.push_async_callback(queue.close)
        side = WriteSide(settings, log, queue, registry)
        await side.start()
        running = asyncio.ensure_future(side.run())
        try:
            yield Bank(side, queue, registry)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def administering(settings: WriteSettings) -> AsyncIterator[Any]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=settings.log.removeprefix("kafka://"))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def delete_topic(settings: WriteSettings) -> None:
    async with administering(settings) as admin, asyncio.timeout(LIMIT_S):
        await admin.delete_topics([f"{settings.topic}.commands"])
        while f"{settings.topic}.commands" in await admin.list_topics():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)


async def make_topic_again(settings: WriteSettings) -> None:
    """As a write side makes it."""
    log = await open_log(settings, writing=False)
    queue = await open_queue(settings, log)
    await queue.close()
    await log.close()


async def test_what_is_consumed_goes_and_a_restart_loses_and_doubles_nothing(settings: WriteSettings) -> None:
    paid: list[tuple[int, str]] = []
    for _ in range(3):
        async with bank(settings) as one:
            await one.open()
            await one.pay_many(10)
            begins = [await one.trimmed(p) for p in range(PARTITIONS)]
            assert all(begin > 0 for begin in begins)
            paid += one.paid
            await one.balances_are(paid)
            assert one.metric("fanfold_commands_trim_failures_total") == ["fanfold_commands_trim_failures_total 0.0"]
            assert len(one.metric("fanfold_commands_trimmed_to{")) == PARTITIONS


async def test_commands_are_kept_where_that_is_asked_for(settings: WriteSettings) -> None:
    for kept in (60, "off"):
        async with bank(but(settings, commands_kept_minutes=kept)) as one:
            await one.open()
            await one.pay_many(5)
            await asyncio.sleep(4 * write_side.owner.trimmer.LOOK_S)
            assert [await one.queue.begins_at(p) for p in range(PARTITIONS)] == [0, 0]


async def test_everything_told_survives_kills_of_a_writer_that_trims_all_the_time(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import write_side.owner.trimmer as trimmer; trimmer.LOOK_S = 0.01; from fanfold.cli.main import main; main()"
    )
    environment = deployed.environment_of(kafka_bootstrap, redis_url, PARTITIONS) | {
        "FANFOLD_COMMANDS_KEPT_MINUTES": "0"
    }
    ledger = load.Ledger([f"account-{i}" for i in range(8)], random.Random(31))
    with monkeypatch.context() as patch:
        patch.setattr(processes, "COMMAND", (sys.executable, "-c", program))
        await load.kill_again_and_again(
            "write-side", environment, ledger, kills=5, answers_max=150, errors=tmp_path / "errors.txt"
        )
        async with processes.running("write-side", environment=environment, errors=tmp_path / "errors.txt"):
            log = await deployed.open_log(environment)
            try:
                async with asyncio.timeout(LIMIT_S):
                    while not (found := await load.audit(log)).is_over:  # noqa: ASYNC110
                        await asyncio.sleep(POLL_S)
                load.expect_told_is_true(ledger, found)
            finally:
                await log.close()
    assert "records are gone" not in (tmp_path / "errors.txt").read_text()
    settings = WriteSettings(
        log=environment["FANFOLD_LOG"], topic=environment["FANFOLD_TOPIC"], replication=1, min_in_sync=1
    )
    kept = await open_log(settings, writing=False)
    queue = await open_queue(settings, kept)
    assert all([await queue.begins_at(p) > 0 for p in range(PARTITIONS)])
    await queue.close()
    await kept.close()


async def test_commands_that_somebody_deleted_undecided_stop_their_partition_until_they_are_named(
    settings: WriteSettings,
) -> None:
    async with bank(settings) as one:
        await one.open()
        await one.pay_many(5)
        await one.trimmed(0)
        paid, consumed_to = one.paid, one.consumed_to(0)
    log = await open_log(settings, writing=False)
    queue = await open_queue(settings, log)
    for n in range(3):
        lost = CommandBatch.of([Transfer(id_at(NOON_US, n), "@world", NAMES[0], 1, "USD/2")])
        assert await queue.append(0, lost) == consumed_to + n
    await queue.consumed({0: consumed_to + 3})
    await queue.close()
    await log.close()

    named = f"0:{consumed_to}-{consumed_to + 3}"
    async with bank(settings) as one:
        assert one.side.partitions[0].standing is Standing.STOPPED
        refused = await one.pay(0)
        assert (refused.status, refused.code) == (503, "partition_stopped")
        assert f"FANFOLD_ACCEPT_LOST_COMMANDS={named}" in (one.side.partitions[0].reason or "")
        await one.pay_many(2, (1,))
        paid = paid + one.paid
    async with bank(but(settings, accept_lost_commands=named)) as one:
        await one.pay_many(2)
        paid = paid + one.paid
        await one.balances_are(paid)
    async with bank(settings) as one:  # nobody has to name them again
        await one.balances_are(paid)


async def test_a_topic_that_was_deleted_takes_commands_again_at_the_next_start(settings: WriteSettings) -> None:
    async with bank(settings) as one:
        await one.open()
        await one.pay_many(20)
        paid, consumed_to = one.paid, one.consumed_to(0)
    await delete_topic(settings)
    async with bank(settings) as one:
        await one.pay_many(3)
        paid = paid + one.paid
        assert one.consumed_to(0) > consumed_to
        await one.balances_are(paid)
        assert await one.trimmed(0) > consumed_to


async def test_a_topic_made_again_under_processes_that_run_comes_back_and_nobody_is_told_of_another_command(
    settings: WriteSettings,
) -> None:
    """The second process owns nothing of partition 0 and remembers what was decided at its offsets before."""
    settings = but(settings, answer_wait_ms=2_000)
    async with bank(but(settings, own_partitions="0")) as owner, bank(but(settings, own_partitions="1")) as other:
        await owner.open()
        for _ in range(20):
            for each in (owner, other):
                assert (await each.pay(0)).status == 201
        await delete_topic(settings)
        await make_topic_again(settings)
        async with asyncio.timeout(LIMIT_S):
            back = 0
            while back < 6:  # each answer is looked at in `pay`
                reply = await other.pay(0)
                assert reply.status in (201, 503), reply.document
                back += reply.status == 201
        await owner.balances_are([*owner.paid, *other.paid])


async def test_an_intake_that_outlives_its_topic_is_not_told_what_was_decided_at_the_same_offsets_before(
    settings: WriteSettings,
) -> None:
    settings = but(settings, answer_wait_ms=1_000)
    async with bank(but(settings, own_partitions="1")) as other:
        async with bank(but(settings, own_partitions="0")) as owner:
            await owner.open()
            for _ in range(8):
                assert (await other.pay(0)).status == 201
        await delete_topic(settings)
        await make_topic_again(settings)
        taken = [await other.pay(0) for _ in range(8)]  # nobody decides them: they land where others were
        assert {(reply.status, reply.code) for reply in taken} == {(503, "outcome_unknown")}
        paid, unknown = other.paid, [reply.document["id"] for reply in taken]
        async with bank(but(settings, own_partitions="0")) as owner:
            async with asyncio.timeout(LIMIT_S):
                while (await other.pay(0)).status != 201:  # noqa: ASYNC110 -- a client asks again
                    await asyncio.sleep(POLL_S)
            await owner.balances_are([*paid, *((0, transfer) for transfer in unknown)])


async def test_a_topic_of_commands_that_would_lose_them_by_age_is_refused_at_the_start(settings: WriteSettings) -> None:
    configs = {"retention.ms": "3600000", "unclean.leader.election.enable": "false"}
    async with administering(settings) as admin:
        await make_topic(
            admin, NewTopic(f"{settings.topic}.commands", PARTITIONS, replication_factor=1, topic_configs=configs)
        )
    log = await open_log(settings, writing=True)
    try:
        with pytest.raises(LogFailed, match=r"commands .*retention.ms is 3600000, expected -1"):
            await open_queue(settings, log)
    finally:
        await log.close()


async def test_records_that_cannot_be_deleted_are_told_of_in_bounded_time(settings: WriteSettings) -> None:
    bootstrap = settings.log.removeprefix("kafka://")
    with pytest.raises(LogFailed, match=r"did not delete .*not there.*Nothing is lost"):
        await delete_records(bootstrap, unique_name("none"), {0: 1})
    await make_both(settings)
    with pytest.raises(LogFailed, match=r"did not delete .*OffsetOutOfRange"):
        await delete_records(bootstrap, f"{settings.topic}.commands", {0: 1, 1: 0})
    with pytest.raises(LogFailed, match="Nothing is lost"):
        await delete_records("127.0.0.1:1", f"{settings.topic}.commands", {0: 1})


async def make_both(settings: WriteSettings) -> None:
    log = await open_log(settings, writing=True)
    queue = await open_queue(settings, log)
    await queue.close()
    await log.close()
