"""Work in a thread that whoever waits for it is never gone before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def through(work: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
    """What the work returns. Who is cancelled, however often, waits for its end: what it uses is given back right after, or gone
    on with. What fails then is told by nobody."""
    working = asyncio.ensure_future(asyncio.to_thread(work, *given, **named))
    try:
        return await asyncio.shield(working)
    except asyncio.CancelledError:
        while not working.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([working])
        if not working.cancelled():
            working.exception()  # or it would be said, as an exception that nobody has taken
        raise
