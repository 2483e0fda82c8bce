"""A feed batch as bytes: MessagePack around columns, so that nothing is done per row but writing its account id.

generation, boot, after, upto, accounts (how long each name is, a byte each, then all of them, then `ROOM` zero bytes; a list of
names as it was written before is read too), asset names, asset of each row (uint32), then the columns of `rows.NUMBERS` (int64),
all numbers little endian; and of the changes of phase the keys of the accounts, the ids of the transfers (16 bytes each), and one
byte each for the phase (its place in `phases.WORDS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from read_side.contract.feed import FeedBatch
from read_side.contract.packed_names import FEW, NAME_MAX, ROOM, PackedNames
from read_side.contract.phases import WORDS, PhaseRows
from read_side.contract.rows import NUMBERS, AccountRows, Int64s
from read_side.contract.word_column import WordColumn


class _Columns(NamedTuple):
    generation: int
    boot: str
    after: int
    upto: int
    accounts: memoryview | list[str]
    asset_names: list[str]
    assets: memoryview
    numbers: memoryview
    phase_keys: bytes
    phase_transfers: bytes
    phase_words: bytes


class RepeatedWords(WordColumn):
    """words[which[i]] at place i: few words, many places. which: uint32[n]."""

    def __init__(self, words: Sequence[str], which: npt.NDArray[np.uint32]) -> None:
        self._words, self._which = words, which

    def __len__(self) -> int:
        return len(self._which)

    def at(self, places: npt.NDArray[np.int64]) -> list[str]:
        return [self._words[which] for which in self._which[places].tolist()]

    def one(self, place: int) -> str:
        return self._words[int(self._which[place])]


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
            memoryview(b"".join((bytes(map(len, rows.accounts)), "".join(rows.accounts).encode("ascii"), bytes(ROOM)))),
            list(names),
            memoryview(assets.tobytes()),
            memoryview(numbers.tobytes()),
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
    chosen = np.frombuffer(columns.assets, "<u4")
    accounts = _names(columns.accounts, len(chosen)) if isinstance(columns.accounts, memoryview) else columns.accounts
    if len(chosen) != len(accounts) or (len(chosen) and int(chosen.max()) >= len(columns.asset_names)):
        raise ValueError("the columns of a feed batch differ in length")
    numbers: Int64s = np.frombuffer(columns.numbers, "<i8").reshape(len(NUMBERS), len(accounts))
    rows = AccountRows(accounts, RepeatedWords(columns.asset_names, chosen), *numbers)
    return FeedBatch(partition, columns.generation, columns.boot, columns.after, columns.upto, rows, _phases(columns))


def _names(data: memoryview, count: int) -> Sequence[str]:
    """Raises ValueError."""
    lengths = np.frombuffer(data, np.uint8, count)
    size = int(lengths.sum(dtype=np.int64))
    if (
        count + size + ROOM != len(data)
        or not lengths.all()
        or (lengths > NAME_MAX).any()
        or not bytes(data[count:]).isascii()
    ):
        raise ValueError("the names of a feed batch are malformed")
    names = PackedNames(data, count, lengths)
    return list(names) if count <= FEW else names


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
