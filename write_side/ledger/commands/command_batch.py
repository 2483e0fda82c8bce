"""Commands as columns: what intake gathers, what a record of the command queue carries, what the writer decides.

One row a command.  An opening keeps its account in `debit` and its floor in `amount`; its `credit` is empty. What a command has
beyond these columns is in `details.py`; it then has no asset of its own (-1), a change of flags its account in `debit`, and a
capture its amount in `amount`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from write_side.contract.block import limits
from write_side.contract.state.state import string_keys
from write_side.contract.words.atoms import WORLD
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.askers import RUN_BYTES_MAX, Askers
from write_side.ledger.commands.batch_columns import CommandColumns
from write_side.ledger.commands.commands import (
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
from write_side.ledger.commands.details import NO_ASSET, Details
from write_side.ledger.commands.record_checks import check
from write_side.ledger.commands.records import (
    BatchMalformed,
    Stream,
    id_array,
    id_bytes,
    legs_bounds,
    numbers_of,
    read_streams,
    write_streams,
)
from write_side.ledger.commands.weights import TEXT_ENDS, command_weight, command_weights, first_fitting

if TYPE_CHECKING:
    from write_side.contract.state.pending import PendingTable

__all__ = ["BatchMalformed", "CommandBatch"]

_PLAIN: Final = (OpenAccount, Transfer)
_OPEN: Final = np.uint8(Kind.OPEN)
_TEXT: Final = pa.utf8()
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
_SCHEMAS: Final = {b"commands-2": _SCHEMA, b"commands-1": pa.schema(list(_SCHEMA)[:-1])}
"""By mark: records of the version before have no chains and no details."""
_ASKERS: Final = b"askers"
"""In the metadata: a release that does not know it decides the commands all the same, and names nobody."""
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


class CommandBatch(CommandColumns):
    """Commands as columns (`batch_columns.py`), and what is done with them."""

    __slots__ = ()

    @staticmethod
    def of(commands: Sequence[Command], mode: Mode = Mode.CONTINUE) -> CommandBatch:
        """Columns of single commands, at most `ROWS_MAX`, all of one chain where the mode makes one. They must be valid."""
        numbers: dict[str, int] = {}
        rows = [_row(command) for command in commands]
        kind, ids, debit, credit, amount, asset, owner = zip(*rows, strict=True) if rows else ((),) * 7
        rich = [(row, command) for row, command in enumerate(commands) if not isinstance(command, _PLAIN)]
        asset_of = [numbers.setdefault(name, len(numbers)) if name else NO_ASSET for name in asset]
        details = Details.of([row for row, _ in rich], [command for _, command in rich], numbers) if rich else None
        return CommandBatch(
            kind=np.array(kind, np.uint8), ids=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16),
            debit=pa.array(debit, _TEXT), credit=pa.array(credit, _TEXT), amount=np.array(amount, np.int64),
            asset=np.array(asset_of, np.int32), assets=list(numbers), owner=pa.array(owner, _TEXT),
            chain=np.full(len(rows), _CHAIN_OF_MODE[mode], np.int32), details=details,
        )  # fmt: skip

    def outcome_ids(self) -> npt.NDArray[np.uint8]:
        """uint8[n, 16]: what their outcomes are named by: the id of each, and the key of the account that an opening is about."""
        (opening,) = (self.kind == _OPEN).nonzero()
        if not opening.size:
            return self.ids
        ids = self.ids.copy()
        keys = string_keys(self.debit.take(pa.array(opening)))
        ids[opening] = np.ascontiguousarray(keys.T).view(np.uint8).reshape(-1, 16)
        return ids

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
            chains.append(_renumbered(batch.chain, chained))
            chained += len(batch)
            first += len(batch)
        return CommandBatch(
            kind=np.concatenate([batch.kind for batch in batches]), ids=np.concatenate([batch.ids for batch in batches]),
            debit=pa.concat_arrays([batch.debit for batch in batches]),
            credit=pa.concat_arrays([batch.credit for batch in batches]),
            amount=np.concatenate([batch.amount for batch in batches]), asset=np.concatenate(moved), assets=list(numbers),
            owner=pa.concat_arrays([batch.owner for batch in batches]), chain=np.concatenate(chains),
            details=Details.concatenated(details), askers=_joined_askers(batches),
        )  # fmt: skip

    def weight(self, pending: PendingTable | None = None) -> int:
        """Bytes that it can add to a block at most (`weights.py`)."""
        return command_weight(self, pending)

    def parts(self) -> Iterator[CommandBatch]:
        """The same in order, in batches that can be decided in one block each."""
        if self.weight() <= limits.COMMANDS_BYTES_MAX:
            yield self
            return
        weights, at = command_weights(self) + (TEXT_ENDS if self.details is None else 0), 0
        bytes_max = limits.COMMANDS_BYTES_MAX - (0 if self.askers is None else RUN_BYTES_MAX)
        while at < len(self):
            end = at + first_fitting(weights[at:], bytes_max)
            yield self.slice(at, end)
            at = end

    def slice(self, start: int, stop: int) -> CommandBatch:
        """Rows start to stop, without copying."""
        size = stop - start
        return CommandBatch(
            kind=self.kind[start:stop], ids=self.ids[start:stop], debit=self.debit.slice(start, size),
            credit=self.credit.slice(start, size), amount=self.amount[start:stop], asset=self.asset[start:stop],
            assets=self.assets, owner=self.owner.slice(start, size), chain=self.chain[start:stop],
            details=None if self.details is None else self.details.slice(start, stop),
            askers=None if self.askers is None else self.askers.slice(start, stop),
        )  # fmt: skip

    def take(self, rows: npt.NDArray[np.intp]) -> CommandBatch:
        """These rows of a batch without details, in this order."""
        assert self.details is None
        at = pa.array(rows)
        return CommandBatch(
            kind=self.kind[rows], ids=self.ids[rows], debit=self.debit.take(at), credit=self.credit.take(at),
            amount=self.amount[rows], asset=self.asset[rows], assets=self.assets, owner=self.owner.take(at),
            chain=self.chain[rows], askers=None if self.askers is None else self.askers.take(rows),
        )  # fmt: skip

    def chained(self, mode: Mode) -> CommandBatch:
        """The same commands as one chain, where the mode makes one."""
        return replace(self, chain=np.full(len(self), _CHAIN_OF_MODE[mode], np.int32))

    def asked_by(self, name: str) -> CommandBatch:
        """The same commands, all of them asked for by one; by nobody for `""`."""
        return replace(self, askers=Askers.one(name)) if name or self.askers is not None else self

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
        """The record of the command queue: an Arrow IPC stream of one batch, the asset names in its metadata, and who asked where
        somebody is named; behind it, where there are any, a stream of the details and one of their legs."""
        said = {**_SCHEMA.metadata, b"assets": "\n".join(self.assets).encode()}
        if self.askers is not None:
            said[_ASKERS] = self.askers.encode()
        schema = _SCHEMA.with_metadata(said)
        arrays = [
            pa.array(self.kind),
            id_array(self.ids),
            self.debit,
            self.credit,
            pa.array(self.amount),
            pa.array(self.asset),
            self.owner,
            pa.array(self.chain),
        ]
        parts = [(schema, arrays)]
        if (details := self.details) is not None:
            rows = [
                pa.array(details.row),
                id_array(details.other),
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
        return write_streams(parts)

    @staticmethod
    def decode(data: bytes | memoryview) -> CommandBatch:
        """The inverse of `encode`, checked value by value: a queue is an entrance too. Raises BatchMalformed."""
        commands, *rest = read_streams(data, 3)
        schema = _SCHEMAS.get(commands.metadata.get(b"fanfold", b""))
        if schema is None or len(rest) == 1:
            raise BatchMalformed("another sort of record")
        commands.expect(schema)
        try:
            assets = commands.metadata.get(b"assets", b"").decode().split("\n")
        except UnicodeDecodeError as error:
            raise BatchMalformed("the assets are not text") from error
        kind, ids, debit, credit, amount, asset, owner, *chain = commands.batch.columns
        batch = CommandBatch(
            kind=np.array(kind.to_numpy()), ids=id_bytes(ids), debit=debit, credit=credit, amount=numbers_of(amount),
            asset=np.array(asset.to_numpy()), assets=[] if assets == [""] else assets, owner=owner,
            chain=np.array(chain[0].to_numpy()) if chain else np.zeros(len(kind), np.int32),
            details=_decode_details(*rest) if rest else None,
            askers=None if (askers := commands.metadata.get(_ASKERS)) is None else Askers.decode(askers, len(kind)),
        )  # fmt: skip
        check(batch)
        if batch.weight() > limits.COMMANDS_BYTES_MAX:
            raise BatchMalformed("more than a block can take")
        return batch


_CHAIN_OF_MODE: Final = {Mode.CONTINUE: 0, Mode.STOP: -1, Mode.ATOMIC: 1}


def _renumbered(chain: npt.NDArray[np.int32], above: int) -> npt.NDArray[np.int32]:
    """The same chains with the numbers behind `above`, at most one for each row."""
    if not chain.any():
        return chain
    begins = np.concatenate(([True], chain[1:] != chain[:-1]))
    numbers: npt.NDArray[np.int32] = (np.sign(chain) * (np.cumsum(begins) + above)).astype(np.int32)
    return numbers


def _joined_askers(batches: Sequence[CommandBatch]) -> Askers | None:
    if all(batch.askers is None for batch in batches):
        return None
    return Askers.joined((len(batch), batch.askers) for batch in batches)


def _decode_details(rows: Stream, legs: Stream) -> Details:
    rows.expect(_DETAILS)
    legs.expect(_LEGS, empty=True)
    row, other, option, deadline_us, reference, metadata, sizes = rows.batch.columns
    account, amount, asset, if_version, if_available = legs.batch.columns
    return Details(
        row=numbers_of(row), other=id_bytes(other), option=numbers_of(option), deadline_us=numbers_of(deadline_us),
        reference=reference, metadata=metadata, first_leg=legs_bounds(numbers_of(sizes), len(account), LEGS_MAX),
        account=account, leg_amount=numbers_of(amount), leg_asset=np.array(asset.to_numpy()), if_version=numbers_of(if_version),
        if_available=numbers_of(if_available),
    )  # fmt: skip


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
