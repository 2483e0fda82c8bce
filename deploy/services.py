"""The three sides as services of their own: over Kafka and Redis, on as many machines as wanted."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from deploy.admin import admin_beside, admin_socket
from deploy.allowed_hosts import AllowedHosts
from deploy.compiled_first import compiled_first
from deploy.exposed import refuse_if_exposed
from deploy.late_read_side import LateReadSide
from deploy.serving import listen, process_metrics, serve
from deploy.settings import ProcessSettings
from deploy.tracing import read_door, tracing
from fanfold.api.events import EVENTS_TOPIC
from fanfold.api.retry import Waits, retry
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.contract.how_far import check_partitions
from read_side.contract.view import ViewStore
from read_side.settings import ReadSettings
from read_side.wiring import (
    Answer,
    Besides,
    Compared,
    Declared,
    Derived,
    ExportFolder,
    NoView,
    NoViewYet,
    PartitionExported,
    PartitionPublished,
    Projected,
    ReadSide,
    SegmentFolder,
    Span,
    TrimWishes,
    Wishes,
    compare,
    export,
    kept_topics,
    open_event_topic,
    open_feed,
    open_kept_once,
    open_topic_feed,
    open_view,
    project,
    publish,
    rebuild,
    roll_back,
    sealed_history,
    trim_log,
)
from write_side.contract.log.log import Log, LogMissing
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.settings import WriteSettings
from write_side.wiring import (
    FINGERPRINTS,
    PartitionTime,
    WriteSide,
    forget_in_folder,
    ids_kept_in,
    log_times,
    open_log,
    open_queue,
    open_snapshots,
    snapshot_limits,
)

OnReady = Callable[[str, Sequence[str]], None]
"""Told where a service answers, once its start is over, and why it is not ready all the same: all that it has may be given up."""
_LOG_WAITS = Waits(0.5, 10.0)


async def open_log_to_read() -> Log:
    """The log that the environment names, read only, beside whoever writes it. Raises LogFailed, ValueError."""
    return await open_log(WriteSettings(), writing=False)


def snapshots_of(log: Log) -> Snapshots | None:
    """The snapshots that the environment names, of this log, for a command; None for none. Raises ValueError."""
    _log_beside_the_result()
    return open_snapshots(WriteSettings(), log)


async def log_times_of_environment(on_partition: Callable[[int, int], None]) -> list[PartitionTime]:
    """How the time of each partition of the log that the environment names stands to this machine's clock. on_partition: told how
    many were read, of how many. Raises LogFailed, ValueError."""
    _log_beside_the_result()
    log = await open_log_to_read()
    try:
        return await log_times(WriteSettings(), log, on_partition)
    finally:
        await log.close()


def log_is_in_kafka() -> bool:
    return WriteSettings().log_address.startswith("kafka:")


def log_folder_of_environment() -> Path | None:
    """The folder of a file log, None for one in Kafka."""
    return None if log_is_in_kafka() else Path(WriteSettings().log_address.removeprefix("file:"))


def archive_of(log: Log) -> Mapping[int, SegmentFolder]:
    """The sealed history that the environment names, by partition. Raises ValueError, also where none is kept."""
    folder = ReadSettings().archive_folder(WriteSettings().log_address)
    if folder is None:
        raise ValueError("no history is kept here: FANFOLD_ARCHIVE is off")
    return sealed_history(folder, log.partitions)


async def derived_of(
    log: Log, stack: AsyncExitStack, *, archive: bool, snapshots: bool, view: bool, view_address: str, log_archive: bool
) -> Derived:
    """What was made from the log, as far as it is asked for, to be compared with it; `stack` closes it.

    view_address: of the view, as FANFOLD_VIEW names one; that by default. Raises ValueError, ViewUnavailable.
    """
    kept = snapshots_of(log)
    if snapshots and kept is None:
        raise ValueError("no snapshots are kept here: FANFOLD_SNAPSHOTS is off")
    if view_address and not view:
        raise ValueError("--view says which view is compared: add --against view")
    store = None
    if view:
        settings = _view_named(view_address)
        if settings.view == "memory":
            raise ValueError(
                "the view is in the memory of the service over this log, which no other process reaches. Ask that one: "
                "fanfold rebuild --dry-run compares every row there with the log, and changes nothing."
            )
        store = await open_view(settings, reading=True)
        stack.push_async_callback(store.close)
    if log_archive and WriteSettings().log_archive_address is None:
        raise ValueError("no copies of the log are kept here: FANFOLD_LOG_ARCHIVE is off")
    history = archive_of(log) if archive else {}
    return Derived(history, store, kept if snapshots else None, FINGERPRINTS, log_archive)


def view_place(address: str) -> str:
    """Where a view is, for a person; "" for the settings' own."""
    return f"in {_without_password(address or ReadSettings().view)}"


