"""Processor time by stage: functions of a running service, each timed on its own thread, what they call of one another apart.

A coroutine is timed step by step, so that what other tasks do while it waits is not its own.
"""

from __future__ import annotations

import inspect
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from types import coroutine
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A function that belongs to a stage: the class or module that has it, and its name there."""

    stage: str
    owner: Any
    name: str


class Stages(threading.local):
    """What runs now, innermost last: each thread has its own. spent_ns: nanoseconds by stage, of all threads together."""

    def __init__(self, spent_ns: Counter[str]) -> None:
        self._spent_ns = spent_ns
        self._running: list[str] = []
        self._since_ns = 0

    def enter(self, stage: str) -> None:
        if self._running:
            self._spent_ns[self._running[-1]] += time.thread_time_ns() - self._since_ns
        self._running.append(stage)
        self._since_ns = time.thread_time_ns()

    def leave(self) -> None:
        self._spent_ns[self._running.pop()] += time.thread_time_ns() - self._since_ns
        self._since_ns = time.thread_time_ns()


@contextmanager
def timing(places: Sequence[Place]) -> Iterator[Counter[str]]:
    """Time these functions until the end of the block; nanoseconds by stage."""
    spent_ns: Counter[str] = Counter()
    stages = Stages(spent_ns)
    before = [(place, getattr(place.owner, place.name)) for place in places]
    for place, function in before:
        setattr(place.owner, place.name, _timed(stages, place, function))
    try:
        yield spent_ns
    finally:
        for place, function in before:
            setattr(place.owner, place.name, function)


def _timed(stages: Stages, place: Place, function: Callable[..., Any]) -> Any:
    stage = place.stage
    if inspect.iscoroutinefunction(function):

        async def in_steps(*arguments: Any, **named: Any) -> Any:
            return await _stepped(stages, stage, function(*arguments, **named))

        return in_steps

    def at_once(*arguments: Any, **named: Any) -> Any:
        stages.enter(stage)
        try:
            return function(*arguments, **named)
        finally:
            stages.leave()

    return (
        staticmethod(at_once) if isinstance(inspect.getattr_static(place.owner, place.name), staticmethod) else at_once
    )


@coroutine
def _stepped(stages: Stages, stage: str, awaited: Awaitable[Any]) -> Generator[Any, Any, Any]:
    steps: Any = awaited.__await__()
    failure: BaseException | None = None
    while True:
        stages.enter(stage)
        try:
            waits_for = steps.send(None) if failure is None else steps.throw(failure)
        except StopIteration as done:
            return done.value
        finally:
            stages.leave()
        failure = None
        try:
            yield waits_for
        except BaseException as thrown:
            failure = thrown
