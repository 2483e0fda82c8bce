"""What a library says again and again, said once in a while.

Each client of Kafka tries each broker that is away ten times a second and says so each time: 10 MB in five minutes, for three
brokers and three partitions. What it means is told by the sides themselves, once.
"""

from __future__ import annotations

import logging
import sys
from typing import Final

EVERY_S: Final = 30.0
"""Between two of the same kind: enough to see that it goes on, and since when."""
KINDS_MAX: Final = 256
"""Kinds that are told apart; when there are more, all of them are told anew."""


class Seldom(logging.StreamHandler):  # type: ignore[type-arg]  # its stream is text
    """A message's kind is its logger and its text before the arguments. `created` of the records is the time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._said_s: dict[tuple[str, object], float] = {}
        self._left_out: dict[tuple[str, object], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        kind = (record.name, record.msg)
        said_s = self._said_s.get(kind)
        if said_s is not None and 0 <= record.created - said_s < EVERY_S:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        if len(self._said_s) >= KINDS_MAX:
            self._said_s.clear()
            self._left_out.clear()
        self._said_s[kind] = record.created
        left_out = self._left_out.pop(kind, 0)
        if left_out:
            told = f"{record.getMessage()} ({left_out} like it were left out)"
            record = logging.makeLogRecord(record.__dict__ | {"msg": told, "args": ()})
        super().emit(record)


def say_seldom(library: str) -> None:
    """What this library logs goes to standard error through a `Seldom` of its own. Again: begins anew."""
    logger = logging.getLogger(library)
    logger.handlers = [Seldom()]
    logger.propagate = False
