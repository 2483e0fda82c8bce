"""Commands of fanfold as processes of their own that need not import first; see `warm_server.py`."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from tests.end_to_end.warm_server import MESSAGE_BYTES_MAX

ROOT: Final = Path(__file__).parents[2]
_READ_AT_A_START: Final = ("PYTHON", "LC_", "LANG", "NUMBA", "LD_", "MALLOC", "OPENBLAS", "OMP")
"""Names of what an interpreter or a library reads once, when it is loaded."""


class Warm:
    """A process that was made by the server: what tests use of `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, ended: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = ended
        self._waiting = asyncio.Lock()

    async def wait(self) -> int:
        async with self._waiting:
            if self.returncode is None:
                self.returncode = int(await self._ended.read())
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def may_be_warm(environment: Mapping[str, str]) -> bool:
    """Whether a command with this environment may begin so: in a test (who measures wants starts as they are), and where
    everything that is read once is as it was for the server."""
    in_a_test = "PYTEST_CURRENT_TEST" in os.environ
    return in_a_test and not any(
        name.startswith(_READ_AT_A_START) and os.environ.get(name) != value for name, value in environment.items()
    )


async def spawn(arguments: tuple[str, ...], environment: Mapping[str, str], errors: BinaryIO) -> Warm:
    """Begin a command that has nothing to read. errors: where its standard error goes."""
    with open(os.devnull, "rb") as nothing:
        return await _spawn(arguments, environment, nothing.fileno(), errors.fileno())


async def communicate(
    arguments: tuple[str, ...], environment: Mapping[str, str], given: bytes
) -> tuple[int, bytes, bytes]:
    """Run a command that reads `given` to its end: exit code, standard output, standard error."""
    with tempfile.TemporaryFile() as errors, _pipe_that_has(given) as reads:
        process = await _spawn(arguments, environment, reads, errors.fileno())
        try:
            output = await process.stdout.read()
            code = await process.wait()
        except BaseException:
            process.kill()
            raise
        errors.seek(0)
        return code, output, errors.read()


async def _spawn(arguments: tuple[str, ...], environment: Mapping[str, str], reads: int, errors: int) -> Warm:
    (reads_output, output), (reads_code, code) = os.pipe(), os.pipe()
    what = {"arguments": arguments, "environment": dict(environment), "folder": str(Path.cwd())}
    pid = _Server.one().ask(json.dumps(what).encode(), [reads, output, errors, code])
    os.close(output)
    os.close(code)
    return Warm(pid, await _reader(reads_output), await _reader(reads_code))


@contextmanager
def _pipe_that_has(given: bytes) -> Iterator[int]:
    """What is read from a pipe is not a terminal and ends, as it does for who is started by another program."""
    reads, writes = os.pipe()
    writing = threading.Thread(target=_write, args=(writes, given))
    writing.start()
    try:
        yield reads
    finally:
        os.close(reads)
        writing.join()


def _write(descriptor: int, given: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(descriptor, "wb") as pipe:
        pipe.write(given)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", 0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


class _Server:
    """The one of this process, started when it is first asked; it ends when this process does, however that happens."""

    _started: _Server | None = None

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", "tests.end_to_end.warm_server", str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, stdin=subprocess.DEVNULL)
        theirs.close()
        atexit.register(self._end)

    @classmethod
    def one(cls) -> _Server:
        if cls._started is None:
            cls._started = cls()
        return cls._started

    def ask(self, message: bytes, descriptors: list[int]) -> int:
        """The id of the new process."""
        assert len(message) < MESSAGE_BYTES_MAX
        socket.send_fds(self._socket, [message], descriptors)
        if not (answer := self._socket.recv(64)):
            raise AssertionError(f"the process that starts services ended with {self._process.wait()}")
        return int(answer)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()
