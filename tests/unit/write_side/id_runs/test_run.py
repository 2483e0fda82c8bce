"""A run finds what is in it and nothing else, whatever the ids are, and some that are joined are what one of all would be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from write_side.id_runs.run import JOINED, IdRun, Merged, _spreads, find_in_run, run_of
from write_side.ledger.rules.ran_before import ROW_WIDTH

ROOT = Path(__file__).parents[4]
WORDS = st.integers(0, 2**64 - 1) | st.integers(0, 3)
ROWS = st.lists(st.tuples(*[WORDS] * ROW_WIDTH), max_size=60)

SECRET = np.uint64(0x5EC4E7)

Rows = list[tuple[int, ...]]


def array(rows: Rows) -> np.ndarray:
    return np.array(rows, np.uint64).reshape(-1, ROW_WIDTH)


def found_in(run: IdRun, ids: np.ndarray) -> list[tuple[int, ...] | None]:
    wanted = np.ones(len(ids), np.bool_)
    found = np.zeros((len(ids), ROW_WIDTH), np.uint64)
    find_in_run(run, ids, wanted, found)
    return [None if wanted[i] else tuple(found[i].tolist()) for i in range(len(ids))]


@given(ROWS, st.lists(st.tuples(WORDS, WORDS), max_size=30))
def test_a_run_finds_the_last_row_of_each_of_its_ids_and_no_other(rows: Rows, others: list[tuple[int, int]]) -> None:
    model = {row[:2]: row for row in rows}
    run = run_of([array(rows[:7]), array(rows[7:])], SECRET)
    ids = [*model, *others]
    assert found_in(run, np.array(ids, np.uint64).reshape(-1, 2)) == [model.get(each) for each in ids]


@given(st.lists(ROWS, min_size=1, max_size=JOINED))
def test_runs_joined_are_the_run_of_all_their_rows(parts: list[Rows]) -> None:
    merged = Merged([run_of([array(rows)], SECRET) for rows in parts])
    rows = np.concatenate((array([]), *(piece.copy() for piece in merged.rows())))
    whole = run_of([array(rows) for rows in parts], SECRET)
    assert len(rows) == merged.count
    assert np.array_equal(rows, whole.rows)
    assert np.array_equal(merged.filter, whole.filter)


def test_a_file_has_its_rows_in_the_order_of_their_spread_and_of_one_id_the_newest_first() -> None:
    random = np.random.default_rng(7)
    rows = random.integers(0, 2**64, (5_000, ROW_WIDTH), np.uint64)
    rows[1_000:2_000, :2] = rows[3_000:4_000, :2]
    wanted = np.lexsort((-np.arange(len(rows)), _spreads(rows, SECRET)))
    assert np.array_equal(run_of([rows[:77], rows[77:]], SECRET).rows, rows[wanted])


def test_of_a_hundred_ids_that_are_not_there_few_are_looked_for() -> None:
    random = np.random.default_rng(7)
    run = run_of([random.integers(0, 2**64, (100_000, ROW_WIDTH), np.uint64)], SECRET)
    assert run.filter.nbytes * 8 <= 10.1 * 100_000
    empty = IdRun(np.empty((0, ROW_WIDTH), np.uint64), run.filter, SECRET)
    # Rows that would match whatever is asked of them: what passes the filter is then found.
    others = random.integers(0, 2**64, (20_000, 2), np.uint64)
    passed = sum(_passes(run, others[i : i + 1]) for i in range(2_000))
    assert passed <= 60
    assert found_in(empty, others) == [None] * len(others)


def _passes(run: IdRun, one: np.ndarray) -> bool:
    rows = np.zeros((1, ROW_WIDTH), np.uint64)
    rows[0, :2] = one
    return found_in(IdRun(rows, run.filter, SECRET), one) != [None]


def test_the_loops_run_uncompiled_too() -> None:
    """They are their own specification: the same rules, without numba."""
    name = f"{Path(__file__).relative_to(ROOT)}::test_runs_joined_are_the_run_of_all_their_rows"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore::RuntimeWarning", name],
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
