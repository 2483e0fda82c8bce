"""Waiting for a log that may not answer, and saying who was late: the log, or this process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOK_TURNS: Final = 10
"""In how many turns the log's end is waited for: how many of them there were says whether the log was late, or this process."""


class Silent(Exception):
    """There was no answer in time, and who was late."""


async def within(asking: Coroutine[Any, Any, T], wait_s: float) -> T:
    """The answer, when it comes in time. Raises Silent.

    A log that does not answer must not hold up who asks: the look goes on, for whoever asks next. A loop that comes late to its
    turns comes late to the answer as well, so a wait in which it had few of them says nothing of the log.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.ensure_future(asking)
    until_s, turns = loop.time() + wait_s, 0
    try:
        while not asked.done() and loop.time() < until_s:
            await asyncio.wait((asked,), timeout=wait_s / LOOK_TURNS)
            turns += 1
        was_late = turns <= LOOK_TURNS // 2
        if was_late and not asked.done():  # what has come meanwhile takes some turns of the loop to be told
            await asyncio.wait((asked,), timeout=wait_s / LOOK_TURNS)
        if asked.done():
            return asked.result()
        raise Silent("this process is too busy to ask the log" if was_late else "the log does not answer")
    finally:
        asked.cancel()
