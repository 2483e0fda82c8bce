"""A feed batch as a notice: what every gateway reads of it, and where the rest is.

A notice has the batch's interval and a mark (4 bytes) for each account that changed. Rows (`row_bytes.py`) come with it where
they are few; else they lie beside it, and whoever wants some reads those. So a change costs whom it does not concern 4 bytes.
MessagePack: partition, generation, boot, after, upto, bytes of a name, asset names, marks of the rows, marks of the keys of the
changes of phase (uint32, little endian), the rows' bytes or none.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np

from read_side.contract.feed import FeedBatch, Interest
from read_side.contract.marks import NAME_MAX, WORD, Marks, marks_of_keys, marks_of_padded, padded
from read_side.contract.phases import NO_PHASES
from read_side.contract.rows import EMPTY_ROWS
from read_side.feed.row_bytes import Picked, Shape, row_bytes, rows_of

FEW_ROWS: Final = 32
"""So many come with the notice: to ask for them would cost more than to read them."""


class Notice(NamedTuple):
    partition: int
    generation: int
    boot: str
    after: int
    upto: int
    width: int
    asset_names: list[str]
    marks: memoryview
    key_marks: memoryview
    rows: memoryview

    @property
    def shape(self) -> Shape:
        """Of all that changed."""
        return Shape(len(self.marks) // 4, len(self.key_marks) // 4, self.width)

    @property
    def place(self) -> str:
        """Where its rows lie: no other batch has it."""
        return f"{self.boot}:{self.generation}:{self.after}:{self.upto}"

    def pick(self, interest: Interest | None) -> Picked:
        """What a reader with this interest wants."""
        marks, key_marks = _marks(self.marks), _marks(self.key_marks)
        if interest is None:
            return Picked(np.arange(len(marks)), np.arange(len(key_marks)))
        return Picked(interest.accounts(self.upto, marks), interest.keys(key_marks))

    def batch(self, picked: Picked, data: bytes | memoryview) -> FeedBatch:
        """The batch with these rows and phases. data: their bytes. Raises ValueError."""
        rows, phases = EMPTY_ROWS, NO_PHASES
        if picked:
            rows, phases = rows_of(data, picked.shape(self.shape), self.asset_names)
        return FeedBatch(self.partition, self.generation, self.boot, self.after, self.upto, rows, phases)


def cut(data: bytes | memoryview, ranges: list[tuple[int, int]]) -> bytes:
    """What lies there of all rows' bytes."""
    return b"".join(data[first:last] for first, last in ranges)


_decoder = msgspec.msgpack.Decoder(Notice)
_encoder = msgspec.msgpack.Encoder()


def encode_batch(batch: FeedBatch, few_rows: int = FEW_ROWS) -> tuple[Notice, bytes]:
    """Its notice, and the rows' bytes where they do not come with it. Raises ValueError for a name that no account can have."""
    rows, phases = batch.rows, batch.phases
    names = padded(rows.accounts)
    asset_names = {name: number for number, name in enumerate(dict.fromkeys(rows.assets))}
    assets = np.fromiter(map(asset_names.__getitem__, rows.assets), np.uint32, len(rows))
    data = row_bytes(names, assets, rows, phases)
    comes_along = len(rows) + len(phases) <= few_rows
    notice = Notice(
        batch.partition,
        batch.generation,
        batch.boot,
        batch.after,
        batch.upto,
        names.itemsize,
        list(asset_names),
        memoryview(marks_of_padded(names).tobytes()),
        memoryview(marks_of_keys(phases.keys).tobytes()),
        memoryview(data if comes_along else b""),
    )
    return notice, b"" if comes_along else data


def encode_notice(notice: Notice) -> bytes:
    return _encoder.encode(notice)


def decode_notice(data: bytes) -> Notice:
    """Raises ValueError on bytes that `encode_notice` did not write."""
    try:
        notice = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise ValueError("not a notice of the feed") from error
    has_width = 0 < notice.width <= NAME_MAX and notice.width % WORD == 0
    if len(notice.marks) % 4 or len(notice.key_marks) % 4 or not has_width:
        raise ValueError("a notice of the feed is malformed")
    if notice.rows and len(notice.rows) != notice.shape.size:
        raise ValueError("a notice of the feed is malformed")
    return notice


def _marks(data: memoryview) -> Marks:
    return np.frombuffer(data, "<u4")
