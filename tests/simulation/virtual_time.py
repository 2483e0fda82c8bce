"""An event loop on virtual time: nothing waits, executors run at once, and the same program makes the same steps each time.

Time stands still while anything can run and then jumps to the next timer. What an executor is given runs inline; its result
arrives a chosen while later, as from a thread. Tasks hash by number, so that sets of tasks have one order in every run.
"""

from __future__ import annotations

import asyncio
import contextvars
import ctypes
import gc
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Stuck(Exception):
    """Nothing can run and no timer is set: the simulated world has come to a stop."""


class TaskOwner(Protocol):
    """Who may end every task started on its behalf: a simulated process."""

    tasks: dict[asyncio.Task[Any], None]


OWNER: contextvars.ContextVar[TaskOwner | None] = contextvars.ContextVar("owner", default=None)
"""The simulated process that is running; the tasks it starts, and those that they start, belong to it."""


class _NumberedTask(asyncio.Task[Any]):
    _count = 0

    def __init__(self, coroutine: Coroutine[Any, Any, Any], **more: Any) -> None:
        _NumberedTask._count += 1
        self._number = _NumberedTask._count
        super().__init__(coroutine, **more)

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other


class _NoSockets:
    """Stands where a loop asks the operating system to wait: lets the time jump instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck
        if timeout > 0:
            self._loop.jump()
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """thread_s: how long the result of each executor call takes, in virtual seconds."""

    def __init__(self, thread_s: Callable[[], float]) -> None:
        super().__init__()
        self._now_s = 0.0
        self._thread_s = thread_s
        self._selector = _NoSockets(self)
        self.unhandled: list[str] = []
        self.set_task_factory(self._make_task)
        self.set_exception_handler(self._note)

    def time(self) -> float:
        return self._now_s

    def jump(self) -> None:
        self._now_s = max(self._now_s, self._scheduled[0].when())  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*arguments)
        except Exception as error:
            self.call_later(self._thread_s(), _unless_done, future, future.set_exception, error)
        else:
            self.call_later(self._thread_s(), _unless_done, future, future.set_result, result)
        return future

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **more: Any) -> asyncio.Task[Any]:
        task = _NumberedTask(coroutine, loop=loop, **more)
        owner = OWNER.get()
        if owner is not None:
            owner.tasks[task] = None
            task.add_done_callback(lambda done: owner.tasks.pop(done, None))
        return task

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "never retrieved" not in str(context.get("message")):  # who waited was killed with its process
            self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _process_events(self, events: object) -> None:
        """There are none: no sockets."""

    def _write_to_self(self) -> None:
        """Nobody sleeps in `select`, so nobody has to be woken."""


def _unless_done(future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
    if not future.done():
        settle(value)


def run(main: Callable[[], Coroutine[Any, Any, T]], thread_s: Callable[[], float]) -> T:
    """Run a program on a loop of its own. Objects are collected after it only: a collection has no fixed moment.

    What was there before is frozen, so that collecting what the program leaves is quick: its tables are few objects and many
    bytes, and the collector, which counts objects, would come when gigabytes of them lie about.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()
    loop = VirtualLoop(thread_s)
    _NumberedTask._count = 0
    try:
        result = loop.run_until_complete(main())
        if loop.unhandled:
            raise AssertionError(f"an error that nobody handled: {loop.unhandled[0]}")
        return result
    finally:
        _end(loop)
        loop.close()
        del main
        gc.collect()
        _give_back()
        if was_enabled:
            gc.enable()


def _give_back() -> None:
    """What a story has freed the C library keeps for the next one, and finds too small for it: gigabytes after some dozens."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


_ENDS_MAX = 10
"""What is ended may begin something at its end, as a process that is started again."""


def _end(loop: VirtualLoop) -> None:
    for _ in range(_ENDS_MAX):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            break
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=60.0))
    loop.run_until_complete(loop.shutdown_asyncgens())
