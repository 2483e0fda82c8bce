"""Messages between partitions as columns: steps that a home partition asks for, and the answers that it gets.

All numbers: accounts are named by their keys and assets by their hashes, so that a participant needs no text to do its part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block import limits
from write_side.contract.block.limits import PARTITIONS_MAX, ROWS_MAX
from write_side.contract.state.pending_columns import (
    CREDIT_BIT,
    FROM_HOLD_BIT,
    LAST_BIT,
    MASK_STEPS_MAX,
    TCC_BIT,
    Action,
    StepState,
)
from write_side.contract.words.atoms import LIMIT
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.commands.batch_columns import StepColumns
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import LEGS_MAX
from write_side.ledger.commands.record_checks import check_conditions, is_beyond
from write_side.ledger.commands.records import (
    BatchMalformed,
    id_array,
    id_bytes,
    legs_bounds,
    numbers_of,
    read_mark,
    read_streams,
    write_streams,
)
from write_side.ledger.commands.weights import first_fitting, step_weights

if TYPE_CHECKING:
    from write_side.contract.state.pending import PendingTable

Int64s = npt.NDArray[np.int64]

_MARK: Final = b"steps-1"
_SEQUENCE_MAX: Final = 2**62
"""Of block sequences and microseconds: sums of two still fit."""
_OPTION_BITS: Final = TCC_BIT | FROM_HOLD_BIT | CREDIT_BIT | LAST_BIT
NUMBERS: Final = (
    "home", "step", "action", "option", "state", "code", "available", "sequence", "at_us", "begun", "low",
)  # fmt: skip
_ROWS: Final = pa.schema(
    [("kind", pa.uint8()), ("id", pa.binary(16)), *((name, pa.int64()) for name in (*NUMBERS, "legs"))],
    metadata={b"fanfold": _MARK},
)
_LEG_NUMBERS: Final = ("asset", "amount", "if_version", "if_available")
_LEGS: Final = pa.schema([("key", pa.binary(16)), *((name, pa.int64()) for name in _LEG_NUMBERS)])


class StepBatch(StepColumns):
    """Messages between partitions as columns (`batch_columns.py`), and what is done with them."""

    __slots__ = ()

    @staticmethod
    def concatenated(batches: Sequence[StepBatch]) -> StepBatch:
        """Several batches as one, in order."""
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return EMPTY_STEPS
        columns = {
            field.name: np.concatenate([getattr(batch, field.name) for batch in batches])
            for field in fields(StepBatch)
            if field.name != "first_leg"
        }
        sizes = np.concatenate([np.diff(batch.first_leg) for batch in batches])
        return StepBatch(first_leg=np.concatenate(([0], np.cumsum(sizes))), **columns)

    def weight(self, pending: PendingTable | None = None) -> int:
        """Bytes that it can add to a block at most (`weights.py`)."""
        return int(step_weights(self, pending).sum())

    def parts(self) -> Iterator[StepBatch]:
        """The same in order, in batches that can be decided in one block each."""
        weights, at = step_weights(self), 0
        while at < len(self):
            end = at + first_fitting(weights[at : at + ROWS_MAX], limits.COMMANDS_BYTES_MAX)
            yield self.between(at, end)
            at = end

    def between(self, first: int, last: int) -> StepBatch:
        """Rows first to last."""
        if (first, last) == (0, len(self)):
            return self
        legs = slice(int(self.first_leg[first]), int(self.first_leg[last]))
        of_legs = ("key", *_LEG_NUMBERS)
        columns = {
            field.name: getattr(self, field.name)[legs if field.name in of_legs else slice(first, last)]
            for field in fields(StepBatch)
            if field.name != "first_leg"
        }
        return StepBatch(first_leg=self.first_leg[first : last + 1] - self.first_leg[first], **columns)

    def encode(self) -> bytes:
        """The record of the command queue: two Arrow IPC streams of one batch each, messages and legs."""
        numbers = [pa.array(getattr(self, name)) for name in NUMBERS]
        rows = [pa.array(self.kind), id_array(self.ids), *numbers, pa.array(np.diff(self.first_leg))]
        legs = [id_array(self.key), *(pa.array(getattr(self, name)) for name in _LEG_NUMBERS)]
        return write_streams(((_ROWS, rows), (_LEGS, legs)))

    @staticmethod
    def decode(data: bytes | memoryview) -> StepBatch:
        """The inverse of `encode`, checked value by value: a queue is an entrance too. Raises BatchMalformed."""
        messages, *rest = read_streams(data, 2)
        if messages.metadata.get(b"fanfold") != _MARK or not rest:
            raise BatchMalformed("another sort of record")
        messages.expect(_ROWS)
        rest[0].expect(_LEGS, empty=True)
        kind, ids, *numbers, sizes = messages.batch.columns
        key, *leg_numbers = rest[0].batch.columns
        batch = StepBatch(
            kind=np.array(kind.to_numpy()),
            ids=id_bytes(ids),
            first_leg=legs_bounds(numbers_of(sizes), len(key), 2 * LEGS_MAX),
            key=id_bytes(key),
            **{name: numbers_of(column) for name, column in zip(NUMBERS, numbers, strict=True)},
            **{name: numbers_of(column) for name, column in zip(_LEG_NUMBERS, leg_numbers, strict=True)},
        )
        _check(batch)
        if batch.weight() > limits.COMMANDS_BYTES_MAX:
            raise BatchMalformed("more than a block can take")
        return batch


def decode_record(data: bytes | memoryview) -> CommandBatch | StepBatch:
    """A record of the command queue, whichever it is. Raises BatchMalformed."""
    return StepBatch.decode(data) if read_mark(data) == _MARK else CommandBatch.decode(data)


def _check(batch: StepBatch) -> None:
    bounds: tuple[tuple[Int64s, int, int], ...] = (
        (batch.home, 0, PARTITIONS_MAX - 1),
        (batch.step, 0, MASK_STEPS_MAX - 1),
        (batch.action, 0, max(Action)),
        (batch.state, 0, max(StepState)),
        (batch.code, 0, max(Code)),
        (batch.begun, 0, _SEQUENCE_MAX),
        (batch.low, 0, _SEQUENCE_MAX),
        (batch.sequence, 0, _SEQUENCE_MAX),
        (batch.at_us, 0, _SEQUENCE_MAX),
    )
    if any(column.min() < low or column.max() > high for column, low, high in bounds):
        raise BatchMalformed("a number is out of range")
    if np.any(batch.option & ~_OPTION_BITS):
        raise BatchMalformed("an option is unknown")
    step = batch.kind == Kind.STEP
    if not np.all(step | (batch.kind == Kind.ANSWER)):
        raise BatchMalformed("a kind is none of messages")
    if not batch.ids.any(axis=1).all() or (batch.ids == 255).all(axis=1).any():
        raise BatchMalformed("an id is malformed")
    if np.any((np.diff(batch.first_leg) > 0) != (step & (batch.action == Action.TRY))):
        raise BatchMalformed("a try has no legs, or another message has some")
    if is_beyond(batch.amount, LIMIT) or np.any(batch.amount == 0):
        raise BatchMalformed("an amount is out of range")
    check_conditions(batch.if_version, batch.if_available)


def _empty() -> StepBatch:
    ids, none = np.empty((0, 16), np.uint8), np.empty(0, np.int64)
    return StepBatch(np.empty(0, np.uint8), ids, *(none,) * 11, np.zeros(1, np.int64), ids, *(none,) * 4)


EMPTY_STEPS: Final = _empty()
