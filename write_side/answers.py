"""What the write side's intake promises to the doors in front of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from write_side.ledger.commands import Command


class Answer(NamedTuple):
    """What became of one command: HTTP `status` (200, 201, 409, 422) and the document to send, a problem when refused."""

    status: int
    document: dict[str, object]


class Overloaded(Exception):
    """Too much is waiting. Nothing of this submission was taken."""


class Stopping(Exception):
    """The service is going down. Nothing of this submission was taken."""


class OutcomeUnknown(Exception):
    """The commands were taken, and no outcome was seen in time: they may have run, or may run yet. Repeating is safe."""


class Intake(Protocol):
    """Takes commands and answers from the log."""

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        """One answer per command, in order, once all outcomes are durable. Raises the three exceptions above."""
        ...
