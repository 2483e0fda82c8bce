"""What a fault of ZooKeeper does to the service that has its map of the nodes from there: does it go on, and hear of the next?

Whoever has read the map goes on with it. So no fault of ZooKeeper loses money or holds a transfer up; what it delays is that a
map which is written later is heard. Hearing it is what can: a map that changes while transfers are under way takes the second
command of some to a node that does not know their payee, and what is given back to one that does not know their payer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol, runtime_checkable
from uuid import uuid4

from write_side.designs.design import MAP_CHANGED, Design, Result, Transfer, Unanswered, Witness
from write_side.designs.faults import Harm
from write_side.designs.load import Load
from write_side.designs.node_map import NodeMap, expire_session
from write_side.designs.wiring import Name, Places, open_design, publish_nodes

FOLLOWER_KILLED: Final = "zookeeper_follower_killed"
LEADER_KILLED: Final = "zookeeper_leader_killed"
AWAY: Final = "zookeeper_away"
SESSION_EXPIRED: Final = "zookeeper_session_expired"
HEARD_LIMIT_S: Final = 60.0
_ASKED_EVERY_S: Final = 0.02
_CLIENTS: Final = 16
"""Transfers under way when the map changes."""
_CHANGES_MAX: Final = 30
"""As often as not some of them are between their two commands then."""


class Ensemble(Protocol):
    """Three servers of one ZooKeeper, each to be killed. start: those that were killed; returns when all serve."""

    def kill_follower(self) -> None: ...
    def kill_leader(self) -> None: ...
    def kill_most(self) -> None: ...
    def start(self) -> None: ...


@runtime_checkable
class ReadsMap(Design, Protocol):
    """A design that looks its nodes up in a map."""

    nodes: NodeMap


async def map_faults(places: Places, load: Load, ensemble: Ensemble | None, dead_s: float) -> list[Harm]:
    """Each fault in turn, under transfers that are asked all the while. ensemble: None where its servers are not ours to kill,
    and only the service's session can be ended. dead_s: how long a ZooKeeper that serves nobody is left so."""
    harms = []
    if ensemble is not None:
        harms.append(await _while_asked(FOLLOWER_KILLED, places, load, lambda _: _once(ensemble.kill_follower)))
        ensemble.start()
        harms.append(await _while_asked(LEADER_KILLED, places, load, lambda _: _once(ensemble.kill_leader)))
        ensemble.start()
        harms.append(await _while_asked(AWAY, places, load, lambda _: _away(ensemble, dead_s)))
    harms.append(
        await _while_asked(SESSION_EXPIRED, places, load, lambda design: expire_session(places.zookeeper, design.nodes))
    )
    harms.append(await _map_changed(places, load))
    return harms


async def _once(kill: Callable[[], None]) -> None:
    kill()


async def _away(ensemble: Ensemble, dead_s: float) -> None:
    ensemble.kill_most()
    await asyncio.sleep(dead_s)
    ensemble.start()


async def _while_asked(fault: str, places: Places, load: Load, strike: Callable[[ReadsMap], Awaitable[None]]) -> Harm:
    """locked_s: the longest time without an answer, where a transfer was not answered. recovery_ms: from the end of the
    fault until the service has heard of a map that is written then."""
    design = await open_design(Name.IN_MEMORY_SHARDING, places, Witness())
    assert isinstance(design, ReadsMap)
    try:
        before = sum((await design.balances()).values())
        async with _asking(design, load, before) as (stopped_s, seen):
            await strike(design)
            began_s = time.perf_counter()
            await _heard(design, places, design.nodes.addresses)
            recovery_ms = (time.perf_counter() - began_s) * 1_000
        after = sum((await design.balances()).values())
    finally:
        await design.close()
    return Harm(fault, max(seen, key=abs, default=0), max(stopped_s, default=0.0), recovery_ms, after - before)


