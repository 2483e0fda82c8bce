"""Reads of a partition's state from the event loop: its lock is held while a block is decided, and the loop answers meanwhile."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from write_side.contract.state.state import State

T = TypeVar("T")

READ_A_TURN = 256
"""Reads under the state's lock at once: about a millisecond for which a block waits to be decided."""


class _Read(NamedTuple):
    read: Callable[[State], Any]
    state: State
    future: asyncio.Future[Any]


class _Failed(NamedTuple):
    failure: Exception


class StateReads:
    """Those of one partition."""

    def __init__(self) -> None:
        self._waiting: deque[_Read] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, state: State, read: Callable[[State], T]) -> T:
        """At once where the lock is free; else a thread waits for it, one for all who ask, however many: writers decide in the
        same few."""
        if not self._waiting and state.lock.acquire(blocking=False):
            try:
                return read(state)
            finally:
                state.lock.release()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Read(read, state, future))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_waiting())
        return await future

    async def _ask_waiting(self) -> None:
        while self._waiting:
            asked = [self._waiting.popleft() for _ in range(min(len(self._waiting), READ_A_TURN))]
            asked = [each for each in asked if not each.future.done()]  # who asked may have left
            try:
                answers = await asyncio.to_thread(_told, asked)
            except Exception as failure:  # no thread is to be had: the process ends
                answers = [_Failed(failure)] * len(asked)
            for each, told in zip(asked, answers, strict=True):
                if each.future.done():
                    continue
                if isinstance(told, _Failed):
                    each.future.set_exception(told.failure)
                else:
                    each.future.set_result(told)


def _told(asked: Sequence[_Read]) -> list[Any]:
    """What each is told, or how it failed. Runs in a thread."""
    told: list[Any] = []
    for _, of_one_state in itertools.groupby(asked, lambda each: id(each.state)):
        group = list(of_one_state)
        with group[0].state.lock:  # once for all: a block may be decided before it is to be had again
            told += [_told_one(each) for each in group]
    return told


def _told_one(asked: _Read) -> Any:
    try:
        return asked.read(asked.state)
    except Exception as failure:
        return _Failed(failure)
