"""Where the rows of a projection are: a table in a SQLite file, with how far each partition is in it, stored in one transaction.

So what is killed at any moment goes on where it was, and no event counts twice; a power cut may take the last transactions back,
which are then made again. While a projection is made again, its rows are in a second table beside the first, and one transaction
puts that in its place. Readers open the file read-only at any time: `sqlite3 -readonly FILE`. One thread at a time.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from read_side.projections.projection import Declared, Row
from read_side.projections.state_connection import CannotProject, connected, locked, number, told
from write_side.contract.words.position import Position

Generation = Literal["live", "next"]
"""What readers see, and what is made again beside it."""

APPLICATION_ID: Final = 0x66667072
"""What SQLite's header says of the file: ffpr."""
_TABLES: Final = """
CREATE TABLE fanfold_projection (generation TEXT PRIMARY KEY, name TEXT, version INTEGER, columns TEXT) STRICT;
CREATE TABLE fanfold_checkpoint (generation TEXT, partition INTEGER, sequence INTEGER, block_hash BLOB,
    PRIMARY KEY (generation, partition)) STRICT;
"""
_ANSWERED: Final = """
CREATE TABLE IF NOT EXISTS fanfold_answer (generation TEXT PRIMARY KEY, history TEXT, number INTEGER, digest BLOB) STRICT
"""
"""By itself: files of before have it not."""
_OF_GENERATIONS: Final = ("fanfold_projection", "fanfold_checkpoint", "fanfold_answer")
_KINDS: Final = {"str": "TEXT", "int": "INTEGER"}


class Checkpoint(NamedTuple):
    """The last block whose events are in the rows, and its hash."""

    sequence: int
    block_hash: bytes


NOTHING: Final = Checkpoint(-1, b"")


class Answer(NamedTuple):
    """What the question is answered with, whole. number: one more for each answer that is another one, within a history, which
    is one making of the rows; positions: the last block of each partition that is in it."""

    history: str
    number: int
    positions: str
    rows: list[dict[str, Any]]


