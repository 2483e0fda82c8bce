"""A projection kept at the end of the log: from where its rows are, over the end of the log, for ever; made again; verified."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import structlog

from fanfold.api.retry import Waits, retry
from read_side.projections.advance import advance
from read_side.projections.kept_rows import NOTHING, Answer, Generation, KeptRows
from read_side.projections.projection import Declared, Row
from read_side.projections.state_connection import CannotProject, StateUnavailable
from read_side.whole_log.event_runs import BlockEvents, EventRuns, events_of_log
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

T = TypeVar("T")

WAITS: Final = Waits(1.0, 30.0)
DIFFERENCES_TOLD: Final = 10
ANSWER_REST_S: Final = 0.1
"""At least so long between two answers, and four times what the last one took: a slow question keeps the rows from little."""
SLOW_S: Final = 10.0
"""A step that takes longer is told: nobody can end it, and nothing else of the projection gets on meanwhile."""
FEW_EVENTS: Final = 4_096
"""A run of fewer is not worth its transaction, if more will be there after a rest."""
CLOSING_S: Final = 5.0
"""How long the file's last call is waited for at the end: a projection that never returns is left behind with its thread."""
_STOPS: Final = (LogDamaged, ChainBroken, CheckFailed, CannotProject)
"""What ends a partition; the others go on."""
_log = structlog.get_logger(__name__)

Sleep = Callable[[float], Awaitable[None]]
OnEvents = Callable[[int], None]
OnAnswer = Callable[[Answer], None]
"""What the projection's question is answered with, whenever that has changed: the newest only, whole."""
OnTrouble = Callable[[int | None, str | None], None]
"""Why a partition (None: the question) gets no further now or for good; no reason: it does again."""


@dataclass
class PartitionProjected:
    """What became of a partition. events: how many were taken now; position: of the last block that is in the rows.

    problem: why it does not go on. unread: the log or the state's file does not answer; else something is wrong with them.
    """

    partition: int
    events: int = 0
    position: str | None = None
    problem: str | None = None
    unread: bool = False


@dataclass
class Projected:
    """rows: how many readers see, None where they could not be made again and those that were there stay."""

    partitions: list[PartitionProjected]
    rows: int | None = None


@dataclass
class Compared:
    """The rows made again, beside those that are stored. differences: the first of them, as `{"key", "stored", "made"}`, a row
    None where there is none; count: of all."""

    partitions: list[PartitionProjected]
    rows: int = 0
    count: int = 0
    differences: list[dict[str, Any]] = field(default_factory=list)


async def project(
    log: Log,
    snapshots: Snapshots | None,
    declared: Declared,
    path: Path,
    *,
    once: bool,
    from_start: bool = False,
    sleep: Sleep = asyncio.sleep,
    on_events: OnEvents = lambda events: None,
    on_answer: OnAnswer | None = None,
    on_trouble: OnTrouble = lambda partition, reason: None,
    on_caught_up: Callable[[], None] = lambda: None,
    answer_rows_max: int | None = None,
    rest_s: float = 0.0,
) -> Projected:
    """Keep the rows in this file at the end of the log; what stops a partition keeps nothing from the others.

    once: to the end of the log as it is now; else for ever, until no partition goes on. from_start: made again beside what is
    there, which is replaced when every partition is at the end of the log; killed meanwhile, the same goes on.
    on_caught_up: called once, when what on_answer was told last is of rows in which every partition has been at the end of the
    log, or as far as it gets. answer_rows_max: how many rows of an answer are looked at. rest_s: after a run of few events, for
    the sake of who shares the processor; then there are more of them, which cost little more.

    Raises CannotProject, StateUnavailable, what on_answer raises.
    """
    async with _opened(KeptRows.held(path, declared)) as (file, run):
        work = _Work(
            log, snapshots, file, run, sleep, on_events, on_answer, on_trouble, on_caught_up, answer_rows_max, rest_s
        )
        if from_start:
            await run(file.begin, "next")
            found = await work.all("next", once=True)
            if work.met_another_log:  # what a former one has begun is of no use: this one begins anew
                await run(file.begin_anew)
                found = await work.all("next", once=True)
            if any(each.problem is not None for each in found):
                return Projected(found)
            await run(file.switch)
        else:
            await run(file.begin, "live")
            found = []
        await work.answer()
        if not from_start or not once:
            found = await work.all_answered(once=once)
        return Projected(found, await run(file.count))


