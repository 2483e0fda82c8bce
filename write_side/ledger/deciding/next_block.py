"""The next block of a partition: records decided, encoded, checked as readers will check it, and the state moved on to it.

The one way to a block: of the writer, the dry run, the demonstration, what is compiled ahead, what is decided again, and the
tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block, decode_made, encode
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.state import State
from write_side.ledger.across.participant import EFFECTS
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.decide import Decision, decide
from write_side.ledger.deciding.look_back import EveryId

Placed = tuple[int, CommandBatch | StepBatch]
"""A record: its offset in the command queue, and what is in it."""


class Decided(NamedTuple):
    """A block that is not in the log yet: its bytes, and what readers will make of them."""

    data: bytes
    block: Block


def next_block(
    state: State,
    records: Sequence[Placed],
    *,
    partitions: int,
    created_at_us: int,
    consumed_to: int,
    ids_max: int,
    epoch: int | None = None,
    effects: npt.NDArray[np.int64] = EFFECTS,
    ever: EveryId | None = None,
) -> Decided:
    """Decide these records, in order, and what time ends before them; the state is then ahead of the log by the block.

    consumed_to: the offset behind the last record, also of those that could not be read; where it moves on without one that can,
    nothing is decided. created_at_us: UTC microseconds, above the last block's. epoch: the last block's, where nothing else is
    said. effects, ever: see `decide.py`. Raises CheckFailed for a block that readers would refuse.
    """
    if records or consumed_to == state.chained.consumed_to:
        sizes = [len(batch) for _, batch in records]
        offsets = np.array([offset for offset, _ in records], np.int64)
        rows = [np.arange(size) for size in sizes]
        decision = decide(
            state,
            [batch for _, batch in records],
            np.repeat(consumed_to - offsets, np.array(sizes, np.int64)),
            rows[0] if len(rows) == 1 else np.concatenate([np.arange(0), *rows]),
            partitions=partitions,
            created_at_us=created_at_us,
            ids_max=ids_max,
            effects=effects,
            ever=ever,
        )
    else:
        decision = nothing_decided(state)
    epoch = state.chained.epoch if epoch is None else epoch
    decided = _made(state, decision, epoch, partitions, created_at_us, consumed_to)
    if fault := grammar_fault(decided.block):
        sequence = decided.block.header.sequence
        raise CheckFailed(state.partition, sequence, f"it was decided wrongly and not appended: {fault}")
    state.chained.advance(decided.block.header)
    return decided


def opening_block(state: State, *, partitions: int, created_at_us: int) -> Decided:
    """The first block of an owner's epoch: nothing is decided, and the state is where it was until the log has accepted it."""
    chained = state.chained
    return _made(state, nothing_decided(state), chained.epoch + 1, partitions, created_at_us, chained.consumed_to)


def nothing_decided(state: State) -> Decision:
    """Of a block that decides nothing, of which time ends nothing either."""
    return Decision({}, state.chained.refuse_ids_before_us, state.digest_bytes())


def block_bytes(
    state: State, decision: Decision, *, epoch: int, partitions: int, created_at_us: int, consumed_to: int
) -> bytes:
    """The block behind `state.chained` that says this, in the format of now: also of one that is decided again."""
    chained = state.chained
    return encode(
        partitions=partitions,
        partition=state.partition,
        epoch=epoch,
        sequence=chained.sequence + 1,
        previous_hash=chained.block_hash,
        consumed_to=consumed_to,
        created_at_us=created_at_us,
        refuse_ids_before_us=decision.refuse_ids_before_us,
        forgets=int(decision.forgets),
        digest=decision.digest,
        sections=decision.sections,
    )


def _made(
    state: State, decision: Decision, epoch: int, partitions: int, created_at_us: int, consumed_to: int
) -> Decided:
    data = block_bytes(
        state,
        decision,
        epoch=epoch,
        partitions=partitions,
        created_at_us=created_at_us,
        consumed_to=consumed_to,
    )
    return Decided(data, decode_made(data))
