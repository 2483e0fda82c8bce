"""What a fault of ZooKeeper does to the service that has its map of the nodes from there: does it go on, and hear of the next?

Whoever has read the map goes on with it. So no fault of ZooKeeper loses money or holds a transfer up; what it delays is that a
map which is written later is heard.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol, runtime_checkable
from uuid import uuid4

from write_side.designs.design import Design, Transfer, Unanswered, Witness
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
            await _hears(design, places)
            recovery_ms = (time.perf_counter() - began_s) * 1_000
        after = sum((await design.balances()).values())
    finally:
        await design.close()
    return Harm(fault, max(seen, key=abs, default=0), max(stopped_s, default=0.0), recovery_ms, after - before)


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


async def _hears(design: ReadsMap, places: Places) -> None:
    """Write the same map again, until it is heard: one that is written while another leader is elected may be refused. Raises
    TimeoutError."""
    async with asyncio.timeout(HEARD_LIMIT_S):
        while True:
            design.nodes.changed.clear()
            try:
                await publish_nodes(places, design.nodes.addresses)
            except Unanswered:
                continue
            await design.nodes.changed.wait()
            return