async def compare(
    log: Log,
    declared: Declared,
    path: Path,
    *,
    on_events: OnEvents = lambda events: None,
) -> Compared:
    """The stored rows against rows that are made again from the log up to the same blocks, beside whoever goes on storing.

    Raises CannotProject, StateUnavailable.
    """
    with KeptRows.reading(path, declared) as stored:
        async with _opened(KeptRows.held(None, declared)) as (made, run):
            stored.require("live")
            await run(made.begin, "live")
            work = _Work(log, None, made, run, asyncio.sleep, on_events)
            found = [PartitionProjected(partition) for partition in stored.partitions()]
            for each in found:
                await work.guarded(each, _again(work, stored, each))
            compared = Compared(found)
            if all(each.problem is None for each in found):
                differences = await run(lambda: list(_differences(stored.rows(), made.rows())))
                compared.count, compared.rows = len(differences), await run(made.count)
                compared.differences = list(islice(differences, DIFFERENCES_TOLD))
            return compared


async def _again(work: _Work, stored: KeptRows, result: PartitionProjected) -> None:
    place = stored.checkpoint("live", result.partition)
    if result.partition >= work.log.partitions:
        raise CannotProject(_another_log(stored.declared.name, result.partition))
    runs = EventRuns(result.partition)
    blocks = runs.follow(events_of_log(work.log, runs, follow=False), place.sequence)
    await work.take("live", result, blocks)
    if (runs.sequence, runs.block_hash) != place:
        raise CannotProject(_another_log(stored.declared.name, result.partition))


class _Work:
    """What the partitions of one run share: a file, and the one thread that writes it."""

    def __init__(
        self,
        log: Log,
        snapshots: Snapshots | None,
        file: KeptRows,
        run: _Run,
        sleep: Sleep,
        on_events: OnEvents,
        on_answer: OnAnswer | None = None,
        on_trouble: OnTrouble = lambda partition, reason: None,
        on_caught_up: Callable[[], None] = lambda: None,
        answer_rows_max: int | None = None,
        rest_s: float = 0.0,
    ) -> None:
        self.log, self._snapshots, self._file, self._run = log, snapshots, file, run
        self._sleep, self._on_events, self._on_answer = sleep, on_events, on_answer
        self._on_trouble, self._on_caught_up = on_trouble, on_caught_up
        self._behind, self._told_caught_up = set(range(log.partitions)), False
        self._answer_rows_max, self._rest_s = answer_rows_max, rest_s
        self._answered: tuple[str, int] | None = None
        self._changed = asyncio.Event()
        self.met_another_log = False

    async def all(self, generation: Generation, *, once: bool) -> list[PartitionProjected]:
        """Every partition, side by side."""
        found = [PartitionProjected(partition) for partition in range(self.log.partitions)]
        async with asyncio.TaskGroup() as tasks:
            for each in found:
                begun = self._partition(generation, each, follow=False) if once else self._for_ever(generation, each)
                tasks.create_task(self.guarded(each, begun))
        return found

    async def all_answered(self, *, once: bool) -> list[PartitionProjected]:
        """Every partition of the live rows, and beside them the question, at a pace of its own: no row waits for an answer."""
        try:
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(self._answer_for_ever())
                found = await self.all("live", once=once)
                answering.cancel()
        except ExceptionGroup as failed:  # of the question, or a mistake: what stops a partition is told in its result
            first: Exception = failed
            while isinstance(first, ExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        await self.answer()
        return found

    async def guarded(self, result: PartitionProjected, work: Awaitable[None]) -> None:
        """What ends it is its problem."""
        try:
            await work
        except _STOPS as stopped:
            result.problem = str(stopped)
            self._on_trouble(result.partition, result.problem)
            self._is_as_far_as_it_gets(result.partition)  # the others are not to wait for it
            _log.error("partition not projected any more", partition=result.partition, reason=result.problem)
        except (LogFailed, StateUnavailable) as failed:
            result.problem, result.unread = str(failed), True

    async def answer(self) -> None:
        """Tell the answer of the projection's question where it is another one."""
        if self._on_answer is not None and self._file.declared.question is not None:
            caught_up = not self._behind
            with self._noticed(None):
                answer = await self._run(self._file.answer, self._answer_rows_max)
            if (answer.history, answer.number) != self._answered:
                self._answered = answer.history, answer.number
                self._on_answer(answer)
            if caught_up and not self._told_caught_up:
                self._told_caught_up = True
                self._on_caught_up()

    async def _answer_for_ever(self) -> None:
        def tell(failure: Exception) -> None:
            self._on_trouble(None, str(failure))

        now_s = asyncio.get_running_loop().time
        while True:
            await self._changed.wait()
            self._changed.clear()
            began_s = now_s()
            await retry(self.answer, StateUnavailable, WAITS, self._sleep, tell)
            await self._sleep(max(ANSWER_REST_S, 4 * (now_s() - began_s)))

    async def _for_ever(self, generation: Generation, result: PartitionProjected) -> None:
        def tell(failure: Exception) -> None:
            self._on_trouble(result.partition, str(failure))
            _log.warning("partition not projected now, tried again", partition=result.partition, reason=str(failure))

        async def attempt() -> None:
            try:
                await self._partition(generation, result, follow=True)
            except LogDamaged:
                raise
            except (LogFailed, StateUnavailable) as failed:
                raise _Passing(str(failed)) from failed

        await retry(attempt, _Passing, WAITS, self._sleep, tell)

    async def _partition(self, generation: Generation, result: PartitionProjected, *, follow: bool) -> None:
        partition, runs = result.partition, EventRuns(result.partition)
        place = await self._run(self._file.checkpoint, generation, partition)
        await runs.begin(self.log, self._snapshots, place.sequence)
        if place != NOTHING and (runs.sequence, runs.block_hash) != place:
            self.met_another_log = True
            raise CannotProject(_another_log(self._file.declared.name, partition))
        self._on_trouble(partition, None)
        result.position = None if place == NOTHING else str(Position(partition, place.sequence))
        await self.take(generation, result, runs.follow(events_of_log(self.log, runs, follow=False)))
        if generation == "live":
            self._is_as_far_as_it_gets(partition)
        if follow:
            await self.take(generation, result, runs.follow(events_of_log(self.log, runs, follow=True)))

    def _is_as_far_as_it_gets(self, partition: int) -> None:
        if partition in self._behind:
            self._behind.discard(partition)
            self._changed.set()

    async def take(self, generation: Generation, result: PartitionProjected, blocks: Any) -> None:
        """Blocks that follow each other, each run in one transaction."""
        told: BlockEvents
        async with aclosing(blocks) as found:
            async for told in found:
                with self._noticed(result.partition):
                    events = await self._run(advance, self._file, generation, result.partition, told)
                result.events += events
                result.position = str(Position(result.partition, told.first + len(told.at_us) - 1))
                self._on_events(events)
                if events and generation == "live":
                    self._changed.set()
                if self._rest_s and events < FEW_EVENTS:
                    await self._sleep(self._rest_s)

    @contextmanager
    def _noticed(self, partition: int | None) -> Iterator[None]:
        """Around a step: that it does not return, and that it did."""
        reason = f"its code, its question or the disk has not returned for {SLOW_S:.0f} s; only the end of the process ends it."
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._on_trouble, partition, reason)
        try:
            yield
        finally:
            slow.cancel()
        self._on_trouble(partition, None)


