"""Rows of a file as commands: the same row is the same transfer, and no two rows are."""

from __future__ import annotations

import io
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.requests import Open, Transfer
from fanfold.csv_lines import BadFile, Record, records, text_lines
from fanfold.rows import Row, Skipped, Terms, former_row_id, given_id, row_id, rows

HEADING = ["transaction", "account", "date", "amount"]
MINOR = Terms("CZK/2", minor=True)


def _rows(*lines: list[str], heading: list[str] = HEADING, terms: Terms = MINOR) -> list[Row | Skipped]:
    return list(rows([Record(line, cells) for line, cells in enumerate([heading, *lines], 1)], ",", terms))


def test_positive_is_a_deposit_and_negative_a_withdrawal() -> None:
    deposit, withdrawal = _rows(["1", "a", "", "700"], ["2", "a", "", "-30"])
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
        (["", "a", "d", "7"], "transaction_missing"),
    ],
)
def test_row_that_is_no_transfer_is_named_by_its_line(cells: list[str], code: str) -> None:
    good, skipped = _rows(["1", "a", "d", "7"], cells)
    assert isinstance(good, Row)
    assert isinstance(skipped, Skipped)
    assert (skipped.line, skipped.code) == (3, code)


@pytest.mark.parametrize("cells", [[], [" "]])
def test_a_blank_line_is_told_as_one(cells: list[str]) -> None:
    _, skipped = _rows(["1", "a", "d", "7"], cells)
    assert isinstance(skipped, Skipped)
    assert (skipped.code, skipped.reason) == ("row_malformed", "is blank")


@pytest.mark.parametrize("heading", [[], ["account", "amount"], ["Transaction", "Account", "Amount"]])
def test_file_without_the_columns_is_refused(heading: list[str]) -> None:
    with pytest.raises(BadFile, match="transaction"):
        _rows(heading=heading)


@given(st.lists(st.tuples(st.sampled_from("12"), st.sampled_from("ab"), st.just("d"), st.sampled_from(["1", "-1"]))))
def test_every_row_is_a_transfer_of_its_own_and_the_same_one_each_time(lines: list[tuple[str, ...]]) -> None:
    """Equal rows too; and a longer file repeats what a shorter one did."""
    once = [row.transfer for row in _rows(*map(list, lines)) if isinstance(row, Row)]
    again = [row.transfer for row in _rows(*map(list, lines), ["9", "z", "d", "5"]) if isinstance(row, Row)]
    assert len({transfer.id for transfer in once}) == len(lines)
    assert again[:-1] == once


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4), st.integers(1, 30), st.integers(1, 30))
def test_other_parts_or_another_occurrence_make_another_id(a: list[str], b: list[str], m: int, n: int) -> None:
    assert (row_id(a, m) == row_id(b, n)) == ((a, m) == (b, n))


@given(st.permutations([("transaction", "1"), ("account", "a"), ("amount", "7"), ("date", "d"), ("note", "n")]))
def test_the_order_of_columns_changes_nothing(columns: list[tuple[str, str]]) -> None:
    (row,) = _rows([cell for _, cell in columns], heading=[name for name, _ in columns])
    (other,) = _rows(["1", "a", "d", "7", "n"], heading=[*HEADING, "note"])
    assert isinstance(row, Row)
    assert isinstance(other, Row)
    assert row.transfer == other.transfer


@pytest.mark.parametrize(
    "cells",
    [
        ["1", "a", "d", "007"],
        [" 1", "a ", "\td", "7 "],
        ["1", "a", "d", "7"],
        ["1", "a", "other", "7"],
        ["001", "a", "d", "7"],
    ],
)
def test_identity_is_transaction_account_amount_and_asset(cells: list[str]) -> None:
    (row,) = _rows(cells)
    assert isinstance(row, Row)
    assert row.transfer.id == row_id(("1", "a", "7", "CZK/2"), 1)


@pytest.mark.parametrize(
    "cells", [["2", "a", "d", "7"], ["1", "b", "d", "7"], ["1", "a", "d", "8"], ["1", "a", "d", "-7"]]
)
def test_another_transaction_account_or_amount_is_another_row(cells: list[str]) -> None:
    (row,) = _rows(cells)
    assert isinstance(row, Row)
    assert row.transfer.id != row_id(("1", "a", "7", "CZK/2"), 1)


