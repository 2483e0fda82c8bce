"""Starting fanfold as its users do: real processes on loopback, found by the line they print when they are ready."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.end_to_end.warm import Warm, communicate, may_be_warm, spawn

READY_S = 120.0
"""The very first start on a machine compiles for a minute or more; later ones take two seconds."""
EXIT_S = 30.0
FANFOLD = (sys.executable, "-m", "fanfold.cli.main")
COMMAND = FANFOLD
"""What is started; a test may put another program in its place."""


class Service:
    """One running command. `address` is where it serves, `process` the real process."""

    def __init__(self, process: asyncio.subprocess.Process | Warm, address: str, errors: Path) -> None:
        self.process = process
        self.address = address
        self._errors = errors

    @property
    def errors(self) -> str:
        """What it has said on standard error."""
        return self._errors.read_text()

    async def has_said(self, text: str) -> None:
        """Until it has said this on standard error: what it says there and what on standard output overtake one another."""
        async with asyncio.timeout(EXIT_S):
            while True:
                if text in self.errors:
                    return
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        await self._ended()

    async def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return await self.exit_code()

    async def exit_code(self) -> int:
        async with asyncio.timeout(EXIT_S):
            return await self._ended()

    async def _ended(self) -> int:
        """asyncio says so once all of its output was taken, of which an access log is more than it takes by itself."""
        code, _ = await asyncio.gather(self.process.wait(), self._rest())
        return code

    async def _rest(self) -> None:
        assert self.process.stdout is not None
        with suppress(RuntimeError):  # somebody else reads it
            await self.process.stdout.read()


async def start(*arguments: str, environment: Mapping[str, str], errors: Path) -> Service:
    """Start a serving command and wait until it says that it is ready, or up and why it is not."""
    whole = {**os.environ, **environment}
    process: asyncio.subprocess.Process | Warm
    with errors.open("ab") as sink:
        if COMMAND == FANFOLD and may_be_warm(environment):
            process = await spawn(arguments, whole, sink)
        else:
            process = await asyncio.create_subprocess_exec(
                *COMMAND, *arguments, env=whole, stdout=asyncio.subprocess.PIPE, stderr=sink
            )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_S):
            while line := (await process.stdout.readline()).decode():
                if " ready: " in line:
                    return Service(process, line.split(" ready: ")[1].strip(), errors)
    except BaseException:
        process.kill()
        raise
    raise AssertionError(f"it ended with {await process.wait()} before it was ready: {errors.read_text()}")


@asynccontextmanager
async def running(*arguments: str, environment: Mapping[str, str], errors: Path) -> AsyncIterator[Service]:
    """As `start`; killed at the end where it still runs."""
    service = await start(*arguments, environment=environment, errors=errors)
    try:
        yield service
    finally:
        if service.process.returncode is None:
            await service.kill()


async def command(*arguments: str, environment: Mapping[str, str], input_text: str = "") -> tuple[int, str, str]:
    """Run a command to its end: exit code, standard output, standard error."""
    whole, given = {**os.environ, **environment}, input_text.encode()
    async with asyncio.timeout(READY_S):
        if may_be_warm(environment):
            code, out, errors = await communicate(arguments, whole, given)
        else:
            code, out, errors = await _communicate(arguments, whole, given)
    return code, out.decode(), errors.decode()


async def _communicate(
    arguments: tuple[str, ...], environment: Mapping[str, str], given: bytes
) -> tuple[int, bytes, bytes]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *arguments, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    )
    out, errors = await process.communicate(given)
    assert process.returncode is not None
    return process.returncode, out, errors