class _Passing(Exception):
    """It may answer later."""


class _Run:
    """Calls in one thread, one after the other: also those whose caller has gone.

    The thread is a daemon: a projection that never returns keeps no process from its end, and the file is whole at any moment.
    """

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._work, name="projection", daemon=True).start()

    async def __call__(self, call: Callable[..., T], *given: Any) -> T:
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()

        def settle(returned: Any, raised: Exception | None) -> None:
            if answered.done():  # nobody waits any more
                return
            if raised is not None:
                answered.set_exception(raised)
            else:
                answered.set_result(returned)

        def run() -> None:
            returned: Any = None
            raised: Exception | None = None
            try:
                returned = call(*given)
            except Exception as failure:
                raised = failure
            except BaseException as failure:  # which would end the loop, and all that is served on it
                raised = RuntimeError(f"{type(failure).__name__} was raised")
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, returned, raised)

        self._calls.put(run)
        return await answered

    def end(self) -> None:
        """Behind the calls that were made."""
        self._calls.put(None)

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()


@asynccontextmanager
async def _opened(held: AbstractContextManager[KeptRows]) -> AsyncIterator[tuple[KeptRows, _Run]]:
    """A file, and the one thread that opens, writes and closes it: a disk that hangs keeps nobody else waiting."""
    run, opened = _Run(), ExitStack()
    try:
        yield await run(opened.enter_context, held), run
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await run(opened.close)  # behind an opening that nobody waits for any more, too
        run.end()


def _another_log(name: str, partition: int) -> str:
    return (
        f"The rows of {name} go up to a block of partition {partition} that this log does not have: they are of another log, or "
        "it has lost blocks, or was put back. Nothing was changed. Name another file with --state; if this is the right "
        "log (`fanfold verify`), --from-start makes the rows again."
    )


def _differences(stored: Iterator[tuple[Row, Row]], made: Iterator[tuple[Row, Row]]) -> Iterator[dict[str, Any]]:
    """Of two tables in the order of their keys."""
    one, other = next(stored, None), next(made, None)
    while one is not None or other is not None:
        key = min(each[0] for each in (one, other) if each is not None)
        left, right = (each[1] if each is not None and each[0] == key else None for each in (one, other))
        if left != right:
            yield {"key": list(key), "stored": left and list(left), "made": right and list(right)}
        if left is not None:
            one = next(stored, None)
        if right is not None:
            other = next(made, None)
