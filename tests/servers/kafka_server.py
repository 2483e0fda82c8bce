"""Kafka: a broker that is its own controller, or a cluster of three."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.servers.java import find_jars, find_java
from tests.servers.server import LOOPBACK, POLL_S, START_LIMIT_S, Process, Server, ServerFailed, free_port, started

# Warnings only, with time and logger, to the file that holds the process's output.
_LOGGING = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


CLUSTER_ID = "fanfoldTestsCluster-22"
"""22 characters of URL-safe base64 (a UUID); any such string that is not reserved will do."""
_checkpoint: bytes | None = None
"""Which features a new broker has: what the tool writes beside the names of cluster, node and folder."""


class KafkaServer(Server):
    """Broker and controller in one process (KRaft). Its address and the log in `directory` outlive a restart."""

    def __init__(
        self,
        directory: Path,
        *,
        heap_mb: int = 512,
        short_lived: bool = False,
        node: int = 0,
        controller_ports: Sequence[int] = (),
    ) -> None:
        """short_lived: it is compiled less well, which is over sooner: for who measures nothing. node: which of a cluster's
        `controller_ports` is its own."""
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_kafka_jars())
        self._directory = directory
        self._heap_mb = heap_mb
        self._compiling = ["-XX:TieredStopAtLevel=1"] if short_lived else []
        self.process = Process(directory / "kafka.log")
        self.port = free_port()
        self._write_settings(node, controller_ports or (free_port(),))
        self._write_storage(node)

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Returns when the broker answers and would place a topic. ServerFailed with its last log lines."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Starts the process and does not wait: of a cluster a broker is ready when most of them are there."""
        # One collector thread and few of the others: client and broker share the machine's two cores.
        options = [f"-Xmx{self._heap_mb}m", f"-Xms{self._heap_mb // 2}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        logging = f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}"
        command = [self._java, *options, *self._compiling, logging, "kafka.Kafka", str(self._settings_file)]
        self.process.start(command, self._directory, {"CLASSPATH": self._classpath})

    def wait_until_ready(self) -> None:
        try:
            self.process.wait_until(lambda: _accepts_connections(self.port))
            self.process.wait_until(lambda: _serves_metadata(self.bootstrap))
        except ServerFailed:
            self.process.end()
            raise

    def stop(self) -> None:
        """Ends it as an operator does (SIGTERM, controlled shutdown)."""
        self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once (SIGKILL). What it acknowledged is in the page cache, so it is there after `start`."""
        self.process.end()

    @property
    def _settings_file(self) -> Path:
        return self._directory / "server.properties"

    def _write_settings(self, node: int, controller_ports: Sequence[int]) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(node + 1),
            "controller.quorum.voters": ",".join(
                f"{number}@{LOOPBACK}:{port}" for number, port in enumerate(controller_ports, 1)
            ),
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{controller_ports[node]}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(self._directory / "log"),
            # A topic that a test did not create is a mistake in the test or in the code under it.
            "auto.create.topics.enable": "false",
            # Above any block; topics set their own limit below it.
            "message.max.bytes": str(64 << 20),
            "replica.fetch.max.bytes": str(64 << 20),
            "socket.request.max.bytes": str(128 << 20),
            # One node: its inner topics cannot have the three copies they default to.
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": str(16 << 20),  # 128 MB of the heap otherwise
        }
        self._settings_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (self._directory / "log4j2.properties").write_text(_LOGGING)

    def _write_storage(self, node: int) -> None:
        """As Kafka's own tool formats it, which takes a second of a processor: once a process, and copied from then on."""
        global _checkpoint
        folder = self._directory / "log"
        if _checkpoint is None:
            self._format_storage()
            _checkpoint = (folder / "bootstrap.checkpoint").read_bytes()
            return
        folder.mkdir(exist_ok=True)
        (folder / "bootstrap.checkpoint").write_bytes(_checkpoint)
        directory_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        names = {"version": "1", "cluster.id": CLUSTER_ID, "node.id": str(node + 1), "directory.id": directory_id}
        (folder / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in names.items()))

    def _format_storage(self) -> None:
        command = [self._java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "kafka.tools.StorageTool", "format"]
        command += ["--cluster-id", CLUSTER_ID, "--config", str(self._settings_file)]
        done = subprocess.run(
            command,
            env={**os.environ, "CLASSPATH": self._classpath},
            capture_output=True,
            text=True,
            timeout=START_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"storage format failed:\n{done.stdout}{done.stderr}")


