"""Messages between partitions as columns: steps that a home partition asks for, and the answers that it gets.

All numbers: accounts are named by their keys and assets by their hashes, so that a participant needs no text to do its part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.atoms import LIMIT
from write_side.contract.block import OUTCOMES_MAX
from write_side.contract.codes import Code, Kind
from write_side.contract.pending import MASK_STEPS_MAX, PARTITIONS_MAX, Action, StepState
from write_side.ledger.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands import LEGS_MAX

Int64s = npt.NDArray[np.int64]

_NUMBERS: Final = (
    "home", "step", "action", "option", "state", "code", "available", "sequence", "at_us", "begun", "low", "legs",
)  # fmt: skip
_ROWS: Final = pa.schema(
    [("kind", pa.uint8()), ("id", pa.binary(16)), *((name, pa.int64()) for name in _NUMBERS)],
    metadata={b"fanfold": b"steps-1"},
)
_LEG_NUMBERS: Final = ("asset", "amount", "if_version", "if_available")
_LEGS: Final = pa.schema([("key", pa.binary(16)), *((name, pa.int64()) for name in _LEG_NUMBERS)])


@dataclass(frozen=True, slots=True)
class StepBatch:
    """n messages. kind uint8[n] (STEP, ANSWER), ids uint8[n, 16], and int64[n] each:

    home       STEP: the partition that asks; ANSWER: the partition that answers
    step, action, option      which step, what is asked (`pending.Action`), its option bits (STEP)
    state, code, available    what became of it (ANSWER; `pending.StepState`, `codes.Code`)
    sequence, at_us           where and when the participant did it (ANSWER)
    begun, low                STEP: the home's block that began the transfer; below `low` none of its transfers is open

    first_leg int64[n + 1]; the legs of tries: key uint8[m, 16], asset (hash), amount, if_version, if_available int64[m].
    """

    kind: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    home: Int64s
    step: Int64s
    action: Int64s
    option: Int64s
    state: Int64s
    code: Int64s
    available: Int64s
    sequence: Int64s
    at_us: Int64s
    begun: Int64s
    low: Int64s
    first_leg: Int64s
    key: npt.NDArray[np.uint8]
    asset: Int64s
    amount: Int64s
    if_version: Int64s
    if_available: Int64s

    def __len__(self) -> int:
        return len(self.kind)

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

    def encode(self) -> bytes:
        """The record of the command queue: two Arrow IPC streams of one batch each, messages and legs."""
        sink = pa.BufferOutputStream()
        numbers = [pa.array(getattr(self, name)) for name in _NUMBERS[:-1]]
        rows = [pa.array(self.kind), _id_array(self.ids), *numbers, pa.array(np.diff(self.first_leg))]
        legs = [_id_array(self.key), *(pa.array(getattr(self, name)) for name in _LEG_NUMBERS)]
        for schema, arrays in ((_ROWS, rows), (_LEGS, legs)):
            with pa.ipc.new_stream(sink, schema) as writer:
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return bytes(sink.getvalue())

    @staticmethod
    def decode(data: bytes | memoryview) -> StepBatch:
        """The inverse of `encode`, checked value by value: a queue is an entrance too. Raises BatchMalformed."""
        source = pa.BufferReader(pa.py_buffer(data))
        try:
            with pa.ipc.open_stream(source) as reader:
                rows = reader.read_next_batch()
                reader.read_all()
            with pa.ipc.open_stream(source) as reader:
                legs = reader.read_next_batch()
            rows.validate(full=True)
            legs.validate(full=True)
        except (pa.ArrowException, OSError, EOFError, StopIteration) as error:
            raise BatchMalformed("not two Arrow streams of one batch") from error
        if not rows.schema.equals(_ROWS, check_metadata=True) or not legs.schema.equals(_LEGS):
            raise BatchMalformed("another schema")
        if not 0 < rows.num_rows <= OUTCOMES_MAX or any(column.null_count for column in (*rows.columns, *legs.columns)):
            raise BatchMalformed("no rows, too many, or nulls")
        kind, ids, *numbers, sizes = rows.columns
        columns = {name: np.array(column.to_numpy()) for name, column in zip(_NUMBERS, numbers, strict=False)}
        counts = np.array(sizes.to_numpy())
        if counts.min() < 0 or counts.max() > 2 * LEGS_MAX or counts.sum() != legs.num_rows:
            raise BatchMalformed("the legs are not those of the messages")
        batch = StepBatch(
            kind=np.array(kind.to_numpy()),
            ids=_id_bytes(ids),
            first_leg=np.concatenate(([0], np.cumsum(counts))),
            key=_id_bytes(legs.columns[0]),
            **columns,
            **{name: np.array(column.to_numpy()) for name, column in zip(_LEG_NUMBERS, legs.columns[1:], strict=True)},
        )
        _check(batch)
        return batch


def decode_record(data: bytes | memoryview) -> CommandBatch | StepBatch:
    """A record of the command queue, whichever it is. Raises BatchMalformed."""
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            metadata = reader.schema.metadata or {}
    except (pa.ArrowException, OSError, EOFError) as error:
        raise BatchMalformed("not an Arrow stream") from error
    return StepBatch.decode(data) if metadata.get(b"fanfold") == b"steps-1" else CommandBatch.decode(data)


def _check(batch: StepBatch) -> None:
    bounds: tuple[tuple[Int64s, int, int], ...] = (
        (batch.home, 0, PARTITIONS_MAX - 1),
        (batch.step, 0, MASK_STEPS_MAX - 1),
        (batch.action, 0, max(Action)),
        (batch.option, 0, 2**16),
        (batch.state, 0, max(StepState)),
        (batch.code, 0, max(Code)),
        (batch.begun, 0, 2**62),
        (batch.low, 0, 2**62),
        (batch.sequence, 0, 2**62),
        (batch.at_us, 0, 2**62),
    )
    if any(column.min() < low or column.max() > high for column, low, high in bounds):
        raise BatchMalformed("a number is out of range")
    if not np.isin(batch.kind, (Kind.STEP, Kind.ANSWER)).all():
        raise BatchMalformed("a kind is none of messages")
    if np.any(np.abs(batch.amount) > LIMIT) or np.any(batch.amount == 0):
        raise BatchMalformed("an amount is out of range")


def _id_array(ids: npt.NDArray[np.uint8]) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )


def _id_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    return np.array(np.frombuffer(array.buffers()[1], np.uint8)[: len(array) * 16].reshape(-1, 16))


def _empty() -> StepBatch:
    ids, none = np.empty((0, 16), np.uint8), np.empty(0, np.int64)
    return StepBatch(np.empty(0, np.uint8), ids, *(none,) * 11, np.zeros(1, np.int64), ids, *(none,) * 4)


EMPTY_STEPS: Final = _empty()
