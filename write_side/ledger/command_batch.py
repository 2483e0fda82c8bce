"""Commands as columns: what intake gathers, what a record of the command queue carries, what the writer decides.

One row a command.  An opening keeps its account in `debit` and its floor in `amount`; its `credit` is empty. What a command has
beyond these columns is in `details.py`; it then has no asset of its own (-1), a change of flags its account in `debit`, and a
capture its amount in `amount`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from write_side.contract.atoms import LIMIT, NO_FLOOR, WORLD
from write_side.contract.block import OUTCOMES_MAX
from write_side.contract.codes import Kind
from write_side.contract.state import string_keys
from write_side.ledger.commands import (
    LEGS_MAX,
    Capture,
    Change,
    Command,
    Hold,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.ledger.details import NO_ASSET, Details

ACCOUNT_PATTERN: Final = r"^(@world|[A-Za-z0-9][A-Za-z0-9_.:\-]{0,63})$"
ASSET_PATTERN: Final = r"^[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}$"
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
        ("chain", pa.int32()),
    ],
    metadata={b"fanfold": b"commands-2"},
)
_DETAILS: Final = pa.schema(
    [
        ("row", pa.int64()),
        ("other", pa.binary(16)),
        ("option", pa.int64()),
        ("deadline_us", pa.int64()),
        ("reference", pa.utf8()),
        ("metadata", pa.utf8()),
        ("legs", pa.int64()),
    ]
)
_LEGS: Final = pa.schema(
    [
        ("account", pa.utf8()),
        ("amount", pa.int64()),
        ("asset", pa.int32()),
        ("if_version", pa.int64()),
        ("if_available", pa.int64()),
    ]
)


class BatchMalformed(ValueError):
    """The bytes of a command record are not a batch that an intake of this version made."""


@dataclass(frozen=True, slots=True)
class CommandBatch:
    """n commands. kind uint8[n], ids uint8[n, 16], debit/credit/owner utf8[n], amount int64[n], asset int32[n] into `assets`.

    chain int32[n]: lines that hang together have a number of their own, positive when all or none of them is to be done, negative
    when a refusal stops those behind it, 0 for a line by itself; they lie side by side.  details: None when none has any.
    """

    kind: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    debit: pa.Array
    credit: pa.Array
    amount: npt.NDArray[np.int64]
    asset: npt.NDArray[np.int32]
    assets: list[str]
    owner: pa.Array
    chain: npt.NDArray[np.int32]
    details: Details | None = None

    def __len__(self) -> int:
        return len(self.kind)

    @staticmethod
    def of(commands: Sequence[Command], mode: Mode = Mode.CONTINUE) -> CommandBatch:
        """Columns of single commands, at most `OUTCOMES_MAX`, all of one chain where the mode makes one. They must be valid."""
        numbers: dict[str, int] = {}
        rows = [_row(command) for command in commands]
        kind, ids, debit, credit, amount, asset, owner = zip(*rows, strict=True) if rows else ((),) * 7
        rich = [
            (row, command) for row, command in enumerate(commands) if not isinstance(command, OpenAccount | Transfer)
        ]
        asset_of = [numbers.setdefault(name, len(numbers)) if name else NO_ASSET for name in asset]
        details = Details.of([row for row, _ in rich], [command for _, command in rich], numbers)
        return CommandBatch(
            np.array(kind, np.uint8),
            np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16),
            pa.array(debit, pa.utf8()),
            pa.array(credit, pa.utf8()),
            np.array(amount, np.int64),
            np.array(asset_of, np.int32),
            list(numbers),
            pa.array(owner, pa.utf8()),
            np.full(len(rows), _CHAIN_OF_MODE[mode], np.int32),
            details,
        )

    @staticmethod
    def concatenated(batches: Sequence[CommandBatch]) -> CommandBatch:
        """Several batches as one, in order."""
        if len(batches) == 1:
            return batches[0]
        numbers: dict[str, int] = {}
        moved, details, chains = [], [], []
        first = chained = 0
        for batch in batches:
            # A command without an asset has -1, and finds the word behind the last.
            table = np.array([*(numbers.setdefault(name, len(numbers)) for name in batch.assets), NO_ASSET], np.int32)
            moved.append(table[batch.asset])
            details.append((first, batch.details, table))
            chains.append(batch.chain + np.sign(batch.chain) * np.int32(chained))
            chained += int(np.abs(batch.chain).max(initial=0))
            first += len(batch)
        return CommandBatch(
            np.concatenate([batch.kind for batch in batches]),
            np.concatenate([batch.ids for batch in batches]),
            pa.concat_arrays([batch.debit for batch in batches]),
            pa.concat_arrays([batch.credit for batch in batches]),
            np.concatenate([batch.amount for batch in batches]),
            np.concatenate(moved),
            list(numbers),
            pa.concat_arrays([batch.owner for batch in batches]),
            np.concatenate(chains),
            Details.concatenated(details),
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
            self.chain[start:stop],
            None if self.details is None else self.details.slice(start, stop),
        )

    def take(self, rows: npt.NDArray[np.intp]) -> CommandBatch:
        """These rows of a batch without details, in this order."""
        assert self.details is None
        at = pa.array(rows)
        return CommandBatch(
            self.kind[rows],
            self.ids[rows],
            self.debit.take(at),
            self.credit.take(at),
            self.amount[rows],
            self.asset[rows],
            self.assets,
            self.owner.take(at),
            self.chain[rows],
        )

    def chained(self, mode: Mode) -> CommandBatch:
        """The same commands as one chain, where the mode makes one."""
        return replace(self, chain=np.full(len(self), _CHAIN_OF_MODE[mode], np.int32))

    def homes(self, partitions: int) -> npt.NDArray[np.int64]:
        """The partition that decides each of these plain transfers, int64[n]."""
        debit, credit = self._partitions(partitions)
        return np.where(debit < 0, credit, debit)

    def is_away(self, partitions: int) -> npt.NDArray[np.bool_]:
        """Which of these plain transfers have accounts in two partitions."""
        debit, credit = self._partitions(partitions)
        away: npt.NDArray[np.bool_] = (debit != credit) & (debit >= 0) & (credit >= 0)
        return away

    def _partitions(self, partitions: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where both accounts live; `@world`, which lives in each, has -1."""
        found = []
        for accounts in (self.debit, self.credit):
            world = np.asarray(pc.equal(accounts, WORLD))
            found.append(np.where(world, -1, (string_keys(accounts)[0] % np.uint64(partitions)).astype(np.int64)))
        return found[0], found[1]

    def encode(self) -> bytes:
        """The record of the command queue: an Arrow IPC stream of one batch, the asset names in its metadata; behind it, where
        there are any, a stream of the details and one of their legs."""
        schema = _SCHEMA.with_metadata({**_SCHEMA.metadata, b"assets": "\n".join(self.assets).encode()})
        arrays = [
            pa.array(self.kind),
            _id_array(self.ids),
            self.debit,
            self.credit,
            pa.array(self.amount),
            pa.array(self.asset),
            self.owner,
            pa.array(self.chain),
        ]
        sink = pa.BufferOutputStream()
        parts = [(schema, arrays)]
        if (details := self.details) is not None:
            rows = [
                pa.array(details.row),
                _id_array(details.other),
                pa.array(details.option),
                pa.array(details.deadline_us),
                details.reference,
                details.metadata,
                pa.array(np.diff(details.first_leg)),
            ]
            legs = [
                details.account,
                pa.array(details.leg_amount),
                pa.array(details.leg_asset),
                pa.array(details.if_version),
                pa.array(details.if_available),
            ]
            parts += [(_DETAILS, rows), (_LEGS, legs)]
        for part, columns in parts:
            with pa.ipc.new_stream(sink, part) as writer:
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=part))
        return bytes(sink.getvalue())

    @staticmethod
    def decode(data: bytes | memoryview) -> CommandBatch:
        """The inverse of `encode`, checked value by value: a queue is an entrance too. Raises BatchMalformed."""
        batches = _read_streams(data)
        metadata, batch = batches[0]
        try:
            assets = metadata.get(b"assets", b"").decode().split("\n")
        except UnicodeDecodeError as error:
            raise BatchMalformed("the assets are not text") from error
        version = metadata.get(b"fanfold")
        schema = {b"commands-2": _SCHEMA, b"commands-1": pa.schema(list(_SCHEMA)[:-1])}.get(version or b"")
        if schema is None or not batch.schema.equals(schema):
            raise BatchMalformed("another schema")
        if not 0 < batch.num_rows <= OUTCOMES_MAX:
            raise BatchMalformed("no rows, or too many")
        kind, ids, debit, credit, amount, asset, owner, *chain = batch.columns
        # Copies: for read-only arrays numba would compile the decision once more, in the middle of the traffic.
        decoded = CommandBatch(
            np.array(kind.to_numpy()),
            _id_bytes(ids),
            debit,
            credit,
            np.array(amount.to_numpy()),
            np.array(asset.to_numpy()),
            [] if assets == [""] else assets,
            owner,
            np.array(chain[0].to_numpy()) if chain else np.zeros(batch.num_rows, np.int32),
        )
        if len(batches) == 3:
            decoded = replace(decoded, details=_decode_details(batches[1][1], batches[2][1]))
        elif len(batches) != 1:
            raise BatchMalformed("another number of streams")
        _check(decoded)
        return decoded


