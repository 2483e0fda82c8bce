"""A proxy with one of our configurations, in front of gateways, on loopback: what nginx and Envoy have in common."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, free_port, started


class ProxyServer(Server, ABC):
    """files: what stands beside its configuration. log: the file, in its folder, of what it says."""

    check: Sequence[str]
    """What makes its command look at the configuration alone."""

    def __init__(self, directory: Path, files: dict[str, bytes], log: str) -> None:
        self.directory = directory
        self._files = files
        self.process = Process(directory / log)
        self.port = free_port()

    @abstractmethod
    def configured(self) -> list[str]:
        """Write the configuration; the command that runs with it."""

    def filled(self, text: str) -> str:
        """`{port}` of a listener and `{folder}` of files are ours to fill in."""
        return text.replace("{port}", str(self.port)).replace("{folder}", str(self.directory))

    def start(self) -> None:
        for name, content in self._files.items():
            (self.directory / name).write_bytes(content)
        command = self.configured()
        checked = subprocess.run([*command, *self.check], capture_output=True, text=True, check=False)
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


P = TypeVar("P", bound=ProxyServer)


@contextmanager
def running_proxy(name: str, make: Callable[[Path], P]) -> Iterator[P]:
    """The one that `make` builds in a folder. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix=f"fanfold-{name}-") as directory:
        server = started(make, Path(directory))
        try:
            yield server
        finally:
            server.stop()