def _log_beside_the_result() -> None:
    """Standard output is the command's result."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def archive_place() -> str:
    """Where the environment says that history is kept, for a person."""
    return str(ReadSettings().archive_folder(WriteSettings().log_address) or "no folder")


def _view_named(address: str) -> ReadSettings:
    """The settings of a view, as FANFOLD_VIEW names one; "" for that one."""
    return ReadSettings(view=address) if address else ReadSettings()


def embedded_folder(view: str = "") -> Path | None:
    """The data folder, when only the process that serves it reaches the view; None when others do, or it is another view than
    that process's. Raises ValueError."""
    settings = _view_named(view)
    is_another = settings.view != ReadSettings().view and settings.view != "memory"
    if is_another or not settings.view_is_of_one_process:
        return None
    return log_folder_of_environment()


def view_outlives_process(view: str = "") -> bool:
    """Whether there is a view while nobody serves it."""
    return _view_named(view).view != "memory"


def about_view(view: str = "") -> str:
    """Which view is meant, for a person; without what an address may hold of a password."""
    log, view = WriteSettings().log_address, _view_named(view).view
    place = "in the memory of the service over it" if view == "memory" else f"in {_without_password(view)}"
    folder = log.removeprefix("file:")
    return f"the view of the log {_without_password(log) if folder == log else Path(folder).resolve()}, {place}"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


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


async def rebuild_views(
    wishes: Wishes, on_progress: Callable[[dict[str, Any]], None], view_address: str = ""
) -> dict[str, Any]:
    """Rebuild a view that this process can reach, from here. Returns `Rebuilt.document()`; raises as `rebuild` does."""
    async with AsyncExitStack() as stack:
        log, view = await _log_and_view(stack, view_address)
        result = await rebuild(
            log,
            view,
            wishes,
            on_progress=lambda progress: on_progress(progress._asdict()),
            snapshots=snapshots_of(log) if wishes.from_snapshot else None,
        )
        return result.document()


async def roll_back_views(on_progress: Callable[[dict[str, Any]], None], view_address: str = "") -> dict[str, Any]:
    """Roll back a view that this process can reach, from here. Returns `RolledBack.document()`; raises as `roll_back` does."""
    async with AsyncExitStack() as stack:
        log, view = await _log_and_view(stack, view_address)
        result = await roll_back(
            log,
            view,
            on_progress=lambda progress: on_progress(progress._asdict()),
            snapshots=snapshots_of(log),
        )
        return result.document()


