"""The three sides as services of their own: over Kafka and Redis, on as many machines as wanted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from deploy.admin import admin_beside, admin_socket
from deploy.allowed_hosts import AllowedHosts
from deploy.compiled_first import compiled_first
from deploy.exposed import refuse_if_exposed
from deploy.late_read_side import LateReadSide
from deploy.named_log import open_log_to_read
from deploy.serving import listen, process_metrics, serve
from deploy.settings import ProcessSettings
from deploy.tracing import read_door, tracing
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.settings import ReadSettings
from read_side.wiring import Besides, ReadSide, kept_topics, open_feed, open_kept_once, open_topic_feed, open_view
from write_side.contract.log.log import Log
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue, open_snapshots, snapshot_limits

OnReady = Callable[[str, Sequence[str]], None]
"""Told where a service answers, once its start is over, and why it is not ready all the same: all that it has may be given up."""


LOOPBACK = "127.0.0.1"
"""Where the inner services listen: they have no authentication, so what is in front of them decides who gets there."""


async def write_side(on_ready: OnReady) -> None:
    """Intake and writers. Raises what ends a writer (`write_side.wiring.PartitionStopped`), CannotListen."""
    settings, registry = WriteSettings(), process_metrics()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(listen(LOOPBACK, settings.write_port))
        log = await open_log(settings, writing=True)
        stack.push_async_callback(log.close)
        queue = await open_queue(settings, log)
        stack.push_async_callback(queue.close)
        tracer = stack.enter_context(tracing("fanfold-write-side", registry))
        side = WriteSide(settings, log, queue, registry, open_snapshots(settings, log), settings.ids_folder(), tracer)
        await _serve_side(side, side.door, bound, on_ready)


async def projector(on_ready: OnReady) -> None:
    """Projectors and queries; they wait for a log that nobody has begun yet. Raises what ends a projector
    (`read_side.wiring.ProjectorStopped`), LogFailed for a log that cannot be used, CannotListen, ValueError."""
    settings, registry = ReadSettings(), process_metrics()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(listen(LOOPBACK, settings.read_port))
        view, feed = await open_view(settings), await open_feed(settings)
        stack.push_async_callback(view.close)
        stack.push_async_callback(feed.close)
        writing, topic_feed = WriteSettings(), open_topic_feed(settings)
        if topic_feed is not None:
            stack.push_async_callback(topic_feed.close)
        topics = kept_topics(settings, writing.data_folder, topic_feed)

        async def make(log: Log) -> ReadSide:
            stack.push_async_callback(log.close)
            # Over a file log the writers are on this machine, and theirs serve.
            taken = None if writing.log_address.startswith("file:") else snapshot_limits(writing)
            archive = settings.archive_folder(writing.log_address)
            snapshots = open_snapshots(writing, log)
            return ReadSide(settings, log, view, feed, registry, Besides(snapshots, taken, archive, topics))

        side = LateReadSide(open_log_to_read, make)
        tracer = stack.enter_context(tracing("fanfold-read-side", registry))
        await _serve_side(side, read_door(side, tracer), bound, on_ready)


async def webhooks(on_ready: OnReady) -> None:
    """Webhooks alone, over a fold of every partition in this process: for a log in Kafka, whose projectors are many. Raises as
    `projector`."""
    writing, registry = WriteSettings(), process_metrics()
    settings = ReadSettings(view="memory", archive="off", topics="", project_partitions="")
    file = settings.webhooks_file(writing.data_folder)
    if file is None:
        raise ValueError("FANFOLD_WEBHOOKS is off. Nothing was started.")
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(listen(LOOPBACK, settings.webhooks_port))
        view, feed = await open_view(settings), await open_feed(settings)
        stack.push_async_callback(view.close)
        stack.push_async_callback(feed.close)

        async def make(log: Log) -> ReadSide:
            stack.push_async_callback(log.close)
            return ReadSide(settings, log, view, feed, registry, Besides(open_snapshots(writing, log), webhooks=file))

        side = LateReadSide(open_log_to_read, make)
        await _serve_side(side, side, bound, on_ready)


async def _serve_side(side: WriteSide | LateReadSide, app: Any, bound: socket.socket, on_ready: OnReady) -> None:
    """Answer for a side that folds its log first, on loopback, until it ends."""
    address = f"http://{LOOPBACK}:{bound.getsockname()[1]}"

    async def start() -> None:
        await compiled_first()
        await side.start()

    await serve(
        app,
        bound,
        start=start,
        work=[side.run],
        drain=side.drain,
        on_started=lambda: on_ready(address, side.not_ready()),
        hosts=AllowedHosts(LOOPBACK, ProcessSettings().allowed_hosts),
    )


def asks_nobody() -> bool:
    """Whether a gateway of this environment lets in whoever reaches it."""
    return GatewaySettings().auth == "off"


async def gateway(on_ready: OnReady) -> None:
    """The public door. Raises CannotListen, ValueError for wrong settings."""
    settings, process, registry = GatewaySettings(), ProcessSettings(), process_metrics()
    view = ReadSettings()
    if view.view == "memory" or view.view_file() is not None:
        raise ValueError(
            "beside a view in memory or in SQLite changes are told within the projector's process, so this gateway would push "
            "nothing. Nothing was started, and no money is affected. Use fanfold up, which is everything in one process, or a "
            "view in Redis for all three sides: FANFOLD_VIEW=redis://host:6379, here as for the projector."
        )
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(listen(process.host, process.port))
        refuse_if_exposed(bound, settings)
        admin = admin_socket(stack, process, settings)
        feed, topic_feed = await open_feed(view), open_topic_feed(view)
        stack.push_async_callback(feed.close)
        if topic_feed is not None:
            stack.push_async_callback(topic_feed.close)
        kept_once = open_kept_once(view)
        stack.push_async_callback(kept_once.close)
        door = build_gateway(
            settings,
            settings.write_url,
            settings.read_url,
            feed,
            registry,
            topic_feed=topic_feed,
            admin=admin is not None,
            kept_once=kept_once,
            tracer=stack.enter_context(tracing("fanfold-gateway", registry)),
        )
        stack.push_async_callback(door.close)
        await door.open()
        address = f"http://{process.host}:{bound.getsockname()[1]}"
        await serve(
            door.app,
            bound,
            work=[door.run],
            stopping=door.stop,
            on_started=lambda: on_ready(address, ()),
            hosts=AllowedHosts(process.host, process.allowed_hosts),
            ws=door.ws_class,
            told_pages=door.told_pages,
            beside=admin_beside(door, admin, process),
        )