def _serves_metadata(bootstrap: str) -> bool:
    """Whether the broker names itself as alive: from then on it places topics. May be called inside an event loop."""

    async def ask() -> bool:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
        await client.start()
        try:
            cluster = await client.describe_cluster()
            return bool(cluster["brokers"])
        finally:
            await client.close()

    answers: list[bool] = []

    def run() -> None:
        try:
            answers.append(asyncio.run(ask()))
        except Exception:  # not there yet, in any of the client's many words for it; the caller has the deadline
            answers.append(False)

    thread = threading.Thread(target=run, name="kafka-probe")
    thread.start()
    thread.join()
    return answers[0]


@contextmanager
def running_kafka(*, heap_mb: int = 512, short_lived: bool = False) -> Iterator[KafkaServer]:
    """A private broker without topics; its data is gone afterwards. short_lived: see `KafkaServer`.

    ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-kafka-", ignore_cleanup_errors=True) as directory:
        server = started(lambda place: KafkaServer(place, heap_mb=heap_mb, short_lived=short_lived), Path(directory))
        try:
            yield server
        finally:
            server.kill()  # nobody reads its log again: no reason to wait for a controlled shutdown


class KafkaCluster:
    """Three brokers that are controllers too: two of them away, and nothing is led, elected or in sync any more."""

    def __init__(self, brokers: Sequence[KafkaServer]) -> None:
        self.brokers = brokers

    @property
    def bootstrap(self) -> str:
        return ",".join(broker.bootstrap for broker in self.brokers)

    def start(self) -> None:
        """Those that do not run; returns when all answer."""
        for broker in self.brokers:
            if not broker.running:
                broker.launch()
        for broker in self.brokers:
            broker.wait_until_ready()

    def all_there(self) -> None:
        """Whatever was done to them before."""
        for broker in self.brokers:
            if broker.running:
                broker.resume()
        self.start()

    def kill(self) -> None:
        for broker in self.brokers:
            broker.kill()


@contextmanager
def running_kafka_cluster(*, brokers: int = 3, heap_mb: int = 256, short_lived: bool = False) -> Iterator[KafkaCluster]:
    """Private brokers without topics, each to be paused, killed and started; their data is gone afterwards. short_lived: see
    `KafkaServer`.

    ServerMissing, ServerFailed."""

    def made(place: Path) -> KafkaCluster:
        controller_ports = [free_port() for _ in range(brokers)]
        folders = [place / str(node) for node in range(brokers)]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        return KafkaCluster(
            [
                KafkaServer(
                    folder, heap_mb=heap_mb, short_lived=short_lived, node=node, controller_ports=controller_ports
                )
                for node, folder in enumerate(folders)
            ]
        )

    with tempfile.TemporaryDirectory(prefix="fanfold-kafka-cluster-", ignore_cleanup_errors=True) as directory:
        cluster = started(made, Path(directory))
        try:
            yield cluster
        finally:
            cluster.kill()


@contextmanager
def shared_kafka() -> Iterator[str]:
    """Address of the broker at KAFKA_BOOTSTRAP, or of one started here. Take a `unique_name` for every topic."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if given:
        yield given
    else:
        with running_kafka() as server:
            yield server.bootstrap


async def make_topic(admin: AIOKafkaAdminClient, topic: NewTopic) -> None:
    """And wait until the broker, too, has heard of what its controller has made."""
    await admin.create_topics([topic])
    while topic.name not in await admin.list_topics():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(POLL_S)


def find_kafka_jars() -> list[Path]:
    """The jars listed in deploy/lock/kafka-jars.txt, where servers.sh puts them; ServerMissing when one is absent."""
    return find_jars("kafka", "kafka_2.13-")


def _accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False