_CHAIN_OF_MODE: Final = {Mode.CONTINUE: 0, Mode.STOP: -1, Mode.ATOMIC: 1}


def _read_streams(data: bytes | memoryview) -> list[tuple[dict[bytes, bytes], pa.RecordBatch]]:
    """Schema metadata and the one batch of each of the Arrow streams that lie one behind the other."""
    source = pa.BufferReader(pa.py_buffer(data))
    found: list[tuple[dict[bytes, bytes], pa.RecordBatch]] = []
    try:
        while source.tell() < source.size() and len(found) < 4:
            with pa.ipc.open_stream(source) as reader:
                batch = reader.read_next_batch()
                batch.validate(full=True)
                if reader.read_all().num_rows:
                    raise BatchMalformed("a stream has more than one batch")
                found.append((reader.schema.metadata or {}, batch))
    except (pa.ArrowException, OSError, EOFError, StopIteration) as error:
        raise BatchMalformed("not Arrow streams of one batch each") from error
    if not found or any(column.null_count for _, batch in found for column in batch.columns):
        raise BatchMalformed("empty, or with nulls")
    return found


def _decode_details(rows: pa.RecordBatch, legs: pa.RecordBatch) -> Details:
    if not rows.schema.equals(_DETAILS) or not legs.schema.equals(_LEGS) or rows.num_rows == 0:
        raise BatchMalformed("another schema")
    row, other, option, deadline_us, reference, metadata, sizes = rows.columns
    account, amount, asset, if_version, if_available = legs.columns
    counts = np.array(sizes.to_numpy())
    if counts.min() < 0 or counts.max() > LEGS_MAX or counts.sum() != legs.num_rows:
        raise BatchMalformed("the legs are not those of the details")
    return Details(
        np.array(row.to_numpy()),
        _id_bytes(other),
        np.array(option.to_numpy()),
        np.array(deadline_us.to_numpy()),
        reference,
        metadata,
        np.concatenate(([0], np.cumsum(counts))),
        account,
        np.array(amount.to_numpy()),
        np.array(asset.to_numpy()),
        np.array(if_version.to_numpy()),
        np.array(if_available.to_numpy()),
    )


