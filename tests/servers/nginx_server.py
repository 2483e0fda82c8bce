"""nginx with one of our configurations, in front of a gateway, on loopback."""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from tests.servers.proxy_server import ProxyServer, running_proxy
from tests.servers.server import ServerMissing

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


class NginxServer(ProxyServer):
    """site: an http context's content; in it `{port}` of a `listen` and `{folder}` of files are ours to fill in."""

    check = ("-t",)

    def __init__(self, directory: Path, site: str, files: dict[str, bytes]) -> None:
        self._program = find_nginx()
        self._site = site
        super().__init__(directory, files, "nginx.log")

    def configured(self) -> list[str]:
        (self.directory / "site.conf").write_text(self.filled(self._site))
        config = self.directory / "nginx.conf"
        config.write_text(_AROUND.format(folder=self.directory))
        return [self._program, "-p", str(self.directory), "-c", str(config)]


def find_nginx() -> str:
    """Path of nginx; ServerMissing without one."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise ServerMissing("nginx is not installed: `make install-servers`, or apt-get install nginx-light")
    return program


def running_nginx(site: str, files: dict[str, bytes]) -> AbstractContextManager[NginxServer]:
    """ServerMissing, ServerFailed."""
    return running_proxy("nginx", lambda place: NginxServer(place, site, files))
