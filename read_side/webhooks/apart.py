"""Calls that a disk or a resolver may never answer: each in a thread of its own, which no end of a process waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def apart(name: str, function: Callable[P, T], *given: P.args, **named: P.kwargs) -> asyncio.Future[T]:
    """What the function returns or raises. Whoever gives up leaves the thread behind: unlike one of the loop's own (`to_thread`)
    it keeps neither the loop nor the process from ending."""
    loop = asyncio.get_running_loop()
    settled: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, failure: BaseException | None) -> None:
        if settled.done():
            return
        if failure is None:
            settled.set_result(result)  # type: ignore[arg-type]  # without a failure it is the result
        else:
            settled.set_exception(failure)

    def run() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = function(*given, **named)
        except BaseException as error:
            failure = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return settled
