"""A test that hangs says where, and ends the run: what everything after it would need its time for.

pytest's own time-out (`faulthandler_timeout`) tells stacks of threads alone, the test's name nowhere, and of a loop that waits
only that it waits. Here what every asyncio task waits for comes behind them, and the test's name last, where the end of a long
output is read. pytest's own is longer and stays, for what holds the interpreter itself.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

import pytest

LIMIT_S: Final = 420.0
"""The longest test takes two minutes on two busy cores."""
EXIT_CODE: Final = 3


class EndsWhatHangs:
    """The plugin. Made before pytest captures what tests write: `errors` is the run's own."""

    def __init__(self, errors: TextIO) -> None:
        self._errors = errors

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        with ended_after(LIMIT_S, self._errors):
            return (yield)


@contextmanager
def ended_after(limit_s: float, errors: TextIO) -> Iterator[None]:
    """What runs in it is told and ends the process when it takes longer."""

    def end() -> None:
        tell(errors)
        os._exit(EXIT_CODE)

    timer = threading.Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def tell(errors: TextIO) -> None:
    """Stacks of all threads, what every task waits for, and the test's name."""
    faulthandler.dump_traceback(errors)
    for task in [each for each in gc.get_objects() if isinstance(each, asyncio.Task)]:
        if not task.done():
            print("task", task.get_name(), "waits in", " < ".join(reversed(_places(task))) or "?", file=errors)
    print(f"hung for {LIMIT_S:.0f} s:", os.environ.get("PYTEST_CURRENT_TEST", "no test"), file=errors, flush=True)


def _places(task: asyncio.Task[object]) -> list[str]:
    """From the outermost coroutine to the innermost, which `Task.get_stack` does not follow."""
    places = []
    coroutine: object = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        places.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}")
        coroutine = getattr(coroutine, "cr_await", None)
    return places
