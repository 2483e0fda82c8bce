"""How the read side is put together: the only file here that names adapters.

Those of Redis are imported where the settings name them: a process with its view in memory has no use for their client.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from read_side.ask.account_list import AccountList
from read_side.ask.balances import BalanceReader
from read_side.ask.health import Health
from read_side.ask.lists import Lists
from read_side.ask.past import Past
from read_side.ask.positions import Positions
from read_side.ask.transfers import Transfers
from read_side.ask.under_way import UnderWay
from read_side.contract.feed import Feed
from read_side.contract.kept_once import KeptOnce
from read_side.contract.topics import TopicFeed
from read_side.contract.view import NoView, ViewStore, ViewUnavailable
from read_side.doors import no_log_yet
from read_side.doors.http_api import ReadDoors, create_app
from read_side.doors.read_metrics import ProjectorMetrics
from read_side.feed.feed_memory import MemoryFeed
from read_side.feed.kept_once_memory import MemoryKeptOnce
from read_side.feed.topic_feed_memory import MemoryTopicFeed
from read_side.follow.bring_view_right import Displaced, ViewOfAnotherLog
from read_side.follow.keeper import Keepers
from read_side.follow.projector import Projector
from read_side.follow.timer import SystemTimer
from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from read_side.history.keeping import keep
from read_side.projections.kept_rows import Answer
from read_side.projections.kept_topic import KeptTopic
from read_side.projections.named import named
from read_side.projections.project import Compared, PartitionProjected, Projected, compare, project
from read_side.projections.projection import Declared, NoProjection
from read_side.projections.state_connection import CannotProject, StateUnavailable
from read_side.settings import ReadSettings
from read_side.tell.events import events_of
from read_side.tell.transfer_trace import Did, Happened, Step, document_of, word
from read_side.views.view_memory import MemoryViewStore
from read_side.webhooks.database import HooksUnavailable
from read_side.whole_log.event_topic import CannotPublish, EventTopic
from read_side.whole_log.explain import explain, explain_records
from read_side.whole_log.export import PartitionExported, Span, export
from read_side.whole_log.export_folder import CannotExport, ExportFolder
from read_side.whole_log.proof import Checked, check_proof
from read_side.whole_log.publish import PartitionPublished, publish
from read_side.whole_log.rebuild import rebuild
from read_side.whole_log.rebuild_result import Progress, Rebuilt, Wishes
from read_side.whole_log.rollback import Progress as RollbackProgress
from read_side.whole_log.rollback import roll_back
from read_side.whole_log.switching import NotSwitched
from read_side.whole_log.trim import IdsKept, NoViewYet, PartitionTrimmed, TrimWishes, trim
from read_side.whole_log.verify import Derived, PartitionVerdict, Verdict
from read_side.whole_log.verify import verify as verify_log
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.compiled.compiling import compiling
from write_side.contract.log.log import Log
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.state import State

__all__ = [
    "OPENING",
    "Answer",
    "CannotExport",
    "CannotProject",
    "CannotPublish",
    "CannotTell",
    "Checked",
    "Compared",
    "Declared",
    "Derived",
    "Did",
    "EventTopic",
    "ExportFolder",
    "Happened",
    "NoProjection",
    "NoView",
    "NoViewYet",
    "PartitionExported",
    "PartitionProjected",
    "PartitionPublished",
    "PartitionTrimmed",
    "PartitionVerdict",
    "Progress",
    "Projected",
    "ProjectorStopped",
    "ReadSide",
    "Rebuilt",
    "SegmentFolder",
    "Span",
    "Step",
    "TrimWishes",
    "Verdict",
    "Wishes",
    "check_proof",
    "compare",
    "document_of",
    "doors_without_log",
    "events_of",
    "explain",
    "explain_records",
    "export",
    "kept_topics",
    "named",
    "open_event_topic",
    "open_feed",
    "open_kept_once",
    "open_topic_feed",
    "open_view",
    "project",
    "publish",
    "rebuild",
    "roll_back",
    "sealed_history",
    "trim_log",
    "verify_log",
    "word",
]

OPENING = no_log_yet.OPENING
doors_without_log = no_log_yet.create_app

ProjectorStopped = (Displaced, ViewOfAnotherLog, ViewUnavailable, NotSwitched)
"""What may end a read side once no partition is left to follow, beside what the log raises. The message is for a person."""
CannotTell = (CannotPublish, CannotExport, CannotProject, StateUnavailable, HooksUnavailable)
"""What ends a publish, an export, a projection or a command about webhooks as a whole, likewise."""


async def trim_log(
    log: Log,
    snapshots: Snapshots | None,
    prints: Prints,
    view: ViewStore | NoViewYet,
    wishes: TrimWishes,
    send: Callable[[dict[str, Any]], None],
    ids_kept: IdsKept | None,
    forget: Callable[[int, int], Awaitable[int]] | None = None,
) -> dict[str, Any]:
    """Trim a log (`whole_log/trim.py`, ids_kept and forget too); `send` gets progress documents, as the result is. Raises
    ValueError where the settings name no archive of it, or no snapshots."""
    if not isinstance(log, ArchivedLog):
        raise ValueError(
            "this log has no archive, so nothing of it may be forgotten, and nothing was trimmed. Name one with "
            "FANFOLD_LOG_ARCHIVE (file:FOLDER, s3://BUCKET/FOLDER or webhdfs://HOST:PORT/FOLDER) for every process over this log "
            "and start them: what is written is copied there by the process that writes it"
        )
    if snapshots is None:
        raise ValueError(
            "no snapshots are kept here (FANFOLD_SNAPSHOTS is off), so every start would read the whole archive, and nothing was "
            "trimmed"
        )

    def on_progress(partition: int, compared: int) -> None:
        send({"progress": {"partition": partition, "compared": compared}})

    lasting = None if isinstance(view, MemoryViewStore) else view
    return (await trim(log, snapshots, prints, lasting, wishes, on_progress, forget, ids_kept)).document()


async def open_view(settings: ReadSettings, *, reading: bool = False) -> ViewStore:
    """The view store that the settings name. reading: nothing is written to it, so it may be one that another process writes.

    Raises ViewUnavailable, ValueError for an address of no known kind.
    """
    if settings.view == "memory":
        return MemoryViewStore()
    if (path := settings.view_file()) is not None:
        from read_side.views.view_sqlite import SqliteViewStore

        return await SqliteViewStore.connect(path, reading=reading)
    if settings.view.startswith(("redis://", "rediss://", "unix://")):
        from read_side.views.view_redis import RedisViewStore

        return await RedisViewStore.connect(settings.view, settings.view_prefix)
    raise ValueError("FANFOLD_VIEW must be memory or begin with sqlite:, redis://, rediss:// or unix://")


async def open_feed(settings: ReadSettings) -> Feed:
    """The feed that goes with the view: in the process where the view is of one process, streams in the same Redis otherwise.

    Raises ValueError.
    """
    if settings.view_is_of_one_process:
        return MemoryFeed()
    from read_side.feed.feed_redis import RedisFeed

    return RedisFeed(settings.view, settings.view_prefix)


def open_kept_once(settings: ReadSettings) -> KeptOnce:
    """What gateways keep for a moment for each other: in the process where the view is of one process, in the same Redis
    otherwise."""
    if settings.view_is_of_one_process:
        return MemoryKeptOnce()
    from read_side.feed.kept_once_redis import RedisKeptOnce

    return RedisKeptOnce(settings.view, settings.view_prefix)


def open_topic_feed(settings: ReadSettings) -> TopicFeed | None:
    """Where gateways hear of the topics that the settings name: in the process where the view is of one process, in the same
    Redis otherwise. None: there are no topics."""
    if not settings.topic_projections():
        return None
    if settings.view_is_of_one_process:
        return MemoryTopicFeed()
    from read_side.feed.topic_feed_redis import RedisTopicFeed

    return RedisTopicFeed(settings.view, settings.view_prefix)


def kept_topics(settings: ReadSettings, data_folder: Path, feed: TopicFeed | None) -> list[KeptTopic]:
    """The topics that the settings name, kept in this folder by this process. Raises ValueError for two of one name."""
    if feed is None:
        return []
    topics = [KeptTopic(text, data_folder / "topics", feed) for text in settings.topic_projections()]
    if len({topic.name for topic in topics}) < len(topics):
        raise ValueError("FANFOLD_TOPICS names two projections with the same `name`. Nothing was started.")
    return topics


def sealed_history(folder: Path, partitions: int) -> dict[int, SegmentFolder]:
    """The history that is sealed in a folder, by partition."""
    return {p: SegmentFolder(folder, FileStore(folder), p) for p in range(partitions)}


async def open_event_topic(
    address: str, topic: str, partitions: int, *, replication: int, min_in_sync: int
) -> EventTopic:
    """The topic that events are published to, at `kafka://host:9092`; made where it is missing.

    Raises ValueError for an address of no known kind, LogFailed, CannotPublish.
    """
    bootstrap = address.removeprefix("kafka:").removeprefix("//")
    if not address.startswith("kafka:") or not bootstrap.strip("/"):
        raise ValueError("events are published to Kafka: --to kafka://host:9092")
    from read_side.whole_log.event_topic_kafka import KafkaEventTopic

    return await KafkaEventTopic.open(bootstrap, topic, partitions, replication=replication, min_in_sync=min_in_sync)


class Besides(NamedTuple):
    """What a read side has besides its view.

    snapshots: where a start begins, where there are any; taken: when this side takes some itself, None when another one does.
    archive: the folder in which history is sealed; None: the past cannot be asked. topics: kept beside it. webhooks: the file of
    those that are delivered from here.
    """

    snapshots: Snapshots | None = None
    taken: SnapshotLimits | None = None
    archive: Path | None = None
    topics: Sequence[KeptTopic] = ()
    webhooks: Path | None = None


class ReadSide:
    """Projectors of the chosen partitions, the queries, and their HTTP edge (`app`), over an open log, view and feed that the
    caller closes. Raises ValueError for wrong settings.
    """

    def __init__(
        self,
        settings: ReadSettings,
        log: Log,
        view: ViewStore,
        feed: Feed,
        registry: CollectorRegistry,
        besides: Besides = Besides(),  # noqa: B008 -- a value that never changes
    ) -> None:
        snapshots, taken, archive, topics, webhooks = besides
        timer = SystemTimer()
        compiling()  # listens from here on, so that a start can say that it compiles
        self._log = log
        self._view = view
        self._snapshots = snapshots
        chosen = settings.projected(log.partitions)
        self._sleep = timer.sleep
        sealed = {} if archive is None else sealed_history(archive, log.partitions)
        self._histories = [History(sealed[p]) for p in chosen if p in sealed]
        self.projectors = [
            Projector(p, log, view, feed, timer, secrets.token_hex(8), snapshots, history)
            for p, history in zip_longest(chosen, self._histories)
        ]
        self._topics = topics
        self._webhooks = None
        if webhooks is not None:
            from read_side.webhooks.webhooks import Webhooks

            self._webhooks = Webhooks(webhooks, log, self.projectors, timer.wall_us, timer.sleep)
            registry.register(self._webhooks)
        self.under_way = UnderWay()
        self._taker = None
        if snapshots is not None and taken is not None:
            positions = {each.partition: each.position for each in self.projectors}
            self._taker = SnapshotTaker(snapshots, log, positions, taken, None)
        self._keepers = Keepers(self.projectors, timer)
        by_partition = {projector.partition: projector for projector in self.projectors}
        balances = BalanceReader(view, log, by_partition)
        self.health = Health(self.projectors, timer.wall_us, log.partitions, balances.unread, self._beside_degraded)
        transfers = Transfers(by_partition, balances, log, timer.wall_us)
        doors = ReadDoors(
            balances,
            transfers,
            Past(by_partition, balances),
            AccountList(by_partition, balances, transfers),
            Lists(by_partition, balances, transfers),
            self.health,
            Positions(self.projectors, timer.wall_us, log.partitions, self.under_way),
        )
        registry.register(ProjectorMetrics(self.projectors, timer.wall_us))
        self.app: FastAPI = create_app(doors, registry=registry)

    async def start(self) -> None:
        """Fold the logs and bring the views right; a partition whose log or view fails is waited for no longer than for that.

        `app` answers all the while. Raises what ended the first partition when none is left.
        """
        for topic in self._topics:
            topic.announce()
        for history in self._histories:
            await asyncio.to_thread(history.open)
        await self._keepers.start()
        # What was made so far lives as long as the process. The collector need not walk it again and again: 100 ms a
        # time here, in which nobody is answered.
        gc.collect()
        gc.freeze()

    def share_names(self, states: Sequence[State]) -> None:
        """Keep the names of accounts together with other folds of the log in this process, a partition each."""
        for projector in self.projectors:
            projector.fold.state.share_names(states[projector.partition])

    async def run(self) -> None:
        """Follow the logs until they are closed, or this is cancelled. Raises what ended the first one once none is left."""
        beside = [asyncio.create_task(keep(self._histories, self._log, self._sleep))]
        if self._taker is not None:
            beside.append(asyncio.create_task(self._taker.run()))
        if self._webhooks is not None:
            beside.append(asyncio.create_task(self._webhooks.run()))
        beside += [asyncio.create_task(topic.run(self._log, self._snapshots)) for topic in self._topics]
        try:
            await self._keepers.run()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    def _beside_degraded(self) -> list[str]:
        topics = [reason for topic in self._topics for reason in topic.degraded()]
        return topics if self._webhooks is None else topics + self._webhooks.degraded()

    def not_ready(self) -> list[str]:
        """Why this process should not get requests; empty when it should."""
        return self.health.not_ready()

    async def drain(self) -> None:
        """Readers are told to go elsewhere; nothing of theirs can be lost. Then seconds for a snapshot where it is worth it."""
        self.health.stopping = True
        if self._taker is not None:
            await self._taker.take_last()

    async def rebuild(self, wishes: Wishes, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Rebuild the views of this process's partitions; `send` gets progress documents, the result is one too.

        Raises NotSwitched, LogFailed, ViewUnavailable, ValueError.
        """
        try:
            result = await rebuild(
                self._log,
                self._view,
                wishes,
                partitions=[projector.partition for projector in self.projectors],
                on_progress=self._telling(send),
                snapshots=self._snapshots,
            )
        finally:
            self.under_way.over()
        return result.document()

    async def roll_back(self, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Make the generations of before the last switch live again; otherwise as `rebuild`."""
        try:
            result = await roll_back(
                self._log,
                self._view,
                partitions=[projector.partition for projector in self.projectors],
                on_progress=self._telling(send),
                snapshots=self._snapshots,
            )
        finally:
            self.under_way.over()
        return result.document()

    def _telling(self, send: Callable[[dict[str, Any]], None]) -> Callable[[Progress | RollbackProgress], None]:
        """To who asked for it, and to whoever asks how far it is."""

        def tell(progress: Progress | RollbackProgress) -> None:
            self.under_way.told(progress)
            send({"progress": progress._asdict()})

        return tell

    async def trim(
        self, wishes: TrimWishes, prints: Prints, ids_kept: IdsKept | None, send: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Trim the log as far as its archive has it; otherwise as `rebuild`. prints, ids_kept: see `trim`. Raises ValueError."""
        return await trim_log(self._log, self._snapshots, prints, self._view, wishes, send, ids_kept)