def test_what_a_row_says_besides_goes_with_its_transfer() -> None:
    """So the service tells of another row that looks alike, instead of taking it for this one."""
    found = [_rows(["1", "a", date, "7"])[0] for date in ("mon", "mon ", "tue", "")]
    assert all(isinstance(row, Row) for row in found)
    mon, same, tue, nothing = (row.transfer.metadata for row in found if isinstance(row, Row))
    assert mon == same != tue
    assert nothing is None


def test_ids_of_rows_never_change() -> None:
    assert former_row_id(["1", "a", "d", "7"], 1, "CZK/2") == "9d9251e2-d33d-5d38-a594-a881621ee1a1"
    assert row_id(("1", "a", "7", "CZK/2"), 1) == "cedde3a0-7453-5cb5-9ca7-f4add5619097"
    assert given_id("order 7") == "83a80c8a-826f-5706-9931-ddd85dab5590"
    assert given_id("01970F3E7B1A7C3E8A2B1234567890AB") == "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
    (row,) = _rows(["1", "a", "", "7"], terms=MINOR._replace(both=True))
    assert row == Row(
        2, Open("a", "CZK/2", None), Transfer("@world", "a", 7, "CZK/2", "cedde3a0-7453-5cb5-9ca7-f4add5619097"),
        former_row_id(["1", "a", "", "7"], 1, "CZK/2"),
    )  # fmt: skip


def test_a_row_has_its_former_id_when_that_is_wanted() -> None:
    (row,) = _rows(["1", "a", "d", "7"], terms=MINOR._replace(former=True))
    assert isinstance(row, Row)
    assert row.transfer == Transfer("@world", "a", 7, "CZK/2", "9d9251e2-d33d-5d38-a594-a881621ee1a1")
    assert row.other_id == row_id(("1", "a", "7", "CZK/2"), 1)


_CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)


@given(
    st.lists(st.lists(_CELLS, min_size=3, max_size=3), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n", "\r"])
)
def test_a_quoted_file_is_read_as_it_was_written_and_its_lines_are_counted(table: list[list[str]], end: str) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in cells) for cells in table]
    raw = end.join([*quoted, ""]).encode()
    stream = io.BytesIO(raw)
    expected, line = [], 1
    for cells, written in zip(table, quoted, strict=True):
        expected.append(Record(line, cells))
        text = written + end
        line += text.count("\n") + text.count("\r") - text.count("\r\n")
    swallowed = any(cell.count(",") >= 2 for cells in table for cell in cells)
    try:
        assert list(records(text_lines(stream.readline), ",")) == expected
    except BadFile:
        assert swallowed or raw.startswith((b"\xef\xbb\xbf", b"PK"))


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_a_sentence(raw: bytes) -> None:
    try:
        found = list(records(text_lines(io.BytesIO(raw).readline), ","))
    except BadFile:
        return
    assert all(record.line >= 1 for record in found)


@pytest.mark.parametrize("note", ["Dear Bob,\nthanks, and see you, on 5 May", "a\nb\nc", "a\r\nPaid, 7", "x\n\n,,"])
def test_a_note_of_several_lines_is_a_note(note: str) -> None:
    (row,) = _rows(["1", "a", note, "7"])
    assert isinstance(row, Row)


@pytest.mark.parametrize("note", ["x\n2,a,d,7", "x\n2,a,7", "x\r2,a,7\rmore", "x\n2,a,-7.50", "x\nA2,a,USD,1,000"])
def test_a_row_inside_of_a_cell_is_not_swallowed_in_silence(note: str) -> None:
    with pytest.raises(BadFile, match=r"Line 2 opens a quote .* whole rows"):
        _rows(["1", "a", note, "7"])


@pytest.mark.parametrize(("note", "line"), [("x\n2,700", 3), ("x\r\n\r\nb,-7.50\r\nmore", 4), ("x\r12,a", 3)])
def test_what_is_left_of_a_row_inside_of_a_cell_is_told_and_its_row_imported(note: str, line: int) -> None:
    told, row = _rows(["1", "a", note, "7"])
    assert isinstance(told, Skipped)
    assert (told.line, told.code) == (line, "row_malformed")
    assert "inside of a quoted cell of line 2" in told.reason
    assert isinstance(row, Row)


def test_a_uuid_in_a_column_of_ids_is_the_id() -> None:
    (row,) = _rows([str(uuid.UUID(int=7 << 76)), "a", "7"], heading=["id", "account", "amount"])
    assert isinstance(row, Row)
    assert row.named
    assert row.transfer.id == str(uuid.UUID(int=7 << 76))
