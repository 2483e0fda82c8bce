"""Real servers for tests and benchmarks: Redis, a one-node Kafka, S3 and HDFS, started here, on loopback, on free ports.

Usable without pytest: `with running_kafka() as kafka: kafka.bootstrap` and `with running_redis() as server: server.url`
give a private server; `shared_kafka()` and `shared_redis()` give an address, of the server that `KAFKA_BOOTSTRAP` or
`REDIS_URL` names when there is one, of a private one otherwise. `make install-servers` installs what is started here;
where it is missing, `ServerMissing` says what to do.

No server outlives the process that started it, even after a kill -9: the kernel kills it when the thread that started
it ends (Linux, `PR_SET_PDEATHSIG`). So start and restart servers from the main thread, or one that lives as long.
"""

from __future__ import annotations

import asyncio
import getpass
import logging
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import redis
from aiokafka.admin import AIOKafkaAdminClient

LOOPBACK = "127.0.0.1"
START_LIMIT_S = 60.0  # a broker is up in 5 s; this leaves room for two busy cores
STOP_LIMIT_S = 20.0
POLL_S = 0.02
START_TRIES = 5  # another process may take a free port before our server does

# Runs in the child before the server: asks to be killed with its parent, and makes sure the parent is still there.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL) != 0:
    sys.exit("PR_SET_PDEATHSIG: " + os.strerror(ctypes.get_errno()))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that wanted this server is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServerMissing(Exception):
    """The program is not installed; the message says what to install. Tests skip on it, or fail under CI=true."""


class ServerFailed(Exception):
    """The program is there and did not come up (or went away); the message ends with what it logged last."""


def unique_name(prefix: str = "test") -> str:
    """A name nobody used before, legal as a Kafka topic and as a Redis key prefix: `prefix-` and 12 hex digits."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def free_port() -> int:
    """A loopback TCP port that is free now, below the range the kernel hands out to clients.

    From inside that range a client that reconnects to a stopped server can be given the server's own port and connect
    to itself, and the server could not start again.
    """
    first_client_port = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, max(first_client_port, 11_000)), 1_000):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free port on loopback")


class _Process:
    """A child process with its output in a file: started, polled until ready, ended by its own pid."""

    def __init__(self, log_file: Path) -> None:
        self._log_file = log_file
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._child is None:
            raise ServerFailed("the server is stopped")
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        assert not self.running, "started twice"
        with self._log_file.open("ab") as log:
            # A session of its own: Ctrl-C reaches the tests, which then stop the server, and not the server itself.
            self._child = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command],
                cwd=directory,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Polls `ready`; ServerFailed when the process ends before, or START_LIMIT_S pass."""
        deadline = time.monotonic() + START_LIMIT_S
        while not ready():
            if not self.running:
                raise ServerFailed(f"ended at its start:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"not ready after {START_LIMIT_S:.0f} s:\n{self.last_words()}")
            time.sleep(POLL_S)

    def end(self, first_signal: signal.Signals = signal.SIGKILL) -> None:
        """Sends the signal, and SIGKILL when that did not help within STOP_LIMIT_S. Nothing when already ended."""
        if self._child is None:
            return
        child, self._child = self._child, None
        if child.poll() is None:
            child.send_signal(first_signal)
            try:
                child.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                child.kill()
        child.wait()

    def send(self, signal_number: signal.Signals) -> None:
        os.kill(self.pid, signal_number)

    def last_words(self) -> str:
        return self._log_file.read_text(errors="replace")[-4_000:] if self._log_file.exists() else "(nothing logged)"


class _Hangs:
    """A server that may be made to hang."""

    _process: _Process

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as with a machine that hangs. `resume` ends it."""
        self._process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send(signal.SIGCONT)


def _accepts_connections(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return True
    except OSError:
        return False


class _Server(Protocol):
    def start(self) -> None: ...


S = TypeVar("S", bound=_Server)


def _started(make: Callable[[Path], S], directory: Path) -> S:
    """The server that `make` builds in a folder of its own, started; another one when its free port was just taken."""
    for left in reversed(range(START_TRIES)):
        place = directory / f"try-{left}"
        place.mkdir()
        server = make(place)
        try:
            server.start()
        except ServerFailed as failed:
            if left == 0 or "in use" not in str(failed):
                raise
        else:
            return server
    raise AssertionError("the last try returned or raised")


# -- Redis --------------------------------------------------------------------------------------------------------


class RedisServer(_Hangs):
    """A Redis of its own: `noeviction`, no persistence unless `persistent` (append-only file, fsync on every write).

    Port and URL stay the same over every stop and start. All methods block, usually for less than 100 ms: the event
    loop that calls one stands still meanwhile, and its clients then see their connections broken.
    """

    def __init__(self, directory: Path, *, persistent: bool = False, settings: dict[str, str] | None = None) -> None:
        self._program = find_redis()
        self._settings = settings or {}
        self._directory = directory
        self._data = directory / "data"
        self._data.mkdir()
        self._persistent = persistent
        self._process = _Process(directory / "redis.log")
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        """Comes up with what its data folder holds: everything when `persistent`, otherwise nothing."""
        self._start(append_only=self._persistent)

    def stop(self) -> None:
        """Ends it at once (SIGKILL), as a crash does."""
        self._process.end()

    def restart_empty(self) -> None:
        """Stopped, emptied and started: what a Redis without persistence is after a crash."""
        self.stop()
        self._empty_data()
        self.start()

    def save(self) -> Path:
        """Keeps the present state aside, for `restore_snapshot`. The server goes on."""
        with self._client() as client:
            client.save()
        snapshot = self._directory / f"{unique_name('snapshot')}.rdb"
        # Moved, so that a later `start` does not load it unasked.
        (self._data / "dump.rdb").rename(snapshot)
        return snapshot

    def restore_snapshot(self, snapshot: Path) -> None:
        """Stopped, set back to exactly the state that `save` kept, and started: a restored backup, an older replica."""
        self.stop()
        self._empty_data()
        shutil.copyfile(snapshot, self._data / "dump.rdb")
        self._start(append_only=False)  # with an append-only file Redis would not look at the snapshot
        (self._data / "dump.rdb").unlink()
        if self._persistent:
            with self._client() as client:
                client.config_set("appendonly", "yes")
                self._process.wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)

    bus_port = 0
    """Of a cluster's node: where the other nodes reach it."""

    def cluster_is_whole(self, nodes: int) -> bool:
        """Whether this node knows as many others, and that all slots are served."""
        with self._client() as client:
            told = client.execute_command("CLUSTER INFO")
        return bool(told["cluster_state"] == "ok" and int(told["cluster_known_nodes"]) == nodes)

    def flush(self) -> None:
        """FLUSHALL: the data goes, the server and its connections stay."""
        with self._client() as client:
            client.flushall()

    def _client(self) -> redis.Redis:
        return redis.Redis(host=LOOPBACK, port=self.port, socket_timeout=STOP_LIMIT_S)

    def _empty_data(self) -> None:
        shutil.rmtree(self._data)
        self._data.mkdir()

    def _start(self, *, append_only: bool) -> None:
        settings = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self._data),
            "save": "",
            "appendonly": "yes" if append_only else "no",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "loglevel": "notice",
        } | self._settings
        command = [self._program]
        for name, value in settings.items():
            command += [f"--{name}", value]
        self._process.start(command, self._directory, {})
        try:
            self._process.wait_until(self._answers)
        except ServerFailed:
            self._process.end()
            raise

    def _answers(self) -> bool:
        # A stranger's Redis on the same port must not be taken for ours: ours names its own data folder.
        try:
            with self._client() as client:
                return bool(client.config_get("dir").get("dir") == str(self._data))
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        except redis.ResponseError:  # still loading
            return False


