"""A client that remembers what it was told: random transfers, and afterwards the audit against the log."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from read_side.tell.events import events_of
from tests.end_to_end import processes
from write_side.contract.log.log import Log
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import TRANSIT

ASSET = "USD/2"
FOLLOW_S = 20.0
"""A transfer across partitions takes milliseconds, and is asked for again within seconds after a restart."""
LOOK_S = 0.01


@dataclass
class Ledger:
    """What the client knows: transfers it was told are done, and those whose answer it never got.

    followed: how many it was told are under way, and asked for until they had ended.
    """

    accounts: list[str]
    random: random.Random
    done: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    unanswered: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    followed: int = 0

    def next_transfer(self) -> tuple[str, tuple[str, str, int]]:
        """A new one, or now and then one again whose answer is missing: a client that retries."""
        if self.unanswered and self.random.random() < 0.3:
            return self.random.choice(list(self.unanswered.items()))
        debit, credit = self.random.sample([*self.accounts, "@world"], 2)
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4)), (debit, credit, self.random.randint(1, 500))


async def open_accounts(session: aiohttp.ClientSession, address: str, accounts: list[str]) -> None:
    for account in accounts:
        async with session.put(f"{address}/v1/accounts/{account}", json={"asset": ASSET}) as response:
            assert response.status in (200, 201), await response.text()


async def transfer_until_gone(
    address: str, ledger: Ledger, clients: int, enough: int, on_enough: asyncio.Event
) -> None:
    """Post transfers from several clients until the server is gone; sets `on_enough` after that many answers.

    Half of them are not waited for where they span partitions: they are followed to their end.
    """
    answers = 0

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal answers
        while True:
            name, (debit, credit, amount) = ledger.next_transfer()
            if name in ledger.done or name in ledger.refused:
                continue
            ledger.unanswered[name] = (debit, credit, amount)
            body = {"id": name, "from": debit, "to": credit, "amount": str(amount), "asset": ASSET}
            prefer = {"prefer": "wait=0"} if ledger.random.random() < 0.5 else {}
            try:
                async with session.post(f"{address}/v1/transfers", json=body, headers=prefer) as response:
                    status, document = response.status, await response.json(content_type=None)
                if status == 202:
                    ledger.followed += 1
                    document = await follow(session, address, document)
            except (aiohttp.ClientError, OSError, ValueError):
                return
            if status in (502, 503, 504):
                return
            assert status in (201, 202, 422), (status, document)
            if document["result"] == "done":
                ledger.done[name] = ledger.unanswered.pop(name, (debit, credit, amount))
            else:
                assert (document["result"], document["code"]) == ("refused", "insufficient_available"), document
                ledger.refused.add(name)
                ledger.unanswered.pop(name, None)
            answers += 1
            if answers >= enough:
                on_enough.set()

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    on_enough.set()


async def follow(session: aiohttp.ClientSession, address: str, pending: Mapping[str, str]) -> Mapping[str, str]:
    """Ask for a transfer that is under way until it has ended; the answer that says how."""
    asked = f"{address}/v1/transfers/{pending['id']}?min_position={pending['position']}"
    async with asyncio.timeout(FOLLOW_S):
        while True:
            async with session.get(asked) as response:
                document: Mapping[str, str] = await response.json(content_type=None)
            if response.status == 200 and document["result"] != "pending":
                return document
            await asyncio.sleep(LOOK_S)


async def settled(address: str) -> None:
    """Wait until no transfer is under way any more: they end by themselves once every partition is there."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(FOLLOW_S):
        while True:
            async with session.get(f"{address}/v1/transfers?phase=open") as response:
                document = await response.json()
            if response.status == 200 and not document["transfers"]:
                return
            await asyncio.sleep(LOOK_S)


async def kill_again_and_again(
    command: str, environment: Mapping[str, str], ledger: Ledger, *, kills: int, answers_max: int, errors: Path
) -> None:
    """Start the command, post transfers until a random number of answers has come, kill -9; so many times."""
    for kill in range(kills):
        service = await processes.start(command, environment=environment, errors=errors)
        if kill == 0:
            async with aiohttp.ClientSession() as session:
                await open_accounts(session, service.address, ledger.accounts)
        enough = asyncio.Event()
        answers = ledger.random.randint(1, answers_max)
        loading = asyncio.create_task(transfer_until_gone(service.address, ledger, 16, answers, enough))
        await enough.wait()
        await service.kill()
        await loading


@dataclass
class Audit:
    """The log folded once more by the test: how often each transfer is done in it, and every balance.

    under_way: begun across partitions and not ended; in_flight: the sum of all transit accounts.
    """

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    under_way: set[str] = field(default_factory=set)
    balances: dict[str, tuple[int, int]] = field(default_factory=dict)
    in_flight: int = 0
    blocks: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is on its way. Partitions are read one after the other: what goes on meanwhile may look as if it were
        under way nowhere, and be in flight."""
        return not self.under_way and self.in_flight == 0

    def count(self, event: Mapping[str, str]) -> None:
        """An outcome of a command, or of the answer of another partition that may end a transfer."""
        if event["kind"] not in ("transfer", "answer") or event["outcome"] in ("repeated", "stale"):
            return
        if event["outcome"] == "pending":
            self.under_way.add(event["id"])
            return
        self.under_way.discard(event["id"])
        (self.done if event["outcome"] == "done" else self.refused)[event["id"]] += 1


async def audit(log: Log) -> Audit:
    """Read every partition to its end. Raises what a broken log raises."""
    found = Audit()
    for partition in range(log.partitions):
        replay = Replay(State(partition))
        async for records in log.read(partition):
            for record in records:
                folded = replay.take(record)
                if folded is None:
                    continue
                found.blocks += 1
                for event in events_of(folded.block, replay.state):
                    found.count(event)
        state = replay.state
        for number in range(state.count):
            found.balances[state.row_name(number)] = (int(state.posted[number]), int(state.version[number]))
            found.in_flight += int(state.posted[number]) if state.names[number] == TRANSIT else 0
    return found


def expect_told_is_true(ledger: Ledger, found: Audit) -> None:
    """Every acknowledged transfer is there once; nothing is there twice; nothing is there that was not asked; all has ended."""
    assert (found.under_way, found.in_flight) == (set(), 0)
    assert set(found.done.values()) <= {1}
    assert set(ledger.done) <= set(found.done)
    assert not ledger.refused & set(found.done)
    assert set(found.done) <= set(ledger.done) | set(ledger.unanswered)
    asked = {**ledger.unanswered, **ledger.done}
    expected: Counter[str] = Counter()
    for name in found.done:
        debit, credit, amount = asked[name]
        expected[debit] -= amount
        expected[credit] += amount
    for account in ledger.accounts:
        assert found.balances[account][0] == expected[account]


def folder_of(data: Path) -> dict[str, str]:
    return {"FANFOLD_DATA": str(data), "FANFOLD_PORT": "0"}
