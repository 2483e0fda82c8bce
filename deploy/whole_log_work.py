"""What commands do with a whole log, or with a view of it: publish, export, project, rebuild, roll back, trim."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

from deploy.named_log import (
    log_beside_the_result,
    log_in_time,
    log_is_in_kafka,
    open_log_to_read,
    snapshots_of,
    view_named,
)
from fanfold.api.events import EVENTS_TOPIC
from read_side.contract.how_far import check_partitions
from read_side.contract.view import ViewStore
from read_side.settings import ReadSettings
from read_side.wiring import (
    Answer,
    Compared,
    Declared,
    ExportFolder,
    NoView,
    NoViewYet,
    PartitionExported,
    PartitionPublished,
    Projected,
    Span,
    TrimWishes,
    Wishes,
    compare,
    export,
    open_event_topic,
    open_view,
    project,
    publish,
    rebuild,
    roll_back,
    trim_log,
)
from write_side.contract.log.log import Log
from write_side.settings import WriteSettings
from write_side.wiring import FINGERPRINTS, forget_in_folder, ids_kept_in


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
    log_beside_the_result()
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
    view = await open_view(view_named(view_address))
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
    log_beside_the_result()
    settings = WriteSettings()
    address = to or (settings.log_address if settings.log_address.startswith("kafka:") else None)
    if address is None:
        raise ValueError("say where events go: --to kafka://host:9092 (over a log in Kafka it is that one)")
    async with AsyncExitStack() as stack:
        log = await (open_log_to_read() if once else log_in_time())
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
    log_beside_the_result()
    async with AsyncExitStack() as stack:
        log = await (open_log_to_read() if once else log_in_time())
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
    log_beside_the_result()
    async with AsyncExitStack() as stack:
        log = await open_log_to_read()
        stack.push_async_callback(log.close)
        return await compare(log, declared, state, on_events=on_events)
