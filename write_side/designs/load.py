"""The load that every design is under: clients that each ask for one transfer after the other, and what they were told when.

Payers and payees are drawn evenly, so a lock is seldom in anybody's way: the kindest load for the designs that hold some. Amounts
are small beside the balances. All is drawn from one seed, and before the clock runs where that takes longer than asking.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.words.atoms import partition_of
from write_side.designs.design import Batch, Design, Result, TakesBatches, Transfer, Unanswered

NODES: Final = 2
CLIENTS: Final = 64
BATCHES_AT_ONCE: Final = 6
BATCHES_AHEAD: Final = 64
"""Batches that are drawn before the clock runs, and then again with new ids."""
MONEY: Final = 1_000_000
"""What an account begins with, in minor units."""
AMOUNT_MOST: Final = 100
TOLD_EVERY_S: Final = 0.5


def name_on(node: int, who: str) -> str:
    """An account of this node, called somewhat like that."""
    return next(name for name in (f"{who}-{n}" for n in count()) if partition_of(name, NODES) == node)


class Measured(NamedTuple):
    """done, refused and unanswered: transfers. latencies_ms: float[...], of each request that was answered."""

    done: int
    refused: int
    unanswered: int
    seconds: float
    latencies_ms: npt.NDArray[np.float64]

    @property
    def rate(self) -> float:
        """Transfers done a second."""
        return self.done / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float | None:
        return float(np.percentile(self.latencies_ms, percent)) if len(self.latencies_ms) else None


class Load:
    """accounts: how many in all, dealt to two nodes by their names. cross: the share of transfers between the two."""

    def __init__(self, accounts: int, cross: float, seed: int = 1) -> None:
        names = [f"account-{number:06d}" for number in range(accounts)]
        self.nodes = [[name for name in names if partition_of(name, NODES) == node] for node in range(NODES)]
        if min(map(len, self.nodes)) < 2:
            raise ValueError("each of the two nodes needs two accounts at least; take more of them")
        self.put_in: Mapping[str, int] = dict.fromkeys(names, MONEY)
        self._cross = cross
        self._random = random.Random(seed)
        self._columns = np.random.default_rng(seed)

    def transfer(self) -> Transfer:
        """The next one."""
        drawn = self._random
        node = drawn.randrange(NODES)
        payer = drawn.choice(self.nodes[node])
        while True:
            payee = drawn.choice(self.nodes[1 - node if drawn.random() < self._cross else node])
            if payee != payer:
                return Transfer(
                    uuid.UUID(int=drawn.getrandbits(128), version=4), payer, payee, drawn.randint(1, AMOUNT_MOST)
                )

    def batch(self, count: int) -> Batch:
        """The next so many."""
        drawn, texts = self._columns, pa.array([name for names in self.nodes for name in names])
        first, sizes = np.array([0, len(self.nodes[0])]), np.array([len(names) for names in self.nodes])
        node = drawn.integers(0, NODES, count)
        payer = drawn.integers(0, sizes[node])
        to = np.where(drawn.random(count) < self._cross, 1 - node, node)
        payee = drawn.integers(0, sizes[to])
        payee = np.where((to == node) & (payee == payer), (payee + 1) % sizes[to], payee)
        amounts = drawn.integers(1, AMOUNT_MOST + 1, count)
        return Batch(
            self._ids(count),
            texts.take(pa.array(first[node] + payer)),
            texts.take(pa.array(first[to] + payee)),
            amounts,
        )

    def again(self, batch: Batch) -> Batch:
        """The same transfers with new ids: other ones."""
        return batch._replace(ids=self._ids(len(batch.amounts)))

    def _ids(self, count: int) -> npt.NDArray[np.uint8]:
        """UUIDv7 of now, as a client of ours makes them."""
        ids = np.frombuffer(self._columns.bytes(16 * count), np.uint8).reshape(count, 16).copy()
        ids[:, :6] = np.frombuffer((time.time_ns() // 1_000_000).to_bytes(6, "big"), np.uint8)
        ids[:, 6] = (ids[:, 6] & 0x0F) | 0x70
        ids[:, 8] = (ids[:, 8] & 0x3F) | 0x80
        return ids


class _Tally:
    def __init__(self) -> None:
        self.began_s = time.perf_counter()
        self.done = self.refused = self.unanswered = 0
        self.latencies_ms: list[float] = []

    def answered(self, since_s: float) -> None:
        self.latencies_ms.append((time.perf_counter() - since_s) * 1_000)

    def measured(self) -> Measured:
        seconds = time.perf_counter() - self.began_s
        return Measured(self.done, self.refused, self.unanswered, seconds, np.array(self.latencies_ms))


async def run(design: Design, load: Load, seconds: float, told: Callable[[Measured], None]) -> Measured:
    """Transfers one by one, from CLIENTS at once, for so long; `told` hears now and then how it goes."""
    tally = _Tally()
    until_s = tally.began_s + seconds

    async def client() -> None:
        while (since_s := time.perf_counter()) < until_s:
            try:
                result = await design.transfer(load.transfer())
            except Unanswered:
                tally.unanswered += 1
                continue
            tally.answered(since_s)
            tally.done += result is Result.DONE
            tally.refused += result is Result.REFUSED

    return await _told([client() for _ in range(CLIENTS)], tally, told)


async def run_in_batches(
    design: TakesBatches, load: Load, seconds: float, told: Callable[[Measured], None]
) -> Measured:
    """As `run`, where a request has as many transfers as the design takes; a latency is that of a whole request."""
    drawn = [load.batch(design.batch) for _ in range(BATCHES_AHEAD)]
    tally = _Tally()
    until_s = tally.began_s + seconds

    async def client(first: int) -> None:
        at = first
        while (since_s := time.perf_counter()) < until_s:
            batch, at = load.again(drawn[at % BATCHES_AHEAD]), at + BATCHES_AT_ONCE
            try:
                counts = await design.transfers(batch)
            except Unanswered:
                tally.unanswered += design.batch
                continue
            tally.answered(since_s)
            tally.done += counts.done
            tally.refused += counts.refused
            tally.unanswered += counts.unanswered

    return await _told([client(first) for first in range(BATCHES_AT_ONCE)], tally, told)


async def _told(clients: Sequence[object], tally: _Tally, told: Callable[[Measured], None]) -> Measured:
    async def tell() -> None:
        while True:
            await asyncio.sleep(TOLD_EVERY_S)
            told(tally.measured())

    telling = asyncio.create_task(tell())
    try:
        await asyncio.gather(*clients)  # type: ignore[call-overload]
        return tally.measured()
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
