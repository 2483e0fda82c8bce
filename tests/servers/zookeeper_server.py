"""ZooKeeper: one server, standing alone."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.java import find_jars, find_java
from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, free_port, started


class ZooKeeperServer(Server):
    """A server without peers. Its address, and what was written to it, outlive a restart."""

    def __init__(self, directory: Path) -> None:
        self._java = find_java()
        self._classpath = os.pathsep.join(str(jar) for jar in find_jars("zookeeper", "zookeeper-"))
        self._directory = directory
        self.process = Process(directory / "zookeeper.log")
        self.port = free_port()
        settings = {
            "clientPort": self.port,
            "clientPortAddress": LOOPBACK,
            "dataDir": directory / "data",
            "tickTime": 1_000,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr",
        }
        self._settings_file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    @property
    def hosts(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Returns when it serves. ServerFailed with its last log lines."""
        options = ["-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"]
        options += ["-Dzookeeper.jmx.log4j.disable=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
        command = [self._java, *options, main, str(self._settings_file)]
        self.process.start(command, self._directory, {"CLASSPATH": self._classpath})
        try:
            self.process.wait_until(self._serves)
        except ServerFailed:
            self.process.end()
            raise

    def stop(self) -> None:
        self.process.end(signal.SIGTERM)

    def kill(self) -> None:
        self.process.end()

    @property
    def _settings_file(self) -> Path:
        return self._directory / "zoo.cfg"

    def _serves(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as asked:
                asked.sendall(b"srvr")
                return b"Mode: standalone" in asked.makefile("rb").read()
        except OSError:
            return False


@contextmanager
def running_zookeeper() -> Iterator[ZooKeeperServer]:
    """A private, empty ZooKeeper; its data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-zookeeper-") as directory:
        server = started(ZooKeeperServer, Path(directory))
        try:
            yield server
        finally:
            server.kill()
