"""The port of every design: how a wallet service over several nodes is opened, asked, recovered, and what it promises.

Order: transfers that are asked at once may be run in any order. Duplicates, durability, atomicity: what `Capabilities` says. One
suite proves it for each design, the faults at which it loses money included.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

NODE_KILLED: Final = "node_killed"
"""The fault of a node that loses its memory and is started again; the other faults are kills of the service, by step."""
NODE_PAUSED: Final = "node_paused"
"""The fault of the payee's node that hangs for a while, and goes on."""
MAP_CHANGED: Final = "map_changed"
"""The fault of a map of the nodes that changes while transfers are under way, and is put right again."""


class Transfer(NamedTuple):
    """amount: minor units, at least 1. payer and payee differ."""

    id: UUID
    payer: str
    payee: str
    amount: int


class Batch(NamedTuple):
    """n transfers as columns: ids uint8[n, 16], payers and payees text[n], amounts int64[n]."""

    ids: npt.NDArray[np.uint8]
    payers: pa.StringArray
    payees: pa.StringArray
    amounts: npt.NDArray[np.int64]


class Counts(NamedTuple):
    """How many transfers were done, refused, or nobody can tell yet."""

    done: int
    refused: int
    unanswered: int


class Result(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    """The payer has too little, or there is no such payee; nothing was changed, or it was taken back."""


class Unanswered(Exception):
    """Nobody can tell yet whether it ran: a node is away, or holds a lock for another transfer. The same id may be sent
    again where the design runs an id once; elsewhere that may pay twice."""


@dataclass(frozen=True)
class Capabilities:
    """What a design promises, and what it does not. Steps are the points of a transfer across two nodes, in their order, at which
    the service can be killed."""

    steps: tuple[str, ...]
    durable: bool
    """What was answered as done is there after every node was killed and started again."""
    once: bool
    """A transfer that is sent again with its id is not paid again."""
    past_balance: bool
    """What an account had at an earlier moment can be asked."""
    loses_money_at: frozenset[str] = frozenset()
    """Faults after which the accounts never again hold what was put in."""
    may_lose_money_at: frozenset[str] = frozenset()
    """Faults after which that hangs on the moment: what a node that hangs was sent may be run when it goes on, or not."""
    unbalanced_at: frozenset[str] = frozenset()
    """Steps after which readers find more or less than was put in, until the service recovers (or for ever)."""
    locked_at: frozenset[str] = frozenset()
    """Faults after which nobody can use one or both of the accounts until the service recovers, or the node goes on."""


class Request(NamedTuple):
    """Of the service to a node. forced: the node answers when it is on its disk."""

    node: int
    what: str
    forced: bool


@dataclass
class Witness:
    """What a design tells while it runs: each request to a node, each write it forces to a disk, each step it has reached."""

    requests: int = 0
    forced_writes: int = 0
    """Asked for one by one: a server that forces several at once does it less often."""
    told: list[Request | str] = field(default_factory=list)
    """Only where `telling`: requests and the names of steps, in the order of their ends."""
    telling: bool = False
    one_by_one: bool = False
    """Requests that go out at once otherwise are made one after the other, so that a kill can be placed between them."""

    def request(self, node: int, what: str, *, forced: bool = False) -> None:
        self.requests += 1
        self.forced_writes += forced
        if self.telling:
            self.told.append(Request(node, what, forced))

    def reached(self, step: str) -> None:
        if self.telling:
            self.told.append(step)

    async def both(self, *requests: Callable[[], Awaitable[None]]) -> list[Exception]:
        """Make these at once (see `one_by_one`); returns when all have ended, with what failed."""
        if not self.one_by_one:
            ended = await asyncio.gather(*(request() for request in requests), return_exceptions=True)
            stopped = [each for each in ended if isinstance(each, BaseException)]
            if not all(isinstance(each, Exception) for each in stopped):
                raise stopped[0]
            return [each for each in stopped if isinstance(each, Exception)]
        failed = list[Exception]()
        for request in requests:
            try:
                await request()
            except Exception as error:
                failed.append(error)
        return failed


class Design(Protocol):
    """A wallet service of one design, connected to its nodes. Raises Unanswered where a node is away."""

    capabilities: Capabilities

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        """Make these accounts with the money they begin with. Once, before the first transfer."""

    def crosses(self, payer: str, payee: str) -> bool:
        """Whether a transfer between the two needs more than one node."""

    async def transfer(self, transfer: Transfer) -> Result: ...

    async def balances(self) -> dict[str, int]:
        """Of every account, as a reader finds them now: node by node, without waiting for transfers under way."""

    async def recover(self) -> int:
        """Bring to an end what a killed service left half done; how many transfers those were. May be called at any time."""

    async def close(self) -> None: ...


@runtime_checkable
class KeepsHistory(Design, Protocol):
    """A design of which a past balance can be asked."""

    async def past_balances(self, at_us: int) -> dict[str, int]:
        """Of every account that was there then. at_us: UTC microseconds."""
        ...


@runtime_checkable
class TakesBatches(Design, Protocol):
    """A design that runs many transfers of one request together."""

    batch: int
    """How many at most."""

    async def transfers(self, batch: Batch) -> Counts:
        """What became of them. Raises Unanswered for all of them."""
        ...
