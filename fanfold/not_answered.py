"""What a program is told when there is no answer, and what it makes of one of many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from fanfold.answers import Opened, Refusal, opened_of, outcome_of, refusal_of
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.requests import Command, Open
from fanfold.api.retry import Waits

ATTEMPTS_MAX: Final = 7
WAITS: Final = Waits(0.1, 3.0)
"""0.1, 0.2, 0.4 ... 3 s, with chance: some 6 s in all, enough for a service to restart, and then the caller decides."""

NOTED_IDS_MAX: Final = 8
"""Ids in the note of a cancelled call: more no traceback needs, the caller has the items."""


class NotAnswered(Exception):
    """The service gave no answer within all attempts. What was asked may have been done: asking the same values again is safe.

    ids: of the commands that were asked, in their order. A command that is made anew, without its id, is another one.
    problem: the problem document of the last attempt, where the service did answer that it cannot; None where it did not.
    not_taken: every attempt was answered that it was not taken, or got no connection: what was asked was not done by these
    attempts.
    """

    def __init__(
        self,
        message: str,
        ids: Sequence[str] = (),
        *,
        problem: Mapping[str, Any] | None = None,
        not_taken: bool = False,
    ) -> None:
        super().__init__(message)
        self.ids = tuple(ids)
        self.problem = problem
        self.not_taken = not_taken


@contextmanager
def naming(asked: Sequence[Open | Command]) -> Iterator[None]:
    """Who gets no answer gets the ids, also those that were made here; who stops waiting finds them in the traceback."""
    ids = [item.id for item in asked if not isinstance(item, Open)]
    try:
        yield
    except NotAnswered as failure:
        raise NotAnswered(str(failure), ids, problem=failure.problem, not_taken=failure.not_taken) from None
    except asyncio.CancelledError as stopped:
        some = ", ".join(ids[:NOTED_IDS_MAX]) + (", ..." if len(ids) > NOTED_IDS_MAX else "")
        stopped.add_note(
            f"fanfold: nobody waited for the answer to {some}: it may have been done. Ask again with the same id."
        )
        raise


def result_of(item: Open | Command, result: Mapping[str, Any]) -> Opened | Moved | Pending | Refusal:
    """Of one command among several: what its line, or its place in a list of answers, says."""
    if result["status"] >= 400:
        return refusal_of(result, result["status"])
    return opened_of(result) if isinstance(item, Open) else outcome_of(result)
