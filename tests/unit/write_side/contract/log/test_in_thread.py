"""Work in a thread: who waits for it may be cancelled, and is never gone before the thread is."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

from write_side.contract.log.in_thread import through

LIMIT_S = 30.0
"""Only for a hang."""


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_again_while_it_ends_still_waits_for_it(fails: bool) -> None:
    begun, may_end, said = threading.Event(), threading.Event(), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))

    def work() -> None:
        begun.set()
        assert may_end.wait(LIMIT_S)
        said.append("done")
        if fails:
            raise ValueError("a check")

    waiting = asyncio.ensure_future(through(work))
    assert await asyncio.to_thread(begun.wait, LIMIT_S)
    for _ in range(3):
        waiting.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, LIMIT_S)
    del waiting
    gc.collect()
    await asyncio.sleep(0)
    assert said == ["done"]
