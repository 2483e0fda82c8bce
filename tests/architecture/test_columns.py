"""Columns have names: no rule, loop or reader takes a column of a table by a bare number."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLES = (
    "write_side/ledger",
    "write_side/contract",
    "write_side/id_runs",
    "write_side/owner",
    "write_side/intake",
    "read_side",
)
"""Where tables are arrays."""
TWO_WORDS = ("ids", "links", "words", "digests")
"""Arrays whose rows are one value of 128 bits: 0 and 1 are its halves. A name ends so."""
NOT_OF_COLUMNS = ("of",)
"""int64[sections, blocks + 1]: where rows of blocks begin; the second number is a block's."""


def numbered_columns(source: str) -> list[str]:
    """Of a source each `table[row, 3]`, `table[row, at + 1]` and `table[:, :2]`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
            continue
        table = ast.unparse(node.value).rpartition(".")[2]
        column = node.slice.elts[-1]
        is_half = table.endswith(TWO_WORDS) and isinstance(column, ast.Constant) and column.value in (0, 1)
        if table not in NOT_OF_COLUMNS and not is_half and any(map(_is_number, _ends(column))):
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def _ends(column: ast.expr) -> list[ast.expr]:
    """The number of a column; of several where they begin and end, which may be one behind a name."""
    if not isinstance(column, ast.Slice):
        return [column, *_added(column)]
    ends = [end for end in (column.lower, column.upper) if end is not None]
    return ends + ([] if column.lower is None else _added(column.lower))


def _added(number: ast.expr) -> list[ast.expr]:
    is_sum = isinstance(number, ast.BinOp) and isinstance(number.op, ast.Add | ast.Sub)
    return [number.left, number.right] if is_sum else []  # type: ignore[attr-defined]


def _is_number(number: ast.expr) -> bool:
    if isinstance(number, ast.UnaryOp):
        number = number.operand
    return isinstance(number, ast.Constant) and isinstance(number.value, int)


@pytest.mark.parametrize("folder", TABLES)
def test_every_column_has_a_name(folder: str) -> None:
    found = {
        path.relative_to(ROOT).as_posix(): numbered
        for path in sorted((ROOT / folder).rglob("*.py"))
        if (numbered := numbered_columns(path.read_text()))
    }
    assert found == {}


SHARED = {
    "ENDS_BY_US": ("pending_columns.py", "pending_index.py", "pending.py"),
    "_OTHER_A": ("pending_columns.py",),
    "_OTHER_B": ("pending_columns.py",),
}
"""Columns of the pending table that mean another thing in each kind of row, and where that makes no difference."""


@pytest.mark.parametrize("column", SHARED)
def test_a_column_that_kinds_of_rows_share_is_taken_by_its_name_in_one_kind(column: str) -> None:
    state = ROOT / "write_side" / "contract" / "state"
    found = {
        path
        for folder in TABLES
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Name) and node.id == column) or (isinstance(node, ast.alias) and node.name == column)
    }
    assert found == {state / name for name in SHARED[column]}


@pytest.mark.parametrize(
    "source", ["tape[at, 0] = 1", "x = pending[:, 4:]", "rows[due, :2]", "nodes[row, by + 1]", "pending[:, -1]"]
)
def test_a_column_by_its_number_is_found(source: str) -> None:
    assert numbered_columns(source)


@pytest.mark.parametrize(
    "source",
    [
        "tape[at, OF] = 1",
        "run.ids[i, 1]",
        "rows[due, ID_A : ID_B + 1]",
        "columns[n, KIND_AT + 2 * column]",
        "of[:, -1]",
    ],
)
def test_a_named_column_and_the_half_of_an_id_are_not(source: str) -> None:
    assert not numbered_columns(source)
