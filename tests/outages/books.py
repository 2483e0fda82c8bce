"""The client that keeps the books: a steady load of transfers, what was said of each, and afterwards what is so."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import aiohttp

from tests.outages.stand import PARTITIONS
from write_side.contract.words.atoms import partition_of

ASSET: Final = "USD/2"
ANSWER_S: Final = 60.0
"""Longer than the gateway waits for a silent side (45 s)."""
SETTLE_S: Final = 60.0
"""What was begun has ended by then: messages of transfers across partitions are asked for again within half a minute."""
ASKED_AT_ONCE: Final = 8

ACCOUNTS: Final = [
    [name for name in (f"account-{number}" for number in range(40)) if partition_of(name, PARTITIONS) == partition][:4]
    for partition in range(PARTITIONS)
]
"""By partition."""


class Said(StrEnum):
    DONE = "done"
    PENDING = "pending"
    REFUSED = "refused"
    NOT_TAKEN = "not taken"
    """The answer says that nothing was done."""
    UNKNOWN = "unknown"


NOTHING_DONE: Final = frozenset({"partition_stopped", "overloaded", "starting", "stopping"})


@dataclass
class Asked:
    """One transfer. sent_s, answered_s: by the loop's clock. said: None while it is under way. code: of a problem."""

    id: str
    debit: str
    credit: str
    amount: int
    home: int
    sent_s: float
    answered_s: float = 0.0
    said: Said | None = None
    code: str = ""
    checked: bool = False

    @property
    def answered(self) -> bool:
        """Whether it was told what became of it."""
        return self.said in (Said.DONE, Said.PENDING, Said.REFUSED)


@dataclass
class Books:
    """asked: in the order of sending. versions: (account, version, when it was told), of every answer that tells one."""

    gateway: str
    session: aiohttp.ClientSession
    asked: list[Asked] = field(default_factory=list)
    versions: list[tuple[str, int, float]] = field(default_factory=list)
    posted: Counter[str] = field(default_factory=Counter)
    positions: dict[int, int] = field(default_factory=dict)
    _chance: random.Random = field(default_factory=lambda: random.Random(14))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open_accounts(self) -> None:
        for account in (name for names in ACCOUNTS for name in names):
            async with self.session.put(f"{self.gateway}/v1/accounts/{account}", json={"asset": ASSET}) as answer:
                assert answer.status in (200, 201), await answer.text()
                self._note(await answer.json())

    async def load(self, rate: float) -> None:
        """Until cancelled: so many transfers a second, whether the ones before are answered or not."""
        while True:
            task = asyncio.create_task(self._pay())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(1 / rate)

    async def answered(self) -> None:
        """Until nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def position(self) -> str:
        """The furthest position of each partition that an answer told."""
        return ",".join(f"{partition}:{sequence}" for partition, sequence in sorted(self.positions.items()))

    async def _pay(self) -> None:
        partition = len(self.asked) % PARTITIONS
        debit, credit, amount = "@world", self._chance.choice(ACCOUNTS[partition]), self._chance.randint(50, 150)
        if self._chance.random() < 0.4:  # to any account, so that most of these span partitions
            debit, amount = credit, self._chance.randint(1, 50)
            credit = self._chance.choice([name for names in ACCOUNTS for name in names if name != debit])
        now_s = asyncio.get_running_loop().time()
        each = Asked(str(uuid.uuid4()), debit, credit, amount, partition, now_s)
        self.asked.append(each)
        body = {"id": each.id, "from": debit, "to": credit, "amount": str(amount), "asset": ASSET}
        said, code = Said.UNKNOWN, ""
        try:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            async with self.session.post(f"{self.gateway}/v1/transfers", json=body, timeout=timeout) as answer:
                document = await answer.json(content_type=None)
                said, code = said_of(answer.status, document)
        except aiohttp.ClientConnectorError:
            said, code = Said.NOT_TAKEN, "no connection"
        except (aiohttp.ClientError, OSError, ValueError) as failure:
            code = type(failure).__name__
        else:
            self._note(document)
        each.said, each.code, each.answered_s = said, code, asyncio.get_running_loop().time()

    def _note(self, document: Mapping[str, Any]) -> None:
        now_s = asyncio.get_running_loop().time()
        for state in document.get("accounts", ()):
            if not state["account"].startswith("@"):
                self.versions.append((state["account"], state["version"], now_s))
        for part in document.get("position", "").split(","):
            if part:
                partition, sequence = map(int, part.split(":"))
                self.positions[partition] = max(sequence, self.positions.get(partition, -1))

    # What is so.

    async def check(self) -> list[str]:
        """Every transfer since the last check, asked by id at the last position told; then every balance. What is untrue."""
        wrong: list[str] = []
        limit = asyncio.Semaphore(ASKED_AT_ONCE)

        async def one(each: Asked) -> None:
            async with limit:
                wrong.extend(await self._check(each))

        await asyncio.gather(*(one(each) for each in self.asked if not each.checked))
        for account in (name for names in ACCOUNTS for name in names):
            found = await self.balance(account)
            if found.get("posted") != str(self.posted[account]):
                wrong.append(f"{account} shows {found}, and the books say {self.posted[account]}")
        return wrong

    async def balance(self, account: str) -> Mapping[str, Any]:
        return (await self._get(f"/v1/accounts/{account}"))[1]

    async def _check(self, each: Asked) -> list[str]:
        each.checked = True
        found = await self._outcome(each.id)
        if found == "done":
            self.posted[each.debit] -= each.amount
            self.posted[each.credit] += each.amount
        may_be = {
            Said.DONE: ("done",),
            Said.PENDING: ("done", "refused"),
            Said.REFUSED: ("refused",),
            Said.NOT_TAKEN: ("transfer_not_found",),
            Said.UNKNOWN: ("done", "refused", "transfer_not_found"),
            None: (),
        }[each.said]
        return [] if found in may_be else [f"{each.id} was told to be {each.said} ({each.code}) and is {found}"]

    async def _outcome(self, transfer: str) -> str:
        """`done`, `refused`, `pending`, or the code of a problem."""
        until_s = asyncio.get_running_loop().time() + SETTLE_S
        while True:
            status, document = await self._get(f"/v1/transfers/{transfer}")
            found = str(document.get("result") or document.get("code"))
            if found != "pending" and status not in (409, 503):
                return found
            if asyncio.get_running_loop().time() > until_s:
                return found
            await asyncio.sleep(0.2)

    async def _get(self, path: str) -> tuple[int, Mapping[str, Any]]:
        async with self.session.get(self.gateway + path, params={"min_position": self.position()}) as answer:
            return answer.status, await answer.json(content_type=None)


def said_of(status: int, document: Mapping[str, Any]) -> tuple[Said, str]:
    """What an answer to a transfer says, and its code."""
    code = str(document.get("code", ""))
    if status in (200, 201):
        return Said.DONE, code
    if status == 202:
        return Said.PENDING, code
    if document.get("result") == "refused" or status == 422:
        return Said.REFUSED, code
    if code in NOTHING_DONE:
        return Said.NOT_TAKEN, code
    if code == "upstream_unavailable" and "never left the gateway" in str(document.get("detail")):
        return Said.NOT_TAKEN, code
    return Said.UNKNOWN, code or str(status)
