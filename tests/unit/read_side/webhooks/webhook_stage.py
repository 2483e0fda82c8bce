"""A log with its fold, a receiver that does what a test says, and a deliverer that can be killed at any moment."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from read_side.follow.partition_fold import PartitionFold
from read_side.webhooks.deliverer import Deliverer
from read_side.webhooks.delivery import Answer, Lane
from read_side.webhooks.hooks import Hook, Wants
from read_side.webhooks.kept_hooks import KeptHooks
from read_side.webhooks.lane import Clock
from read_side.webhooks.source import Source
from tests.unit.read_side.block_maker import START_US, BlockMaker
from tests.unit.read_side.whole_log.test_publish import Wallet
from write_side.contract.log.log import Log
from write_side.contract.log.log_memory import MemoryLog

LIMIT_S = 60.0
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpBQkNERUY="
ALL = Wants()
TAKEN = Answer(200)
BROKEN = Answer(500)


def hook(name: str = "wh_1", wants: Wants = ALL, **more: Any) -> Hook:
    plain = Hook(name, "https://example.com/hook", wants, False, "go-on", 40, 24.0, 0, None, 0, (SECRET,))
    return plain._replace(**more)


class Followed:
    """A partition that is folded as far as a test says."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.fold = PartitionFold(partition)
        self.refused: str | None = None

    def position(self) -> int:
        return self.fold.folded.sequence

    def refusal_of_fold(self) -> object | None:
        return self.refused


class Receiver:
    """answers: what it says to a delivery, of which it is told all. It checks that no version comes before an
    earlier one was taken."""

    def __init__(self, answers: Callable[[dict[str, Any]], Answer] = lambda body: TAKEN) -> None:
        self.answers = answers
        self.bodies: list[dict[str, Any]] = []
        self.message_ids: list[str] = []
        self.taken: defaultdict[str, set[int]] = defaultdict(set)
        self.given_up: defaultdict[str, set[int]] = defaultdict(set)

    async def __call__(self, url: str, private: bool, headers: dict[str, str], body: bytes) -> Answer:
        told = json.loads(body)
        self.bodies.append(told)
        self.message_ids.append(headers["webhook-id"])
        before: defaultdict[str, set[int]] = defaultdict(set)
        for change in told["data"]["changes"]:
            account, version = account_of(told, change), change["version"]
            done = self.taken[account] | self.given_up[account] | before[account]
            missing = set(range(0 if not account.startswith("@") else 1, version)) - done
            assert not missing, f"{account} {version} came before {missing}"
            before[account].add(version)
        await asyncio.sleep(0)
        answer = self.answers(told)
        if answer.is_taken:
            for account, versions in before.items():
                self.taken[account] |= versions
        return answer

    def versions(self, account: str) -> list[int]:
        return [c["version"] for body in self.bodies for c in body["data"]["changes"] if c["account"] == account]


def account_of(body: dict[str, Any], change: dict[str, Any]) -> str:
    """System accounts are of a partition."""
    name = str(change["account"])
    return f"{name}/{body['data']['partition']}" if name.startswith("@") else name


class Receivers:
    """One for each webhook."""

    def __init__(self, answers: Callable[[dict[str, Any]], Answer] = lambda body: TAKEN) -> None:
        self._answers = answers
        self.of: dict[str, Receiver] = {}

    async def __call__(self, url: str, private: bool, headers: dict[str, str], body: bytes) -> Answer:
        name = json.loads(body)["data"]["webhook"]
        return await self.of.setdefault(name, Receiver(self._answers))(url, private, headers, body)

    def have_all(self, stage: Stage, wanted: dict[str, list[str]]) -> bool:
        return wanted.keys() <= self.of.keys() and all(
            stage.all_taken(names, self.of[hook_id]) for hook_id, names in wanted.items()
        )


class Stage(Wallet):
    """Two accounts a partition, between which money moves; what is written is folded at once."""

    def __init__(self, folder: Path, partitions: int = 1, seed: int = 0, log: Log | None = None) -> None:
        """log: elsewhere than in memory."""
        super().__init__(partitions)
        self.delivered = log
        if log is not None:
            self.makers = [BlockMaker(log, partition) for partition in range(partitions)]
        self.path = folder / "webhooks.db"
        self.followed = [Followed(partition) for partition in range(partitions)]
        self.now_us = START_US
        self.chance = random.Random(seed)
        self.receiver = Receiver()
        self.send: Any = self.receiver

    async def fold(self) -> None:
        for each in self.followed:
            async for records in (self.delivered or self.log).read(each.partition, each.fold.folded.offset):
                each.fold.advance(records)

    def accounts(self) -> list[str]:
        return [name for partition in range(len(self.makers)) for name in self.names(partition)]

    def keep(self, *hooks: Hook) -> None:
        for each in hooks:
            self.change(partial(KeptHooks.add, hook=each, now_us=self.now_us))

    def change(self, what: Callable[[KeptHooks], Any]) -> Any:
        """As a command does: beside whoever delivers."""
        kept = KeptHooks.opened(self.path)
        try:
            return what(kept)
        finally:
            kept.close()

    def lane(self) -> Lane:
        """Of the first webhook in partition 0, as it is stored."""
        lanes: dict[int, Lane] = self.change(lambda kept: kept.lanes("wh_1"))
        return lanes.get(0, Lane())

    async def sleep(self, seconds: float) -> None:
        """Time goes by as somebody waits for it."""
        self.now_us += int(seconds * 1e6)
        await asyncio.sleep(0)

    def deliverer(self) -> Deliverer:
        log = self.delivered or MemoryLog(self.records)
        clock = Clock(lambda: self.now_us, self.chance.random, self.sleep)
        turn = asyncio.Semaphore(1)
        return Deliverer(self.path, [Source(log, each, turn) for each in self.followed], self.send, clock)

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[Deliverer]:
        """Killed at the end, wherever it is."""
        deliverer = self.deliverer()
        task = asyncio.create_task(deliverer.run())
        try:
            async with asyncio.timeout(LIMIT_S):
                yield deliverer
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def until(self, so: Callable[[], bool]) -> None:
        for turn in itertools.count():
            if so():
                return
            await asyncio.sleep(0 if turn % 100 else 0.001)

    def all_taken(self, accounts: list[str], receiver: Receiver | None = None) -> bool:
        told = receiver or self.receiver
        return all(set(range(self.version(name) + 1)) <= told.taken[name] | told.given_up[name] for name in accounts)

    def version(self, account: str) -> int:
        for each in self.followed:
            number = each.fold.state.number_of(account)
            if number is not None:
                return int(each.fold.state.version[number])
        return -1
