"""What a view in SQLite promises beyond the port: SQL for a person, one writing process, and a sentence for every failure."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.contract.view import Checkpoint, CheckpointMismatch, Stale, ViewUnavailable
from read_side.views.view_sqlite import SqliteViewStore
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag
from write_side.contract.words.times import format_time

NOON_US = 1_790_000_000_123_456
ALICE = AccountRow("alice", "USD/2", 1050, 50, -300, 7, NOON_US, int(Flag.DEBIT_FROZEN | Flag.CLOSED))
WORLD = AccountRow("@world:USD/2", "USD/2", -1050, 0, NO_FLOOR, 1, NOON_US)
SAFE = "No money is affected"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "view.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteViewStore]:
    store = await SqliteViewStore.connect(path)
    yield store
    await store.close()


def at(sequence: int, generation: int = 1) -> Checkpoint:
    return Checkpoint(generation, sequence, bytes([sequence]) * 32, sequence * 100, NOON_US + sequence)


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    """As another process does, which only reads."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        return reader.execute(question).fetchall()


async def fill(store: SqliteViewStore, *rows: AccountRow, partition: int = 0) -> None:
    owner = await store.claim(partition, 1)
    await store.apply(owner, None, AccountRows.of(list(rows)), at(3))


async def test_a_person_asks_for_balances_and_checkpoints_while_the_store_is_open(
    store: SqliteViewStore, path: Path
) -> None:
    assert ask(path, "SELECT * FROM balances") == []
    await fill(store, ALICE, WORLD)
    await fill(store, ALICE._replace(account="zoe", flags=0), partition=1)
    assert ask(
        path,
        "SELECT account, asset, posted, held, available, floor, version, at, flags, partition FROM balances ORDER BY account",
    ) == [
        ("@world:USD/2", "USD/2", -1050, 0, None, None, 1, format_time(NOON_US), "", 0),
        ("alice", "USD/2", 1050, 50, 1300, -300, 7, format_time(NOON_US), "debit_frozen closed", 0),
        ("zoe", "USD/2", 1050, 50, 1300, -300, 7, format_time(NOON_US), "", 1),
    ]
    assert ask(path, "SELECT * FROM checkpoints WHERE partition = 1") == [
        (1, "1:3", "03" * 32, 300, format_time(NOON_US + 3), 1, None, None)
    ]


async def test_a_person_is_told_which_rows_are_old_because_the_log_is_damaged(
    store: SqliteViewStore, path: Path
) -> None:
    await fill(store, ALICE)
    await fill(store, ALICE._replace(account="zoe"), partition=1)
    rows = "SELECT account, stale_since FROM balances ORDER BY account"
    places = "SELECT partition, stale_since, stale_reason FROM checkpoints ORDER BY partition"
    since = format_time(NOON_US)
    for _ in range(2):
        await store.tell_stale(1, Stale(NOON_US, "the disk"))
        assert ask(path, rows) == [("alice", None), ("zoe", since)]
        assert ask(path, places) == [(0, None, None), (1, since, "the disk")]
    assert (await store.read(1, ["zoe"]))[0] == at(3)
    for _ in range(2):
        await store.tell_stale(1, None)
        assert ask(path, rows) == [("alice", None), ("zoe", None)]


async def test_a_file_that_was_made_before_tells_so_too(store: SqliteViewStore, path: Path) -> None:
    await fill(store, ALICE)
    await store.close()
    with closing(sqlite3.connect(path)) as db:  # as it was
        db.executescript(
            "DROP VIEW checkpoints; DROP VIEW balances; DROP TABLE stale; "
            "CREATE VIEW checkpoints AS SELECT 1 AS partition; CREATE VIEW balances AS SELECT account FROM rows_0_1;"
        )
    again = await SqliteViewStore.connect(path)
    await again.tell_stale(0, Stale(NOON_US, "the disk"))
    assert ask(path, "SELECT account, stale_since FROM balances") == [("alice", format_time(NOON_US))]
    assert ask(path, "SELECT position, stale_reason FROM checkpoints") == [("0:3", "the disk")]
    await again.close()


async def test_a_person_sees_the_live_generation_and_never_half_a_view(store: SqliteViewStore, path: Path) -> None:
    names = "SELECT account FROM balances"
    owner = await store.claim(0, 1)
    await store.apply(owner, None, AccountRows.of([ALICE]), at(3))
    beside = await store.claim(0, 2)
    await store.load(beside, AccountRows.of([WORLD]))
    assert ask(path, names) == [("alice",)]
    await store.apply(beside, None, EMPTY_ROWS, at(3, 2), loaded=1)
    assert ask(path, names) == [("alice",)]
    await store.switch(beside, replaces=1)
    beside = await store.claim(0, 2)
    assert ask(path, names) == [("@world:USD/2",)]
    await store.clear(beside)
    await store.load(beside, AccountRows.of([ALICE]))
    assert (ask(path, names), ask(path, "SELECT * FROM checkpoints")) == ([], [])
    await store.clear(owner)
    await store.apply(beside, None, EMPTY_ROWS, at(4, 2), loaded=1)
    assert ask(path, names) == [("alice",)]


async def test_a_long_question_keeps_no_write_waiting_and_sees_one_moment(store: SqliteViewStore, path: Path) -> None:
    owner = await store.claim(0, 1)
    await store.apply(owner, None, AccountRows.of([ALICE]), at(3))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT posted FROM balances").fetchall() == [(1050,)]
        await store.apply(owner, at(3), AccountRows.of([ALICE._replace(posted=9, version=8)]), at(4))
        assert reader.execute("SELECT posted FROM balances").fetchall() == [(1050,)]
        reader.execute("COMMIT")
        assert reader.execute("SELECT posted FROM balances").fetchall() == [(9,)]


