"""A table for the eye in which nothing is ever cut, whatever the width: pure, from cells to lines.

A figure, an id or a position that is cut is another one. So a sheet that is too wide folds its names first; where that is not
enough it becomes a block a row; and where nobody says how wide it is (a pipe, a file) it is plain lines, tabs between the cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

GAP: Final = "  "
FOLDED_MIN: Final = 12
"""A name in pieces shorter than this nobody reads: then rather a block a row."""


class Column(NamedTuple):
    """right: figures, one below the other. folds: a name or a sentence, which may go on in the next line."""

    name: str
    right: bool = False
    folds: bool = False


class Sheet(NamedTuple):
    """Rows of cells, one a column."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def lines(self, width: int | None) -> list[str]:
        """As text: at most `width` wide wherever no single cell is wider; None: plain lines, the heading first."""
        if width is None:
            return ["\t".join(cells) for cells in (self._names(), *self.rows)]
        widths = [max(map(len, column)) for column in zip(self._names(), *self.rows, strict=True)]
        folded = self._folded(widths, width)
        return list(self._blocks() if folded is None else self._table(folded))

    def _names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def _folded(self, widths: Sequence[int], width: int) -> list[int] | None:
        """How wide each column is when the widest that fold give way; None when they cannot give enough."""
        left = list(widths)
        while (over := sum(left) + len(GAP) * (len(left) - 1) - width) > 0:
            can_fold = [at for at, column in enumerate(self.columns) if column.folds and left[at] > FOLDED_MIN]
            if not can_fold:
                return None
            widest = max(can_fold, key=lambda at: left[at])
            left[widest] = max(FOLDED_MIN, left[widest] - over)
        return left

    def _table(self, widths: Sequence[int]) -> Iterator[str]:
        rule = tuple("-" * width for width in widths)
        for cells in (self._names(), rule, *self.rows):
            pieces = [fold(cell, width) for cell, width in zip(cells, widths, strict=True)]
            for line in range(max(map(len, pieces))):
                parts = [
                    (of[line] if line < len(of) else "").rjust(width) if column.right
                    else (of[line] if line < len(of) else "").ljust(width)
                    for of, width, column in zip(pieces, widths, self.columns, strict=True)
                ]  # fmt: skip
                yield GAP.join(parts).rstrip()

    def _blocks(self) -> Iterator[str]:
        longest = max(map(len, self._names()))
        for number, cells in enumerate(self.rows):
            if number:
                yield ""
            for name, cell in zip(self._names(), cells, strict=True):
                # What is wider than its place is given whole: the terminal breaks it, and no character is lost.
                yield f"{name.ljust(longest)}{GAP}{cell}".rstrip()


def fold(cell: str, width: int) -> list[str]:
    """In pieces of at most `width`, at blanks where there are some; joined they are the cell, a blank lost at a break."""
    pieces = []
    while len(cell) > width:
        at = cell.rfind(" ", 1, width + 1)
        pieces.append(cell[: at if at > 0 else width])
        cell = cell[at + 1 if at > 0 else width :]
    return [*pieces, cell]
