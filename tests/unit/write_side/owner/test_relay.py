"""The relay: asks again with back-off, for all that is open, in records that a block can take."""

from __future__ import annotations

import asyncio

import numpy as np

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from tests.unit.write_side.running import SimulatedClock
from write_side.contract.block.limits import COMMANDS_BYTES_MAX
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.step_batch import StepBatch
from write_side.owner.relay import AGAIN_S_MAX, Relay, times_asked
from write_side.queue.queue_memory import MemoryQueue

OPEN = 80_000
NEAR, FAR = (next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in range(2))


def _asked(stood_s: float, word: int = 0) -> int:
    return int(times_asked(np.array([stood_s]), np.array([word], np.int64))[0])


def test_what_stands_still_is_asked_again_after_1_3_7_15_and_31_seconds() -> None:
    for times, second in enumerate((1, 3, 7, 15, 31), 1):
        assert (_asked(second - 0.001), _asked(second)) == (times - 1, times + (second == 31))


def test_what_a_clock_set_back_makes_younger_than_new_is_not_asked() -> None:
    assert _asked(-5.0) == 0


def test_later_every_transfer_is_asked_once_in_half_a_minute_and_not_all_together() -> None:
    words = np.random.default_rng(1).integers(-(2**63), 2**63, 3_000)
    asked = np.array([times_asked(np.full(len(words), 100.0 + second), words) for second in range(31)])
    assert (asked[int(AGAIN_S_MAX)] - asked[0] == 1).all()
    each_second = np.diff(asked, axis=0).sum(axis=1)
    assert each_second.max() < 2 * len(words) / AGAIN_S_MAX


async def test_more_open_transfers_than_a_record_takes_are_asked_again_in_several() -> None:
    partition = DecidingPartition(0, 2)
    partition.decide([OpenAccount(NEAR, "USD/2", 0, "")], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 0), "@world", NEAR, OPEN, "USD/2")], NOON_US + 1)
    for block in range(4):
        numbers = range(1 + block * OPEN // 4, 1 + (block + 1) * OPEN // 4)
        partition.decide([Transfer(id_at(NOON_US, n), NEAR, FAR, 1, "USD/2") for n in numbers], NOON_US + 2 + block)
    queue = MemoryQueue(2 * OPEN)
    reader = await queue.open_reader(1, 0)
    relay = Relay(0, queue, SimulatedClock())
    relay.start(partition.state)
    running = asyncio.create_task(relay.run())
    batches: list[StepBatch] = []
    while sum(map(len, batches)) < OPEN:
        for record in await reader.take(8_192):
            assert isinstance(record.batch, StepBatch)
            batches.append(record.batch)
    running.cancel()
    assert len(batches) > 1
    assert all(batch.weight() <= COMMANDS_BYTES_MAX for batch in batches)
    assert len({row.tobytes() for batch in batches for row in batch.ids}) == relay.sent == OPEN
