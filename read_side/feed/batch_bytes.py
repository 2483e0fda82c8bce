"""A feed batch as bytes: MessagePack around columns, so that nothing is done per row but writing its account id.

generation, boot, after, upto, accounts, asset names, asset of each row (uint32), then the columns of `rows.NUMBERS` (int64),
all numbers little endian.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from read_side.contract.feed import FeedBatch
from read_side.contract.rows import NUMBERS, AccountRows, Int64s


class _Columns(NamedTuple):
    generation: int
    boot: str
    after: int
    upto: int
    accounts: list[str]
    asset_names: list[str]
    assets: bytes
    numbers: bytes


_decoder = msgspec.msgpack.Decoder(_Columns)
_encoder = msgspec.msgpack.Encoder()


def encode_batch(batch: FeedBatch) -> bytes:
    rows = batch.rows
    names = {name: i for i, name in enumerate(dict.fromkeys(rows.assets))}
    assets = np.fromiter(map(names.__getitem__, rows.assets), "<u4", len(rows))
    numbers = np.stack([getattr(rows, name) for name in NUMBERS]).astype("<i8", copy=False)
    return _encoder.encode(
        _Columns(
            batch.generation,
            batch.boot,
            batch.after,
            batch.upto,
            rows.accounts,
            list(names),
            assets.tobytes(),
            numbers.tobytes(),
        )
    )


def decode_batch(partition: int, data: bytes) -> FeedBatch:
    """Raises ValueError on bytes that `encode_batch` did not write."""
    try:
        columns = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError("not a feed batch") from error
    numbers: Int64s = np.frombuffer(columns.numbers, "<i8").reshape(len(NUMBERS), len(columns.accounts))
    names = columns.asset_names
    assets = [names[i] for i in np.frombuffer(columns.assets, "<u4").tolist()]
    if len(assets) != len(columns.accounts):
        raise ValueError("the columns of a feed batch differ in length")
    rows = AccountRows(columns.accounts, assets, *numbers)
    return FeedBatch(partition, columns.generation, columns.boot, columns.after, columns.upto, rows)
