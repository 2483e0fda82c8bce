"""One run: processes, clients and a storm of faults for a while, then calm; everything asked must then come to an end.

`run_seed(seed)` is the whole story of a seed. Nothing in it depends on anything but the seed.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from functools import partial
from typing import Any, NamedTuple

from structlog.testing import capture_logs

from read_side.questions import NotReached, Rebuilding
from tests.simulation import virtual_time
from tests.simulation.auditor import Auditor, Violation
from tests.simulation.faults import NOON_US, Chaos, LastingQueue, Life
from tests.simulation.processes import ConnectionLost, Gateway, Parts, ReadSide, World, WriteSide, ask
from tests.simulation.read_faults import SharedFeed
from tests.simulation.watcher import Watcher
from write_side.contract.log_memory import MemoryRecords
from write_side.intake import Overloaded, Stopping
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import Command, OpenAccount, Transfer
from write_side.outcomes import OutcomeUnknown

CLIENTS = 4
COMMANDS_OF_CLIENT = 12
STORM_S = 20.0
CALM_MAX_S = 600.0
"""Virtual seconds. Everything comes to an end long before; later than this something hangs."""
ACCOUNTS = ("alice", "bob", "carol", "dave", "erin", "shop.eur")
DAY_US = 86_400_000_000


class Story(NamedTuple):
    """What a run was. `trace_hash` names every step with its time, so two equal ones are the same run."""

    seed: int
    trace_hash: str
    blocks: int
    answers: int
    looks: int
    pushes: int
    faults: dict[str, int]


class _Records(MemoryRecords):
    """The log's records; the auditor looks at each one first."""

    def __init__(self) -> None:
        super().__init__(1)
        self.world: World | None = None

    def append(self, partition: int, block: bytes) -> int:
        offset = super().append(partition, block)
        world = self.world
        assert world is not None
        world.checked(lambda: world.auditor.appended(block))
        return offset


def run_seed(seed: int, parts: Parts | None = None) -> Story:
    """Raises Violation (or what the product raised that nobody handled) when a rule does not hold."""
    chaos = Chaos(seed)
    with capture_logs():
        return virtual_time.run(lambda: _Run(seed, chaos, parts or Parts()).run(), chaos.delay_s)


