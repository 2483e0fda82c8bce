"""Publish: the log told to readers elsewhere, an event a record, in order, at least once.

Where a partition is, its topic says, and nothing else is kept: the last record names the event behind which it goes on. Every
event before one that is in the topic is in it too, for each publisher begins so and puts them in order, each append behind an
acknowledged one. So whatever is killed, and even if two publish at once, nothing is missing, and what comes twice has the same
id.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import structlog

from fanfold.api.events import EVENT_ID, SOURCE
from fanfold.api.retry import Waits, retry
from read_side.follow.partition_fold import read_ahead
from read_side.whole_log.event_json import event_json
from read_side.whole_log.event_place import NOWHERE, Place, count_up_to
from read_side.whole_log.event_runs import BlockEvents, EventRuns, events_of_log
from read_side.whole_log.event_topic import CannotPublish, EventTopic
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

EVENTS_AT_ONCE: Final = 8_192
"""Of one append: 4 MB. One is being appended and one is being made, so a partition has no more than two in memory."""
WAITS: Final = Waits(1.0, 30.0)
NOT_PASSING: Final = (LogDamaged, ChainBroken, CheckFailed, CannotPublish)
"""What ends a partition; the others go on."""

_ID: Final = re.compile(rf"{EVENT_ID}\Z", re.ASCII)
_log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]
OnEvents = Callable[[int], None]


@dataclass
class PartitionPublished:
    """What became of a partition. events: how many were put now; position: of the last block that is told, None before the first.

    problem: why it does not go on. unread: the log or the topic does not answer; else they are damaged or do not go together.
    """

    partition: int
    events: int = 0
    position: str | None = None
    problem: str | None = None
    unread: bool = False


async def publish(
    log: Log,
    topic: EventTopic,
    snapshots: Snapshots | None,
    *,
    once: bool,
    after: Mapping[int, int] | None = None,
    source: str = SOURCE,
    sleep: Sleep = asyncio.sleep,
    on_events: OnEvents = lambda events: None,
) -> list[PartitionPublished]:
    """Publish every partition; what stops one keeps nothing from the others. Returns when none goes on.

    once: to the end of the log as it is now; else for ever, and what does not answer is tried again. after: by partition the
    block behind which a topic without records is begun, where that is not the beginning of the log.
    """
    found = [PartitionPublished(partition) for partition in range(log.partitions)]

    async def one(result: PartitionPublished) -> None:
        begin = (after or {}).get(result.partition)
        publisher = _PartitionPublisher(log, topic, snapshots, source, begin, result, on_events)
        try:
            if once:
                await publisher.run(follow=False)
            else:
                await _for_ever(publisher, result.partition, sleep)
        except NOT_PASSING as stopped:
            result.problem = str(stopped)
            _log.error("partition not published any more", partition=result.partition, reason=result.problem)
        except LogFailed as failed:
            result.problem, result.unread = str(failed), True

    async with asyncio.TaskGroup() as tasks:
        for result in found:
            tasks.create_task(one(result))
    return found


async def _for_ever(publisher: _PartitionPublisher, partition: int, sleep: Sleep) -> None:
    """Each time from where the topic says it is."""

    def tell(failure: Exception) -> None:
        _log.warning("partition not published now, tried again", partition=partition, reason=str(failure))

    async def attempt() -> None:
        try:
            await publisher.run(follow=True)
        except LogDamaged:
            raise
        except LogFailed as failed:
            raise _Passing(str(failed)) from failed

    await retry(attempt, _Passing, WAITS, sleep, tell)


class _Passing(Exception):
    """It may answer later."""


class _PartitionPublisher:
    def __init__(
        self,
        log: Log,
        topic: EventTopic,
        snapshots: Snapshots | None,
        source: str,
        begin_behind: int | None,
        result: PartitionPublished,
        on_events: OnEvents,
    ) -> None:
        self._log = log
        self._topic = topic
        self._snapshots = snapshots
        self._source = source
        self._begin_behind = begin_behind
        self._result = result
        self._on_events = on_events

    async def run(self, *, follow: bool) -> None:
        """From where the topic is to the end of the log, or for ever. Raises LogFailed, and what is in NOT_PASSING."""
        partition = self._result.partition
        last, told = await self._last()
        runs = EventRuns(partition)
        # The block of the last event is told again: the rest of it may be missing.
        behind = last.sequence if told is None else last.sequence - 1
        await runs.begin(self._log, self._snapshots, behind)
        if runs.sequence < behind:
            raise CannotPublish(self._ahead(last))
        async with aclosing(read_ahead(self._made(runs, last, told, follow))) as made:
            async for keys, values, sequence in made:
                await self._topic.append(partition, keys, values)
                self._result.events += len(values)
                self._result.position = str(Position(partition, sequence))
                self._on_events(len(values))

    async def _last(self) -> tuple[Place, dict[str, Any] | None]:
        """The event that the topic ends with; without one the place behind which it is begun."""
        try:
            value = await self._topic.last(self._result.partition)
        except CannotPublish:
            if self._begin_behind is None:
                raise
            value = None
        if value is None:
            return NOWHERE if self._begin_behind is None else Place(self._begin_behind, 0, 0), None
        told = _event_of(value)
        place = None if told is None else _place_of(told["id"], self._result.partition)
        if told is None or place is None:
            raise CannotPublish(
                f"The last record of partition {self._result.partition} of the topic is no event of that partition of a log: "
                "somebody else writes to it. Nothing was published to it. Name another topic with --topic."
            )
        if told.get("source") != self._source:
            raise CannotPublish(
                f"The events of the topic have the source {told.get('source')!r}, and this publisher has {self._source!r}: with "
                "both, readers would not know repeats. Nothing was published to it. Give the same with --source, or name another "
                "topic."
            )
        self._result.position = str(Position(self._result.partition, place.sequence))
        return place, told

    async def _made(
        self, runs: EventRuns, last: Place, told: dict[str, Any] | None, follow: bool
    ) -> AsyncGenerator[tuple[list[bytes], list[bytes], int], None]:
        """Keys and values of the events behind the last one, and the block that they go up to."""
        for going_on in (False, True)[: 1 + follow]:
            async with aclosing(runs.follow(events_of_log(self._log, runs, follow=going_on))) as found:
                async for blocks in found:
                    events = blocks.events if told is None else self._behind(blocks, last, told)
                    told = None
                    for at in range(0, len(events), EVENTS_AT_ONCE):
                        part = events.slice(at, EVENTS_AT_ONCE)
                        keys, values = await asyncio.to_thread(records_of, part, self._source)
                        yield keys, values, part["sequence"][-1].as_py()
            if told is not None:
                raise CannotPublish(self._ahead(last))

    def _behind(self, blocks: BlockEvents, last: Place, told: dict[str, Any]) -> pa.Table:
        """The events behind the last one in the topic, once that is the same in this log."""
        at = count_up_to(blocks.events, last)
        if at:
            [made] = event_json(blocks.events.slice(at - 1, 1), self._source).to_pylist()
            if _same(json.loads(made), told):
                return blocks.events.slice(at)
        raise CannotPublish(
            f"The topic ends with the event {told['id']} of another log: in this one that event is another, or none. Nothing was "
            "published to this partition, so that nobody takes two logs for one. Name another topic with --topic; if this log "
            "stands in for a lost one, its readers must begin anew too."
        )

    def _ahead(self, last: Place) -> str:
        partition = self._result.partition
        return (
            f"The topic of partition {partition} is at block {Position(partition, last.sequence)}, and this log ends before it. "
            "It is the topic of another log, or this log has lost blocks. Nothing was published to it. Run `fanfold verify`."
        )


def records_of(events: pa.Table, source: str) -> tuple[list[bytes], list[bytes]]:
    """Key and value of the record of each event."""
    keys, values = (_octets(column) for column in (events["account"].combine_chunks(), event_json(events, source)))
    return keys, values


def _octets(texts: Any) -> list[bytes]:
    found: list[bytes] = texts.cast(pa.binary()).to_numpy(zero_copy_only=False).tolist()
    return found


def _event_of(value: bytes) -> dict[str, Any] | None:
    try:
        told = json.loads(value)
    except ValueError:
        return None
    return told if isinstance(told, dict) and isinstance(told.get("id"), str) else None


def _place_of(event_id: str, partition: int) -> Place | None:
    if not _ID.match(event_id):
        return None
    told, *place = map(int, event_id.split(":"))
    return Place(*place) if told == partition else None


def _same(made: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether two tellings of an event agree in what both tell: another version of fanfold may tell more."""
    pairs = [(made, told)]
    if isinstance(made.get("data"), dict) and isinstance(told.get("data"), dict):
        pairs.append((made["data"], told["data"]))
    return all(ours[name] == theirs[name] for ours, theirs in pairs for name in ours.keys() & theirs.keys() - {"data"})
