"""ZooKeeper: one server, standing alone, or three that elect a leader."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.java import find_jars, find_java
from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, free_port, started

VOTERS = 3


class ZooKeeperServer(Server):
    """Its address, and what was written to it, outlive a restart. peers: of all servers, this one's with the others, in their
    order, the ports to follow and to elect by; none where it stands alone."""

    def __init__(self, directory: Path, number: int = 0, peers: Sequence[tuple[int, int]] = ()) -> None:
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_jars("zookeeper", "zookeeper-"))
        self._directory = directory
        self.process = Process(directory / "zookeeper.log")
        self.port = free_port()
        settings: dict[str, object] = {
            "clientPort": self.port,
            "clientPortAddress": LOOPBACK,
            "dataDir": directory / "data",
            "tickTime": 1_000,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr",
        }
        if peers:
            settings |= {"initLimit": 20, "syncLimit": 5}
            settings |= {f"server.{n}": f"{LOOPBACK}:{follow}:{elect}" for n, (follow, elect) in enumerate(peers)}
            (directory / "data").mkdir()
            (directory / "data" / "myid").write_text(str(number))
        self._settings_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @property
    def hosts(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Returns when it serves. ServerFailed with its last log lines."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        options = ["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        options += ["-Dzookeeper.jmx.log4j.disable=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = [self._java, *options, main, str(self._settings_file)]
        self.process.start(command, self._directory, {"CLASSPATH": self._classpath})

    def wait_until_ready(self) -> None:
        try:
            self.process.wait_until(lambda: self.mode() is not None)
        except ServerFailed:
            self.process.end()
            raise

    def stop(self) -> None:
        self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        self.process.end()

    def mode(self) -> str | None:
        """standalone, leader or follower; None while it serves nobody."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as asked:
                asked.sendall(b"srvr")
                told = asked.makefile("r").read()
        except OSError:
            return None
        return next((line.removeprefix("Mode: ") for line in told.splitlines() if line.startswith("Mode: ")), None)

    @property
    def _settings_file(self) -> Path:
        return self._directory / "zoo.cfg"


class ZooKeeperEnsemble:
    """Three servers, of which one leads. With one away another leads; with two away nobody is served."""

    def __init__(self, directory: Path) -> None:
        peers = [(free_port(), free_port()) for _ in range(VOTERS)]
        self.servers = []
        for number in range(VOTERS):
            (directory / str(number)).mkdir()
            self.servers.append(ZooKeeperServer(directory / str(number), number, peers))

    @property
    def hosts(self) -> str:
        return ",".join(server.hosts for server in self.servers)

    def start(self) -> None:
        """Those that do not run; returns when all serve."""
        for server in self.servers:
            if not server.running:
                server.launch()
        for server in self.servers:
            server.wait_until_ready()

    def kill_follower(self) -> None:
        self._first("follower").kill()

    def kill_leader(self) -> None:
        self._first("leader").kill()

    def kill_most(self) -> None:
        """Two of the three: nobody is served."""
        for server in self.servers[1:]:
            server.kill()

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    def _first(self, mode: str) -> ZooKeeperServer:
        return next(server for server in self.servers if server.running and server.mode() == mode)


@contextmanager
def running_zookeeper() -> Iterator[ZooKeeperServer]:
    """A private, empty ZooKeeper; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-zookeeper-") as directory:
        server = started(ZooKeeperServer, Path(directory))
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def running_zookeeper_ensemble() -> Iterator[ZooKeeperEnsemble]:
    """Three private, empty servers of one ZooKeeper; as `running_zookeeper`."""
    with tempfile.TemporaryDirectory(prefix="fanfold-zookeeper-") as directory:
        made = list[ZooKeeperEnsemble]()  # whatever came up of one that failed ends too

        def make(place: Path) -> ZooKeeperEnsemble:
            made.append(ZooKeeperEnsemble(place))
            return made[-1]

        try:
            yield started(make, Path(directory))
        finally:
            for each in made:
                each.kill()
