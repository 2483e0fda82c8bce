"""A socket file in the data folder, for commands that must run inside the process: `fanfold rebuild`, `rollback` and `trim`.

One JSON line in (what is wanted, and how),
JSON lines out, the last of them with `result` or `error`. Who may open the file may do it: mode 0600.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

_log = structlog.get_logger(__name__)

SOCKET_NAME = "control.sock"
LINE_BYTES_MAX = 16 * 1024 * 1024
"""A result lists at most some thousand differences."""

Send = Callable[[dict[str, Any]], None]
Work = Callable[[dict[str, Any], Send], Awaitable[dict[str, Any]]]
"""(how, progress) -> result document."""
REBUILD: Final = "rebuild"
ROLL_BACK: Final = "rollback"
TRIM: Final = "trim"


class ControlSocket:
    """Serves them for local users of the data folder."""

    def __init__(self, folder: Path, works: Mapping[str, Work], address: str) -> None:
        """works: by what they are asked for as. address: where the service answers."""
        self._path = folder / SOCKET_NAME
        self._address = address
        self._works = works
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket file left behind by a killed process is replaced: the folder's lock says that it is ours.

        Where none can be made (a full disk), the log says so: a command that waits for another start must stop no payment.
        """
        mask = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)
            with _short(self._path) as path:
                self._server = await asyncio.start_unix_server(self._serve, path)
        except OSError as failure:
            _log.warning("no rebuild here", place=str(self._path), reason=failure.strerror or str(failure))
        finally:
            os.umask(mask)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        with suppress(OSError):
            self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(line: dict[str, Any]) -> None:
            writer.write(json.dumps(line).encode() + b"\n")

        try:
            # A pair, so that a process or a command of an earlier version understands nothing rather than something else.
            wanted, how = json.loads(await reader.readline())
            _check_meant(how.get("url"), self._address)
            if wanted not in self._works:
                raise ValueError(f"this process knows of no {wanted}; it is of another version")
            send({"result": await self._works[wanted](how, send)})
        except Exception as error:
            send({"error": str(error) or type(error).__name__})
        finally:
            with suppress(OSError):
                await writer.drain()
            writer.close()


def _check_meant(url: str | None, address: str) -> None:
    """Raises ValueError where whoever asks means another service than the one at this address.

    Only ports and names of this machine are compared: behind a proxy a service has any address.
    """
    if url is None:
        return
    meant, own = urlsplit(url), urlsplit(address)
    if meant.hostname in _THIS_MACHINE | {own.hostname} and (meant.port or 80) == own.port:
        return
    raise ValueError(
        f"the service over this folder answers at {address}, and FANFOLD_URL names {url}: nothing was done. Unset FANFOLD_URL "
        "for this command, or name the log and the view that are meant by FANFOLD_LOG and FANFOLD_VIEW"
    )


_THIS_MACHINE: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """The same file by a path that fits: the kernel takes 108 bytes, and data folders may lie deeper than that."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


async def ask_process(
    folder: Path, wanted: str, how: dict[str, Any], url: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """The lines of a rebuild (how: its wishes), a rollback or a trim in the process that serves this folder. Raises
    FileNotFoundError,
    ConnectionRefusedError.

    url: of the service that is meant, where one is named.
    """
    with _short(folder / SOCKET_NAME) as path:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
    try:
        writer.write(json.dumps([wanted, how | {"url": url}]).encode() + b"\n")
        while line := await reader.readline():
            yield json.loads(line)
    finally:
        writer.close()
