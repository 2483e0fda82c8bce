"""The file of a view in SQLite: its lock, its connection, one transaction, and what each failure means to a person.

Used from one thread. A connection that met a broken file is given up, and the next transaction opens the file anew: so a person
may take a damaged file away while we serve, and the projector makes the view again in a new one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from read_side.contract.view import NoView, ViewUnavailable
from read_side.views.view_sqlite_tables import APPLICATION_ID, LAYOUT, create, create_later

BUSY_S: Final = 5.0
"""How long a write waits for a foreign one. Nobody but us should write, and who only reads is never waited for."""
CACHE_KIB: Final = 64 * 1024
"""Pages kept in memory: the inner ones of a tree of ten million accounts, and those that change often."""
WAL_PAGES: Final = 1_000
"""4 MB of journal are written back into the file at once, which is the longest stop of a reader: 42 ms for small writes here,
143 ms with ten times as much, for 3 to 8 % more rows a second while a view is loaded."""
WAL_BYTES_KEPT: Final = 64 * 1024 * 1024
"""A journal that a long question of a reader has made longer is cut to this afterwards."""

NOBODY_LOSES: Final = "No money is affected: the log has everything, and the view follows it."
_MADE_AGAIN: Final = "Take it away, with the -wal and -shm beside it: the view is made again from the log."
_TOLD: Final = {
    sqlite3.SQLITE_FULL: (
        "the disk is full, so the view stays where it is",
        "Make room: it goes on by itself.",
    ),
    sqlite3.SQLITE_READONLY: (
        "the file cannot be written, so the view stays where it is",
        "See its owner and mode, and whether its disk is mounted read-only.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened or made",
        "See owner and mode of the file and of its folder, which holds two more files beside it.",
    ),
    sqlite3.SQLITE_NOTADB: ("the file is no SQLite database", "Name another file, or take this one away."),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", _MADE_AGAIN),
    sqlite3.SQLITE_IOERR: ("the disk failed to read or write the file", "See the system's log and the disk."),
    sqlite3.SQLITE_BUSY: (
        "another program holds the file locked",
        "Readers must open it read-only (sqlite3 -readonly); end the one that writes.",
    ),
    sqlite3.SQLITE_ERROR: ("the tables in it are not as we made them", _MADE_AGAIN),
}
"""By SQLite's result code: what has happened, and what to do."""
_STAYS_OPEN: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
"""Failures after which the connection is as good as before."""


class ViewFile:
    """`transaction` opens the file when it is not open. One thread.

    reading: beside whoever writes it. It is neither made nor locked, nor anything in it changed.
    """

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._path = path.resolve()
        self._reading = reading
        self._lock: int | None = None
        self._db: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        """Which file is open: a path may come to name another one."""

    @contextmanager
    def transaction(self, writing: bool) -> Iterator[sqlite3.Connection]:
        """All or nothing, of one moment. Raises ViewUnavailable; whatever is raised inside takes everything back."""
        try:
            if self._db is not None and self._identity() != self._file:
                self._disconnect()
            db = self._connected()
            db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
        except sqlite3.Error as error:
            code = _code(error)
            if code not in _STAYS_OPEN:
                self._disconnect()
            raise self._told(code, error) from error
        except OSError as error:
            self._disconnect()
            raise ViewUnavailable(
                f"The view's file {self._path} cannot be used ({error.strerror or error}). {NOBODY_LOSES} See owner and mode of "
                "the file and of its folder."
            ) from error

    def damaged(self, what: str) -> ViewUnavailable:
        """What is in the file cannot have been written by us."""
        return self._told(sqlite3.SQLITE_CORRUPT, what)

    def close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connected(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path.is_dir():
                raise self._unusable("is a folder", "Name a file in it: FANFOLD_VIEW=sqlite:FOLDER/view.db")
            if not self._path.parent.is_dir():
                raise self._unusable("lies in a folder that is not there", f"Make {self._path.parent} first.")
            if self._reading and not self._path.exists():
                raise self._none_yet("is not there yet")
            if self._lock is None and not self._reading:
                self._lock = self._locked()
            address = f"{self._path.as_uri()}?mode={'ro' if self._reading else 'rwc'}"
            db = sqlite3.connect(address, timeout=BUSY_S, isolation_level=None, uri=True)
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db, self._file = db, self._identity()
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Settings of the connection, and the tables of a new file. Somebody else's file is not touched."""
        is_new = _number(db, "SELECT count(*) FROM sqlite_schema") == 0
        if is_new and self._reading:
            raise self._none_yet("has no view in it yet")
        if not is_new:
            if _number(db, "PRAGMA application_id") != APPLICATION_ID:
                raise self._unusable("is the database of another program", "Name another file.")
            if _number(db, "PRAGMA user_version") != LAYOUT:
                raise self._unusable("was made by another version of fanfold", _MADE_AGAIN)
        if self._reading:
            return
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise self._unusable("lies where SQLite can keep no journal beside it", "Use a disk of this machine.")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
        db.execute("BEGIN IMMEDIATE")
        (create if is_new else create_later)(db)
        db.execute("COMMIT")

    def _locked(self) -> int:
        """The kernel drops the lock with the process, however it ends. Beside the file: closing one's own descriptor of the file
        itself would drop SQLite's locks."""
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise self._unusable(
                "is written by another process",
                "One process writes such a view. Stop the other one, or name another file; processes share a view in Redis.",
            ) from None
        return descriptor

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):  # it is given up, whatever it says
                db.close()

    def _told(self, code: int, reason: object) -> ViewUnavailable:
        what, to_do = _TOLD.get(code, ("SQLite failed", "See the disk, then start again."))
        return ViewUnavailable(f"The view in {self._path}: {what} ({reason}). {NOBODY_LOSES} {to_do}")

    def _none_yet(self, what: str) -> NoView:
        return NoView(
            f"The view's file {self._path} {what}. Nothing was changed. {NOBODY_LOSES} Start the service over it, which makes "
            "one from the log, or name another file with FANFOLD_VIEW."
        )

    def _unusable(self, what: str, to_do: str) -> ViewUnavailable:
        return ViewUnavailable(f"The view's file {self._path} {what}. Nothing was changed. {NOBODY_LOSES} {to_do}")


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code. Text that is no UTF-8 has none: it is met when a damaged row is read."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF


def _number(db: sqlite3.Connection, question: str) -> int:
    return int(db.execute(question).fetchone()[0])
