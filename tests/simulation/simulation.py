"""One run: processes, clients and a storm of faults for a while, then calm; everything asked must then come to an end.

`run_seed(seed)` is the whole story of a seed. Nothing in it depends on anything but the seed.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from structlog.testing import capture_logs

from read_side.contract.no_answer import NotReached, Unanswerable
from tests.simulation import past, virtual_time
from tests.simulation.asking import Clients
from tests.simulation.auditor import Auditor, Violation
from tests.simulation.clocks import SharedTime
from tests.simulation.disks import Disks, SnapshotPlace, disks_of
from tests.simulation.faults import Chaos, Life
from tests.simulation.idle import IDLE_STORIES, leap, quiet_weeks
from tests.simulation.limits import commands_max, limits_of
from tests.simulation.processes import ASK_WAIT_S, ConnectionLost, Gateway, Parts, ReadSide, World, WriteSide
from tests.simulation.queue_faults import Batch, LastingQueue
from tests.simulation.read_faults import SharedFeed
from tests.simulation.slow_reader import SlowReader, leaks_of
from tests.simulation.watcher import ToldOfPrefixes, Watcher
from tests.unit.write_side.ledger.model.wallet import Wallet
from tests.unit.write_side.ledger.rich_streams import ACCOUNTS
from write_side.contract.block.block import decode
from write_side.contract.log.log_memory import MemoryRecords

CLIENTS = 8
STORM_S = 20.0
PAST_S = 120.0
"""Virtual seconds after which the histories of those who project tell the past again, when nothing fails any more."""
CALM_MAX_S = 600.0
"""Virtual seconds. Everything comes to an end long before; later than this something hangs."""
PARTITIONS = (1, 2, 2, 3, 4)
IDS_MAX = (1 << 24, 1 << 24, 16, 4)
"""Ids that a partition remembers: in some stories so few that what is over is forgotten while it is still asked about."""
EVER = 0.6
"""In how many stories every id that ran is kept on a disk."""

LEAPS = 0.1
"""How much of what the storm does is a leap in time, in a story that has any."""

PREFIXES_EACH = 3
"""Of so many stories one has somebody who watches prefixes, beside whom a gateway wants every row; the others tell of marks."""


class Story(NamedTuple):
    """What a run was. `trace_hash` names every step with its time, so two equal ones are the same run.

    across: how the transfers across partitions ended, how many of each.
    """

    seed: int
    partitions: int
    trace_hash: str
    blocks: int
    answers: int
    looks: int
    pushes: int
    across: dict[str, int]
    faults: dict[str, int]


class _Records(MemoryRecords):
    """The log's records; the auditor looks at each one first."""

    appended: Callable[[int, bytes], None]

    def append(self, partition: int, block: bytes) -> int:
        offset = super().append(partition, block)
        self.appended(partition, block)
        return offset


def run_seed(
    seed: int, parts: Parts | None = None, partitions: Sequence[int] = PARTITIONS, small: bool | None = None
) -> Story:
    """Raises Violation (or what the product raised that nobody handled) when a rule does not hold.

    partitions: how many there may be; the seed chooses.  small: whether the log is a small one; None: the seed chooses.
    """
    chaos = Chaos(seed)
    with capture_logs(), limits_of(chaos, small) as floods, disks_of(chaos) as disks:
        return virtual_time.run(
            lambda: _Run(seed, chaos, parts or Parts(), partitions, floods, disks).run(), chaos.delay_s
        )


