"""The SQLite file that webhooks are kept in, mode 0600 for the secrets in it: opened, watched for others, and one transaction.

A transaction is on disk when it is over (a rollback journal and `synchronous=FULL`: SQLite before 3.51.3 may lose pages of a WAL
that two processes write). One thread at a time. Raises HooksUnavailable.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

APPLICATION_ID: Final = 0x66667768
"""What SQLite's header says of the file: ffwh."""
BUSY_S: Final = 5.0
_SCHEMA: Final = """
CREATE TABLE hook (id TEXT PRIMARY KEY, url TEXT, account TEXT, prefix TEXT, private INTEGER, exhausted TEXT, attempts INTEGER,
    hours REAL, begin_at_us INTEGER, paused TEXT, generation INTEGER) STRICT;
CREATE TABLE secret (hook TEXT, secret TEXT, made_us INTEGER, until_us INTEGER) STRICT;
CREATE TABLE lane (hook TEXT, partition INTEGER, lane TEXT, PRIMARY KEY (hook, partition)) STRICT;
CREATE TABLE dead (number INTEGER PRIMARY KEY AUTOINCREMENT, hook TEXT, partition INTEGER, message_id TEXT, changes INTEGER,
    body BLOB, error TEXT, at_us INTEGER, due INTEGER) STRICT;
CREATE TABLE head (partition INTEGER PRIMARY KEY, sequence INTEGER) STRICT
"""


class HooksUnavailable(Exception):
    """The file cannot be used now. The message says what to do."""


class HooksFile:
    """Open it with `opened`."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self.path, self._db = path, db
        self._opened_file = _file(path)

    @classmethod
    def opened(cls, path: Path) -> Self:
        """Made where it is missing, readable by its owner alone. The caller closes it."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as failed:
            raise HooksUnavailable(f"{path} cannot be used ({failed.strerror}). {_UNHARMED}") from failed
        with _told(path):
            db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        kept = cls(path, db)
        try:
            kept._begin()
            path.chmod(0o600)  # whoever copied it here
        except BaseException:
            db.close()
            raise
        return kept

    def _begin(self) -> None:
        with _told(self.path):
            self._db.execute("PRAGMA journal_mode = DELETE")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA secure_delete = ON")
        with self._transaction() as db:
            if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0:
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
            elif db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise HooksUnavailable(f"{self.path} is a database of something else. Nothing was changed.")

    def close(self) -> None:
        self._db.close()

    def changes(self) -> int:
        """Another number whenever another process has written. Raises HooksUnavailable where the file is another one by now."""
        if _file(self.path) != self._opened_file:
            raise HooksUnavailable(f"{self.path} was taken away or replaced, and is opened again. {_UNHARMED}")
        with _told(self.path):
            return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def _transaction(self, *, writing: bool = True) -> Iterator[sqlite3.Connection]:
        with _told(self.path):
            self._db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _file(path: Path) -> tuple[int, int] | None:
    """Which file this is, None for none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_UNHARMED: Final = "No money is affected, and what is not delivered yet is delivered later."


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What SQLite says, for a person."""
    try:
        yield
    except sqlite3.Error as error:
        raise HooksUnavailable(
            f"The webhooks in {path} cannot be used ({error}). {_UNHARMED} See its disk, its owner and mode."
        ) from error