class _Run:
    def __init__(self, seed: int, chaos: Chaos, parts: Parts) -> None:
        self.seed, self.chaos = seed, chaos
        self._hash = hashlib.blake2b(digest_size=16)
        records = _Records()
        queue = LastingQueue() if chaos.random.random() < 0.5 else None
        auditor = Auditor(self._commands_at, lambda block: self.world.deciders[block].name, self.trace)
        self.world = records.world = World(
            chaos, parts, records, queue, parts.view(), SharedFeed(), auditor, self.trace
        )
        self.watcher = Watcher(self.world, ACCOUNTS)
        self.sent: list[Command] = []
        self.reached = -1
        self.pushes = 0
        self._copy: tuple[Any, Any] | None = None

    def trace(self, what: str) -> None:
        now_us = round(asyncio.get_running_loop().time() * 1e6)
        self.pushes += what.startswith("pushed")
        self._hash.update(f"{now_us} {what}\n".encode())

    def _commands_at(self, block: bytes, offset: int) -> CommandBatch | None:
        if self.world.queue is not None:
            return self.world.queue.records[offset]
        noted = next(each.noted for each in self.world.writers if each.life is self.world.deciders[block])
        assert noted is not None
        return noted.records[offset]

    async def run(self) -> Story:
        clients = [asyncio.create_task(self._client(n)) for n in range(CLIENTS)]
        whole = asyncio.create_task(self._to_the_end(clients))
        endless = (self._supervise(), self._storm(), self._watch(), self._read_for_ever(), self._read_for_ever())
        open_tasks = {whole, *clients, *map(asyncio.create_task, endless)}
        while not whole.done():
            done, open_tasks = await asyncio.wait(open_tasks, return_when=asyncio.FIRST_COMPLETED, timeout=CALM_MAX_S)
            self._look()
            self.world.auditor.require(bool(done), "what was asked never comes to an end")
            for task in done:
                task.result()
        return whole.result()

    def _look(self) -> None:
        if self.world.violation is not None:
            raise self.world.violation

    async def _to_the_end(self, clients: list[asyncio.Task[None]]) -> Story:
        await asyncio.sleep(STORM_S)
        self.chaos.calm = True
        self.trace("calm")
        for process in self._clocked():
            process.clock.wall_apart_us = 0
        await asyncio.gather(*clients)
        if self.chaos.random.random() < 0.5:
            self._spoil_view()  # nothing is written any more that would show it to the projector
        auditor = self.world.auditor
        while not self._is_settled():
            await asyncio.sleep(0.5)
            self._look()
        counts = dict(sorted(self.chaos.counts.items()))
        digest = self._hash.hexdigest()
        for life in list(self._lives()):
            life.crash("the end")
        return Story(self.seed, digest, auditor.sequence + 1, auditor.acknowledged, auditor.looks, self.pushes, counts)

    def _is_settled(self) -> bool:
        """The view is at the log's end, and the client of the stream knows every balance."""
        auditor = self.world.auditor
        number = self.world.view._live.get(0)
        generation = None if number is None else self.world.view._generations.get((0, number))
        stored = None if generation is None else generation.checkpoint
        if stored is None or stored.sequence != auditor.sequence:
            return False
        newest = {name: row.version for name, row in auditor.rows[-1].items() if not name.startswith("@")}
        return self.watcher.versions == newest

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
            self._keep(world.writers, WriteSide)
            if world.queue is not None:
                self._keep(world.intakes, lambda w: WriteSide(w, decides=False))
            self._keep([each for each in world.readers if each.projector], ReadSide, world.readers)
            self._keep(
                [each for each in world.readers if not each.projector], lambda w: ReadSide(w, False), world.readers
            )
            self._keep(world.gateways, Gateway)
            await asyncio.sleep(0.2 + self.chaos.random.random())

    def _keep(self, there: list[Any], make: Any, into: list[Any] | None = None) -> None:
        awake = [each for each in there if each.life.alive and each.life.awake.is_set()]
        if not awake or (len(awake) == 1 and self.chaos.strikes("competitor", 0.02)):
            (there if into is None else into).append(make(self.world))

    async def _storm(self) -> None:
        random = self.chaos.random
        while not self.chaos.calm:
            await asyncio.sleep(random.uniform(0.2, 3.0) / self.chaos.rate)
            lives = self._lives()
            if not lives or self.chaos.calm:
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
                    self.watcher.leave()

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

    # Clients.

    async def _client(self, number: int) -> None:
        random = self.chaos.random
        for n in range(COMMANDS_OF_CLIENT):
            await asyncio.sleep(random.uniform(0, 2.0))
            commands = [self._command(n) for _ in range(random.choice((1, 1, 1, 2, 5)))]
            self.sent += commands
            await self._until_answered(commands)

    async def _until_answered(self, commands: list[Command]) -> None:
        """Send until an answer comes; sometimes to two processes at once, or once more after the answer."""
        random = self.chaos.random
        again = self.chaos.strikes("asked again", 0.1)
        while True:
            alive = [each for each in self.world.writers + self.world.intakes if each.life.alive and each.ready]
            if alive:
                two = self.chaos.strikes("sent twice", 0.1)
                sending = [asyncio.create_task(self._send(random.choice(alive), commands)) for _ in range(1 + two)]
                if any(await asyncio.gather(*sending)):
                    if not again:
                        return
                    again = False
            await asyncio.sleep(random.uniform(0.05, 1.0))

    async def _send(self, process: WriteSide, commands: list[Command]) -> bool:
        if self.chaos.strikes("late command", 0.1):
            await asyncio.sleep(self.chaos.random.uniform(0, 6.0))
        try:
            answers = await ask(process.life, process.intake.submit(commands))
        except (ConnectionLost, OutcomeUnknown, Overloaded, Stopping):
            return False
        for command, answer in zip(commands, answers, strict=True):
            self.world.checked(partial(self.world.auditor.answered, command, answer.document))
            self.reached = max(self.reached, int(str(answer.document["position"]).removeprefix("0:")))
        return True

    def _command(self, n: int) -> Command:
        random = self.chaos.random
        chance = random.random()
        if n < 2 or chance < 0.1:
            return _opening(random.choice(ACCOUNTS), other_terms=random.random() < 0.05)
        before = [command for command in self.sent if isinstance(command, Transfer)]
        if before and chance < 0.25:
            old = random.choice(before)
            return old if random.random() < 0.7 else old._replace(amount=old.amount + 1)
        debit, credit = random.sample([*ACCOUNTS[:5], "@world", "@world"], 2)
        if debit == credit:
            credit = "alice"
        if random.random() < 0.05:
            credit = random.choice(("nobody", "shop.eur"))
        if debit == credit:
            debit = "@world"
        return Transfer(self._id(), debit, credit, random.randint(1, 1_000), "USD/2")

    def _id(self) -> bytes:
        """A UUIDv7 of now, mostly; sometimes one without a time, too old, or too far ahead."""
        random = self.chaos.random
        tail = bytearray(random.randbytes(16))
        at_us = NOON_US + round(asyncio.get_running_loop().time() * 1e6)
        at_us += random.choice((*[0] * 30, -8 * DAY_US, 600_000_000))
        version = 4 if random.random() < 0.1 else 7
        tail[:6] = (at_us // 1000).to_bytes(6, "big")
        tail[6] = version << 4 | tail[6] & 0x0F
        tail[8] = 0x80 | tail[8] & 0x3F
        return bytes(tail)

    # Readers and the client of the stream.

    async def _read_for_ever(self) -> None:
        random = self.chaos.random
        while True:
            await asyncio.sleep(random.uniform(0.1, 1.5))
            alive = [each for each in self.world.readers if each.life.alive]
            if not alive:
                continue
            names = [*random.sample([*ACCOUNTS, "nobody"], 2)]
            wanted = random.choice((-1, self.reached))
            try:
                await random.choice(alive).read(names, wanted, random.choice((0.0, 2.0)))
            except (ConnectionLost, NotReached, Rebuilding):
                continue

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.3)
            alive = [each for each in self.world.gateways if each.life.alive]
            if self.watcher.lost and alive:
                self.watcher.connect(self.chaos.random.choice(alive))
            self.watcher.subscribe()


def _opening(account: str, other_terms: bool) -> OpenAccount:
    no_floor, overdraft = -(2**63), -500
    floor = {"dave": no_floor, "erin": overdraft}.get(account, 0)
    return OpenAccount(
        account,
        "EUR/2" if account == "shop.eur" else "USD/2",
        floor - 1 if other_terms and floor != no_floor else floor,
        "",
    )


__all__ = ["Story", "Violation", "run_seed"]
