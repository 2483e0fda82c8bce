"""Where an import's bytes come from: a file or standard input, compressed or not, all of it there to be read twice."""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from fanfold.csv_lines import BadFile, Record, records, text_lines

GZIP_MARK: Final = b"\x1f\x8b"


class CsvSource:
    """Reads the whole file at each call of `records`, so that it can be checked before anything is sent."""

    def __init__(self, stream: BinaryIO, separator: str) -> None:
        self._stream = stream
        self._separator = separator

    def records(self) -> Iterator[Record]:
        """Raises BadFile, also for what cannot be read or unpacked."""
        try:
            self._stream.seek(0)
            yield from records(text_lines(self._stream.readline), self._separator)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise BadFile("It cannot be unpacked: it is damaged, or not all of it is there.") from None
        except OSError as error:
            raise BadFile(f"It cannot be read: {error.strerror or 'nobody says why'}.") from None


@contextmanager
def csv_source(file: Path, separator: str) -> Iterator[CsvSource]:
    """`-` is standard input. What is compressed is known by its first bytes, whatever its name is. Raises BadFile."""
    with _opened(file) as raw:
        packed = raw.read(2) == GZIP_MARK
        raw.seek(0)
        yield CsvSource(cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if packed else raw, separator)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    try:
        opened = _all_of_standard_input() if str(file) == "-" else file.open("rb")
        if not opened.seekable():  # a pipe with a name, as `<(...)` in a shell
            with opened:
                opened = _kept(opened)
    except OSError as error:
        raise BadFile(f"It cannot be read: {error.strerror}.") from None
    with opened:
        yield opened


def _all_of_standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise BadFile("It is closed.")
    return _kept(sys.stdin.buffer)


def _kept(stream: BinaryIO) -> BinaryIO:
    kept = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(stream, kept)
    kept.seek(0)
    return kept
