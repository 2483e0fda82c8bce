"""The connection to the file of a projection's state: its lock, and what each failure means to a person."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BUSY_S: Final = 5.0
"""How long a write waits for another program that writes to the file, which none should."""
_BEGINS: Final = b"SQLite format 3\0"
_UNHARMED: Final = "No money is affected: the log has everything, and what is stored here is as it was."
_OF_A_MOMENT: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR)


class CannotProject(Exception):
    """The projection, its state and the log do not go together. The message says what to do."""


class StateUnavailable(Exception):
    """The state's file cannot be used now. The message says what to do."""


@contextmanager
def locked(path: Path | None) -> Iterator[None]:
    """The kernel drops the lock with the process, however it ends."""
    if path is None:
        yield
        return
    try:
        if path.exists() and not _may_be_a_database(path):
            raise CannotProject(f"{path} is no SQLite database. Nothing was changed. Name another file with --state.")
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as failed:
        raise StateUnavailable(
            f"The state's file {path} cannot be used ({failed.strerror}). {_UNHARMED} See owner and mode of its folder."
        ) from failed
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotProject(
                f"{path} is written by another process now. Stop that one, or name another file with --state."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _may_be_a_database(path: Path) -> bool:
    """So that nothing is put beside a file of somebody else."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_BEGINS)) in (b"", _BEGINS)


@contextmanager
def connected(path: Path | None, *, reading: bool = False) -> Iterator[sqlite3.Connection]:
    """None: a file without a name, which is gone when it is closed."""
    address = "" if path is None else f"{path.resolve().as_uri()}?mode={'ro' if reading else 'rwc'}"
    with told(path):
        db = sqlite3.connect(address, timeout=BUSY_S, isolation_level=None, check_same_thread=False, uri=True)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def told(path: Path | None) -> Iterator[None]:
    """What SQLite says, for a person."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if code == sqlite3.SQLITE_NOTADB:
            raise CannotProject(
                f"{path} is no SQLite database. Nothing was changed. Name another file with --state."
            ) from error
        to_do = (
            "Make room, or wait for who holds it: the same command goes on from there."
            if code in _OF_A_MOMENT
            else "See its owner and mode. If it is damaged, take it away, with the -wal and -shm beside it: it is made again."
        )
        raise StateUnavailable(
            f"The state in {path or 'a file of its own'} cannot be used ({error}). {_UNHARMED} {to_do}"
        ) from error


def number(db: sqlite3.Connection, question: str) -> int:
    return int(db.execute(question).fetchone()[0])
