"""The simulated processes: the real writer, intake, projector, queries and hub, wired as in production, over faulty ports."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry

import write_side.owner.partition
from gateway.metrics import Metrics
from gateway.protocol.messages import Item, item
from gateway.streams.balance_source import BalancesUnavailable, Found
from gateway.streams.hub import Hub
from gateway.streams.lifetimes import LifeTerms, Lifetimes
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.websocket_server import StreamConnection
from read_side.ask.balances import BalanceReader
from read_side.contract.how_far import Wanted
from read_side.contract.no_answer import NotFound, NotReached, Unanswerable
from read_side.contract.rows import AccountRow
from read_side.follow.keeper import Keepers
from read_side.follow.projector import Projector
from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from read_side.history.keeping import keep
from read_side.views.view_memory import MemoryViewStore
from tests.simulation.archive import archive_for_ever, archived, trim_for_ever
from tests.simulation.auditor import Auditor, positions_of, row_of
from tests.simulation.clocks import LifeClock, SharedTime
from tests.simulation.disks import Disks, SimulatedTaker, SnapshotPlace
from tests.simulation.faults import Chaos, FaultyLog, Life
from tests.simulation.limits import writer_limits
from tests.simulation.queue_faults import LastingQueue, LastingQueueOfLife, NotedQueue
from tests.simulation.read_faults import FaultyFeed, FaultyView, LogThatLeaves, SharedFeed
from tests.unit.write_side.ledger.rich_streams import ACCOUNTS
from write_side.contract.block.block import Block
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.atoms import available, partition_of
from write_side.contract.words.times import format_time
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.intake.intake import Intake, Overloaded, Stopping
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.clock import ClockStepped
from write_side.owner.failures import Next, what_follows
from write_side.owner.follower import Follower
from write_side.owner.look import look
from write_side.owner.lost_commands import CommandsLost
from write_side.owner.outcomes import OutcomeUnknown, PartitionUnavailable
from write_side.owner.partition import Partition, Standing
from write_side.owner.relay import Relay
from write_side.owner.trimmer import Trimmer
from write_side.owner.writer import Overtaken, Writer, WriterLimits
from write_side.queue.command_queue import CommandQueue
from write_side.queue.queue_memory import MemoryQueue

T = TypeVar("T")

STREAM_TERMS = StreamTerms(
    connections_max=100,
    subscriptions_max=100,
    message_bytes_max=16_384,
    buffer_bytes=1_000,
    ping_ms=4_000,
    pong_ms=4_000,
    close_ms=1_000,
    origins=frozenset(),
)
LIFE_TERMS = LifeTerms(heartbeat_ms=1_500, age_ms=20_000, return_ms=1_000, sign_in_ms=1_000)
"""Pings and buffers so small that a story of seconds meets them as a client of hours does."""
FORESEEN = (LogFailed, ClockStepped, Overtaken, ChainBroken, CheckFailed)
"""What may end a partition. The last two are found by its auditor, who says more."""
ANSWER_WAIT_S = 5.0
ASK_WAIT_S = 12.0
GIVEN_UP_S = 2.0
TRIM_S = 1.0
COMMANDS_KEPT_US = (0, 0, 500_000)
"""What a block has consumed is given back as soon as it is accepted, or a little later: it may be the last moment anyhow."""


@dataclass
class Parts:
    """What is put together: a mutation replaces one of these by something broken."""

    writer: type[Writer] = Writer
    ids: type[IdRuns] = IdRuns
    projector: type[Projector] = Projector
    queries: type[BalanceReader] = BalanceReader
    keepers: type[Keepers] = Keepers
    view: type[MemoryViewStore] = MemoryViewStore
    hub: type[Hub] = Hub
    relay: type[Relay] = Relay
    trimmer: type[Trimmer] = Trimmer
    queue: type[MemoryQueue] = MemoryQueue


@dataclass
class World:
    """What outlives processes, and who watches."""

    chaos: Chaos
    parts: Parts
    records: MemoryRecords
    queues: list[LastingQueue] | None
    view: MemoryViewStore
    feed: SharedFeed
    auditors: list[Auditor]
    trace: Callable[[str], None]
    time: SharedTime
    disks: Disks
    snapshots: SnapshotPlace
    archive: SnapshotPlace
    ids_max: int = 1 << 24
    commands_max: int = 131_072
    deciders: dict[bytes, list[Life]] = field(default_factory=dict)
    writers: list[WriteSide] = field(default_factory=list)
    intakes: list[WriteSide] = field(default_factory=list)
    readers: list[ReadSide] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    started: int = 0
    violation: Exception | None = None
    violated: asyncio.Event = field(default_factory=asyncio.Event)

    def life(self, role: str) -> Life:
        self.started += 1
        return Life(f"{role} {self.started}", self.chaos, self.trace)

    @property
    def partitions(self) -> int:
        return len(self.auditors)

    def auditor_of(self, account: str) -> Auditor:
        return self.auditors[partition_of(account, self.partitions)]

    def live_generation(self, partition: int) -> Any:
        """The content of the live view of a partition; None while it has none."""
        number = self.view._live.get(partition)
        return None if number is None else self.view._generations.get((partition, number))

    def start(self, life: Life, what: str, work: Coroutine[Any, Any, None]) -> None:
        """Have a process do something beside what it serves. All that may fail it it must tell itself: more is a violation."""

        async def watched() -> None:
            try:
                await work
            except Exception as failure:
                self.checked(partial(self.auditors[0].require, False, f"{what} fails: {failure!r}"))

        life.start(watched())

    def check_view(self) -> None:
        for auditor in self.auditors:
            generation = self.live_generation(auditor.partition)
            if generation is not None:
                self.checked(partial(auditor.stored, generation))

    def checked(self, check: Callable[[], None]) -> None:
        """A violation ends the run, even where the product would catch it as one more error of its environment."""
        try:
            check()
        except Exception as violation:
            self.violation = self.violation or violation
            self.violated.set()
            raise


class ConnectionLost(Exception):
    """The process did not answer: it died, sleeps, or is slow."""


NOT_ANSWERED: Final = (ConnectionLost, OutcomeUnknown, Overloaded, PartitionUnavailable, Stopping, LogFailed)
"""What a door tells as no answer: whoever asks asks again."""


async def ask(life: Life, work: Coroutine[Any, Any, T], wait_s: float = ASK_WAIT_S) -> T:
    """Have a process do something, as over a connection. Raises ConnectionLost, or what the work raises."""
    task = life.start(work)
    await asyncio.wait((task,), timeout=wait_s)
    if not task.done() or task.cancelled():
        raise ConnectionLost
    return task.result()


async def begin(life: Life, work: Coroutine[Any, Any, object], for_s: float) -> None:
    """Have a process do something, and hang up after a while, whether it is done or not: then it ends in the middle."""
    task = life.start(work)
    await asyncio.wait((task,), timeout=for_s)
    task.cancel()


class WriteSide:
    """Writers of some partitions, followers of the others, and an intake; `owned` of none: an intake alone."""

    def __init__(self, world: World, owned: Sequence[int]) -> None:
        self.world = world
        self.owned = tuple(owned)
        self.life = life = world.life(f"writer of {list(owned)}" if owned else "intake")
        self.clock = LifeClock(world.time)
        self.noted: NotedQueue | None = None
        self.ready = False
        log = archived(world, FaultyLog(life, world.records, world.deciders))
        queue: NotedQueue | LastingQueueOfLife
        if world.queues is None:
            queue = self.noted = NotedQueue(
                life, world.parts.queue(world.commands_max), world.partitions, self._require
            )
        else:
            queue = LastingQueueOfLife(life, world.queues)
        limits = writer_limits(world.chaos, world.ids_max)
        self.snapshots = Snapshots(world.snapshots, log)
        self.ids = world.disks.of(life, "ids", self.owned) if world.auditors[0].wallet.ever else None
        self.partitions = [SimulatedPartition(p, self, log, queue, limits) for p in range(world.partitions)]
        self.intake = Intake(
            queue,
            {each.number: each.outcomes for each in self.partitions},
            partitions=world.partitions,
            clock=self.clock,
            wait_s=ANSWER_WAIT_S,
            ids_max=world.ids_max,
        )
        life.start(self._live())
        life.start(self._settle())
        if self.owned:
            life.start(self._until_nothing_is_left())
        life.start(look(log, queue, self.partitions))
        if self.owned:
            kept_us = world.chaos.random.choice(COMMANDS_KEPT_US)
            life.start(self._trim(world.parts.trimmer(self.partitions, queue, self.clock, kept_us)))
        if owned:
            positions = {p: partial(getattr, world.auditors[p], "sequence") for p in owned}
            taker = SimulatedTaker(life, self.snapshots, log, positions, FINGERPRINTS)
            world.start(life, "a snapshot", taker.run())
            world.start(life, "archiving", archive_for_ever(world, life, log, owned))
            world.start(life, "a trim", trim_for_ever(world, life, log, self.snapshots))

    @property
    def needs_a_person(self) -> bool:
        """Whether a partition that it should write is stopped for good, or the process with it."""
        return any(each.owned and each.given_up.is_set() for each in self.partitions)

    @property
    def takes_up(self) -> bool:
        """Whether it is about to take a partition up again: after a failure, or when its clock has been right for a minute."""
        return any(each.owned and each.standing in (Standing.STARTING, Standing.WAITING) for each in self.partitions)

    @property
    def is_outlived(self) -> bool:
        """Whether it serves a partition that another writer has taken over, and has not noticed yet."""
        return any(
            each.owned
            and each.standing is Standing.SERVING
            and each.part.state.chained.epoch < self.world.auditors[each.number].epoch
            for each in self.partitions
        )

    def is_up_to_date(self, partition: int) -> bool:
        """Whether it knows what a partition knows: while that is taken up again, or overtaken, it knows what was before."""
        each = self.partitions[partition]
        known = each.part.state.chained.epoch
        return each.standing is Standing.SERVING and known == self.world.auditors[partition].epoch

    def waits_for(self) -> str | None:
        """What the process still keeps of requests; None when it keeps nothing."""
        for partition, lane in self.intake._lanes.items():
            outcomes = lane.outcomes
            if lane.gathered or lane._waiting or lane._in_flight or outcomes._waiting or outcomes._ending:
                return f"{self.life.name} keeps requests of partition {partition}"
        return None

    def _require(self, holds: bool, what: str) -> None:
        self.world.checked(partial(self.world.auditors[0].require, holds, what))

    async def _settle(self) -> None:
        for each in self.partitions:
            await each.settled.wait()
        self.ready = True

    async def _trim(self, trimmer: Trimmer) -> None:
        while True:
            await asyncio.sleep(self.world.chaos.random.uniform(0.0, TRIM_S))
            await trimmer.look()

    async def _live(self) -> None:
        try:
            await write_side.owner.partition.keep_all(self.partitions)
        except Exception as failure:
            self._require(not _passes(failure), f"a failure that passes ends a whole process: {failure!r}")
            await asyncio.sleep(0)  # whoever waits is told before the process is gone
            self.life.crash(type(failure).__name__)

    async def _until_nothing_is_left(self) -> None:
        """A process that writes nothing any more stays, and answers, until somebody looks and ends it."""
        for each in self.partitions:
            if each.owned:
                await each.given_up.wait()
        await asyncio.sleep(GIVEN_UP_S)
        self.life.crash("nothing is left to write")

    def compare(self, part: Writer | Follower) -> None:
        """Audit a live state: it is that of the log."""
        auditor, decides = self.world.auditors[part.partition], part.partition in self.owned
        self.world.checked(lambda: auditor.same_state(part.state, self.life.name, fingerprints=decides))


def _passes(failure: Exception) -> bool:
    """Whether it is one that goes away by itself, so that its partition is taken up again."""
    return what_follows(failure, 1) is Next.AGAIN and isinstance(failure, LogFailed | ClockStepped)


def _new_ids(side: WriteSide, folder: Path, partition: int) -> IdRuns:
    return side.world.parts.ids(RunFolder(folder, FileStore(folder), partition))


class SimulatedPartition(Partition):
    """The real one, of the parts of this story, and audited."""

    def __init__(self, number: int, side: WriteSide, log: Log, queue: CommandQueue, limits: WriterLimits) -> None:
        self._side = side
        super().__init__(
            number,
            log,
            queue,
            side.clock,
            limits,
            owned=number in side.owned,
            snapshots=side.snapshots,
            new_ids=None if side.ids is None else partial(_new_ids, side, side.ids, number),
        )
        if self.owned:
            self.relay = side.world.parts.relay(number, queue, side.clock)

    def _new_part(self) -> Writer | Follower:
        if not self.owned:
            return super()._new_part()
        make = self._side.world.parts.writer
        return make(
            self.number,
            self._log,
            self._queue,
            self._clock,
            self._limits,
            self._accepted,
            guard=self._guard,
            claimed=self._claimed,
            snapshots=self._snapshots,
            ids=None if self._new_ids is None else self._new_ids(),
        )

    def _serve(self) -> None:
        if self.failures:
            self._side.world.chaos.count("partition came back")
        if self.part.replay.began_after >= 0:
            self._side.world.chaos.count("write side began at a snapshot")
        self._side.compare(self.part)
        if self._claimed is not None and isinstance(self.part, Writer):
            epoch = self.part.state.chained.epoch
            self._side._require(epoch <= self._claimed + 1, "a process takes a partition back from who took it over")
        super()._serve()

    def _fail(self, failure: Exception, follows: Next) -> None:
        self._side.world.trace(f"{self._side.life.name}: partition {self.number} {follows}: {type(failure).__name__}")
        self._side._require(isinstance(failure, FORESEEN), f"a fault of ours ended a partition: {failure!r}")
        lost = isinstance(failure, CommandsLost)
        self._side._require(
            not lost, f"commands were given back that no block has consumed, or it is only said: {failure}"
        )
        super()._fail(failure, follows)

    def _accepted(self, block: Block, offset: int) -> None:
        super()._accepted(block, offset)
        self._side.compare(self.part)


class ReadSide:
    """Projectors of some partitions and the queries beside them; of none: a process that only reads the view that others keep."""

    def __init__(self, world: World, projects: Sequence[int]) -> None:
        self.world = world
        self.projects = tuple(projects)
        self.life = life = world.life(f"projector of {list(projects)}" if projects else "reader")
        self.clock = LifeClock(world.time)
        log = archived(world, LogThatLeaves(life, world.records, world.deciders))
        view = FaultyView(life, world.view, world.check_view)
        self.projectors: dict[int, Projector] = {}
        self.histories: dict[int, History] = {}
        self._log = log
        if projects:
            feed, snapshots = FaultyFeed(life, world.feed), Snapshots(world.snapshots, log)
            disk = world.disks.of(life, "history", self.projects)
            for p in projects:
                history = self.histories[p] = History(SegmentFolder(disk, FileStore(disk), p))
                self.projectors[p] = world.parts.projector(
                    p, log, view, feed, self.clock, life.name, snapshots, history
                )
        self.queries = world.parts.queries(view, log, self.projectors)
        self.served: dict[int, int] = {}
        if projects:
            life.start(self._live())

    async def _live(self) -> None:
        keepers = self.world.parts.keepers(tuple(self.projectors.values()), self.clock)
        try:
            for history in self.histories.values():
                await asyncio.to_thread(history.open)
            await keepers.start()
            self.life.start(keep(tuple(self.histories.values()), self._log, self.clock.sleep))
            await keepers.run()
        except Exception as failure:
            self.life.crash(type(failure).__name__)
        for partition, projector in self.projectors.items():
            stopped = projector.stopped
            self.world.checked(partial(self.world.auditors[partition].require, stopped is None, f"{stopped}"))

    async def read(
        self, accounts: Sequence[str], min_positions: Mapping[int, int], wait_s: float, *, written: bool = False
    ) -> tuple[dict[int, int], list[AccountRow | None]]:
        """The positions reached and the rows. Audited. Raises NotReached, Unanswerable, ConnectionLost.

        written: the positions are known to have been in the log, as a gateway says it.
        """
        before = dict(self.served)
        there = {name for auditor in self.world.auditors if auditor.rows for name in auditor.rows[-1]}
        wanted = Wanted({}, None, wait_s, min_positions, {}) if written else Wanted(min_positions, None, wait_s, {}, {})
        answered = await ask(self.life, self.queries.many(accounts, wanted))
        if answered.failed:
            raise answered.failed[0]
        rows, undecided = answered.rows, {accounts[place] for place in answered.undecided}
        positions = positions_of(answered.positions)
        for partition, sequence in positions.items():
            self.served[partition] = max(self.served.get(partition, -1), sequence)
        found = [None if row is None else row[0] for row in rows]
        self.world.trace(f"{self.life.name} shows {answered.positions}")

        def check() -> None:
            for name, row in zip(accounts, found, strict=True):
                auditor = self.world.auditor_of(name)
                position = positions.get(auditor.partition, -1)
                auditor.require(position >= before.get(auditor.partition, -1), "a read goes back below what was served")
                least = min_positions.get(auditor.partition, -1)
                auditor.require(position >= least, "a read is below the position that was asked for")
                auditor.shown(name, row_of(row), position)
                auditor.require(
                    row is not None or name not in there or name in undecided,
                    "an account that was there is called unknown",
                )

        self.world.checked(check)
        return positions, found


class _ReadsOfGateway:
    """The gateway's balances port, over whichever read side answers."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, partition: int, accounts: Sequence[str], min_position: int, wait_ms: int) -> Found:
        alive = [each for each in self._world.readers if each.life.alive]
        if not alive:
            raise BalancesUnavailable
        try:
            reader = self._world.chaos.random.choice(alive)
            wanted = {partition: min_position} if min_position >= 0 else {}
            positions, rows = await reader.read(accounts, wanted, wait_ms / 1000, written=True)
        except (ConnectionLost, NotReached, Unanswerable, NotFound) as away:
            raise BalancesUnavailable from away
        items = {row.account: _item_of(row) for row in rows if row is not None}
        return Found(items, positions.get(partition, -1))


