"""The clients of a story: each sends what it asks until it is answered, tries something out, or gets in the way of a step."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.simulation.auditor import positions_of
from tests.simulation.batches import Batches, Request
from tests.simulation.clients import Asked
from tests.simulation.clocks import SharedTime
from tests.simulation.dry_runs import DryRuns
from tests.simulation.faults import Chaos
from tests.simulation.meddling import Meddling
from tests.simulation.processes import NOT_ANSWERED, World, WriteSide, ask, begin
from tests.simulation.who_asked import WhoAsked
from tests.unit.write_side.ledger.model.values import HOUR_US, SEVEN_DAYS_US, has_time
from tests.unit.write_side.ledger.model.wallet import Wallet
from write_side.contract.tell.answers import PENDING_STATUS, Answer
from write_side.ledger.commands.commands import Capture, Command, LegsTransfer, OpenAccount, Reverse, Transfer, Void

REQUESTS_OF_CLIENT = 6
CLIENTS_LATER, REQUESTS_LATER = 3, 2
"""Who goes on asking when weeks have gone by, and how much each."""
FORGOTTEN_S = 15.0
"""Ids may be forgotten for want of room when they are ten seconds old."""
DEPOSITS = 12
OTHERWISE = 10
LEAVES, LEAVES_MAX_S = 0.08, 0.5
"""How often a client hangs up before it is answered, and how long after asking at most. It asks again later, as any other."""
DRY_RUNS = 0.12
"""How often something is tried out behind a request."""


class Clients:
    """All of them. reached: the positions that they have been told, by partition; rules: what the auditors ask of outcomes."""

    world: World

    def __init__(
        self, wallet: Wallet, chaos: Chaos, time: SharedTime, *, floods: bool = False, idle: bool = False
    ) -> None:
        self._wallet, self._chaos, self._time = wallet, chaos, time
        self._asked = Asked(chaos.random, wallet, time.wall_us, floods=floods, idle=idle)
        self._dry_runs = DryRuns(wallet, self._asked)
        self._meddling = Meddling(wallet, chaos)
        self.batches = Batches()
        self.who_asked = WhoAsked()
        self.rules = (self.batches.told, self._dry_runs.told, self._meddling.told, self._asked.door.told)
        self.reached: dict[int, int] = {}
        self._over: dict[Command, Answer] = {}
        """What was done to holds and transfers, and how that was told first."""
        self._moved: dict[Transfer | LegsTransfer, int] = {}
        """What was done, and when."""

    async def client(self, requests: int = REQUESTS_OF_CLIENT, opening: int = 2) -> None:
        """One client from its first request to its last answer. opening: how many of them open accounts."""
        random = self._chaos.random
        for n in range(requests):
            await asyncio.sleep(random.uniform(0, 2.0))
            opens = n < opening or random.random() < 0.1
            request = self._asked.request(opens)
            self.batches.asked(request)
            await self._until_answered(request)
            self.batches.over(request)
            self._asked.answered(request)
            if random.random() < DRY_RUNS and (alive := self._processes()):
                await self._dry_runs.try_out(self.world, random.choice(alive))

    async def ask_again(self) -> None:
        """Later, when there is nothing to do but a few deposits, what was done to holds and transfers is asked for once more.

        They may be over and forgotten by then, and the answer is the first one.
        """
        await asyncio.sleep(FORGOTTEN_S)
        for _ in range(DEPOSITS):
            await self._until_answered(Request([self._asked.deposit()]))
        for command in list(self._over):
            await self._until_answered(Request([command]))
            await self._ask_once_more(command)
        for transfer in [each for each in self._moved if isinstance(each, Transfer)][:OTHERWISE]:
            if alive := self._processes():
                await self._ask_otherwise(self._chaos.random.choice(alive), transfer)

    async def go_on(self) -> None:
        """When weeks have gone by: a little more of the same, and what was done is asked for again."""
        self.batches.weeks_later()
        await asyncio.gather(*(self.client(REQUESTS_LATER, 0) for _ in range(CLIENTS_LATER)))
        for command in [each for each in self._moved if not has_time(each.id)]:
            await self._until_answered(Request([command]))
        await self.ask_again()

    async def _ask_once_more(self, command: Command) -> None:
        """Wherever it is taken to: nobody says anything else of it than was said first, but that it is too old."""
        if not (alive := self._processes()) or isinstance(command, OpenAccount):
            return
        process = self._chaos.random.choice(alive)
        try:
            [answer] = await ask(
                process.life, process.intake.submit([command], asked_by=self.who_asked.name([command]))
            )
        except NOT_ANSWERED:
            return
        first = self._over[command]
        said = answer.document.get("code", answer.document["result"])
        same = (
            answer == first.again()
            or (said == "id_expired" and not self._is_kept(command))
            or (not self._wallet.ever and not has_time(command.id) and self._time.leapt_us >= SEVEN_DAYS_US)
        )
        self.world.checked(partial(self.world.auditors[0].require, same, f"{command} was {first}, and is now {answer}"))

    def _is_kept(self, command: Command) -> bool:
        """Whether its id is found at any age: every one that was not forgotten within the block in which it ran."""
        home = self._wallet.home_of(command)
        return (
            self._wallet.ever
            and not isinstance(command, OpenAccount)
            and self._wallet.models[home].ids.found(command.id) is not None
        )

    async def meddle(self) -> None:
        """For ever: be quick where a step is open, and set it right some time later."""
        random, meddling = self._chaos.random, self._meddling
        while True:
            await meddling.opened.wait()
            meddling.opened.clear()
            change, alive = meddling.in_the_way(self._asked.new_id()), self._processes()
            if change is not None and alive and random.random() < 0.5:
                await self._send(random.choice(alive), Request([change]))
                await asyncio.sleep(random.uniform(0, 2.0))
                await self._until_answered(Request([meddling.thaw(self._asked.new_id(), change.account)]))

    def _processes(self) -> list[WriteSide]:
        return [each for each in self.world.writers + self.world.intakes if each.life.alive and each.ready]

    async def _until_answered(self, request: Request) -> None:
        """Send until an answer comes; sometimes to two processes at once, or once more after the answer."""
        random = self._chaos.random
        again = self._chaos.strikes("asked again", 0.1)
        while True:
            if alive := self._processes():
                two = self._chaos.strikes("sent twice", 0.1)
                sending = [asyncio.create_task(self._send(random.choice(alive), request)) for _ in range(1 + two)]
                if any(await asyncio.gather(*sending)):
                    if not again:
                        return
                    again = False
            await asyncio.sleep(random.uniform(0.05, 1.0))

    async def _send(self, process: WriteSide, request: Request) -> bool:
        if self._chaos.strikes("late command", 0.1):
            await asyncio.sleep(self._chaos.random.uniform(0, 6.0))
        commands = [self._asked.door.read(each) if isinstance(each, Transfer) else each for each in request.commands]
        asked = process.intake.submit(commands, request.mode, asked_by=self.who_asked.name(commands))
        if self._chaos.strikes("client leaves in the middle", LEAVES):
            await begin(process.life, asked, self._chaos.random.uniform(0, LEAVES_MAX_S))
            return False
        try:
            answers = await ask(process.life, asked)
        except NOT_ANSWERED:
            return False
        self.world.checked(partial(self.batches.answered, request, answers))
        for command, answer in zip(request.commands, answers, strict=True):
            if "position" in answer.document:  # else no partition was asked
                self._answered(command, answer)
            if answer.status == 201 and isinstance(command, Transfer) and self._chaos.strikes("asked otherwise", 0.1):
                await self._ask_otherwise(process, command)
        return all(answer.status != PENDING_STATUS for answer in answers)

    def _answered(self, command: Command, answer: Answer) -> None:
        """What a client was told; the home partition's position is the one of the outcome."""
        positions = positions_of(str(answer.document["position"]))
        home = self._wallet.home_of(command)
        auditor = self.world.auditors[home if home in positions else min(positions)]
        if answer.document.get("code") == "id_reused_with_other_content" and home not in positions:
            assert not isinstance(command, OpenAccount)
            self.world.checked(partial(auditor.used, command.id, positions[auditor.partition]))
        else:
            self.world.checked(partial(auditor.answered, command, answer.document))
        for partition, sequence in positions.items():
            self.reached[partition] = max(self.reached.get(partition, -1), sequence)
        if answer.status == 201 and isinstance(command, Transfer | LegsTransfer):
            self._asked.done.append(command.id)
        if answer.status == 201 and isinstance(command, Capture | Void | Reverse):
            self._over.setdefault(command, answer)
        if answer.status == 201 and isinstance(command, Transfer | LegsTransfer):
            self._moved[command] = auditor.time_us(positions[auditor.partition])

    async def _ask_otherwise(self, process: WriteSide, command: Transfer) -> None:
        """The same id again with another account that gives: whoever has answered the first knows it, wherever it belongs, and so
        does everybody who is up to date."""
        changed = self._asked.from_elsewhere(command)
        if (
            changed is None
            or self._may_be_forgotten(command)
            or not process.is_up_to_date(self._wallet.home_of(command))
        ):
            return
        try:
            [answer] = await ask(
                process.life, process.intake.submit([changed], asked_by=self.who_asked.name([changed]))
            )
        except NOT_ANSWERED:
            return
        said = answer.document.get("code", answer.document["result"])
        self.world.chaos.count("asked otherwise")
        refused = said in ("id_reused_with_other_content", "id_expired")
        self.world.checked(partial(self.world.auditors[0].require, refused, f"an id with another giver became {said}"))

    def _may_be_forgotten(self, command: Transfer) -> bool:
        """Whether its id has no time, and was used so long ago that nothing is promised of it any more, or soon will not be."""
        old_us = self._time.wall_us() - self._moved.get(command, 0)
        return not self._wallet.ever and not has_time(command.id) and old_us >= SEVEN_DAYS_US - HOUR_US
