"""Compile every loop before the first client waits for one: a scripted life of a partition on throw-away states.

The first start after an update takes a minute or more for this; later ones load what was compiled (`compiled/compiled.py`).
"""

from __future__ import annotations

import gc
from collections import deque

import numpy as np
import numpy.typing as npt

from write_side.contract.log.log import Record
from write_side.contract.state.fold_ids import forget_before
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.ledger.across.outstanding import messages_again, messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Hold, Leg, OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.next_block import next_block
from write_side.ledger.rules.ran_before import ROW_WIDTH


def compile_ahead() -> None:
    """Decide, encode, decode and fold a few commands in two partitions; takes milliseconds once everything is compiled."""
    partitions = [_Partition(0), _Partition(1)]
    first, refused, away, hold = (bytes((number,)) * 16 for number in range(1, 5))
    near, far = (_account_in(partition) for partition in range(2))
    rounds: tuple[tuple[int, list[Command]], ...] = (
        (0, [OpenAccount(near, "USD/2", 0, ""), OpenAccount(near + "0", "USD/2", 0, "owner")]),
        (1, [OpenAccount(far, "USD/2", 0, "")]),
        (0, [Transfer(first, "@world", near, 5, "USD/2"), Transfer(refused, near, "@world", 9, "USD/2")]),
        (0, [Transfer(first, "@world", near, 5, "USD/2"), OpenAccount(near, "USD/2", 0, "")]),
        (0, [Transfer(away, near, far, 1, "USD/2"), Hold(hold, (Leg(near, -1, "USD/2"), Leg(far, 1, "USD/2")))]),
    )
    waiting: deque[tuple[int, CommandBatch | StepBatch]] = deque(
        (p, CommandBatch.of(commands).asked_by("somebody")) for p, commands in rounds
    )
    while waiting:
        to, batch = waiting.popleft()
        waiting += partitions[to].decide(batch).items()
    for partition in partitions:
        partition.read_all()
    reader = partitions[0].reader.state
    reader.find_transfer(first)
    reader.number_of(near)
    reader.reserve_accounts(2048)
    reader.ids.reserve(2048)
    forget_before(reader, 2, 2)
    reader.ids.sweep()
    reader.ids.median_time_us()
    reader.pending.reserve(2048, 2048)
    messages_again(reader.pending.rows[:1], reader.pending.legs, 0)
    # What was loaded for this lives as long as the process: a twentieth of the processor went into looking for garbage in it.
    gc.collect()
    gc.freeze()


class _Partition:
    def __init__(self, partition: int) -> None:
        self._state = State(partition)
        self._writer = Replay(State(partition), FINGERPRINTS)
        self.reader = Replay(State(partition))
        self._records: list[Record] = []

    def decide(self, batch: CommandBatch | StepBatch) -> dict[int, StepBatch]:
        sequence = self._state.chained.sequence + 1
        data, block = next_block(
            self._state,
            [(sequence, batch)],
            partitions=2,
            created_at_us=sequence + 1,
            consumed_to=sequence + 1,
            ids_max=1024,
            epoch=1,
            ever=_Nobody(),
        )
        self._records.append(Record(sequence, data))
        for each in (self._writer, self.reader):
            each.take(self._records[-1])
        return messages_of_block(block)

    def read_all(self) -> None:
        """As whoever starts does: by the run."""
        for prints in (FINGERPRINTS, None):
            Replay(State(self._state.partition), prints).take_all(self._records)


class _Nobody:
    """Knows no id that ever ran."""

    def find(self, ids: npt.NDArray[np.uint64], wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        return np.empty((len(ids), ROW_WIDTH), np.uint64)


def _account_in(partition: int) -> str:
    """Some account that lives in this one of two partitions."""
    return next(name for name in map(str, range(64)) if partition_of(name, 2) == partition)