class _Run:
    def __init__(
        self, seed: int, chaos: Chaos, parts: Parts, counts: Sequence[int], floods: bool, disks: Disks
    ) -> None:
        self.seed, self.chaos = seed, chaos
        self._hash = hashlib.blake2b(digest_size=16)
        partitions = chaos.random.choice(counts)
        records = _Records(partitions)
        queues = [LastingQueue(chaos) for _ in range(partitions)] if chaos.random.random() < 0.5 else None
        # A process for each partition, or one for all: the embedded queue lives and dies with the one.
        apart = queues is not None and chaos.random.random() < 0.6
        self.owners = [(p,) for p in range(partitions)] if apart else [tuple(range(partitions))]
        # One read side for all partitions, one for each, or one for the first and one for the others.
        every = tuple(range(partitions))
        shares = {(every,), tuple((p,) for p in every), (every[:1], every[1:] or every)}
        self.projected = chaos.random.choice(sorted(shares))
        ids_max = chaos.random.choice(IDS_MAX)
        self.wallet = Wallet(partitions, ids_max, ever=chaos.random.random() < EVER)
        self.time = SharedTime()
        self.idle = chaos.random.random() < IDLE_STORIES
        self.clients = Clients(self.wallet, chaos, self.time, floods=floods, idle=self.idle)
        auditors = [
            Auditor(
                p,
                self.wallet,
                partial(self._commands_at, p),
                lambda block: self.world.deciders[block][0].name,
                self.trace,
                self.clients.rules,
            )
            for p in range(partitions)
        ]
        self.world = World(
            chaos, parts, records, queues, parts.view(), SharedFeed(), auditors, self.trace, self.time, disks,
            SnapshotPlace(chaos), SnapshotPlace(chaos, "copy"), ids_max,
        )  # fmt: skip
        self.world.commands_max = commands_max(chaos, floods)
        self.clients.world = self.world
        records.appended = self._appended
        self.watcher = Watcher(self.world, tuple(ACCOUNTS))
        self.watchers = [self.watcher]
        if seed % PREFIXES_EACH == 0:
            self.watchers.append(Watcher(self.world, tuple(ACCOUNTS), ToldOfPrefixes))
        self.slow_reader = SlowReader(self.world, tuple(ACCOUNTS))
        self.pushes = 0
        self._copy: tuple[Any, Any] | None = None

    def trace(self, what: str) -> None:
        now_us = round(asyncio.get_running_loop().time() * 1e6)
        self.pushes += what.startswith("pushed")
        self._hash.update(f"{now_us} {what}\n".encode())

    def _appended(self, partition: int, block: bytes) -> None:
        self.world.checked(partial(self.world.auditors[partition].appended, block))
        self.world.checked(self.clients.batches.at_end_of_block)
        self.world.checked(partial(self.clients.who_asked.told, decode(block)))

    def _commands_at(self, partition: int, block: bytes, offset: int) -> Batch | None:
        if self.world.queues is not None:
            return self.world.queues[partition].records[offset]
        noted = next(each.noted for each in self.world.writers if each.life is self.world.deciders[block][-1])
        assert noted is not None
        return noted.records[partition, offset]

    async def run(self) -> Story:
        clients = [asyncio.create_task(self.clients.client()) for _ in range(CLIENTS)]
        whole = asyncio.create_task(self._to_the_end(clients))
        endless = (
            self._supervise(),
            self._storm(),
            self.clients.meddle(),
            self._watch(),
            self.slow_reader.run(),
            self._read_for_ever(),
            past.ask_for_ever(self.world),
            self._read_for_ever(),
            self.world.violated.wait(),  # at once: partitions that meet it again and again filled gigabytes by the end
        )
        open_tasks = {whole, *clients, *map(asyncio.create_task, endless)}
        while not whole.done():
            done, open_tasks = await asyncio.wait(open_tasks, return_when=asyncio.FIRST_COMPLETED, timeout=CALM_MAX_S)
            self._look()
            self.world.auditors[0].require(bool(done), "what was asked never comes to an end")
            for task in done:
                task.result()
        return whole.result()

    def _look(self) -> None:
        if self.world.violation is not None:
            raise self.world.violation
        for projector in (each for reader in self.world.readers for each in reader.projectors.values()):
            given_up = projector.ended is not None and not projector.elsewhere
            self.world.auditors[projector.partition].require(not given_up, f"{projector.ended}")

    async def _to_the_end(self, clients: list[asyncio.Task[None]]) -> Story:
        await asyncio.sleep(STORM_S)
        self.chaos.calm = True
        self.trace("calm")
        for process in self._clocked():
            process.clock.wall_apart_us = 0
        await asyncio.gather(*clients)
        await self.clients.ask_again()
        if self.idle:
            await self._weeks_later()
        if self.chaos.random.random() < 0.5:
            self._spoil_view()  # nothing is written any more that would show it to the projector
        await self._settled()
        await self._nothing_left()
        await self._past_is_told()
        self.world.checked(self.wallet.require_over)
        counts = dict(sorted(self.chaos.counts.items()))
        digest = self._hash.hexdigest()
        for life in list(self._lives()):
            life.crash("the end")
        auditors = self.world.auditors
        return Story(
            self.seed,
            len(auditors),
            digest,
            sum(each.sequence + 1 for each in auditors),
            sum(each.acknowledged for each in auditors),
            sum(each.looks for each in auditors),
            self.pushes,
            dict(sorted(Counter(self.wallet.finals.values()).items())),
            counts,
        )

    async def _weeks_later(self) -> None:
        """Whoever wrote a partition before still does afterwards, and the load goes on."""
        await self._settled()
        # What rivals do to each other is not what the weeks do.
        alive = [each for each in self.world.writers if each.life.alive]
        while any(each.takes_up or each.is_outlived or each.needs_a_person for each in alive):
            await asyncio.sleep(1.0)
            self._look()
            alive = [each for each in self.world.writers if each.life.alive]
        epochs = [auditor.epoch for auditor in self.world.auditors]
        await quiet_weeks(self.world)
        await self.clients.go_on()
        for auditor, before in zip(self.world.auditors, epochs, strict=True):
            auditor.require(auditor.epoch == before, "weeks of idle time ended a writer")

    async def _nothing_left(self) -> None:
        """No process keeps anything of clients that are answered, or gone, longer than a client waits."""
        until_s = asyncio.get_running_loop().time() + 2 * ASK_WAIT_S
        while any(left := [each.waits_for() for each in self._writing()]):
            self.world.auditors[0].require(asyncio.get_running_loop().time() < until_s, f"{left}")
            await asyncio.sleep(0.5)
        for gateway in [each for each in self.world.gateways if each.life.alive]:
            self.world.auditors[0].require(leaks_of(gateway) is None, f"{leaks_of(gateway)}")

    async def _past_is_told(self) -> None:
        """Every history of a process that projects is complete in the end, and tells all that the log has."""
        until_s = asyncio.get_running_loop().time() + PAST_S
        left = [(reader, p) for reader in self.world.readers if reader.life.alive for p in reader.histories]
        while left := [(reader, p) for reader, p in left if reader.life.alive and not self._tells_all(reader, p)]:
            late = asyncio.get_running_loop().time() > until_s
            self.world.auditors[left[0][1]].require(not late, f"{left[0][0].life.name} never tells the past")
            await asyncio.sleep(0.5)

    def _tells_all(self, reader: ReadSide, partition: int) -> bool:
        projector = reader.projectors[partition]
        if not projector.ready or projector.ended is not None or projector.elsewhere:
            return True  # nobody asks it
        return past.ask_one(self.world, reader, partition, whole=True)

    def _writing(self) -> list[WriteSide]:
        return [each for each in self.world.writers + self.world.intakes if each.life.alive]

    async def _settled(self) -> None:
        while not self._is_settled():
            await asyncio.sleep(0.5)
            self._look()

    def _is_settled(self) -> bool:
        """Every transfer has ended, the view is at the log's end, and the clients of the stream know every balance."""
        if not self.wallet.is_over:
            return False
        newest: dict[str, int] = {}
        for auditor in self.world.auditors:
            generation = self.world.live_generation(auditor.partition)
            stored = None if generation is None else generation.checkpoint
            if stored is None or stored.sequence != auditor.sequence:
                return False
            newest |= {name: row.version for name, row in auditor.rows[-1].items() if name in ACCOUNTS}
        told = [each.told.versions for each in self.watchers]
        return all(versions == newest for versions in (*told, self.slow_reader.told.versions))

    def _lives(self) -> list[Life]:
        lives = [each.life for each in self._clocked()] + [each.life for each in self.world.gateways]
        return [life for life in lives if life.alive]

    def _clocked(self) -> list[WriteSide | ReadSide]:
        return [*self.world.writers, *self.world.intakes, *self.world.readers]

    # Processes.

    async def _supervise(self) -> None:
        """Somebody awake in each role, now and then one too many. The reader without a projector is the second reader."""
        world = self.world
        while True:
            for owned in self.owners:
                there = [each for each in world.writers if each.owned == owned]
                self._keep(there, partial(WriteSide, owned=owned), world.writers)
            if world.queues is not None:
                self._keep(world.intakes, partial(WriteSide, owned=()))
            for projected in (*self.projected, ()):
                readers = [each for each in world.readers if each.projects == projected]
                self._keep(readers, partial(ReadSide, projects=projected), world.readers)
            self._keep(world.gateways, Gateway)
            await asyncio.sleep(0.2 + self.chaos.random.random())

    def _keep(self, there: list[Any], make: Any, into: list[Any] | None = None) -> None:
        awake = [each for each in there if each.life.alive and each.life.awake.is_set() and not _needs_a_person(each)]
        if not awake or (len(awake) == 1 and self.chaos.strikes("competitor", 0.02)):
            (there if into is None else into).append(make(self.world))

    async def _storm(self) -> None:
        random = self.chaos.random
        while not self.chaos.calm:
            await asyncio.sleep(random.uniform(0.2, 3.0) / self.chaos.rate)
            lives = self._lives()
            if not lives or self.chaos.calm:
                continue
            if self.idle and random.random() < LEAPS:
                leap(self.world)
                continue
            match random.randrange(6):
                case 0:
                    random.choice(lives).crash("killed")
                case 1:
                    random.choice(lives).pause(random.uniform(0.1, 8.0))
                case 2:
                    self._jump(random.choice(self._clocked()))
                case 3:
                    self._spoil_view()
                case 4:
                    self._copy = copy.deepcopy((self.world.view._generations, self.world.view._live))
                case _:
                    for watcher in self.watchers:
                        watcher.leave()

    def _jump(self, process: WriteSide | ReadSide) -> None:
        us = self.chaos.random.choice((-4_000_000, 3_000_000, 30_000_000, -30_000_000))
        self.trace(f"{process.life.name}: the clock jumps by {us}")
        process.clock.wall_apart_us = us

    def _spoil_view(self) -> None:
        """Empty the store, or set it back to an older copy."""
        view = self.world.view
        if self._copy is None or self.chaos.random.random() < 0.3:
            self.trace("the view is emptied")
            view._generations.clear()
            view._live.clear()
        else:
            self.trace("the view is set back")
            view._generations, view._live = copy.deepcopy(self._copy)

    # Readers and the client of the stream.

    async def _read_for_ever(self) -> None:
        random = self.chaos.random
        while True:
            await asyncio.sleep(random.uniform(0.1, 1.5))
            alive = [each for each in self.world.readers if each.life.alive]
            if not alive:
                continue
            names = [*random.sample([*ACCOUNTS, "nobody"], 2)]
            wanted = random.choice(({}, dict(self.clients.reached)))
            try:
                await random.choice(alive).read(names, wanted, random.choice((0.0, 2.0)))
            except (ConnectionLost, NotReached, Unanswerable):
                continue

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            alive = [each for each in self.world.gateways if each.life.alive]
            for watcher in self.watchers:
                if watcher.lost and alive:
                    watcher.connect(self.chaos.random.choice(alive))
                watcher.subscribe()


def _needs_a_person(process: Any) -> bool:
    """Whether somebody who looks would start another: of a process that owns several, one may have been taken from it."""
    return isinstance(process, WriteSide) and process.needs_a_person


__all__ = ["Story", "Violation", "run_seed"]
