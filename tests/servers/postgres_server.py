"""PostgreSQL: one node, as durable as it comes, ready for prepared transactions."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.servers.server import (
    LOOPBACK,
    START_LIMIT_S,
    Process,
    Server,
    ServerFailed,
    ServerMissing,
    free_port,
    started,
)

_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "max_prepared_transactions": "200",  # 0 otherwise: PREPARE TRANSACTION is refused
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "autovacuum_naptime": "10s",
    "logging_collector": "off",
}


class PostgresServer(Server):
    """A node of its own: user `postgres`, database `postgres`, whoever comes is believed. Port and data outlive a restart."""

    def __init__(self, directory: Path) -> None:
        self._programs = find_postgres()
        self._as_owner, owner = _not_as_root()
        self._directory = directory
        self._data = directory / "data"
        self.process = Process(directory / "postgres.log")
        self.port = free_port()
        self._paused: list[int] = []
        if owner is not None:
            shutil.chown(directory, owner.pw_uid, owner.pw_gid)
        self._make_cluster()

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@{LOOPBACK}:{self.port}/postgres"

    def start(self) -> None:
        """Returns when it takes connections, with all that was committed before it was stopped or killed."""
        command = [*self._as_owner, str(self._programs / "postgres"), "-D", str(self._data)]
        for name, value in {**_SETTINGS, "port": str(self.port)}.items():
            command += ["-c", f"{name}={value}"]
        self.process.start(command, self._directory, {})
        try:
            self.process.wait_until(self._takes_connections)
        except ServerFailed:
            self.process.end()
            raise

    def stop(self) -> None:
        """Ends it in order (a fast shutdown): with a checkpoint, and no transaction waited for."""
        self.process.end(signal.SIGINT)

    def kill(self) -> None:
        """Ends it at once, without a checkpoint (an immediate shutdown): its next start recovers from the write-ahead log."""
        self.process.end(signal.SIGQUIT)

    def pause(self) -> None:
        """SIGSTOP to all its processes, of which each connection has one: nothing answers, as with a machine that hangs."""
        self._paused = [self.pid, *self._children()]
        for pid in self._paused:
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in reversed(self._paused):
            os.kill(pid, signal.SIGCONT)

    def _children(self) -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _make_cluster(self) -> None:
        command = [*self._as_owner, str(self._programs / "initdb"), "-D", str(self._data), "-U", "postgres"]
        command += ["--auth=trust", "--no-sync", "--no-locale", "--encoding=UTF8"]
        done = subprocess.run(
            command, cwd=self._directory, capture_output=True, text=True, timeout=START_LIMIT_S, check=False
        )
        if done.returncode != 0:
            raise ServerFailed(f"initdb failed:\n{done.stdout}{done.stderr}")

    def _takes_connections(self) -> bool:
        # It writes its process's id and how far it is into this file; a stranger on our port is not taken for it.
        status = self._data / "postmaster.pid"
        try:
            lines = status.read_text().split("\n")
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[7].strip() != "ready" or lines[0].strip() != str(self.pid):
            return False
        with socket.socket() as probe:
            return probe.connect_ex((LOOPBACK, self.port)) == 0


def _not_as_root() -> tuple[list[str], pwd.struct_passwd | None]:
    """What to put before a command, and whose its files must be: PostgreSQL refuses to run as root.

    The kernel forgets at a change of the user who must die with whom, so it is told again.
    """
    if os.geteuid() != 0:
        return [], None
    try:
        owner = pwd.getpwnam("postgres")
    except KeyError:
        raise ServerMissing("there is no user postgres, and PostgreSQL does not run as root") from None
    change = shutil.which("setpriv")
    if change is None:
        raise ServerMissing("setpriv is not installed: apt-get install util-linux")
    user = [f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    return [change, *user, "--pdeathsig", "KILL"], owner


@contextmanager
def running_postgres(nodes: int = 1) -> Iterator[list[PostgresServer]]:
    """Private, empty nodes; their data is gone afterwards. ServerMissing, ServerFailed."""
    with tempfile.TemporaryDirectory(prefix="fanfold-postgres-") as directory, ExitStack() as stack:
        Path(directory).chmod(0o711)  # the user that PostgreSQL runs as must get to its own folder in it
        servers = []
        for number in range(nodes):
            folder = Path(directory) / str(number)
            folder.mkdir(mode=0o711)
            server = started(PostgresServer, folder)
            stack.callback(server.kill)  # nobody reads its data again: no checkpoint
            servers.append(server)
        yield servers


def find_postgres() -> Path:
    """Folder of PostgreSQL's programs, the newest there is (deploy/lock/servers.sh looks in the same places); ServerMissing."""
    on_path = shutil.which("postgres")
    if on_path is not None:
        return Path(on_path).resolve().parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if not versions:
        raise ServerMissing("PostgreSQL is not installed: `make install-servers`, or apt-get install postgresql")
    return max(versions, key=lambda folder: float(folder.parent.name))
