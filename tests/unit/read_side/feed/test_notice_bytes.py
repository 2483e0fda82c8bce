"""A feed batch as a notice and rows beside it: whoever wants some of them gets exactly those, and nonsense is none."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from read_side.contract.feed import FeedBatch
from read_side.contract.marks import NAME_MAX, Marks, marks_of, marks_of_keys
from read_side.contract.phases import WORDS, PhaseRows
from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.feed.notice_bytes import FEW_ROWS, Notice, cut, decode_notice, encode_batch, encode_notice

NAME = st.text("abAB01_.:-@/", min_size=1, max_size=NAME_MAX)
NUMBER = st.integers(-(2**62), 2**62)
ROW = st.builds(
    AccountRow, NAME, st.sampled_from(["USD/2", "EUR/2", "POINTS/0"]), NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER
)
ROWS = st.lists(ROW, max_size=2 * FEW_ROWS, unique_by=lambda row: row.account)
KEY = st.binary(min_size=16, max_size=16)
PHASES = st.lists(st.tuples(KEY, KEY, st.sampled_from(WORDS)), max_size=8)


class Some:
    """An interest in these."""

    def __init__(self, names: set[str], keys: set[bytes]) -> None:
        self._names, self._keys = set(marks_of(sorted(names)).tolist()), set(marks_of_keys(sorted(keys)).tolist())
        self.asked: list[int] = []

    def accounts(self, upto: int, marks: Marks) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        self.asked.append(upto)
        return np.array([at for at, mark in enumerate(marks.tolist()) if mark in self._names], np.int64)

    def keys(self, marks: Marks) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([at for at, mark in enumerate(marks.tolist()) if mark in self._keys], np.int64)


def batch(rows: list[AccountRow], phases: list[tuple[bytes, bytes, str]]) -> FeedBatch:
    keys, transfers, words = (list(column) for column in zip(*phases, strict=True)) if phases else ([], [], [])
    return FeedBatch(3, 1, "boot", 4, 7, AccountRows.of(rows), PhaseRows(keys, transfers, words))


def through(sent: FeedBatch, interest: Some | None = None) -> FeedBatch:
    notice, beside = encode_batch(sent)
    heard = decode_notice(encode_notice(notice))
    picked = heard.pick(interest)
    return heard.batch(picked, cut(beside or heard.rows, picked.ranges(heard.shape)))


@given(ROWS, PHASES)
def test_who_wants_all_gets_the_batch_back(rows: list[AccountRow], phases: list[tuple[bytes, bytes, str]]) -> None:
    sent = batch(rows, phases)
    found = through(sent)
    assert (found.partition, found.generation, found.boot, found.after, found.upto) == (3, 1, "boot", 4, 7)
    assert list(found.rows.each()) == rows
    assert found.phases == sent.phases


@given(ROWS, PHASES, st.randoms())
def test_who_wants_some_gets_those(
    rows: list[AccountRow], phases: list[tuple[bytes, bytes, str]], random: Random
) -> None:
    names = {row.account for row in rows if random.random() < 0.5}
    keys = {key for key, _, _ in phases if random.random() < 0.5}
    found = through(batch(rows, phases), interest := Some(names, keys))
    assert list(found.rows.each()) == [row for row in rows if row.account in names]
    assert list(zip(found.phases.keys, found.phases.transfers, found.phases.phases, strict=True)) == [
        each for each in phases if each[0] in keys
    ]
    assert interest.asked == [7]


def test_few_rows_come_with_the_notice_and_many_do_not() -> None:
    rows = [AccountRow(f"account-{n}", "USD/2", n, 0, 0, n, n) for n in range(FEW_ROWS + 1)]
    few, beside_few = encode_batch(batch(rows[:-1], []))
    many, beside_many = encode_batch(batch(rows, []))
    assert (len(few.rows) > 0, beside_few) == (True, b"")
    assert (len(many.rows), len(beside_many)) == (0, many.shape.size)


def test_a_change_costs_whom_it_does_not_concern_four_bytes() -> None:
    rows = [AccountRow(f"account-{n}", "USD/2", n, 0, 0, n, n) for n in range(10_000)]
    assert len(encode_notice(encode_batch(batch(rows, []))[0])) < 4 * 10_000 + 100


def test_marks_of_names_do_not_hang_on_their_neighbours() -> None:
    names = ["a", "account-of-somebody", "b" * NAME_MAX]
    assert marks_of(names).tolist() == [int(marks_of([name])[0]) for name in names]


def test_a_longer_name_than_any_account_has_is_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        encode_batch(batch([AccountRow("x" * (NAME_MAX + 1), "USD/2", 0, 0, 0, 0, 0)], []))


WELL = encode_batch(batch([AccountRow("alice", "USD/2", 1, 0, 0, 1, 1)], []))[0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        encode_notice(WELL)[:-1],
        encode_notice(WELL._replace(marks=WELL.marks[:3])),
        encode_notice(WELL._replace(rows=WELL.rows[:-1])),
        encode_notice(WELL._replace(width=0)),
        encode_notice(WELL._replace(width=2**40)),
        encode_notice(WELL._replace(width=-8)),
        msgspec.msgpack.encode(["a", "b"]),
    ],
)
def test_foreign_bytes_are_no_notice(data: bytes) -> None:
    with pytest.raises(ValueError, match="notice"):
        decode_notice(data)


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(61), bytes(1_000)])
def test_other_rows_than_the_notice_tells_are_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="rows"):
        WELL.batch(WELL.pick(None), data)


def test_a_row_of_an_asset_that_is_none_is_none() -> None:
    nameless = Notice(*WELL)._replace(asset_names=[])
    with pytest.raises(ValueError, match="asset"):
        nameless.batch(nameless.pick(None), bytes(WELL.rows))


def test_a_heartbeat_has_no_rows() -> None:
    assert through(sent := FeedBatch(0, 1, "boot", 4, 4, EMPTY_ROWS)) == sent
