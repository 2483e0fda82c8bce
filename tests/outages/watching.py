"""Who looks on: what each side says of itself, whether reads are answered, and what a stream shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import aiohttp

from fanfold.answers import BalanceChange
from fanfold.stream import watch
from tests.outages.books import ACCOUNTS

LOOK_S: Final = 0.5
LOOK_WAIT_S: Final = 4.0
"""A side that has not said whether it is ready by then is taken as not ready, as a balancer does."""
READ_S: Final = 1.0
READ_WAIT_S: Final = 5.0


class Look(NamedTuple):
    """One question to /readyz. status: 0 without an answer."""

    sent_s: float
    status: int
    document: Mapping[str, Any]

    @property
    def ready(self) -> bool:
        return self.status == 200

    @property
    def whole(self) -> bool:
        """Ready, and nothing is the matter with any partition."""
        return self.ready and not self.document.get("degraded")


class Read(NamedTuple):
    sent_s: float
    answered: bool


@dataclass
class Looks:
    """Of one side, in order."""

    address: str
    session: aiohttp.ClientSession
    found: list[Look] = field(default_factory=list)

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            sent_s = asyncio.get_running_loop().time()
            status, document = await _get(self.session, f"{self.address}/readyz", LOOK_WAIT_S)
            self.found.append(Look(sent_s, status, document))
            await asyncio.sleep(max(0.0, LOOK_S - (asyncio.get_running_loop().time() - sent_s)))


@dataclass
class Reads:
    """Of one account of each partition in turn, through the gateway."""

    gateway: str
    session: aiohttp.ClientSession
    found: list[Read] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def read(self) -> None:
        """Until cancelled."""
        while True:
            for names in ACCOUNTS:
                task = asyncio.create_task(self._one(names[0]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.sleep(READ_S)

    async def _one(self, account: str) -> None:
        sent_s = asyncio.get_running_loop().time()
        status, _ = await _get(self.session, f"{self.gateway}/v1/accounts/{account}", READ_WAIT_S)
        self.found.append(Read(sent_s, status == 200))


class Told(NamedTuple):
    """What a stream said of itself, from then on."""

    at_s: float
    live: bool
    reason: str


@dataclass
class Watcher:
    """All accounts over one stream. seen: of each account its versions, with the time they came; newest: its last state."""

    gateway: str
    told: list[Told] = field(default_factory=list)
    seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    newest: dict[str, BalanceChange] = field(default_factory=dict)

    async def watch(self) -> None:
        """Until cancelled."""
        accounts = [name for names in ACCOUNTS for name in names]
        async with aclosing(watch(self.gateway, accounts)) as updates:
            async for update in updates:
                now_s = asyncio.get_running_loop().time()
                if isinstance(update, BalanceChange):
                    self.seen.setdefault(update.account, []).append((now_s, update.version))
                    self.newest[update.account] = update
                else:
                    self.told.append(Told(now_s, update.live, update.reason))

    @property
    def live(self) -> bool:
        return bool(self.told) and self.told[-1].live

    def live_between(self, from_s: float, to_s: float) -> list[int]:
        """Whole seconds of the loop's clock, in that time, in which it said to be live from beginning to end."""
        spans = [
            (told.at_s, behind.at_s if behind else to_s)
            for told, behind in zip(self.told, [*self.told[1:], None], strict=False)
            if told.live
        ]
        return [
            second
            for second in range(int(from_s) + 1, int(to_s))
            if any(start <= second and second + 1 <= end for start, end in spans)
        ]

    def dead_between(self, from_s: float, to_s: float) -> list[float]:
        """When, in that time, it began to say that it is not live."""
        return [told.at_s for told in self.told if not told.live and from_s <= told.at_s < to_s]

    def shown_at(self, account: str, version: int) -> float | None:
        """When this version, or a later one, was there."""
        return next((at_s for at_s, seen in self.seen.get(account, ()) if seen >= version), None)


async def _get(session: aiohttp.ClientSession, url: str, wait_s: float) -> tuple[int, Mapping[str, Any]]:
    """Status and document; 0 without an answer in time."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=wait_s)) as answer:
            document = await answer.json(content_type=None)
            return answer.status, document if isinstance(document, dict) else {}
    except (aiohttp.ClientError, OSError, ValueError):
        return 0, {}