def _id_array(ids: npt.NDArray[np.uint8]) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )


def _id_bytes(array: pa.Array) -> npt.NDArray[np.uint8]:
    return np.array(np.frombuffer(array.buffers()[1], np.uint8)[: len(array) * 16].reshape(-1, 16))


_KINDS: Final = {
    LegsTransfer: Kind.TRANSFER,
    Hold: Kind.HOLD,
    Capture: Kind.CAPTURE,
    Void: Kind.VOID,
    Reverse: Kind.REVERSE,
    Change: Kind.CHANGE,
}


def _row(command: Command) -> tuple[Any, ...]:
    if isinstance(command, OpenAccount):
        return int(Kind.OPEN), bytes(16), command.account, "", command.floor, command.asset, command.owner
    if isinstance(command, Transfer):
        return int(Kind.TRANSFER), command.id, command.debit, command.credit, command.amount, command.asset, ""
    amount = command.amount if isinstance(command, Capture) else 0
    account = command.account if isinstance(command, Change) else ""
    return int(_KINDS[type(command)]), command.id, account, "", amount, "", ""


def _check(batch: CommandBatch) -> None:
    """Raises BatchMalformed."""
    n = len(batch)
    rich = np.zeros(n, np.bool_)
    if batch.details is not None:
        _check_details(batch, batch.details)
        rich[batch.details.row] = True
    transfer, opening = (batch.kind == Kind.TRANSFER) & ~rich, batch.kind == Kind.OPEN
    floor_ok = (np.abs(batch.amount) <= LIMIT) | (batch.amount == NO_FLOOR)
    amount_ok = (batch.amount > 0) & (batch.amount <= LIMIT)
    of_none = rich & (batch.amount >= 0) & (batch.amount <= LIMIT) & (batch.asset == NO_ASSET)
    if not np.all((transfer & amount_ok) | (opening & floor_ok) | of_none):
        raise BatchMalformed("a kind, amount or floor is out of range")
    own = ~rich
    if np.any(batch.asset[own] < 0) or np.any(batch.asset >= len(batch.assets)):
        raise BatchMalformed("an asset is out of range")
    debit = batch.debit.filter(pa.array(own | (batch.kind == Kind.CHANGE)))
    if not _all_match(pa.array(batch.assets, pa.utf8()), ASSET_PATTERN) or not _all_match(debit, ACCOUNT_PATTERN):
        raise BatchMalformed("an asset or account is malformed")
    if not _all_match(batch.credit.filter(pa.array(transfer)), ACCOUNT_PATTERN):
        raise BatchMalformed("an account is malformed")
    if pc.any(pc.and_(pc.equal(batch.debit, batch.credit), pa.array(transfer))).as_py():
        raise BatchMalformed("a transfer from an account to itself")
    if pc.max(pc.binary_length(batch.owner)).as_py() > OWNER_BYTES_MAX:
        raise BatchMalformed("an owner is too long")
    if WORLD in batch.debit.filter(pa.array(opening | (batch.kind == Kind.CHANGE))).to_pylist():
        raise BatchMalformed("a system account is opened or changed")


