"""The servers that the other integration tests stand on do what those tests believe of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis.asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.servers import RedisServer, ServerMissing, find_kafka_jars, make_topic, running_redis, unique_name


async def get(server: RedisServer, key: str) -> bytes | None:
    async with redis.asyncio.from_url(server.url) as client:
        value = await client.get(key)
    assert value is None or isinstance(value, bytes)
    return value


async def put(server: RedisServer, key: str, value: str) -> None:
    async with redis.asyncio.from_url(server.url) as client:
        await client.set(key, value)


@pytest.mark.redis
async def test_shared_redis_answers_and_never_evicts(redis_url: str) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        assert await client.ping()
        assert (await client.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"


@pytest.mark.redis
async def test_private_redis_restarted_empty_has_forgotten_everything(redis_server: RedisServer) -> None:
    await put(redis_server, "a", "1")
    url, pid = redis_server.url, redis_server.pid
    redis_server.restart_empty()
    assert redis_server.url == url
    assert redis_server.pid != pid
    assert await get(redis_server, "a") is None


@pytest.mark.redis
async def test_private_redis_goes_back_to_a_snapshot_and_not_further(redis_server: RedisServer) -> None:
    await put(redis_server, "a", "old")
    snapshot = redis_server.save()
    await put(redis_server, "a", "new")
    await put(redis_server, "b", "later")
    redis_server.restore_snapshot(snapshot)
    assert await get(redis_server, "a") == b"old"
    assert await get(redis_server, "b") is None
    redis_server.stop()
    assert not redis_server.running
    redis_server.start()
    assert await get(redis_server, "a") is None, "a snapshot is loaded only when asked for"


@pytest.mark.redis
async def test_flushed_redis_keeps_its_process_and_loses_its_data(redis_server: RedisServer) -> None:
    await put(redis_server, "a", "1")
    pid = redis_server.pid
    redis_server.flush()
    assert redis_server.pid == pid
    assert await get(redis_server, "a") is None


@pytest.mark.redis
@pytest.mark.usefixtures("redis_server")  # skips where there is none
async def test_persistent_redis_keeps_its_data_over_a_crash_and_a_restore() -> None:
    with running_redis(persistent=True) as server:
        await put(server, "a", "1")
        snapshot = server.save()
        await put(server, "a", "2")
        server.stop()
        server.start()
        assert await get(server, "a") == b"2"
        server.restore_snapshot(snapshot)
        server.stop()
        server.start()
        assert await get(server, "a") == b"1"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Where another user can get to: pytest's own folders are shut to the one that PostgreSQL runs as."""
    with tempfile.TemporaryDirectory(prefix="fanfold-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.redis
@pytest.mark.postgres
@pytest.mark.usefixtures("redis_server", "postgres_servers")
@pytest.mark.parametrize("server", ["running_redis() as server", "running_postgres() as [server]"])
def test_a_server_dies_with_the_process_that_started_it(open_folder: Path, server: str) -> None:
    code = f"""
from tests.servers import running_postgres, running_redis
with {server}:
    print(server.pid, flush=True)
    input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(open_folder)},  # killed, it cannot remove its folder
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.stdout is not None
        server_pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    assert ends_within(server_pid, seconds=10)


def ends_within(pid: int, *, seconds: float) -> bool:
    """Whether the process is gone, or dead and unread (a container's first process may never read it)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in {"Z", "X"}:
            return True
    return False


@pytest.mark.kafka
async def test_shared_kafka_keeps_what_was_produced(kafka_bootstrap: str) -> None:
    topic = unique_name("servers")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        await make_topic(admin, NewTopic(topic, num_partitions=2, replication_factor=1))
        described = await admin.describe_topics([topic])
        assert len(described[0]["partitions"]) == 2
    finally:
        await admin.close()

    large = bytes(900_000)  # with the topic's default limit; blocks have a topic with its own
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_bootstrap, acks="all", enable_idempotence=True, max_request_size=1 << 20
    ) as producer:
        placed = await producer.send_and_wait(topic, b"first", partition=1)
        assert placed.offset == 0
        await producer.send_and_wait(topic, large, partition=1)

    place = TopicPartition(topic, 1)
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka_bootstrap, group_id=None, auto_offset_reset="none", enable_auto_commit=False
    ) as consumer:
        consumer.assign([place])
        consumer.seek(place, 0)
        assert (await consumer.getone()).value == b"first"
        assert (await consumer.getone()).value == large


@pytest.mark.kafka
async def test_kafka_creates_no_topic_by_itself(kafka_bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        topic = unique_name("never-created")
        described = await admin.describe_topics([topic])
        assert described[0]["error_code"] == UnknownTopicOrPartitionError.errno
    finally:
        await admin.close()


def test_jars_missing_from_the_cache_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FANFOLD_TEST_CACHE", str(tmp_path))
    with pytest.raises(ServerMissing, match="make install-servers"):
        find_kafka_jars()


def test_chromium_is_a_program(chromium_path: str) -> None:
    assert os.access(chromium_path, os.X_OK)
