"""Plain transfers as an Arrow stream: what `POST /v1/transfers:batch` takes beside lines of JSON, checked by the column."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from write_side.contract.atoms import LIMIT, Malformed
from write_side.contract.codes import Kind
from write_side.ledger.command_batch import ACCOUNT_PATTERN, ASSET_PATTERN, CommandBatch

ROWS_MAX: Final = 8_192
_NAMES: Final = ("id", "from", "to", "amount", "asset")
_UUID: Final = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_ASSETS_MAX: Final = 1_000


def decode_arrow(body: bytes) -> CommandBatch:
    """The commands of a stream with the columns id (fixed_size_binary(16) or text), from, to, amount (int64), asset.

    Raises Malformed with the number of the first bad row, never its content.
    """
    table = _read(body)
    debit, credit = _text(table, "from"), _text(table, "to")
    _refuse("account_malformed", "from", pc.match_substring_regex(debit, ACCOUNT_PATTERN))
    _refuse("account_malformed", "to", pc.match_substring_regex(credit, ACCOUNT_PATTERN))
    _refuse("same_account_twice", "to", pc.not_equal(debit, credit))
    amount = table.column("amount").combine_chunks()
    if amount.type != pa.int64():
        raise Malformed("amount_malformed", "amount", "must be a column of int64, minor units")
    _refuse("amount_malformed", "amount", pc.and_(pc.greater(amount, 0), pc.less_equal(amount, LIMIT)))
    asset, assets = _assets(table)
    ids = _ids(table)
    n = table.num_rows
    empty = pa.array([""] * n, pa.utf8())
    return CommandBatch(
        np.full(n, Kind.TRANSFER, np.uint8), ids, debit, credit, np.array(amount.to_numpy()), asset, assets, empty,
        np.zeros(n, np.int32),
    )  # fmt: skip


def _read(body: bytes) -> pa.Table:
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            names = reader.schema.names
            if sorted(names) != sorted(_NAMES):
                raise Malformed("field_unknown", "body", f"must have the columns {', '.join(_NAMES)}")
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > ROWS_MAX:
                    raise Malformed("body_too_large", "body", f"must not have more than {ROWS_MAX} rows")
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        if isinstance(error, Malformed):
            raise
        raise Malformed("body_malformed", "body", "must be an Arrow IPC stream") from None
    if table.num_rows == 0:
        raise Malformed("body_malformed", "body", "must have at least one row")
    for name in _NAMES:
        _refuse("field_missing", name, pc.is_valid(table.column(name)))
    return table


def _text(table: pa.Table, name: str) -> pa.Array:
    try:
        return table.column(name).combine_chunks().cast(pa.utf8())
    except pa.ArrowException:
        raise Malformed("body_malformed", name, "must be a column of text") from None


def _assets(table: pa.Table) -> tuple[npt.NDArray[np.int32], list[str]]:
    encoded = _text(table, "asset").dictionary_encode()
    fits = pc.match_substring_regex(encoded.dictionary, ASSET_PATTERN)
    _refuse("asset_malformed", "asset", fits.take(encoded.indices))
    if len(encoded.dictionary) > _ASSETS_MAX:
        raise Malformed("asset_malformed", "asset", f"must not be more than {_ASSETS_MAX} in one batch")
    return np.array(encoded.indices.to_numpy(), np.int32), encoded.dictionary.to_pylist()


def _ids(table: pa.Table) -> npt.NDArray[np.uint8]:
    column = table.column("id").combine_chunks()
    if column.type == pa.binary(16):
        raw = b"".join(column.to_pylist())
    else:
        text = _text(table, "id")
        _refuse("id_malformed", "id", pc.match_substring_regex(text, _UUID))
        raw = bytes.fromhex("".join(pc.replace_substring(text, "-", "").to_pylist()))
    ids = np.frombuffer(raw, np.uint8).reshape(-1, 16).copy()
    _refuse("id_malformed", "id", pa.array(ids.any(axis=1) & (ids != 255).any(axis=1)))
    return ids


def _refuse(code: str, field: str, fits: pa.Array | pa.ChunkedArray) -> None:
    """Raises Malformed naming the first row that does not fit."""
    good = np.asarray(fits)
    if not good.all():
        raise Malformed(code, field, f"is malformed in row {int(np.argmin(good))}")
