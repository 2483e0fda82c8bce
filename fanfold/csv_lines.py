"""A CSV file as records with the lines that they stand in: pure, and strict where leniency would lose rows.

RFC 4180 with any line ends. What a lenient reader takes for one long cell (a quote that is never closed) is an error here, and
every error names the line of the file.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

LINE_BYTES_MAX: Final = 16 * 1024 * 1024
"""No row is that long: what is has no line ends, and is not text."""

_LINE_ENDS: Final = re.compile(r"(?<=\n)|(?<=\r)(?!\n)")

_OTHER_KINDS: Final = (
    (b"\xff\xfe", "It is UTF-16, not a CSV file in UTF-8: `iconv -f UTF-16 -t UTF-8` makes it one"),
    (b"\xfe\xff", "It is UTF-16, not a CSV file in UTF-8: `iconv -f UTF-16 -t UTF-8` makes it one"),
    (b"PK\x03\x04", "It is a spreadsheet or another packed folder, not a CSV file: save it as CSV in UTF-8"),
)
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class BadFile(ValueError):
    """The file cannot be imported as it is; the message says why, in sentences that follow its name."""


class Record(NamedTuple):
    """A row of cells. `line` counts the file's lines from 1, the heading included: where the row begins."""

    line: int
    cells: list[str]


def text_lines(read_line: Callable[[int], bytes]) -> Iterator[str]:
    """The lines of a file in UTF-8, their ends with them, a mark at the beginning left out. Raises BadFile.

    read_line: as a binary file's `readline`.
    """
    number = 0
    while raw := read_line(LINE_BYTES_MAX + 1):
        if number == 0:
            for mark, told in _OTHER_KINDS:
                if raw.startswith(mark):
                    raise BadFile(f"{told}.")
            raw = raw.removeprefix(_BYTE_ORDER_MARK)
        if len(raw) > LINE_BYTES_MAX or b"\x00" in raw:
            raise BadFile(
                f"Line {number + 1} is not text in UTF-8, so it is not a CSV file (or it is UTF-16 without a mark)."
            )
        try:
            text = raw.decode()
        except UnicodeDecodeError as wrong:
            line = number + 1 + len(_LINE_ENDS.split(raw[: wrong.start].decode())) - 1
            raise BadFile(
                f"Line {line} has the byte 0x{raw[wrong.start]:02x}, so it is not a CSV file in UTF-8. As spreadsheets save it: "
                "`iconv -f WINDOWS-1252 -t UTF-8` makes it one."
            ) from None
        whole = raw.count(b"\r") == raw.endswith(b"\r\n")
        for line_text in (text,) if whole else filter(None, _LINE_ENDS.split(text)):
            number += 1
            yield line_text


def records(lines: Iterable[str], separator: str) -> Iterator[Record]:
    """Every row, also empty ones. Raises BadFile."""
    reader = csv.reader(lines, delimiter=separator, strict=True)
    columns = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as wrong:
            raise BadFile(f"Line {line} {_told(str(wrong))}") from None
        columns = len(cells) if columns is None else columns
        # Two quotes that lack their partners, some rows apart, make one cell of all between them.
        if any(inner.count(separator) >= columns - 1 > 0 for _, inner in lines_inside(cells)):
            raise swallowing(line)
        yield Record(line, cells)


def lines_inside(cells: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The lines of a file that lie inside of quoted cells, the first of each left out: it is part of the row itself. Each with
    how many lines it stands below the one where the row begins."""
    below = 0
    for cell in cells:
        if "\n" in cell or "\r" in cell:
            for inner in _LINE_ENDS.split(cell)[1:]:
                below += 1
                yield below, inner.rstrip("\r\n")


def swallowing(line: int) -> BadFile:
    """line: of the row whose cell has whole rows in it."""
    return BadFile(
        f'Line {line} opens a quote (") that goes on over whole rows. Close it, or take it away; a quote inside of a cell is '
        "written twice."
    )


def _told(error: str) -> str:
    if "unexpected end" in error:
        return 'opens a quote (") that is never closed, so all rows behind it would be lost. Close it, or take it away.'
    if "expected after" in error:
        return (
            'has a text right behind a closing quote ("). Is one not closed? Inside of a cell a quote is written twice.'
        )
    if "field limit" in error:
        return f'has a cell of more than {csv.field_size_limit():,} characters: a quote (") of it may not be closed.'
    return f"cannot be read ({error})."
