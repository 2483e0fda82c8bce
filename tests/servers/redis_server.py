"""Redis: one, or a cluster of three."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import redis

from tests.servers.server import (
    LOOPBACK,
    STOP_LIMIT_S,
    Process,
    Server,
    ServerFailed,
    ServerMissing,
    free_port,
    started,
    unique_name,
)


class RedisServer(Server):
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
        self.process = Process(directory / "redis.log")
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> None:
        """Comes up with what its data folder holds: everything when `persistent`, otherwise nothing."""
        self._start(append_only=self._persistent)

    def stop(self) -> None:
        """Ends it at once (SIGKILL), as a crash does."""
        self.process.end()

    kill = stop

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
                self.process.wait_until(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)

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
        self.process.start(command, self._directory, {})
        try:
            self.process.wait_until(self._answers)
        except ServerFailed:
            self.process.end()
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
        server = started(lambda place: RedisServer(place, persistent=persistent), Path(directory))
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
            server = started(_cluster_node, folder)
            stack.callback(server.stop)
            servers.append(server)
        for number, server in enumerate(servers):
            with server._client() as client:
                client.execute_command(
                    "CLUSTER ADDSLOTSRANGE", slots * number // nodes, slots * (number + 1) // nodes - 1
                )
                client.execute_command("CLUSTER MEET", LOOPBACK, servers[0].port, servers[0].bus_port)
        for server in servers:
            server.process.wait_until(partial(server.cluster_is_whole, nodes))
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
