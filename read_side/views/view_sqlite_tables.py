"""The tables of a view in SQLite, and what a person asks there.

For a person, of what is live and whole (amounts are integers of minor units; the asset's name says how many decimals: USD/2):
    balances     account, asset, posted, held, available, floor, version, at, flags, partition, stale_since; available and floor
                 are null where there is no floor, flags are words with blanks between them
    checkpoints  partition, position, block_hash, log_offset, at, generation, stale_since, stale_reason: up to where the rows
                 reflect the log
    stale_since is null but where the log is damaged behind the rows: the time of its last good block

Ours, and they may change:
    rows_P_G     a row an account, of generation G of partition P
    generations  who may write a generation, how many rows were loaded since it was cleared, and its checkpoint (null: none)
    live, kept   which generation of a partition is read, and which one was before
    reserved     who makes a generation or brings one back, and what was left unfinished
    stale        the partitions whose log is damaged
"""

from __future__ import annotations

import sqlite3
from typing import Final

from read_side.contract.rows import NUMBERS
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag, flag_words

LAYOUT: Final = 1
"""`user_version` of the file: what is in our tables."""
APPLICATION_ID: Final = 0x46414E46
"""`FANF`: the file is one of ours."""
GROUP: Final = 100
"""Partitions joined in one SELECT: SQLite takes 500."""
ROW_COLUMNS: Final = ("account", "asset", *NUMBERS)

_TIME: Final = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06dZ', {0} % 1000000)"
_WORDS: Final = " || ".join(f"iif(flags & {int(flag)}, '{flag_words(flag)[0]} ', '')" for flag in Flag)
_TABLES: Final = """
    CREATE TABLE generations (
        partition INTEGER NOT NULL, generation INTEGER NOT NULL, token TEXT NOT NULL, loaded INTEGER NOT NULL DEFAULT 0,
        sequence INTEGER, block_hash BLOB, log_offset INTEGER, at_us INTEGER,
        PRIMARY KEY (partition, generation)
    ) WITHOUT ROWID;
    CREATE TABLE live (partition INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
"""
_CHECKPOINTS: Final = f"""
    CREATE VIEW checkpoints AS
        SELECT partition, partition || ':' || sequence AS position, lower(hex(block_hash)) AS block_hash, log_offset,
               {_TIME.format("at_us")} AS at, generation, {_TIME.format("since_us")} AS stale_since, reason AS stale_reason
        FROM live JOIN generations USING (partition, generation) LEFT JOIN stale USING (partition) WHERE sequence IS NOT NULL
"""


_LATER_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS kept (partition INTEGER PRIMARY KEY, generation INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS reserved "
    "(one INTEGER PRIMARY KEY CHECK (one = 1), token TEXT NOT NULL, until_us INTEGER NOT NULL, unfinished TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS stale (partition INTEGER PRIMARY KEY, since_us INTEGER NOT NULL, reason TEXT NOT NULL)",
)
"""Files of the same layout that were made before have none of them."""


def create(db: sqlite3.Connection) -> None:
    """Everything but rows, in an open transaction."""
    for statement in _TABLES.split(";"):
        db.execute(statement)
    create_later(db)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {LAYOUT}")


def create_later(db: sqlite3.Connection) -> None:
    """What a file that was made before may lack."""
    for statement in _LATER_TABLES:
        db.execute(statement)
    shown = (
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('balances', 'checkpoints') AND instr(sql, 'stale_since') > 0"
    )
    if db.execute(shown).fetchone()[0] < 2:
        db.execute("DROP VIEW IF EXISTS checkpoints")
        db.execute(_CHECKPOINTS)
        show(db)


def show(db: sqlite3.Connection) -> None:
    """Make `balances` what is live now. Rows of a generation without a checkpoint are not shown: nobody reads half a view."""
    live = db.execute("SELECT partition, generation FROM live ORDER BY partition").fetchall()
    parts = [_shown(*each) for each in live] or [_NOTHING]
    groups = [" UNION ALL ".join(parts[first : first + GROUP]) for first in range(0, len(parts), GROUP)]
    db.execute("DROP VIEW IF EXISTS balances")
    db.execute("CREATE VIEW balances AS " + " UNION ALL ".join(f"SELECT * FROM ({group})" for group in groups))


def rows_table(partition: int, generation: int) -> str:
    return f"rows_{partition:d}_{generation:d}"


def create_rows(db: sqlite3.Connection, partition: int, generation: int) -> None:
    """The table of a generation's rows, if it is not there. By account, and nothing beside: one tree to write."""
    numbers = ", ".join(f"{name} INTEGER NOT NULL" for name in NUMBERS)
    db.execute(
        f"CREATE TABLE IF NOT EXISTS {rows_table(partition, generation)} "
        f"(account TEXT PRIMARY KEY, asset TEXT NOT NULL, {numbers}) WITHOUT ROWID"
    )


def write_sql(partition: int, generation: int) -> str:
    """A row, new or over the one that is there. Where it is there `INSERT OR REPLACE` would delete it first."""
    columns = ", ".join(ROW_COLUMNS)
    values = ", ".join("?" * len(ROW_COLUMNS))
    moved = ", ".join(f"{name} = excluded.{name}" for name in ROW_COLUMNS[1:])
    table = rows_table(partition, generation)
    return f"INSERT INTO {table} ({columns}) VALUES ({values}) ON CONFLICT DO UPDATE SET {moved}"


def read_sql(partition: int, generation: int) -> str:
    """The rows of accounts in a JSON array, in no promised order."""
    return (
        f"SELECT {', '.join(ROW_COLUMNS)} FROM {rows_table(partition, generation)} "
        "WHERE account IN (SELECT value FROM json_each(?))"
    )


def scan_sql(partition: int, generation: int) -> str:
    """So many rows after an account, in the order of accounts."""
    return (
        f"SELECT {', '.join(ROW_COLUMNS)} FROM {rows_table(partition, generation)} "
        "WHERE account > ? ORDER BY account LIMIT ?"
    )


def _shown(partition: int, generation: int) -> str:
    return (
        "SELECT account, asset, posted, held, "
        f"CASE WHEN floor <> {NO_FLOOR} THEN posted - held - floor END AS available, "
        f"CASE WHEN floor <> {NO_FLOOR} THEN floor END AS floor, "
        f"version, {_TIME.format('at_us')} AS at, trim({_WORDS}) AS flags, {partition:d} AS partition, "
        f"(SELECT {_TIME.format('since_us')} FROM stale WHERE partition = {partition:d}) AS stale_since "
        f"FROM {rows_table(partition, generation)} WHERE EXISTS (SELECT 1 FROM generations "
        f"WHERE partition = {partition:d} AND generation = {generation:d} AND sequence IS NOT NULL)"
    )


_NOTHING: Final = (
    "SELECT NULL AS account, NULL AS asset, NULL AS posted, NULL AS held, NULL AS available, NULL AS floor, NULL AS version, "
    "NULL AS at, NULL AS flags, NULL AS partition, NULL AS stale_since WHERE 0"
)
