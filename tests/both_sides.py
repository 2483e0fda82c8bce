"""Both sides in the test's own event loop, over a log in files: what `fanfold up` is without a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple

from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from read_side.contract.feed import Feed
from read_side.settings import ReadSettings
from read_side.wiring import Besides, ReadSide, open_feed, open_view
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue


class Sides(NamedTuple):
    write_side: WriteSide
    read_side: ReadSide
    feed: Feed


@asynccontextmanager
async def both_sides(
    write_settings: WriteSettings,
    read_settings: ReadSettings,
    *,
    keep_history: bool = False,
    tracer: Tracer | None = None,
) -> AsyncIterator[Sides]:
    """keep_history: statements and past balances can be asked for. tracer: None: nothing is traced."""
    async with AsyncExitStack() as stack:
        log = await open_log(write_settings, writing=True)
        stack.push_async_callback(log.close)
        queue = await open_queue(write_settings, log)
        stack.push_async_callback(queue.close)
        write_side = WriteSide(write_settings, log, queue, CollectorRegistry(), tracer=tracer)
        await write_side.start()
        view, feed = await open_view(read_settings), await open_feed(read_settings)
        stack.push_async_callback(view.close)
        stack.push_async_callback(feed.close)
        archive = read_settings.archive_folder(write_settings.log_address) if keep_history else None
        read_side = ReadSide(read_settings, log, view, feed, CollectorRegistry(), Besides(archive=archive))
        await read_side.start()
        running = [asyncio.ensure_future(side.run()) for side in (write_side, read_side)]
        yield Sides(write_side, read_side, feed)
        for each in running:
            each.cancel()
            with suppress(asyncio.CancelledError):
                await each
