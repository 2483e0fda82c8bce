"""nginx with one of our configurations, in front of a gateway, on loopback."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.server import LOOPBACK, Process, Server, ServerFailed, ServerMissing, free_port, started

_AROUND = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class NginxServer(Server):
    """site: an http context's content; in it `{port}` of a `listen` and `{folder}` of files are ours to fill in."""

    def __init__(self, directory: Path, site: str, files: dict[str, bytes]) -> None:
        self._program = find_nginx()
        self.directory = directory
        self._site = site
        self._files = files
        self.process = Process(directory / "nginx.log")
        self.port = free_port()

    def start(self) -> None:
        for name, content in self._files.items():
            (self.directory / name).write_bytes(content)
        site = self._site.replace("{port}", str(self.port)).replace("{folder}", str(self.directory))
        (self.directory / "site.conf").write_text(site)
        config = self.directory / "nginx.conf"
        config.write_text(_AROUND.format(folder=self.directory))
        command = [self._program, "-p", str(self.directory), "-c", str(config)]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
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


def find_nginx() -> str:
    """Path of nginx; ServerMissing without one."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise ServerMissing("nginx is not installed: `make install-servers`, or apt-get install nginx-light")
    return program


@contextmanager
def running_nginx(site: str, files: dict[str, bytes]) -> Iterator[NginxServer]:
    """ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-nginx-") as directory:
        server = started(lambda place: NginxServer(place, site, files), Path(directory))
        try:
            yield server
        finally:
            server.stop()