_WITH_DETAILS: Final = tuple(_KINDS.values())
_WITH_LEGS: Final = (Kind.TRANSFER, Kind.HOLD)
_MAY_HAVE_LEGS: Final = (*_WITH_LEGS, Kind.CAPTURE, Kind.REVERSE)
_WITH_OTHER: Final = (Kind.CAPTURE, Kind.VOID, Kind.REVERSE)
NOTE_BYTES_MAX: Final = 8 * 1024
"""Reference and metadata as the doors let them through take less."""


def _check_details(batch: CommandBatch, details: Details) -> None:
    """Raises BatchMalformed."""
    row = details.row
    if row[0] < 0 or row[-1] >= len(batch) or np.any(row[1:] <= row[:-1]):
        raise BatchMalformed("the details do not rise with their commands")
    kind, sizes = batch.kind[row], np.diff(details.first_leg)
    wants_legs = np.isin(kind, _WITH_LEGS)
    may_have_legs = np.isin(kind, _MAY_HAVE_LEGS)
    if (
        not np.isin(kind, _WITH_DETAILS).all()
        or np.any(wants_legs & (sizes < 2))
        or np.any(~may_have_legs & (sizes > 0))
    ):
        raise BatchMalformed("a kind has details or legs that it cannot have")
    if np.any(~details.other.any(axis=1) & np.isin(kind, _WITH_OTHER)):
        raise BatchMalformed("a hold or transfer is not named")
    if np.any(details.option < 0) or np.any(details.option >= 1 << 24) or np.any(details.deadline_us < 0):
        raise BatchMalformed("an option or deadline is out of range")
    for text in (details.reference, details.metadata):
        if pc.max(pc.binary_length(text)).as_py() > NOTE_BYTES_MAX:
            raise BatchMalformed("a reference or metadata is too long")
    if sizes.sum() == 0:
        return
    amount, asset = details.leg_amount, details.leg_asset
    if np.any(amount == 0) or np.any(np.abs(amount) > LIMIT) or np.any(asset < 0) or np.any(asset >= len(batch.assets)):
        raise BatchMalformed("the amount or asset of a leg is out of range")
    if not _all_match(details.account, ACCOUNT_PATTERN) or np.any(details.if_version < -1):
        raise BatchMalformed("the account or condition of a leg is malformed")
    of = np.repeat(np.arange(len(row)), sizes)
    # One leg an account and asset, and the sum of each asset zero: in Python's integers, for 32 amounts may pass 64 bits.
    sums: dict[tuple[int, int], int] = {}
    seen: set[tuple[int, str, int]] = set()
    for at, account, size, of_asset in zip(
        of.tolist(), details.account.to_pylist(), amount.tolist(), asset.tolist(), strict=True
    ):
        sums[at, of_asset] = sums.get((at, of_asset), 0) + size
        seen.add((at, account, of_asset))
    if any(sums.values()) or len(seen) != len(of):
        raise BatchMalformed("the legs of a command do not sum to zero, or name an account twice")


def _all_match(texts: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(texts, pattern)).as_py() in (True, None))