def find_redis() -> str:
    """Path of redis-server; ServerMissing without one."""
    program = shutil.which("redis-server")
    if program is None:
        raise ServerMissing("redis-server is not installed: `make install-servers`, or apt-get install redis-server")
    return program


@contextmanager
def running_redis(*, persistent: bool = False) -> Iterator[RedisServer]:
    """A private, empty Redis; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-redis-") as directory:
        server = _started(lambda place: RedisServer(place, persistent=persistent), Path(directory))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def running_redis_cluster(nodes: int = 3) -> Iterator[str]:
    """URL of a node of a private cluster: primaries only, the slots shared out evenly. ServerMissing, ServerFailed."""
    slots = 16_384
    with tempfile.TemporaryDirectory(prefix="fanfold-redis-cluster-") as directory, ExitStack() as stack:
        servers = []
        for number in range(nodes):
            folder = Path(directory) / str(number)
            folder.mkdir()
            server = _started(_cluster_node, folder)
            stack.callback(server.stop)
            servers.append(server)
        for number, server in enumerate(servers):
            with server._client() as client:
                client.execute_command(
                    "CLUSTER ADDSLOTSRANGE", slots * number // nodes, slots * (number + 1) // nodes - 1
                )
                client.execute_command("CLUSTER MEET", LOOPBACK, servers[0].port, servers[0].bus_port)
        for server in servers:
            server._process.wait_until(partial(server.cluster_is_whole, nodes))
        yield servers[0].url


def _cluster_node(directory: Path) -> RedisServer:
    bus_port = free_port()
    server = RedisServer(directory, settings={"cluster-enabled": "yes", "cluster-port": str(bus_port)})
    server.bus_port = bus_port
    return server


@contextmanager
def shared_redis() -> Iterator[str]:
    """URL of the Redis at REDIS_URL, or of one started here. Others use it too: take a `unique_name` for your keys."""
    given = os.environ.get("REDIS_URL")
    if given:
        yield given
    else:
        with running_redis() as server:
            yield server.url


# -- Kafka --------------------------------------------------------------------------------------------------------

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


class KafkaServer(_Hangs):
    """Broker and controller in one process (KRaft). Its address and the log in `directory` outlive a restart."""

    def __init__(
        self, directory: Path, *, heap_mb: int = 512, node: int = 0, controller_ports: Sequence[int] = ()
    ) -> None:
        """node: which of a cluster's `controller_ports` is its own."""
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_kafka_jars())
        self._directory = directory
        self._heap_mb = heap_mb
        self._process = _Process(directory / "kafka.log")
        self.port = free_port()
        self._write_settings(node, controller_ports or (free_port(),))
        self._format_storage()

    @property
    def bootstrap(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        """Returns when the broker answers and would place a topic. ServerFailed with its last log lines."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Starts the process and does not wait: of a cluster a broker is ready when most of them are there."""
        # One collector thread and few of the others: client and broker share the machine's two cores.
        options = [f"-Xmx{self._heap_mb}m", f"-Xms{self._heap_mb // 2}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        logging = f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}"
        command = [self._java, *options, logging, "kafka.Kafka", str(self._settings_file)]
        self._process.start(command, self._directory, {"CLASSPATH": self._classpath})

    def wait_until_ready(self) -> None:
        try:
            self._process.wait_until(lambda: _accepts_connections(self.port))
            self._process.wait_until(lambda: _serves_metadata(self.bootstrap))
        except ServerFailed:
            self._process.end()
            raise

    def stop(self) -> None:
        """Ends it as an operator does (SIGTERM, controlled shutdown)."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once (SIGKILL). What it acknowledged is in the page cache, so it is there after `start`."""
        self._process.end()

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

    def _format_storage(self) -> None:
        command = [self._java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "kafka.tools.StorageTool", "format"]
        # A cluster id is 22 characters of URL-safe base64 (a UUID); any such string that is not reserved will do.
        command += ["--cluster-id", "fanfoldTestsCluster-22", "--config", str(self._settings_file)]
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


def find_java() -> str:
    """Path of a Java 17 or newer (deploy/lock/servers.sh looks in the same places); ServerMissing without one."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += ["java", *sorted(str(path) for path in Path("/usr/lib/jvm").glob("*/bin/java"))]
    for candidate in candidates:
        program = shutil.which(candidate)
        if program is None:
            continue
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=START_LIMIT_S, check=False)
        version = re.search(r'version "(\d+)', said.stderr)
        if version is not None and int(version.group(1)) >= 17:
            return program
    raise ServerMissing("no Java 17 or newer: `make install-servers`, or apt-get install openjdk-17-jre-headless")


def find_kafka_jars() -> list[Path]:
    """The jars listed in deploy/lock/kafka-jars.txt, where servers.sh puts them; ServerMissing when one is absent."""
    return _find_jars("kafka", "kafka_2.13-")


def find_hadoop_jars() -> list[Path]:
    """Those of deploy/lock/hadoop-jars.txt, likewise."""
    return _find_jars("hadoop", "hadoop-hdfs-client-")


def _find_jars(name: str, versioned: str) -> list[Path]:
    """versioned: how the jar begins whose version the folder of all of them has."""
    listed = Path(__file__).parent.parent / "deploy" / "lock" / f"{name}-jars.txt"
    jars = [line.split()[1] for line in listed.read_text().splitlines()]
    version = next(jar.removeprefix(versioned).removesuffix(".jar") for jar in jars if jar.startswith(versioned))
    cache = Path(os.environ.get("FANFOLD_TEST_CACHE") or Path.home() / ".cache" / "fanfold")
    found = [cache / f"{name}-{version}" / jar for jar in jars]
    if not all(jar.is_file() for jar in found):
        raise ServerMissing(f"The jars of {name} are not in {cache}: `make install-servers` fetches them")
    return found


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
def running_kafka(*, heap_mb: int = 512) -> Iterator[KafkaServer]:
    """A private broker without topics; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-kafka-", ignore_cleanup_errors=True) as directory:
        server = _started(lambda place: KafkaServer(place, heap_mb=heap_mb), Path(directory))
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

    def kill(self) -> None:
        for broker in self.brokers:
            broker.kill()


@contextmanager
def running_kafka_cluster(*, brokers: int = 3, heap_mb: int = 256) -> Iterator[KafkaCluster]:
    """Private brokers without topics, each to be paused, killed and started; their data is gone afterwards.

    ServerMissing, ServerFailed."""

    def made(place: Path) -> KafkaCluster:
        controller_ports = [free_port() for _ in range(brokers)]
        folders = [place / str(node) for node in range(brokers)]
        for folder in folders:
            folder.mkdir()
        return KafkaCluster(
            [
                KafkaServer(folder, heap_mb=heap_mb, node=node, controller_ports=controller_ports)
                for node, folder in enumerate(folders)
            ]
        )

    with tempfile.TemporaryDirectory(prefix="fanfold-kafka-cluster-", ignore_cleanup_errors=True) as directory:
        cluster = _started(made, Path(directory))
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


# -- S3 -----------------------------------------------------------------------------------------------------------


class S3Server:
    """moto's, in threads of this process: what it has is in memory. It believes whoever comes."""

    def __init__(self) -> None:
        # Here, because it takes half a second.
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it tells of every request
        moto, one_after_the_other = DomainDispatcherApplication(create_backend_app), threading.Lock()

        def serve(environ: Any, start_response: Any) -> Any:
            with (
                one_after_the_other
            ):  # moto's own server fails where a file is replaced while another request looks at it
                return moto(environ, start_response)

        self._server = make_server(LOOPBACK, 0, serve, threaded=True, request_handler=MotoRequestHandler)
        self._serving = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._serving.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def new_bucket(self) -> str:
        """Its name."""
        bucket = unique_name("bucket")
        self.client().create_bucket(Bucket=bucket)
        return bucket

    def client(self) -> Any:
        """Of botocore: what is not said by our own client."""
        from botocore.session import Session

        return Session().create_client(
            "s3",
            endpoint_url=f"http://{LOOPBACK}:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="tests",
            aws_secret_access_key="tests",
        )


def s3_address(bucket: str, folder: str, port: int) -> str:
    """As `FANFOLD_SNAPSHOTS` names a folder in a bucket of a server on loopback."""
    return f"s3://{bucket}/{folder}?endpoint_override={LOOPBACK}:{port}&scheme=http&region=us-east-1"


@contextmanager
def running_s3() -> Iterator[S3Server]:
    """A private, empty S3."""
    server = S3Server()
    server.start()
    try:
        yield server
    finally:
        server.stop()


# -- HDFS ---------------------------------------------------------------------------------------------------------

_HADOOP_LOGGING = """\
log4j.rootLogger=WARN,out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=%d %p %c{1}: %m%n
"""


class HdfsServer(_Hangs):
    """A name node and a data node in one process: Hadoop's mini cluster. It believes whoever says who he is."""

    def __init__(self, directory: Path, *, heap_mb: int = 256) -> None:
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_hadoop_jars())
        self._directory = directory
        self._heap_mb = heap_mb
        self._process = _Process(directory / "hdfs.log")
        self.port = free_port()
        (directory / "log4j.properties").write_text(_HADOOP_LOGGING)

    def start(self) -> None:
        """Returns when files can be written. ServerFailed with its last log lines."""
        options = [f"-Xmx{self._heap_mb}m", "-XX:+UseSerialGC", "-XX:-UsePerfData"]
        # Its web server makes classes in a way that Java 17 forbids.
        options += ["--add-opens=java.base/java.lang=ALL-UNNAMED"]
        options += [f"-Dlog4j.configuration=file:{self._directory / 'log4j.properties'}"]
        options += [f"-Dtest.build.data={self._directory / 'data'}", f"-Dhadoop.log.dir={self._directory}"]
        cluster = ["org.apache.hadoop.test.MiniDFSClusterManager", "-format", "-datanodes", "1"]
        cluster += ["-nnport", "0", "-httpport", str(self.port), "-cmdport", "0"]
        cluster += ["-writeDetails", str(self._directory / "started.json")]
        self._process.start([self._java, *options, *cluster], self._directory, {"CLASSPATH": self._classpath})
        try:
            self._process.wait_until((self._directory / "started.json").exists)  # written when both nodes serve
        except ServerFailed:
            self._process.end()
            raise

    def kill(self) -> None:
        self._process.end()


def hdfs_address(folder: str, port: int) -> str:
    """As `FANFOLD_SNAPSHOTS` names a folder of a cluster on loopback."""
    return f"webhdfs://{getpass.getuser()}@{LOOPBACK}:{port}/{folder}"


@contextmanager
def running_hdfs() -> Iterator[HdfsServer]:
    """A private, empty HDFS; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-hdfs-", ignore_cleanup_errors=True) as directory:
        server = _started(HdfsServer, Path(directory))
        try:
            yield server
        finally:
            server.kill()


# -- Chromium -----------------------------------------------------------------------------------------------------


def find_chromium() -> Path:
    """Path of the system's Chromium, or of the one named by CHROMIUM; ServerMissing without one."""
    named = os.environ.get("CHROMIUM")
    for candidate in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        program = shutil.which(candidate)
        if program is not None:
            return Path(program)
    raise ServerMissing("Chromium is not installed: `make install-servers`, or apt-get install chromium")