async def test_more_partitions_than_sqlite_joins_at_once_are_one_table_to_a_person(
    store: SqliteViewStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.views.view_sqlite_tables.GROUP", 3)
    for partition in range(10):
        await fill(store, ALICE, partition=partition)
    assert ask(path, "SELECT partition FROM balances WHERE account = 'alice'") == [(p,) for p in range(10)]


async def test_what_was_written_is_there_after_a_new_start(store: SqliteViewStore, path: Path) -> None:
    await fill(store, ALICE)
    await store.close()
    again = await SqliteViewStore.connect(path)
    assert await again.read(0, ["alice"]) == (at(3), [ALICE])
    owner = await again.claim(0, 1)
    await again.apply(owner, at(3), EMPTY_ROWS, at(4))
    await again.close()
    assert ask(path, "SELECT account FROM balances") == [("alice",)], "it is read while nobody serves it, too"


async def test_a_second_process_does_not_write_the_same_file(store: SqliteViewStore, path: Path) -> None:
    link = path.with_name("another name")
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(ViewUnavailable, match=f"is written by another process.*{SAFE}"):
            await SqliteViewStore.connect(name)
    await fill(store, ALICE)


async def test_what_is_no_view_is_refused_with_a_sentence_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("these are my notes, and no database at all. " * 100)
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE mine (x)")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as newer:
        newer.execute("CREATE TABLE mine (x)")
        newer.execute("PRAGMA application_id = 0x46414E46")
        newer.execute("PRAGMA user_version = 999")
    before = {name: (tmp_path / name).read_bytes() for name in ("text", "other.db", "newer.db")}
    for name, told in {
        "text": "no SQLite database",
        "other.db": "another program",
        "newer.db": "another version",
        ".": "is a folder",
        "not/there.db": "folder that is not there",
        "text/view.db": "folder that is not there",
    }.items():
        with pytest.raises(ViewUnavailable, match=told) as refused:
            await SqliteViewStore.connect(tmp_path / name)
        assert SAFE in str(refused.value)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("setting", "back", "told"),
    [
        ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000", "the disk is full.*Make room"),
        ("PRAGMA query_only = ON", "PRAGMA query_only = OFF", "cannot be written.*owner and mode"),
    ],
)
async def test_a_disk_that_takes_nothing_changes_nothing_and_is_told(
    store: SqliteViewStore, setting: str, back: str, told: str
) -> None:
    """SQLite itself is made to meet it."""
    owner = await store.claim(0, 1)
    await store.apply(owner, None, AccountRows.of([ALICE]), at(3))
    many = AccountRows.of([ALICE._replace(account=f"a{i}") for i in range(1000)])
    await store._run(lambda db: db.execute(setting).fetchall())
    with pytest.raises(ViewUnavailable, match=told) as refused:
        await store.apply(owner, at(3), many, at(4))
    assert SAFE in str(refused.value)
    assert await store.read(0, ["alice", "a1"]) == (at(3), [ALICE, None])
    await store._run(lambda db: db.execute(back).fetchall())
    assert await store.apply(owner, at(3), many, at(4)) == 1


async def test_a_foreign_writer_is_told(store: SqliteViewStore, path: Path) -> None:
    await store._run(lambda db: db.execute("PRAGMA busy_timeout = 0").fetchall())
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ViewUnavailable, match=r"another program holds the file locked.*-readonly"):
            await store.claim(0, 1)
        other.execute("ROLLBACK")
    await fill(store, ALICE)


async def test_a_file_that_is_taken_away_is_made_anew_and_its_owner_learns_it(
    store: SqliteViewStore, path: Path
) -> None:
    owner = await store.claim(0, 1)
    await store.apply(owner, None, AccountRows.of([ALICE]), at(3))
    path.unlink()
    with pytest.raises(CheckpointMismatch):
        await store.apply(owner, at(3), EMPTY_ROWS, at(3))
    await fill(store, WORLD)
    assert ask(path, "SELECT account FROM balances") == [("@world:USD/2",)]


@pytest.mark.parametrize("seed", range(40))
async def test_a_damaged_file_ends_in_a_sentence_and_never_in_anything_else(path: Path, seed: int) -> None:
    store = await SqliteViewStore.connect(path)
    await fill(store, *(ALICE._replace(account=f"account-{i}") for i in range(400)))
    await store.close()
    chance, data = random.Random(seed), bytearray(path.read_bytes())
    start = chance.randrange(len(data))
    for place in range(start, min(start + 300, len(data)), chance.choice((1, 30))):
        data[place] = chance.randrange(256)
    path.write_bytes(data)
    with suppress(ViewUnavailable):
        store = await SqliteViewStore.connect(path)
    names = [f"account-{i}" for i in range(400)]
    for question in (
        lambda: store.read(0, names),
        lambda: store.read_columns(0, names, 1),
        lambda: store.generations(0),
        lambda: store.claim(0, 1),
        lambda: fill(store, ALICE),
    ):
        with suppress(ViewUnavailable, CheckpointMismatch):
            await question()
    await store.close()


async def test_who_asks_after_the_end_is_told(store: SqliteViewStore) -> None:
    await store.close()
    with pytest.raises(ViewUnavailable):
        await store.checkpoint(0)