async def trim_log_of_environment(wishes: TrimWishes, on_progress: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Trim the log that the environment names, from here: over Kafka beside the services, over a file log while none runs.
    Returns the result's document. Raises LogFailed, ValueError, ViewUnavailable."""
    _log_beside_the_result()
    async with AsyncExitStack() as stack:
        log = await open_log_to_read()
        stack.push_async_callback(log.close)
        settings = WriteSettings()
        return await trim_log(
            log,
            snapshots_of(log),
            FINGERPRINTS,
            await _view_or_none_yet(stack),
            wishes,
            lambda line: on_progress(line["progress"]),
            ids_kept_in(settings.ids_folder()),
            None if log_is_in_kafka() else partial(forget_in_folder, Path(settings.log_address.removeprefix("file:"))),
        )


async def _view_or_none_yet(stack: AsyncExitStack) -> ViewStore | NoViewYet:
    try:
        view = await open_view(ReadSettings(), reading=True)
    except NoView:
        return NoViewYet()
    stack.push_async_callback(view.close)
    return view


async def _log_and_view(stack: AsyncExitStack, view_address: str) -> tuple[Log, ViewStore]:
    log = await open_log_to_read()
    stack.push_async_callback(log.close)
    view = await open_view(_view_named(view_address))
    stack.push_async_callback(view.close)
    return log, view


async def publish_events(
    to: str | None,
    topic: str | None,
    *,
    once: bool,
    after: Mapping[int, int],
    source: str,
    on_events: Callable[[int], None],
) -> list[PartitionPublished]:
    """Publish the log that the environment names (`read_side/whole_log/publish.py`). to, topic: by default the Kafka of the log,
    and `published` beside its own topics. Raises LogFailed, CannotPublish, ValueError."""
    _log_beside_the_result()
    settings = WriteSettings()
    address = to or (settings.log_address if settings.log_address.startswith("kafka:") else None)
    if address is None:
        raise ValueError("say where events go: --to kafka://host:9092 (over a log in Kafka it is that one)")
    async with AsyncExitStack() as stack:
        log = await (open_log_to_read() if once else _log_in_time())
        stack.push_async_callback(log.close)
        check_partitions(after, log.partitions, "--after")
        events = await open_event_topic(
            address,
            topic or f"{settings.topic}.{EVENTS_TOPIC}",
            log.partitions,
            replication=settings.replication,
            min_in_sync=settings.min_in_sync,
        )
        stack.push_async_callback(events.close)
        return await publish(log, events, snapshots_of(log), once=once, after=after, source=source, on_events=on_events)


async def _log_in_time() -> Log:
    """The log, once somebody has begun it."""
    told = structlog.get_logger(__name__)
    return await retry(
        open_log_to_read,
        LogMissing,
        _LOG_WAITS,
        asyncio.sleep,
        lambda missing: told.warning("no log yet", reason=str(missing)),
    )


async def export_events(folder: Path, span: Span, on_events: Callable[[int], None]) -> list[PartitionExported]:
    """Export the log that the environment names (`read_side/whole_log/export.py`). Raises LogFailed, CannotExport, OSError,
    ValueError."""
    async with AsyncExitStack() as stack:
        log = await open_log_to_read()
        stack.push_async_callback(log.close)
        check_partitions(span.first, log.partitions, "--from-position")
        return await export(log, ExportFolder(folder), snapshots_of(log), span, on_events=on_events)


async def keep_projection(
    declared: Declared,
    state: Path,
    *,
    once: bool,
    from_start: bool,
    on_events: Callable[[int], None],
    on_answer: Callable[[Answer], None] | None,
) -> Projected:
    """Project the log that the environment names (`read_side/projections/project.py`). Raises LogFailed, CannotProject,
    StateUnavailable, ValueError."""
    _log_beside_the_result()
    async with AsyncExitStack() as stack:
        log = await (open_log_to_read() if once else _log_in_time())
        stack.push_async_callback(log.close)
        return await project(
            log,
            snapshots_of(log),
            declared,
            state,
            once=once,
            from_start=from_start,
            on_events=on_events,
            on_answer=on_answer,
        )


async def verify_projection(declared: Declared, state: Path, on_events: Callable[[int], None]) -> Compared:
    """The rows of a projection against the log that the environment names. Raises as `keep_projection`."""
    _log_beside_the_result()
    async with AsyncExitStack() as stack:
        log = await open_log_to_read()
        stack.push_async_callback(log.close)
        return await compare(log, declared, state, on_events=on_events)
