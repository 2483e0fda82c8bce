"""`fanfold publish` and `fanfold export` as users run them: killed, run again, pointed at the wrong place; beside a service."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.end_to_end import load, processes
from tests.servers import make_topic, unique_name
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.whole_log.event_telling import plain_events
from write_side.contract.log.log_file import FileLog
from write_side.contract.words.atoms import partition_of

PARTITIONS = 2
LIMIT_S = 120.0
ONE_BROKER = {"FANFOLD_REPLICATION": "1", "FANFOLD_MIN_IN_SYNC": "1", "FANFOLD_SNAPSHOTS": "off"}


async def made_log(folder: Path, blocks: int, transfers: int) -> list[list[bytes]]:
    log = await FileLog.open(folder, PARTITIONS, sync=lambda descriptor: None)
    makers = [BlockMaker(log, partition) for partition in range(PARTITIONS)]
    for partition, maker in enumerate(makers):
        one, other = [name for name in map(str, range(64)) if partition_of(name, PARTITIONS) == partition][:2]
        await maker.append(opened(one, -(10**9)), opened(other, -(10**9)))
        for _ in range(blocks):
            await maker.append(*(moved(one, other, 1) for _ in range(transfers)))
    await log.close()
    return [maker.blocks for maker in makers]


async def ends_of(consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    return dict(await consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)]))


async def records_of(bootstrap: str, topic: str) -> list[list[Any]]:
    """Every record of each partition."""
    found: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    async with asyncio.timeout(LIMIT_S), AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        ends = await ends_of(consumer, topic)
        consumer.assign([*ends])
        for at in ends:
            consumer.seek(at, 0)
        while any(len(found[at.partition]) < end for at, end in ends.items()):
            for at, records in (await consumer.getmany(timeout_ms=1_000)).items():
                found[at.partition] += records
    return found


@pytest.mark.kafka
async def test_a_publisher_that_is_killed_loses_nothing_and_what_comes_twice_has_the_same_id(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    blocks = await made_log(tmp_path / "data", blocks=60, transfers=400)
    topic, environment = unique_name("published"), ONE_BROKER | {"FANFOLD_LOG": f"file:{tmp_path / 'data'}"}
    arguments = ("publish", "--to", f"kafka://{kafka_bootstrap}", "--topic", topic)
    expected = [plain_events(blocks[p], p) for p in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap) as consumer:
        for kill in range(1, 4):
            process = await asyncio.create_subprocess_exec(
                *processes.COMMAND, *arguments, env={**os.environ, **environment}
            )
            async with asyncio.timeout(LIMIT_S):
                while not await _has_more_than(consumer, topic, kill * 8_000):
                    assert process.returncode is None
            process.kill()
            await process.wait()
    code, out, errors = await processes.command(*arguments, "--once", "--json", environment=environment)
    assert code == 0, errors
    told = json.loads(out)
    assert [each["position"] for each in told["partitions"]] == [f"{p}:60" for p in range(PARTITIONS)]
    code, out, errors = await processes.command(*arguments, "--once", environment=environment)
    assert (code, out.partition(" in ")[0]) == (0, "published 0 events"), errors
    for partition, records in enumerate(await records_of(kafka_bootstrap, topic)):
        by_id: dict[str, bytes] = {}
        newest, once = (-1, -1, -1), []
        for record in records:
            event = json.loads(record.value)
            assert record.key.decode() == event["subject"]
            assert record.headers == (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
            assert by_id.setdefault(event["id"], record.value) == record.value
            place = tuple(map(int, event["id"].split(":")[1:]))
            if place > newest:
                newest = place  # type: ignore[assignment]
                once.append(event)
        assert once == expected[partition]


async def _has_more_than(consumer: AIOKafkaConsumer, topic: str, records: int) -> bool:
    await asyncio.sleep(0.01)
    if topic not in await consumer.topics():
        return False
    return sum((await ends_of(consumer, topic)).values()) > records


@pytest.mark.kafka
async def test_what_cannot_be_published_is_told_and_nothing_is_published(tmp_path: Path, kafka_bootstrap: str) -> None:
    await made_log(tmp_path / "data", blocks=1, transfers=1)
    await made_log(tmp_path / "other", blocks=3, transfers=3)
    environment = ONE_BROKER | {"FANFOLD_LOG": f"file:{tmp_path / 'data'}"}
    topic, to = unique_name("published"), ("--to", f"kafka://{kafka_bootstrap}", "--once")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await make_topic(admin, NewTopic(topic, 3, 1))
    await admin.close()

    async def refused(*arguments: str, log: str | None = None) -> tuple[int, str]:
        names = environment if log is None else environment | {"FANFOLD_LOG": log}
        code, out, errors = await processes.command("publish", *arguments, environment=names)
        assert "Traceback" not in errors
        return code, out + errors

    code, said = await refused(*to, "--topic", topic)
    assert (code, "has 3 partitions, and the log has 2" in said) == (2, True)
    code, said = await refused("--once")
    assert (code, "--to kafka://host:9092" in said) == (2, True)
    code, said = await refused("--once", "--to", "redis://x")
    assert (code, "--to kafka://host:9092" in said) == (2, True)
    code, said = await refused(*to, "--after", "2:1")
    assert (code, "the log has 2, 0 to 1" in said) == (2, True)
    code, said = await refused(*to, log=f"file:{tmp_path / 'nothing'}")
    assert code == 2
    other = unique_name("published")
    assert (await refused(*to, "--topic", other, log=f"file:{tmp_path / 'other'}"))[0] == 0
    code, said = await refused(*to, "--topic", other)
    assert (code, "this log ends before it" in said) == (1, True)


async def test_the_schema_is_printed() -> None:
    code, out, _ = await processes.command("publish", "--schema", environment={})
    assert code == 0
    assert json.loads(out)["$defs"].keys() >= {"OpenedEvent", "EntryEvent"}


async def test_exported_files_have_the_sums_of_the_view_beside_a_service_that_writes(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    folder, names = tmp_path / "events", [f"account-{i}" for i in range(5)]
    async with (
        processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service,
        aiohttp.ClientSession(service.address) as session,
    ):
        for name in names:
            async with session.put(f"/v1/accounts/{name}", json={"asset": "USD/2", "owner": 'of "us"'}) as answer:
                assert answer.status == 201
        for round_of in range(2):
            for i, name in enumerate(names):
                await _post(session, "@world", name, 100 + i)
                await _post(session, name, names[i - 1], 1 + i)
            code, out, errors = await processes.command(
                "export", "--parquet", str(folder), "--json", environment=environment
            )
            assert code == 0, errors
            assert json.loads(out)["files"] >= 1
            shown = [await _balance(session, name) for name in names]
            assert _exported(folder) == {each["account"]: (each["posted"], each["version"]) for each in shown}, round_of
        assert await service.interrupt() == 0
    code, out, errors = await processes.command("export", "--parquet", str(folder), environment=environment)
    assert (code, "wrote 0 events in 0 files" in out) == (0, True), errors
    (tmp_path / "file").write_text("")
    code, out, errors = await processes.command("export", "--parquet", str(tmp_path / "file"), environment=environment)
    assert (code, "is no folder" in errors, "Traceback" in errors) == (2, True, False)


async def _post(session: aiohttp.ClientSession, debit: str, credit: str, amount: int) -> None:
    body = {"id": str(uuid.uuid4()), "from": debit, "to": credit, "amount": str(amount), "asset": "USD/2"}
    async with session.post("/v1/transfers", json=body, headers={"Prefer": "wait=20"}) as answer:
        assert answer.status == 201, await answer.text()


async def _balance(session: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with session.get(f"/v1/accounts/{name}") as answer:
        return dict(await answer.json())


def _exported(folder: Path) -> dict[str, tuple[str, int]]:
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select account, sum(amount)::bigint, max(version), any_value(owner) "
            f"from read_parquet('{folder}/*/*.parquet', hive_partitioning = true) where account not like '@%' group by all"
        ).fetchall()
    assert {row[3] for row in rows} == {'of "us"'}
    return {account: (str(posted), version) for account, posted, version, _ in rows}
