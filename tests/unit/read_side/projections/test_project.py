"""A projection is what the log says, whatever ended the last run; rows that are not of this log or code are refused."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from read_side.projections.examples.leaderboard import Leaderboard
from read_side.projections.examples.monthly_totals import MonthlyTotals
from read_side.projections.kept_rows import Answer, KeptRows
from read_side.projections.kit import blocks_of, check
from read_side.projections.project import Compared, Projected, compare, project
from read_side.projections.projection import declared
from read_side.projections.state_connection import CannotProject
from read_side.whole_log import event_runs
from tests.unit.read_side.whole_log.test_publish import LIMIT_S, Wallet
from write_side.contract.log.log_memory import MemoryLog


class Counts:
    """How many entries each account has."""

    name, version = "counts", 1
    key, row = {"account": str}, {"n": int}

    def evolve(self, rows: Any, events: Any) -> None:
        for account, n in Counter(events["account"].to_pylist()).items():
            rows[account] = rows.get(account, 0) + n


class CountsDouble(Counts):
    version = 2

    def evolve(self, rows: Any, events: Any) -> None:
        for account in events["account"].to_pylist():
            rows[account] = rows.get(account, 0) + 2


class CountsRenamed(Counts):
    row = {"entries": int}


class Other(Counts):
    name = "other"


class File:
    def __init__(self, wallet: Wallet, path: Path) -> None:
        self.wallet, self.path = wallet, path

    async def project(self, projection: Any = Counts, **more: Any) -> Projected:
        async with asyncio.timeout(LIMIT_S):
            told = declared(projection)
            return await project(MemoryLog(self.wallet.records), None, told, self.path, once=True, **more)

    async def compare(self, projection: Any = Counts) -> Compared:
        return await compare(MemoryLog(self.wallet.records), declared(projection), self.path)

    def rows(self) -> dict[str, int]:
        with closing(sqlite3.connect(self.path)) as db:
            return dict(db.execute("SELECT * FROM counts").fetchall())

    def expected(self) -> dict[str, int]:
        partitions = range(len(self.wallet.makers))
        return Counter(each["subject"] for partition in partitions for each in self.wallet.expected(partition))


@pytest.fixture
async def wallet() -> Wallet:
    wallet = Wallet(2)
    await wallet.open()
    return wallet


@pytest.fixture
def file(wallet: Wallet, tmp_path: Path) -> File:
    return File(wallet, tmp_path / "counts.db")


async def test_a_second_run_takes_only_what_is_new(wallet: Wallet, file: File) -> None:
    await wallet.move(0, blocks=3)
    found = await file.project()
    assert [(each.events, each.position, each.problem) for each in found.partitions] == [
        (20, "0:4", None),
        (2, "1:1", None),
    ]
    await wallet.move(1)
    assert [each.events for each in (await file.project()).partitions] == [0, 6]
    assert file.rows() == file.expected()


@pytest.mark.parametrize("seed", range(10))
async def test_runs_that_end_anywhere_have_every_event_once(
    seed: int, wallet: Wallet, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(event_runs, "ENTRIES_AT_ONCE", chance.randint(1, 20))
    for _ in range(6):
        await wallet.move(chance.randint(0, 1), blocks=chance.randint(0, 4), transfers=chance.randint(1, 5))
        from_start = chance.random() < 0.3
        ends = asyncio.create_task(file.project(from_start=from_start))
        for _ in range(chance.randint(0, 40)):
            await asyncio.sleep(0)
        ends.cancel()
        with suppress(asyncio.CancelledError):
            await ends
    await file.project(from_start=chance.random() < 0.5)
    assert file.rows() == file.expected()
    assert (await file.compare()).count == 0


@pytest.mark.parametrize("projection", [MonthlyTotals, Leaderboard])
async def test_a_real_log_comes_to_the_same_in_any_delivery(projection: Any, wallet: Wallet) -> None:
    await wallet.move(0, blocks=4)
    await wallet.move(1, blocks=4)
    check(projection, await blocks_of(wallet.log), random.Random(1), ways=5)


async def test_rows_of_another_log_are_refused_and_made_again_from_the_start(wallet: Wallet, file: File) -> None:
    await wallet.move(0, blocks=2)
    await file.project()
    before = file.rows()
    elsewhere = file
    for blocks in (0, 5):  # one that ends before, and one that goes on behind
        other = Wallet(2)
        await other.open()
        await other.move(0, blocks=blocks)
        elsewhere = File(other, file.path)
        for found in ((await elsewhere.project()).partitions, (await elsewhere.compare()).partitions):
            assert "another log" in str(found[0].problem)
        assert file.rows() == before
    await elsewhere.project(from_start=True)
    assert file.rows() == elsewhere.expected()


@pytest.mark.parametrize(
    ("projection", "said"),
    [(CountsDouble, "older than this one"), (CountsRenamed, "other columns"), (Other, "of the projection counts")],
)
async def test_rows_of_other_code_are_refused_and_left_as_they_are(projection: Any, said: str, file: File) -> None:
    await file.project()
    before = file.rows()
    for refused in (file.project, file.compare):
        with pytest.raises(CannotProject, match=said):
            await refused(projection)
    assert file.rows() == before


async def test_rows_of_newer_code_are_refused(file: File) -> None:
    await file.project(CountsDouble)
    with pytest.raises(CannotProject, match="newer than this one"):
        await file.project(Counts)


async def test_new_code_makes_its_rows_beside_the_old_ones_and_replaces_them_once_it_is_at_the_end(
    wallet: Wallet, file: File
) -> None:
    await file.project()
    before = file.rows()
    blocks = wallet.records.blocks[1]
    good, blocks[1] = blocks[1], blocks[1][:-1] + bytes([blocks[1][-1] ^ 1])
    found = await file.project(CountsDouble, from_start=True)
    assert found.rows is None
    assert found.partitions[1].problem is not None
    assert file.rows() == before
    blocks[1] = good
    found = await file.project(CountsDouble, from_start=True)
    assert [each.events for each in found.partitions] == [0, 2], "partition 0 was made before"
    assert file.rows() == {account: 2 * n for account, n in file.expected().items()}
    await file.project(CountsDouble)


async def test_what_was_begun_of_another_log_is_begun_anew(wallet: Wallet, file: File) -> None:
    blocks = wallet.records.blocks[1]
    blocks[1] = blocks[1][:-1] + bytes([blocks[1][-1] ^ 1])
    assert (await file.project(from_start=True)).rows is None
    other = Wallet(2)
    await other.open()
    elsewhere = File(other, file.path)
    found = await elsewhere.project(from_start=True)
    assert [each.problem for each in found.partitions] == [None, None]
    assert file.rows() == elsewhere.expected()


async def test_a_row_that_is_not_what_the_log_says_is_found(wallet: Wallet, file: File) -> None:
    await wallet.move(0)
    await file.project()
    one, other = wallet.names(0)
    assert (await file.compare()).count == 0
    with closing(sqlite3.connect(file.path)) as db:
        db.execute("UPDATE counts SET n = 99 WHERE account = ?", (one,))
        db.execute("DELETE FROM counts WHERE account = ?", (other,))
        db.execute("INSERT INTO counts VALUES ('~', 1)")
        db.commit()
    found = await file.compare()
    assert found.count == 3
    told = {each["key"][0]: (each["stored"], each["made"]) for each in found.differences}
    assert told == {one: ([99], [4]), other: (None, [4]), "~": ([1], None)}


async def test_a_projection_that_fails_stores_nothing_of_the_run_and_says_where(wallet: Wallet, file: File) -> None:
    await file.project()
    before = file.rows()
    await wallet.move(0)

    class Fails(Counts):
        def evolve(self, rows: Any, events: Any) -> None:
            super().evolve(rows, events)
            raise LookupError("no such month")

    class Floats(Counts):
        def evolve(self, rows: Any, events: Any) -> None:
            rows["a"] = 0.5

    for wrong, said in ((Fails, "LookupError: no such month"), (Floats, "0.5 in the column n is no int")):
        failed, other = (await file.project(wrong)).partitions
        assert f"counts failed in the blocks 0:2 to 0:2: {said} (" in str(failed.problem)
        assert "test_project.py:" in str(failed.problem)
        assert other.problem is None
        assert file.rows() == before
    await file.project()
    assert file.rows() == file.expected()


async def test_two_that_write_a_file_refuse_each_other(file: File) -> None:
    with KeptRows.held(file.path, declared(Counts)), pytest.raises(CannotProject, match="another process"):
        await file.project()
    await file.project()


async def test_a_file_of_somebody_else_is_refused_and_nothing_is_put_beside_it(wallet: Wallet, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("dear diary, today I have seen a wallet")
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as db:
        db.execute("CREATE TABLE counts (a)")
    for name in ("text", ".", "theirs.db"):
        with pytest.raises(CannotProject, match=r"no SQLite database|of another program"):
            await File(wallet, tmp_path / name).project()
    assert not (tmp_path / "text.lock").exists()


async def leaders(wallet: Wallet, file: File, until: dict[str, int]) -> list[Answer]:
    """Every answer of a run that ends once each of these has this score."""
    told: asyncio.Queue[Answer] = asyncio.Queue()
    keep = project(wallet.log, None, declared(Leaderboard), file.path, once=False, on_answer=told.put_nowait)
    following = asyncio.create_task(keep)
    answers: list[Answer] = []
    async with asyncio.timeout(LIMIT_S):
        while not answers or not until.items() <= {each["account"]: each["score"] for each in answers[-1].rows}.items():
            answers.append(await told.get())
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    return answers


async def test_the_answer_of_the_question_is_told_whenever_it_is_another_one(wallet: Wallet, file: File) -> None:
    one, other = wallet.names(0)
    await wallet.move(0)
    told = await leaders(wallet, file, {other: 3})
    await wallet.move(0)
    again = await leaders(wallet, file, {one: -6})
    assert again[0] == told[-1] or again[0].number > told[-1].number, "nobody is told another answer by the same number"
    told += again
    assert [each.number for each in told] == sorted(each.number for each in told)
    numbers = {each.number: each.rows for each in told}
    assert all(numbers[each.number] == each.rows for each in told)
    assert all(before != after for before, after in pairwise(numbers.values()))
    assert len({each.history for each in told}) == 1


async def test_who_shares_the_processor_rests_after_few_events_and_has_every_one(wallet: Wallet, file: File) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    await wallet.move(0)
    await file.project(rest_s=0.5, sleep=sleep)
    assert 0.5 in slept
    assert file.rows() == file.expected()


async def test_an_answer_of_rows_that_were_made_again_is_of_another_history(wallet: Wallet, file: File) -> None:
    await wallet.move(0)
    told: list[Answer] = []
    for from_start in (False, False, True):
        await file.project(Leaderboard, from_start=from_start, on_answer=told.append)
    before, again, made = told[-3:]
    assert before == again
    assert made.rows == before.rows
    assert made.history != before.history


async def test_a_question_that_fails_is_told_and_one_that_calls_sys_exit_ends_nobody(
    wallet: Wallet, file: File
) -> None:
    class Overflows(Counts):
        question = "SELECT abs(-9223372036854775807 - n) FROM counts"

    class Exits(Counts):
        name = "exits"

        def evolve(self, rows: Any, events: Any) -> None:
            raise SystemExit(3)

    await wallet.move(0)
    with pytest.raises(CannotProject, match="cannot be answered"):
        await file.project(Overflows, on_answer=lambda answer: None)
    troubles: list[tuple[int | None, str | None]] = []
    file.path = file.path.with_name("exits.db")
    found = await file.project(Exits, on_trouble=lambda *told: troubles.append(told))
    assert "SystemExit: 3" in str(found.partitions[0].problem)
    assert (0, found.partitions[0].problem) in troubles
