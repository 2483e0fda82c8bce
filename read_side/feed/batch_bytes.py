"""A feed batch as bytes: MessagePack around columns, so that nothing is done per row but writing its account id.

generation, boot, after, upto, accounts, asset names, asset of each row (uint32), then the columns of `rows.NUMBERS` (int64),
all numbers little endian; and of the changes of phase the keys of the accounts, the ids of the transfers (16 bytes each), and one
byte each for the phase (its place in `phases.WORDS`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np

from read_side.contract.feed import FeedBatch
from read_side.contract.phases import WORDS, PhaseRows
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
    phase_keys: bytes
    phase_transfers: bytes
    phase_words: bytes


_decoder = msgspec.msgpack.Decoder(_Columns)
_WORD_NUMBERS = {word: number for number, word in enumerate(WORDS)}
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
            b"".join(batch.phases.keys),
            b"".join(batch.phases.transfers),
            bytes(map(_WORD_NUMBERS.__getitem__, batch.phases.phases)),
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
    return FeedBatch(partition, columns.generation, columns.boot, columns.after, columns.upto, rows, _phases(columns))


def _phases(columns: _Columns) -> PhaseRows:
    sizes = {len(columns.phase_keys), len(columns.phase_transfers), 16 * len(columns.phase_words)}
    if len(sizes) != 1 or max(columns.phase_words, default=0) >= len(WORDS):
        raise ValueError("the phases of a feed batch are malformed")
    places = range(0, len(columns.phase_keys), 16)
    return PhaseRows(
        [columns.phase_keys[at : at + 16] for at in places],
        [columns.phase_transfers[at : at + 16] for at in places],
        [WORDS[word] for word in columns.phase_words],
    )
