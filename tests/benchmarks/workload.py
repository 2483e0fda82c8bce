"""The canonical load: transfers between 100,000 accounts, zipf 1.0, string ids, UUIDv7 transfer ids.

All inside a partition, or a share of them (`cross`) to an account of another one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.words.atoms import partition_of
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Hold, Leg, OpenAccount

ASSET = "USD/2"
FLOOR = -(10**12)


class Load(NamedTuple):
    """One partition's records: the openings, then the transfers."""

    openings: list[CommandBatch]
    transfers: list[CommandBatch]


def loads(
    *, partitions: int, accounts: int, transfers: int, batch: int, now_us: int, cross: float = 0.0, seed: int = 1
) -> list[Load]:
    """A load per partition; `transfers` and `accounts` are totals. Made before the clock starts.

    cross: share of the transfers whose credited account lives in another partition.
    """
    random = np.random.default_rng(seed)
    names: list[list[str]] = [[] for _ in range(partitions)]
    for i in range(accounts):
        name = f"account-{i:06d}"
        names[partition_of(name, partitions)].append(name)
    batches = -(-transfers // (batch * partitions))
    return [
        _load(own, _others(names, own), batches, batch, now_us, cross if partitions > 1 else 0.0, random)
        for own in names
    ]


def holds(load: Load, count: int, batch: int, now_us: int) -> list[CommandBatch]:
    """Records of so many holds between accounts of a load, whose deadlines lie within a year from tomorrow on."""
    names = load.openings[0].debit.to_pylist()
    random = np.random.default_rng(2)
    size = min(count, batch)
    commands = [Hold(bytes(16), _legs(names[n % len(names)], names[(n + 1) % len(names)]), 1) for n in range(size)]
    first = CommandBatch.of(commands)
    found = []
    for number in range(-(-count // size) if count else 0):
        assert first.details is not None
        deadline_us = now_us + random.integers(86_400_000_000, 366 * 86_400_000_000, size)
        ids = _uuid7s(size, now_us // 1000 + number // 100, random)
        found.append(replace(first, ids=ids, details=replace(first.details, deadline_us=deadline_us)))
    return found


def _legs(debit: str, credit: str) -> tuple[Leg, ...]:
    return tuple(sorted((Leg(debit, -1, ASSET), Leg(credit, 1, ASSET))))


def _others(names: list[list[str]], own: list[str]) -> list[str]:
    return [name for others in names if others is not own for name in others]


def _load(
    names: list[str],
    others: list[str],
    batches: int,
    batch: int,
    now_us: int,
    cross: float,
    random: np.random.Generator,
) -> Load:
    openings = [
        CommandBatch.of([OpenAccount(name, ASSET, FLOOR, "") for name in names[i : i + batch]])
        for i in range(0, len(names), batch)
    ]
    texts = pa.array([*names, *others])
    weights = 1.0 / np.arange(1, len(names) + 1)
    shares = np.cumsum(weights / weights.sum())
    ranks = random.permutation(len(names))

    def accounts() -> npt.NDArray[np.int64]:
        picked = np.searchsorted(shares, random.random(batch))
        return ranks[np.minimum(picked, len(names) - 1)]

    transfers = []
    for number in range(batches):
        debit, credit = accounts(), accounts()
        credit = np.where(credit == debit, (credit + 1) % len(names), credit)
        if cross:
            away = random.random(batch) < cross
            credit = np.where(away, random.integers(len(names), len(texts), batch), credit)
        transfers.append(
            CommandBatch(
                np.full(batch, Kind.TRANSFER, np.uint8),
                _uuid7s(batch, now_us // 1000 + number // 100, random),
                texts.take(pa.array(debit)),
                texts.take(pa.array(credit)),
                random.integers(1, 1000, batch),
                np.zeros(batch, np.int32),
                [ASSET],
                pa.array([""] * batch, pa.utf8()),
                np.zeros(batch, np.int32),
            )
        )
    return Load(openings, transfers)


def _uuid7s(n: int, at_ms: int, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    ids = random.integers(0, 256, (n, 16), dtype=np.uint8)
    ids[:, :6] = np.frombuffer(at_ms.to_bytes(6, "big"), np.uint8)
    ids[:, 6] = (ids[:, 6] & 0x0F) | 0x70
    ids[:, 8] = (ids[:, 8] & 0x3F) | 0x80
    return ids
