"""Rows of a file as commands: the same row is the same transfer, and no two rows are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.commands import Open, Transfer
from fanfold.rows import BadFile, Row, Skipped, row_id, rows

HEADING = ["transaction", "account", "date", "amount"]


def _rows(*lines: list[str]) -> list[Row | Skipped]:
    return list(rows([HEADING, *lines], asset="CZK/2", floor=None))


def test_positive_is_a_deposit_and_negative_a_withdrawal() -> None:
    deposit, withdrawal = _rows(["1", "a", "d", "700"], ["2", "a", "d", "-30"])
    assert isinstance(deposit, Row)
    assert isinstance(withdrawal, Row)
    assert deposit.transfer == Transfer("@world", "a", 700, "CZK/2", deposit.transfer.id)
    assert withdrawal.transfer == Transfer("a", "@world", 30, "CZK/2", withdrawal.transfer.id)


def test_account_is_opened_before_its_first_transfer_only() -> None:
    openings = [
        row.opening
        for row in _rows(["1", "a", "d", "7"], ["2", "b", "d", "7"], ["3", "a", "d", "7"])
        if isinstance(row, Row)
    ]
    assert openings == [Open("a", "CZK/2", None), Open("b", "CZK/2", None), None]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (["1", "a", "d", "0"], "amount_zero"),
        (["1", "a", "d", ""], "amount_malformed"),
        (["1", "a", "d", "1.5"], "amount_malformed"),
        (["1", "a", "d", "1_000"], "amount_malformed"),
        (["1", "a", "d", "\u0661"], "amount_malformed"),
        (["1", "a", "d", "9" * 5_000], "amount_malformed"),
        (["1", "a", "d"], "row_malformed"),
        (["1", "a", "d", "7", "8"], "row_malformed"),
        ([], "row_malformed"),
    ],
)
def test_row_that_is_no_transfer_is_named_by_its_line(cells: list[str], code: str) -> None:
    good, skipped = _rows(["1", "a", "d", "7"], cells)
    assert isinstance(good, Row)
    assert isinstance(skipped, Skipped)
    assert (skipped.line, skipped.code) == (3, code)


@pytest.mark.parametrize("lines", [[], [["account", "amount"]], [["Transaction", "Account", "Amount"]]])
def test_file_without_the_columns_is_refused(lines: list[list[str]]) -> None:
    with pytest.raises(BadFile, match="transaction"):
        list(rows(lines, asset="CZK/2", floor=None))


@given(st.lists(st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.just("d"), st.sampled_from(["1", "-1"]))))
def test_every_row_is_a_transfer_of_its_own_and_the_same_one_each_time(lines: list[tuple[str, ...]]) -> None:
    """Equal rows too; and a longer file repeats what a shorter one did."""
    once = [row.transfer for row in _rows(*map(list, lines)) if isinstance(row, Row)]
    again = [row.transfer for row in _rows(*map(list, lines), ["9", "z", "d", "5"]) if isinstance(row, Row)]
    assert len({transfer.id for transfer in once}) == len(lines)
    assert again[:-1] == once


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4), st.integers(1, 30), st.integers(1, 30))
def test_other_cells_or_another_occurrence_make_another_id(a: list[str], b: list[str], m: int, n: int) -> None:
    assert (row_id(a, m, "CZK/2") == row_id(b, n, "CZK/2")) == ((a, m) == (b, n))


def test_ids_of_rows_never_change() -> None:
    assert row_id(["1", "a", "d", "7"], 1, "CZK/2") == "9d9251e2-d33d-5d38-a594-a881621ee1a1"
    (row,) = _rows(["1", "a", "d", "7"])
    assert row == Row(
        2, Open("a", "CZK/2", None), Transfer("@world", "a", 7, "CZK/2", "9d9251e2-d33d-5d38-a594-a881621ee1a1")
    )