class NamesOfGateway:
    """The gateway's names port: what the fold of a reader has, of the partition as it shows it or later."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._balances = _ReadsOfGateway(world)

    async def with_prefix(
        self, partition: int, partitions: int, prefix: str, most: int, min_position: int, wait_ms: int
    ) -> list[str]:
        names = [each for each in ACCOUNTS if self._world.auditor_of(each).partition == partition]
        found = await self._balances.read(partition, names, min_position, wait_ms)
        return sorted(name for name in found.items if name.startswith(prefix))[:most]


def _item_of(row: AccountRow) -> Item:
    spendable = available(row.posted, row.held, row.floor)
    text = None if spendable is None else str(spendable)
    return item(row.version, row.asset, str(row.posted), str(row.held), text, format_time(row.at_us))


class Gateway:
    """The hub of one gateway process, and its connections."""

    def __init__(self, world: World) -> None:
        self.life = world.life("gateway")
        self.connections: set[Any] = set()
        self._metrics = Metrics(CollectorRegistry())

        def now_ms() -> int:
            return round(asyncio.get_running_loop().time() * 1000)

        self.hub = world.parts.hub(
            FaultyFeed(self.life, world.feed),
            _ReadsOfGateway(world),
            NamesOfGateway(world),
            self._metrics,
            now_ms,
            lambda: 0,  # for metrics alone
            snapshot_wait_ms=10_000,
            cut_wait_ms=1_000_000_000,  # the cut is never given up, so that it can be audited
            feed_silence_ms=5_000,
            lifetimes=Lifetimes(
                LIFE_TERMS, self._metrics, now_ms, lambda: 0, world.chaos.random.randint, lambda: "gateway"
            ),
        )
        self.hub.open(world.partitions)
        self.life.start(self.hub.run())

    def connection(self) -> StreamConnection:
        """The gateway's side of a new connection, as its server makes one for a handshake."""
        return self.life.within(
            lambda: StreamConnection(
                self.hub, STREAM_TERMS, self._metrics, lambda: False, config=None, server_state=self, app_state=None
            )
        )
