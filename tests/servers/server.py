"""What the servers have in common: a process that ends with ours, a free port, and what is said where one is missing."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

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


FIRST_PORT = 10_081
"""No browser goes to 10080, nor to some ports below it (the Fetch standard's "bad ports")."""


def free_port() -> int:
    """A loopback TCP port that is free now, below the range the kernel hands out to clients.

    From inside that range a client that reconnects to a stopped server can be given the server's own port and connect
    to itself, and the server could not start again.
    """
    first_client_port = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(FIRST_PORT, max(first_client_port, FIRST_PORT + 1_000)), 1_000):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise ServerFailed("no free port on loopback")


class Process:
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


class Server:
    """A server that is a process of its own, and may be made to hang."""

    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.running

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as with a machine that hangs. `resume` ends it."""
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send(signal.SIGCONT)


class Starts(Protocol):
    def start(self) -> None: ...


S = TypeVar("S", bound=Starts)


def started(make: Callable[[Path], S], directory: Path) -> S:
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
