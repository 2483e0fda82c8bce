"""`fanfold up`: write side, read side and gateway in one process, over a file log and a view in memory or in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from deploy import serving
from deploy.admin import admin_beside, admin_socket
from deploy.allowed_hosts import AllowedHosts
from deploy.compiled_first import compiled_first, loaded_beside
from deploy.control_socket import REBUILD, ROLL_BACK, TRIM, ControlSocket
from deploy.exposed import refuse_if_exposed
from deploy.serving import listen, process_metrics, serve
from deploy.settings import ProcessSettings
from deploy.start_ahead import StartAhead
from deploy.tracing import read_door, tracing
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.settings import ReadSettings
from read_side.wiring import (
    Besides,
    ReadSide,
    TrimWishes,
    Wishes,
    kept_topics,
    open_feed,
    open_kept_once,
    open_topic_feed,
    open_view,
)
from write_side.settings import WriteSettings
from write_side.wiring import FINGERPRINTS, WriteSide, open_log, open_queue, open_snapshots


async def run(
    process: ProcessSettings, on_ready: Callable[[str, Sequence[str]], None], ahead: StartAhead | None = None
) -> None:
    """Serve until a signal or a failure. `on_ready(address, why it is not ready all the same)` is called when its start is over.
    ahead: what was begun of this start; it is ended here.

    Raises CannotListen, LogFailed for a log that cannot be used at all, and whatever ends a side.
    """
    write_settings, read_settings, gateway_settings = WriteSettings(), ReadSettings(), GatewaySettings()
    async with AsyncExitStack() as stack:
        if ahead is not None:
            stack.callback(ahead.end)
        bound = stack.enter_context(listen(process.host, process.port))
        refuse_if_exposed(bound, gateway_settings)
        admin = admin_socket(stack, process, gateway_settings)
        address = f"http://{process.host}:{bound.getsockname()[1]}"
        loading = asyncio.create_task(loaded_beside())
        stack.callback(loading.cancel)
        log = await open_log(write_settings, writing=True, lock=None if ahead is None else ahead.lock_for_log())
        stack.push_async_callback(log.close)
        queue = await open_queue(write_settings, log)
        stack.push_async_callback(queue.close)
        registry = process_metrics()
        snapshots = open_snapshots(write_settings, log, None if ahead is None else ahead.reader)
        tracer = stack.enter_context(tracing("fanfold", registry))
        write_side = WriteSide(write_settings, log, queue, registry, snapshots, write_settings.ids_folder(), tracer)
        view, feed = await open_view(read_settings), await open_feed(read_settings)
        stack.push_async_callback(view.close)
        stack.push_async_callback(feed.close)
        # What the writers take serves the projectors too.
        archive = read_settings.archive_folder(write_settings.log_address)
        topic_feed = open_topic_feed(read_settings)
        if topic_feed is not None:
            stack.push_async_callback(topic_feed.close)
        topics = kept_topics(read_settings, write_settings.data_folder, topic_feed)
        webhooks = read_settings.webhooks_file(write_settings.data_folder)
        besides = Besides(snapshots, archive=archive, topics=topics, webhooks=webhooks)
        read_side = ReadSide(read_settings, log, view, feed, registry, besides)
        gateway = build_gateway(
            gateway_settings,
            write_side.door,
            read_door(read_side.app, tracer),
            feed,
            registry,
            partitions=log.partitions,
            topic_feed=topic_feed,
            admin=admin is not None,
            kept_once=open_kept_once(read_settings),
            tracer=tracer,
        )
        stack.push_async_callback(gateway.close)
        await gateway.open()

        async def start() -> None:
            await loading
            await compiled_first()
            try:  # side by side: both read the same snapshots and the same log, each mostly without the interpreter
                async with asyncio.TaskGroup() as starting:
                    starting.create_task(write_side.start())
                    starting.create_task(read_side.start())
            except ExceptionGroup as failures:
                raise failures.exceptions[0] from None
            finally:
                if ahead is not None:
                    ahead.end()
            states = [partition.part.state for partition in write_side.partitions]
            await asyncio.to_thread(read_side.share_names, states)
            if write_settings.log_address.startswith("file:"):
                folder = Path(write_settings.log_address.removeprefix("file:"))
                works = {
                    REBUILD: lambda how, send: read_side.rebuild(Wishes.of(how), send),
                    ROLL_BACK: lambda _, send: read_side.roll_back(send),
                    TRIM: lambda how, send: read_side.trim(TrimWishes.of(how), FINGERPRINTS, write_side.ids_kept, send),
                }
                control = ControlSocket(folder, works, address)
                await control.open()
                stack.push_async_callback(control.close)

        await serve(
            gateway.app,
            bound,
            start=start,
            work=[write_side.run, read_side.run, gateway.run],
            stopping=gateway.stop,
            drain=write_side.drain,
            on_started=lambda: on_ready(address, [*write_side.not_ready(), *read_side.not_ready()]),
            hosts=AllowedHosts(process.host, process.allowed_hosts),
            ws=gateway.ws_class,
            told_pages=gateway.told_pages,
            beside=admin_beside(gateway, admin, process),
        )


def main(
    process: ProcessSettings, on_ready: Callable[[str, Sequence[str]], None], ahead: StartAhead | None = None
) -> None:
    """`run` on the loop that serves."""
    serving.run(run(process, on_ready, ahead))
