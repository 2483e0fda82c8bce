"""Batches as bytes, with few rows and with many, whose names stay packed until they are asked for."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from read_side.contract.feed import FeedBatch
from read_side.contract.packed_names import FEW, PackedNames, marks_of
from read_side.contract.rows import AccountRows
from read_side.feed.batch_bytes import decode_batch, encode_batch

LETTERS = "abAB01_.:-@"
NAMES = st.lists(st.text(LETTERS, min_size=1, max_size=64), min_size=1, max_size=300, unique=True)


def rows(names: list[str]) -> AccountRows:
    numbers = np.arange(len(names), dtype=np.int64)
    assets = [("USD/2", "JPY/0", "BTC/8")[n % 3] for n in range(len(names))]
    return AccountRows(names, assets, *(numbers * k for k in range(1, 7)))


def batch(names: list[str]) -> FeedBatch:
    return FeedBatch(0, 3, "boot", 7, 8, rows(names))


@settings(deadline=None)
@given(NAMES)
def test_what_was_encoded_comes_back_however_many_rows_there_are(names: list[str]) -> None:
    found = decode_batch(0, encode_batch(batch(names))).rows
    assert found.same_as(rows(names))
    assert isinstance(found.accounts, PackedNames) == (len(names) > FEW)
    assert [found.accounts[n] for n in range(len(names))] == names
    assert list(found.accounts[1:5]) == names[1:5]
    assert found.accounts[-1] == names[-1]
    assert found.assets[len(names) - 1] == rows(names).assets[-1]


@settings(deadline=None)
@given(st.lists(st.text(LETTERS, min_size=1, max_size=64), min_size=FEW + 1, max_size=FEW + 40, unique=True))
def test_a_name_has_the_same_mark_wherever_it_stands(names: list[str]) -> None:
    packed = decode_batch(0, encode_batch(batch(names))).rows.accounts
    assert isinstance(packed, PackedNames)
    assert packed.marks().tolist() == marks_of(names).tolist()
    assert packed.marks().tolist() == [int(marks_of([name])[0]) for name in names]


def test_marks_of_usual_names_differ() -> None:
    frames = (("user-", 7, ""), ("", 6, ":wallet:main"), ("a-very-long-tenant-name.", 9, ":usd-main-account"))
    names = [f"{start}{n:0{width}d}{end}" for n in range(5_000) for start, width, end in frames]
    assert len(set(marks_of(names).tolist())) == len(names)


def _columns(names: object, count: int) -> bytes:
    numbers = np.zeros((6, count), "<i8").tobytes()
    assets = np.zeros(count, "<u4").tobytes()
    return msgspec.msgpack.encode([3, "boot", 7, 8, names, ["USD/2"], assets, numbers, b"", b"", b""])


def test_names_as_they_were_written_before_are_read() -> None:
    found = decode_batch(0, _columns(["alice", "bob"], 2)).rows
    assert (list(found.accounts), list(found.assets)) == (["alice", "bob"], ["USD/2", "USD/2"])


@pytest.mark.parametrize(
    "names",
    [
        b"",
        b"\x01\x01ab",
        b"\x01\x02ab" + bytes(8),
        b"\x00\x02ab" + bytes(8),
        b"\x01\x01\xc3\xa9" + bytes(8),
        ["alice"],
    ],
)
def test_names_that_nobody_wrote_are_no_batch(names: object) -> None:
    with pytest.raises(ValueError):
        decode_batch(0, _columns(names, 2))


@settings(deadline=None)
@given(data=st.binary(max_size=40), count=st.integers(0, 4))
def test_no_bytes_do_harm(data: bytes, count: int) -> None:
    try:
        found = decode_batch(0, _columns(data, count))
    except ValueError:
        return
    assert len(list(found.rows.accounts)) == count