async def _map_changed(places: Places, load: Load) -> Harm:
    """Two nodes change places in the map under load, as by an operator who has not moved what is in them, and it is put right
    again. A change may find no transfer between its two commands: then it is made again.

    locked_s: for how long no transfer was done. recovery_ms: from writing the right map until one is."""
    design = await open_design(Name.IN_MEMORY_SHARDING, places, Witness())
    assert isinstance(design, ReadsMap)
    right, seen, stopped_s, recovery_s = design.nodes.addresses, 0, 0.0, 0.0
    try:
        before = sum((await design.balances()).values())
        async with _moving(design, load) as clients:
            for _ in range(_CHANGES_MAX):
                await clients.each_was_told(Result.DONE)
                await _heard(design, places, right[::-1])
                began_s = time.perf_counter()
                await clients.each_was_told(Result.REFUSED)
                seen = sum((await design.balances()).values()) - before
                put_right_s = time.perf_counter()
                await _heard(design, places, right)
                await clients.each_was_told(Result.DONE)
                ended_s = time.perf_counter()
                stopped_s, recovery_s = max(stopped_s, ended_s - began_s), ended_s - put_right_s
                if seen:
                    break
        after = sum((await design.balances()).values())
    finally:
        await publish_nodes(places, right)
        await design.close()
    return Harm(MAP_CHANGED, seen, stopped_s, recovery_s * 1_000, after - before)


class _Clients:
    """Who asks for one transfer between two nodes after the other, and what each was told since somebody last waited."""

    def __init__(self) -> None:
        self.ending = False
        self._told: set[tuple[int, Result]] = set()
        self._changed = asyncio.Event()

    async def ask(self, client: int, design: ReadsMap, payer: str, payee: str) -> None:
        while not self.ending:
            self._told.add((client, await design.transfer(Transfer(uuid4(), payer, payee, 1))))
            self._changed.set()

    async def each_was_told(self, result: Result) -> None:
        """Wait until every client is told so from now on. Raises TimeoutError."""
        self._told.clear()
        async with asyncio.timeout(HEARD_LIMIT_S):
            while any((client, result) not in self._told for client in range(_CLIENTS)):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def _moving(design: ReadsMap, load: Load) -> AsyncIterator[_Clients]:
    clients = _Clients()
    pairs = list(zip(load.nodes[0], load.nodes[1], strict=False))
    asking = [asyncio.create_task(clients.ask(i, design, *pairs[i % len(pairs)])) for i in range(_CLIENTS)]
    try:
        yield clients
    finally:
        clients.ending = True  # not cancelled: they may be between the two commands
        await asyncio.gather(*asking)


@asynccontextmanager
async def _asking(design: ReadsMap, load: Load, before: int) -> AsyncIterator[tuple[list[float], list[int]]]:
    """Transfers between two nodes, one after the other; gives how long each took that was not answered, s, and how much
    more (or less) than `before` a reader found behind each."""
    stopped_s, seen, ending = list[float](), list[int](), asyncio.Event()

    async def ask() -> None:
        while not ending.is_set():
            began_s = time.perf_counter()
            try:
                await design.transfer(Transfer(uuid4(), load.nodes[0][0], load.nodes[1][0], 1))
            except Unanswered:
                stopped_s.append(time.perf_counter() - began_s)
            seen.append(sum((await design.balances()).values()) - before)
            await asyncio.sleep(_ASKED_EVERY_S)

    asking = asyncio.create_task(ask())
    try:
        yield stopped_s, seen
    finally:
        ending.set()  # not cancelled: it may be between the two commands
        await asking


async def _heard(design: ReadsMap, places: Places, addresses: Sequence[str]) -> None:
    """Write this map, and again until it is heard: one that is written while another leader is elected may be refused. Raises
    TimeoutError."""
    async with asyncio.timeout(HEARD_LIMIT_S):
        while True:
            design.nodes.changed.clear()
            try:
                await publish_nodes(places, addresses)
            except Unanswered:
                continue
            await design.nodes.changed.wait()
            return