class KeptRows:
    """Open it with `held`, or read what is stored with `reading`. Every method raises StateUnavailable."""

    def __init__(self, path: Path | None, declared: Declared, db: sqlite3.Connection) -> None:
        self.path, self.declared, self._db = path, declared, db
        self._keys = " AND ".join(f'"{name}" = ?' for name in declared.key)
        self._all = ", ".join(f'"{name}"' for name in declared.columns)

    @classmethod
    @contextmanager
    def held(cls, path: Path | None, declared: Declared) -> Iterator[KeptRows]:
        """To write, alone; made where it is missing. None: one without a name, gone when it is closed.

        Raises CannotProject, StateUnavailable.
        """
        with locked(path), connected(path) as db:
            file = cls(path, declared, db)
            with file.transaction():
                if number(db, "SELECT count(*) FROM sqlite_schema") == 0:
                    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    for statement in _TABLES.split(";\n"):
                        db.execute(statement)
                file._require_ours()
                with told(path):
                    db.execute(_ANSWERED)
            with told(path):
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
            yield file

    @classmethod
    @contextmanager
    def reading(cls, path: Path, declared: Declared) -> Iterator[KeptRows]:
        """As it is at this moment, beside whoever writes it. Raises CannotProject, StateUnavailable."""
        if not path.is_file():
            raise CannotProject(f"There is no state in {path} yet. Make it: run the same command without --verify.")
        with connected(path, reading=True) as db:
            file = cls(path, declared, db)
            with file.transaction(writing=False):
                file._require_ours()
                yield file

    def begin(self, generation: Generation) -> None:
        """Be sure that this generation is of this projection, and make it where it is missing. What is left of one that was made
        again by other code is dropped. Raises CannotProject."""
        with self.transaction():
            self._require_name(self._made_by("live"))
            made_by = self._made_by(generation)
            if made_by is not None and made_by != self._code() and generation == "next":
                self._drop("next")
                made_by = None
            if made_by is None:
                self._create(generation)
        self.require(generation)

    def begin_anew(self) -> None:
        """Drop what was made again so far, and make it from the first block on."""
        with self.transaction():
            self._drop("next")
            self._create("next")

    def require(self, generation: Generation) -> None:
        """That it was made by this code. Raises CannotProject."""
        made_by = self._made_by(generation)
        if made_by == self._code():
            return
        if made_by is None:
            raise CannotProject(f"{self.path} has no rows yet. Run the same command without --verify.")
        self._require_name(made_by)
        name, version, columns = made_by
        if version == self.declared.version:
            raise CannotProject(
                f"The rows of {name} in {self.path} have other columns ({', '.join(json.loads(columns))}) than its code of the "
                f"same version {version}. Nothing was changed. Raise its version, and run it with --from-start: it is made again."
            )
        newer = "newer" if version > self.declared.version else "older"
        raise CannotProject(
            f"The rows of {name} in {self.path} were made by version {version} of its code, which is {newer} than this one, "
            f"{self.declared.version}. Nothing was changed. Run it with --from-start to make them again from the beginning "
            "of the log, or use the code that made them."
        )

    def checkpoint(self, generation: Generation, partition: int) -> Checkpoint:
        """How far a partition is, NOTHING before its first block."""
        with told(self.path):
            found = self._db.execute(
                "SELECT sequence, block_hash FROM fanfold_checkpoint WHERE generation = ? AND partition = ?",
                (generation, partition),
            ).fetchone()
        return NOTHING if found is None else Checkpoint(*found)

    def partitions(self) -> list[int]:
        """Those of which the live generation has a block."""
        with told(self.path):
            asked = "SELECT partition FROM fanfold_checkpoint WHERE generation = 'live' ORDER BY partition"
            return [partition for (partition,) in self._db.execute(asked)]

    def stored(self, generation: Generation, key: Row) -> Row | None:
        """A row, without its key."""
        with told(self.path):
            asked = f"SELECT {self._all} FROM {self._table(generation)} WHERE {self._keys}"
            found = self._db.execute(asked, key).fetchone()
        return None if found is None else tuple(found[len(key) :])

    def store(
        self, generation: Generation, partition: int, upto: Checkpoint, changed: Mapping[Row, Row | None]
    ) -> None:
        """Rows and checkpoint, within a transaction."""
        table, gone = self._table(generation), [key for key, row in changed.items() if row is None]
        with told(self.path):
            self._db.executemany(
                f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(self.declared.columns))})",
                [key + row for key, row in changed.items() if row is not None],
            )
            self._db.executemany(f"DELETE FROM {table} WHERE {self._keys}", gone)
            self._db.execute(
                "INSERT OR REPLACE INTO fanfold_checkpoint VALUES (?, ?, ?, ?)", (generation, partition, *upto)
            )

    def switch(self) -> None:
        """What was made again becomes what readers see, at once; what they saw is gone."""
        with self.transaction():
            self._drop("live")
            with told(self.path):
                self._db.execute(f"ALTER TABLE {self._table('next')} RENAME TO {self._table('live')}")
                for table in _OF_GENERATIONS:
                    self._db.execute(f"UPDATE {table} SET generation = 'live' WHERE generation = 'next'")

    def rows(self) -> Iterator[tuple[Row, Row]]:
        """Key and row of each, in the order of the keys."""
        width = len(self.declared.key)
        order = ", ".join(f'"{name}"' for name in self.declared.key)
        with told(self.path):
            for found in self._db.execute(f"SELECT {self._all} FROM {self._table('live')} ORDER BY {order}"):
                yield tuple(found[:width]), tuple(found[width:])

    def count(self) -> int:
        """Of the rows that readers see."""
        with told(self.path):
            return number(self._db, f"SELECT count(*) FROM {self._table('live')}")

    def answer(self, rows_max: int | None = None) -> Answer:
        """What the question is answered with now, the first rows of it. Raises CannotProject where it is no question.

        Another answer has its number on the disk before it is told, and with it every row that it is made of: whatever ends this,
        no number is told again for another answer.
        """
        rows = self._asked(rows_max)
        digest = hashlib.sha256(json.dumps(rows, default=repr).encode()).digest()
        with told(self.path):
            asked = "SELECT history, number, digest FROM fanfold_answer WHERE generation = 'live'"
            history, answered, before = self._db.execute(asked).fetchone() or (secrets.token_hex(8), 0, None)
            if digest != before:
                answered += 1
                self._db.execute("PRAGMA synchronous = FULL")
                with self.transaction():
                    self._db.execute(
                        "INSERT OR REPLACE INTO fanfold_answer VALUES ('live', ?, ?, ?)", (history, answered, digest)
                    )
                self._db.execute("PRAGMA synchronous = NORMAL")
            asked = "SELECT partition, sequence FROM fanfold_checkpoint WHERE generation = 'live' ORDER BY partition"
            positions = ",".join(str(Position(*place)) for place in self._db.execute(asked))
        return Answer(history, answered, positions, rows)

    def _asked(self, rows_max: int | None) -> list[dict[str, Any]]:
        assert self.declared.question is not None
        try:
            self._db.execute("PRAGMA query_only = 1")
            asked = self._db.execute(self.declared.question)
            names = [each[0] for each in asked.description or ()]
            return [dict(zip(names, found, strict=True)) for found in islice(asked, rows_max)]
        except sqlite3.Error as wrong:
            raise CannotProject(
                f"The question of {self.declared.name} cannot be answered ({wrong}). Its rows are stored; correct `question`."
            ) from wrong
        finally:
            self._db.execute("PRAGMA query_only = 0")

    @contextmanager
    def transaction(self, *, writing: bool = True) -> Iterator[None]:
        """All or nothing; whatever is raised inside takes everything back."""
        with told(self.path):
            self._db.execute("BEGIN IMMEDIATE" if writing else "BEGIN")
        try:
            yield
            with told(self.path):
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    def _table(self, generation: Generation) -> str:
        return f'"{self.declared.name}"' if generation == "live" else f'"{self.declared.name}_next"'

    def _code(self) -> tuple[str, int, str]:
        return self.declared.name, self.declared.version, json.dumps(self.declared.columns)

    def _made_by(self, generation: Generation) -> tuple[str, int, str] | None:
        with told(self.path):
            asked = "SELECT name, version, columns FROM fanfold_projection WHERE generation = ?"
            found: tuple[str, int, str] | None = self._db.execute(asked, (generation,)).fetchone()
        return found

    def _require_name(self, made_by: tuple[str, int, str] | None) -> None:
        if made_by is not None and made_by[0] != self.declared.name:
            raise CannotProject(
                f"{self.path} has the rows of the projection {made_by[0]}, and this one is {self.declared.name}. Nothing was "
                "changed. Name another file with --state."
            )

    def _create(self, generation: Generation) -> None:
        columns = [f'"{name}" {_KINDS[kind]} NOT NULL' for name, kind in self.declared.columns.items()]
        key = ", ".join(f'"{name}"' for name in self.declared.key)
        with told(self.path):
            self._db.execute(
                f"CREATE TABLE {self._table(generation)} ({', '.join(columns)}, PRIMARY KEY ({key})) STRICT, WITHOUT ROWID"
            )
            self._db.execute("INSERT INTO fanfold_projection VALUES (?, ?, ?, ?)", (generation, *self._code()))

    def _drop(self, generation: Generation) -> None:
        with told(self.path):
            self._db.execute(f"DROP TABLE IF EXISTS {self._table(generation)}")
            for table in _OF_GENERATIONS:
                self._db.execute(f"DELETE FROM {table} WHERE generation = ?", (generation,))

    def _require_ours(self) -> None:
        with told(self.path):
            ours = number(self._db, "PRAGMA application_id") == APPLICATION_ID
        if not ours:
            raise CannotProject(
                f"{self.path} is the database of another program. Nothing was changed. Name another file with --state."
            )
