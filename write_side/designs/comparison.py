"""One design through the load and the faults, and what the judge says of its money."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import uuid4

from write_side.designs import load as loads
from write_side.designs.design import Capabilities, Design, TakesBatches, Transfer, Witness
from write_side.designs.faults import Harm, kill_at, kill_node, pause_node
from write_side.designs.load import Load, Measured
from write_side.designs.map_faults import Ensemble, map_faults
from write_side.designs.money import Verdict, judge
from write_side.designs.wiring import Name, Places, capabilities, open_design


class Fault(StrEnum):
    """What can be done to a design, as it is typed."""

    SERVICE = "service"
    """Killed at every step of a transfer between two nodes."""
    NODE = "node"
    """One of the nodes (or the broker), killed and started again."""
    PAUSE = "pause"
    """One of the nodes hangs for a while, and goes on."""
    ZOOKEEPER = "zookeeper"
    """Of the design that has its map of the nodes there: servers of it killed, all of it away, the session ended."""


class Node(Protocol):
    """A server that can be killed and started again, or hang and go on."""

    def kill(self) -> None: ...
    def start(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Told(NamedTuple):
    """What is under way, and how the load goes. share: of this design's time that is over, about."""

    doing: str
    share: float
    measured: Measured | None = None


class Compared(NamedTuple):
    """requests and forced_writes: of one transfer between two nodes, alone. one_by_one: clients with a transfer each. in_batches:
    None where the design takes none. after_load: the judge's word when the load was over; then each fault had its turn."""

    name: Name
    promises: Capabilities
    requests: int
    forced_writes: int
    one_by_one: Measured
    in_batches: Measured | None
    batch: int
    after_load: Verdict
    harms: tuple[Harm, ...]

    @property
    def best(self) -> Measured:
        return self.in_batches or self.one_by_one

    @property
    def made(self) -> int:
        """More (or less) than was put in, when all was over."""
        return self.after_load.made + sum(harm.made for harm in self.harms)


async def compare(
    name: Name,
    places: Places,
    load: Load,
    *,
    seconds: float,
    faults: Sequence[Fault],
    dead_s: float,
    node: Node | None,
    zookeeper: Ensemble | None,
    told: Callable[[Told], None],
) -> Compared:
    """Over empty servers. node: the one to kill; None: there is none, or it is not ours. zookeeper: likewise."""
    promises = capabilities(name)
    told(Told("opening accounts", 0.0))
    witness = Witness()
    design = await open_design(name, places, witness)
    try:
        await design.put_in(load.put_in)
        alone = await _alone(design, load, witness)

        def telling(doing: str, share: float) -> Callable[[Measured], None]:
            return lambda measured: told(Told(doing, share, measured))

        one_by_one = await loads.run(design, load, seconds, telling("one by one", 0.2))
        in_batches = None
        if isinstance(design, TakesBatches):
            in_batches = await loads.run_in_batches(design, load, seconds, telling("in batches", 0.4))
        told(Told("checking the money", 0.6, in_batches or one_by_one))
        await design.recover()
        after_load = judge(load.put_in, await design.balances())
        batch = design.batch if isinstance(design, TakesBatches) else 1
    finally:
        await design.close()
    harms = list[Harm]()
    for step in promises.steps if Fault.SERVICE in faults else ():
        told(Told(f"killed: {step}", 0.7, in_batches or one_by_one))
        harms.append(await kill_at(name, places, load, step, dead_s))
    if Fault.PAUSE in faults and node is not None:
        told(Told("a node paused", 0.85, in_batches or one_by_one))
        harms.append(await pause_node(name, places, load, node.pause, node.resume, dead_s))
    if Fault.ZOOKEEPER in faults and name is Name.IN_MEMORY_SHARDING:
        told(Told("ZooKeeper killed", 0.88, in_batches or one_by_one))
        harms += await map_faults(places, load, zookeeper, dead_s)
    if Fault.NODE in faults and node is not None:
        told(Told("a node killed", 0.9, in_batches or one_by_one))
        harms.append(await kill_node(name, places, load, node.kill, node.start))
    return Compared(name, promises, *alone, one_by_one, in_batches, batch, after_load, tuple(harms))


async def _alone(design: Design, load: Load, witness: Witness) -> tuple[int, int]:
    """Requests and forced writes of a transfer between the two nodes."""
    before = (witness.requests, witness.forced_writes)
    await design.transfer(Transfer(uuid4(), load.nodes[0][0], load.nodes[1][0], 1))
    return witness.requests - before[0], witness.forced_writes - before[1]
