"""The simulated processes: the real writer, intake, projector, queries and hub, wired as in production, over faulty ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from gateway.balances import BalancesUnavailable
from gateway.hub import Hub
from gateway.metrics import Metrics
from gateway.protocol.messages import Item, item
from read_side.contract.rows import AccountRow
from read_side.projector import Projector
from read_side.queries import Balances
from read_side.questions import NotFound, NotReached, Rebuilding, Wanted
from read_side.views.view_memory import MemoryViewStore
from tests.simulation.auditor import Auditor, row_of
from tests.simulation.faults import (
    Chaos,
    FaultyLog,
    LastingQueue,
    LastingQueueOfLife,
    Life,
    LifeClock,
    NotedQueue,
)
from tests.simulation.read_faults import FaultyFeed, FaultyView, SharedFeed
from write_side.contract.answers import format_time
from write_side.contract.atoms import available
from write_side.contract.block import Block
from write_side.contract.log_memory import MemoryRecords
from write_side.follower import Follower
from write_side.intake import Intake
from write_side.outcomes import Outcomes
from write_side.queue_memory import MemoryQueue
from write_side.writer import Writer, WriterLimits

T = TypeVar("T")

ANSWER_WAIT_S = 5.0
ASK_WAIT_S = 12.0


@dataclass
class Parts:
    """What is put together: a mutation replaces one of these by something broken."""

    writer: type[Writer] = Writer
    projector: type[Projector] = Projector
    queries: type[Balances] = Balances
    view: type[MemoryViewStore] = MemoryViewStore
    hub: type[Hub] = Hub


@dataclass
class World:
    """What outlives processes, and who watches."""

    chaos: Chaos
    parts: Parts
    records: MemoryRecords
    queue: LastingQueue | None
    view: MemoryViewStore
    feed: SharedFeed
    auditor: Auditor
    trace: Callable[[str], None]
    deciders: dict[bytes, Life] = field(default_factory=dict)
    writers: list[WriteSide] = field(default_factory=list)
    intakes: list[WriteSide] = field(default_factory=list)
    readers: list[ReadSide] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    started: int = 0
    violation: Exception | None = None

    def life(self, role: str) -> Life:
        self.started += 1
        return Life(f"{role} {self.started}", self.chaos, self.trace)

    def check_view(self) -> None:
        number = self.view._live.get(0)
        generation = None if number is None else self.view._generations.get((0, number))
        if generation is not None:
            self.checked(lambda: self.auditor.stored(generation))

    def checked(self, check: Callable[[], None]) -> None:
        """A violation ends the run, even where the product would catch it as one more error of its environment."""
        try:
            check()
        except Exception as violation:
            self.violation = self.violation or violation
            raise


class ConnectionLost(Exception):
    """The process did not answer: it died, sleeps, or is slow."""


async def ask(life: Life, work: Coroutine[Any, Any, T], wait_s: float = ASK_WAIT_S) -> T:
    """Have a process do something, as over a connection. Raises ConnectionLost, or what the work raises."""
    task = life.start(work)
    await asyncio.wait((task,), timeout=wait_s)
    if not task.done() or task.cancelled():
        raise ConnectionLost
    return task.result()


class WriteSide:
    """Intake and writer of the one partition; `decides=False`: an intake alone, which follows what another process decides."""

    def __init__(self, world: World, decides: bool = True) -> None:
        self.world = world
        self.life = life = world.life("writer" if decides else "intake")
        self.clock = LifeClock()
        self.noted: NotedQueue | None = None
        self.ready = False
        self._decides = decides
        log = FaultyLog(life, world.records, world.deciders)
        queue: NotedQueue | LastingQueueOfLife
        if world.queue is None:
            queue = self.noted = NotedQueue(life, MemoryQueue())
        else:
            queue = LastingQueueOfLife(life, world.queue)
        self.owner: Writer | Follower
        if decides:
            limits = WriterLimits(block_commands_max=world.chaos.random.choice((1, 4, 8_192)))
            self.owner = world.parts.writer(0, log, queue, self.clock, limits, self._accepted)
        else:
            self.owner = Follower(0, log, self._accepted)
        self.outcomes = Outcomes(0, self.owner.replay, log)
        self.intake = Intake(queue, {0: self.outcomes}, partitions=1, wait_s=ANSWER_WAIT_S)
        life.start(self._live())

    async def _live(self) -> None:
        try:
            await self.owner.start()
            self.world.checked(self._compare)
            self.ready = True
            await self.owner.run()
        except Exception as failure:
            self.outcomes.fail(failure)
            await asyncio.sleep(0)  # whoever waits is told before the process is gone
            self.life.crash(type(failure).__name__)

    def _accepted(self, block: Block, offset: int) -> None:
        self.outcomes.accepted(block, offset)
        self.world.checked(self._compare)

    def _compare(self) -> None:
        self.world.auditor.same_state(self.owner.state, self.life.name, fingerprints=self._decides)


class ReadSide:
    """A projector and the queries beside it; `projects=False`: a process that only reads the view that another one keeps."""

    def __init__(self, world: World, projects: bool = True) -> None:
        self.world = world
        self.life = life = world.life("projector" if projects else "reader")
        self.clock = LifeClock()
        log = FaultyLog(life, world.records, world.deciders)
        view = FaultyView(life, world.view, world.check_view)
        self.projector: Projector | None = None
        if projects:
            feed = FaultyFeed(life, world.feed)
            self.projector = world.parts.projector(0, log, view, feed, self.clock, life.name)
        self.queries = world.parts.queries(view, log, {} if self.projector is None else {0: self.projector})
        self.served = -1
        if self.projector is not None:
            life.start(self._live(self.projector))

    async def _live(self, projector: Projector) -> None:
        try:
            await projector.start()
            await projector.run()
        except Exception as failure:
            self.life.crash(type(failure).__name__)
        self.world.checked(lambda: self.world.auditor.require(projector.stopped is None, f"{projector.stopped}"))

    async def read(
        self, accounts: Sequence[str], min_position: int, wait_s: float
    ) -> tuple[int, list[AccountRow | None]]:
        """Audited. Raises NotReached, Rebuilding, ConnectionLost."""
        auditor, before = self.world.auditor, self.served
        there = auditor.rows[-1] if auditor.rows else {}
        wanted = Wanted({0: min_position} if min_position >= 0 else {}, None, wait_s)
        answered, rows = await ask(self.life, self.queries.many(accounts, wanted))
        position = int(answered.removeprefix("0:")) if answered else -1
        self.served = max(self.served, position)
        found = [None if row is None else row[0] for row in rows]
        self.world.trace(f"{self.life.name} shows {position}")

        def check() -> None:
            auditor.require(position >= before, "a read goes back below what was served")
            auditor.require(position >= min_position, "a read is below the position that was asked for")
            for name, row in zip(accounts, found, strict=True):
                auditor.shown(name, row_of(row), position)
                auditor.require(row is not None or name not in there, "an account that was there is called unknown")

        self.world.checked(check)
        return position, found


class _ReadsOfGateway:
    """The gateway's balances port, over whichever read side answers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(
        self, partition: int, accounts: Sequence[str], min_position: int, wait_ms: int
    ) -> tuple[dict[str, Item], int]:
        alive = [each for each in self._world.readers if each.life.alive]
        if not alive:
            raise BalancesUnavailable
        try:
            reader = self._world.chaos.random.choice(alive)
            position, rows = await reader.read(accounts, min_position, wait_ms / 1000)
        except (ConnectionLost, NotReached, Rebuilding, NotFound) as away:
            raise BalancesUnavailable from away
        return {row.account: _item_of(row) for row in rows if row is not None}, position


def _item_of(row: AccountRow) -> Item:
    spendable = available(row.posted, row.held, row.floor)
    text = None if spendable is None else str(spendable)
    return item(row.version, row.asset, str(row.posted), str(row.held), text, format_time(row.at_us))


class Gateway:
    """The hub of one gateway process."""

    def __init__(self, world: World) -> None:
        self.life = world.life("gateway")
        self.hub = world.parts.hub(
            FaultyFeed(self.life, world.feed),
            _ReadsOfGateway(world),
            Metrics(CollectorRegistry()),
            lambda: round(asyncio.get_running_loop().time() * 1000),
            snapshot_wait_ms=10_000,
            cut_wait_ms=1_000_000_000,  # the cut is never given up, so that it can be audited
            feed_silence_ms=5_000,
        )
        self.hub.open(1)
        self.life.start(self.hub.run())
