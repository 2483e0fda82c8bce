"""What a service prints never waits for whoever reads it: a pipe that nobody empties would stop the event loop at the next line.

Lines go to a thread that writes them. When too many wait, further ones are dropped and counted, which is said once it reads on.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Final, TextIO

WAITING_MAX: Final = 10_000
"""Texts, mostly a line each: some MB."""
WAITING_CHARS_MAX: Final = 8 * 1024 * 1024
"""Of all that wait: the access log comes in texts of many lines."""
END_S: Final = 1.0
"""How long an end waits for what is still to be written."""


class UnreadOutput(io.TextIOBase):
    """Stands for a stream with a descriptor; `end` it."""

    def __init__(self, stream: TextIO, waiting_max: int = WAITING_MAX) -> None:
        stream.flush()
        self._stream = stream
        self._descriptor = stream.fileno()
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._waiting_max = waiting_max
        self._dropped = 0
        self._chars_taken = self._chars_written = 0
        # A daemon, and past Python's buffers: one that waits in a write for ever keeps neither the process nor a lock at its end.
        self._thread = threading.Thread(target=self._write_all, name="output", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def write(self, text: str) -> int:
        # Each of the two counts is of one thread: who writes here may find the other a little low, and then waits for no more.
        chars = self._chars_taken - self._chars_written
        if self._waiting.qsize() >= self._waiting_max or chars >= WAITING_CHARS_MAX:
            self._dropped += text.count("\n") or 1
        else:
            self._chars_taken += len(text)
            self._waiting.put(text)
        return len(text)

    def flush(self) -> None:
        """It is on its way."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._descriptor

    def end(self) -> None:
        """Wait for what is to be written, not for ever."""
        self._waiting.put(None)
        self._thread.join(END_S)

    def _write_all(self) -> None:
        while (text := self._waiting.get()) is not None:
            self._write(text)
            self._chars_written += len(text)
            dropped, self._dropped = self._dropped, 0
            if dropped:
                self._write(
                    f"({dropped} lines were not written here: nobody read this in time. No money is affected.)\n"
                )

    def _write(self, text: str) -> None:
        data = text.encode(self._stream.encoding, "backslashreplace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # whoever made the pipe, or shares it, has set it so: full is not over
                self._wait_until_writable()
            except OSError:  # nobody will ever read it, or the disk is full: a service goes on
                return

    def _wait_until_writable(self) -> None:
        """Also until nobody is there to read it: the next write says so."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        poll.poll()


@contextmanager
def never_waiting() -> Iterator[None]:
    """What is printed within never waits for who reads it, where it goes to a descriptor."""
    before = sys.stdout, sys.stderr
    instead = [_instead_of(stream) for stream in before]
    sys.stdout, sys.stderr = instead
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in instead:
            if isinstance(stream, UnreadOutput):
                stream.end()


def _instead_of(stream: TextIO) -> TextIO:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):  # none, closed, or a test's
        return stream
    return UnreadOutput(stream)  # type: ignore[return-value]
