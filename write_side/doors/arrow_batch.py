"""Plain transfers as an Arrow stream: what `POST /v1/transfers:batch` takes beside lines of JSON, checked by the column."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final, get_type_hints

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fanfold.api import grammar
from fanfold.api.malformed import Malformed
from fanfold.api.request_parts import Once, TwoAccounts
from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.words.amounts import Amount
from fanfold.api.words.names import Asset, MadeId, Party
from write_side.contract.words.atoms import LIMIT
from write_side.contract.words.codes import Kind
from write_side.doors.arrow_stream import read_columns, text_column
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.record_checks import ACCOUNT_PATTERN, ASSET_PATTERN
from write_side.ledger.commands.records import id_bytes

_ASSETS_MAX: Final = 1_000
_TEXT_BYTES_MAX: Final = 64
"""The longest text asked for, an account id."""
_ID: Final = pa.binary(16)
_KINDS: Final[dict[Any, tuple[pa.DataType, ...]]] = {
    MadeId: (_ID, pa.utf8()),
    Party: (pa.utf8(),),
    Amount: (pa.int64(),),
    Asset: (pa.utf8(),),
}
_FIELDS: Final = {
    field.name.rstrip("_"): _KINDS[get_type_hints(kind)[field.name]]
    for kind in (Once, TwoAccounts)
    for field in fields(kind)
}
"""The columns: what a transfer between two accounts must say, and its id. What it may say besides needs lines of JSON."""


def decode_arrow(body: bytes) -> CommandBatch:
    """The commands of a stream with the columns id (16 bytes each, or text), from, to, asset (text, or a dictionary of texts) and
    amount (int64, minor units).

    Raises Malformed with the number of the first bad row, counted from 0, never its content.
    """
    table = read_columns(body, _FIELDS, BATCH_LINES_MAX)
    if table.num_rows == 0:
        raise Malformed("body_malformed", "body", "must have at least one row")
    columns = {name: _column(table, name) for name in _FIELDS}
    for name, column in columns.items():
        _refuse("field_missing", name, pc.is_valid(column), "is missing")
    debit, credit, amount = columns["from"], columns["to"], columns["amount"]
    ids = _ids(columns["id"])
    _refuse("account_malformed", "from", pc.match_substring_regex(debit, ACCOUNT_PATTERN))
    _refuse("account_malformed", "to", pc.match_substring_regex(credit, ACCOUNT_PATTERN))
    _refuse("same_account_twice", "to", pc.not_equal(debit, credit), "is the account that gives")
    _refuse("amount_malformed", "amount", pc.and_(pc.greater(amount, 0), pc.less_equal(amount, LIMIT)))
    asset, assets = _assets(columns["asset"])
    n = len(ids)
    nobody = pa.array([""], pa.utf8()).take(pa.array(np.zeros(n, np.int64)))
    return CommandBatch(
        kind=np.full(n, Kind.TRANSFER, np.uint8), ids=ids, debit=debit, credit=credit, amount=np.array(amount.to_numpy()),
        asset=asset, assets=assets, owner=nobody, chain=np.zeros(n, np.int32),
    )  # fmt: skip


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.type in (_ID, pa.int64()) else text_column(column, _TEXT_BYTES_MAX)


def _assets(column: pa.Array) -> tuple[npt.NDArray[np.int32], list[str]]:
    encoded = column.dictionary_encode()
    _refuse(
        "asset_malformed", "asset", pc.match_substring_regex(encoded.dictionary, ASSET_PATTERN).take(encoded.indices)
    )
    if len(encoded.dictionary) > _ASSETS_MAX:
        raise Malformed("asset_malformed", "asset", f"must not be more than {_ASSETS_MAX} in one batch")
    return np.array(encoded.indices.to_numpy(), np.int32), encoded.dictionary.to_pylist()


def _ids(column: pa.Array) -> npt.NDArray[np.uint8]:
    if column.type == _ID:
        ids = id_bytes(column)
    else:
        _refuse("id_malformed", "id", pc.match_substring_regex(column, grammar.whole(grammar.UUID)))
        digits = pc.replace_substring(column, "-", "")
        # Checked, so each has 32 digits: they lie side by side in the column's one buffer.
        ids = np.frombuffer(bytes.fromhex(digits.buffers()[2].to_pybytes()[: 32 * len(digits)].decode()), np.uint8)
        ids = ids.reshape(-1, 16).copy()
    _refuse("id_malformed", "id", pa.array(ids.any(axis=1) & (ids != 255).any(axis=1)))
    return ids


def _refuse(code: str, field: str, fits: pa.Array, what: str = "is malformed") -> None:
    """Raises Malformed naming the first row that does not fit."""
    good = np.asarray(fits)
    if not good.all():
        raise Malformed(code, field, f"{what} in row {int(np.argmin(good))}")
