"""Commands as columns: what intake gathers, what a record of the command queue carries, what the writer decides.

One row a command.  An opening keeps its account in `debit` and its floor in `amount`; its `credit` is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from write_side.contract.atoms import LIMIT, NO_FLOOR, WORLD
from write_side.contract.block import OUTCOMES_MAX
from write_side.contract.codes import Kind
from write_side.ledger.commands import Command, OpenAccount

_ACCOUNT_PATTERN: Final = r"^(@world|[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63})$"
_ASSET_PATTERN: Final = r"^[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}$"
OWNER_BYTES_MAX: Final = 255
"""What the doors let through (`command_bodies.py`): a record with a longer one would be passed over whole."""
_SCHEMA: Final = pa.schema(
    [
        ("kind", pa.uint8()),
        ("id", pa.binary(16)),
        ("debit", pa.utf8()),
        ("credit", pa.utf8()),
        ("amount", pa.int64()),
        ("asset", pa.int32()),
        ("owner", pa.utf8()),
    ],
    metadata={b"fanfold": b"commands-1"},
)


class BatchMalformed(ValueError):
    """The bytes of a command record are not a batch that an intake of this version made."""


@dataclass(frozen=True, slots=True)
class CommandBatch:
    """n commands. kind uint8[n], ids uint8[n, 16], debit/credit/owner utf8[n], amount int64[n], asset int32[n] into `assets`."""

    kind: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    debit: pa.Array
    credit: pa.Array
    amount: npt.NDArray[np.int64]
    asset: npt.NDArray[np.int32]
    assets: list[str]
    owner: pa.Array

    def __len__(self) -> int:
        return len(self.kind)

    @staticmethod
    def of(commands: Sequence[Command]) -> CommandBatch:
        """Columns of single commands, at most `OUTCOMES_MAX`. They must have been validated."""
        numbers: dict[str, int] = {}
        rows = [_row(command) for command in commands]
        kind, ids, debit, credit, amount, asset, owner = zip(*rows, strict=True) if rows else ((),) * 7
        return CommandBatch(
            np.array(kind, np.uint8),
            np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16),
            pa.array(debit, pa.utf8()),
            pa.array(credit, pa.utf8()),
            np.array(amount, np.int64),
            np.array([numbers.setdefault(name, len(numbers)) for name in asset], np.int32),
            list(numbers),
            pa.array(owner, pa.utf8()),
        )

    @staticmethod
    def concatenated(batches: Sequence[CommandBatch]) -> CommandBatch:
        """Several batches as one, in order."""
        if len(batches) == 1:
            return batches[0]
        numbers: dict[str, int] = {}
        moved = []
        for batch in batches:
            table = np.array([numbers.setdefault(name, len(numbers)) for name in batch.assets], np.int32)
            moved.append(table[batch.asset])
        return CommandBatch(
            np.concatenate([batch.kind for batch in batches]),
            np.concatenate([batch.ids for batch in batches]),
            pa.concat_arrays([batch.debit for batch in batches]),
            pa.concat_arrays([batch.credit for batch in batches]),
            np.concatenate([batch.amount for batch in batches]),
            np.concatenate(moved),
            list(numbers),
            pa.concat_arrays([batch.owner for batch in batches]),
        )

    def slice(self, start: int, stop: int) -> CommandBatch:
        """Rows start to stop, without copying."""
        size = stop - start
        return CommandBatch(
            self.kind[start:stop],
            self.ids[start:stop],
            self.debit.slice(start, size),
            self.credit.slice(start, size),
            self.amount[start:stop],
            self.asset[start:stop],
            self.assets,
            self.owner.slice(start, size),
        )

    def encode(self) -> bytes:
        """The record of the command queue: an Arrow IPC stream of one batch, the asset names in its metadata."""
        schema = _SCHEMA.with_metadata({**_SCHEMA.metadata, b"assets": "\n".join(self.assets).encode()})
        ids = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(self), [None, pa.py_buffer(np.ascontiguousarray(self.ids))]
        )
        arrays = [
            pa.array(self.kind),
            ids,
            self.debit,
            self.credit,
            pa.array(self.amount),
            pa.array(self.asset),
            self.owner,
        ]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        return bytes(sink.getvalue())

    @staticmethod
    def decode(data: bytes | memoryview) -> CommandBatch:
        """The inverse of `encode`, checked value by value: a queue is an entrance too. Raises BatchMalformed."""
        try:
            with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
                metadata, batch = reader.schema.metadata or {}, reader.read_next_batch()
            batch.validate(full=True)
            assets = metadata.get(b"assets", b"").decode().split("\n")
        except (pa.ArrowException, OSError, EOFError, StopIteration, UnicodeDecodeError) as error:
            raise BatchMalformed("not an Arrow stream of one batch") from error
        if metadata.get(b"fanfold") != b"commands-1" or not batch.schema.equals(_SCHEMA):
            raise BatchMalformed("another schema")
        if not 0 < batch.num_rows <= OUTCOMES_MAX or any(column.null_count for column in batch.columns):
            raise BatchMalformed("no rows, too many, or nulls")
        kind, ids, debit, credit, amount, asset, owner = batch.columns
        # Copies: for read-only arrays numba would compile the decision once more, in the middle of the traffic.
        decoded = CommandBatch(
            np.array(kind.to_numpy()),
            np.array(np.frombuffer(ids.buffers()[1], np.uint8)[: len(ids) * 16].reshape(-1, 16)),
            debit,
            credit,
            np.array(amount.to_numpy()),
            np.array(asset.to_numpy()),
            assets,
            owner,
        )
        _check(decoded)
        return decoded


def _row(command: Command) -> tuple[Any, ...]:
    if isinstance(command, OpenAccount):
        return int(Kind.OPEN), bytes(16), command.account, "", command.floor, command.asset, command.owner
    return int(Kind.TRANSFER), command.id, command.debit, command.credit, command.amount, command.asset, ""


def _check(batch: CommandBatch) -> None:
    transfer, opening = batch.kind == Kind.TRANSFER, batch.kind == Kind.OPEN
    floor_ok = (np.abs(batch.amount) <= LIMIT) | (batch.amount == NO_FLOOR)
    amount_ok = (batch.amount > 0) & (batch.amount <= LIMIT)
    if not np.all((transfer & amount_ok) | (opening & floor_ok)):
        raise BatchMalformed("a kind, amount or floor is out of range")
    if batch.asset.min() < 0 or batch.asset.max() >= len(batch.assets):
        raise BatchMalformed("an asset is out of range")
    if not _all_match(pa.array(batch.assets), _ASSET_PATTERN) or not _all_match(batch.debit, _ACCOUNT_PATTERN):
        raise BatchMalformed("an asset or account is malformed")
    if not _all_match(batch.credit.filter(pa.array(transfer)), _ACCOUNT_PATTERN):
        raise BatchMalformed("an account is malformed")
    if pc.any(pc.and_(pc.equal(batch.debit, batch.credit), pa.array(transfer))).as_py():
        raise BatchMalformed("a transfer from an account to itself")
    if pc.max(pc.binary_length(batch.owner)).as_py() > OWNER_BYTES_MAX:
        raise BatchMalformed("an owner is too long")
    if WORLD in batch.debit.filter(pa.array(opening)).to_pylist():
        raise BatchMalformed("a system account is opened")


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py() in (True, None))
