"""Forgotten ids: at once by their rule, their rows some with every block; beside a plain dictionary, whatever the blocks are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from write_side.contract.compiled.compiled import njit
from write_side.contract.state.fold_ids import id_words
from write_side.contract.state.id_parts import PART_ROWS, have_time
from write_side.contract.state.ids import SWEEP_AT, SWEPT_A_WORD, IdRow, IdTable, find_id, put_id
from write_side.contract.state.state import State
from write_side.ledger.rules.ran_before import remembered_rows

Ids = npt.NDArray[np.uint64]


def some_ids(chance: np.random.Generator, count: int) -> Ids:
    """Half of them with a time (version 7), the others without one (4)."""
    octets = chance.integers(0, 256, (count, 16), np.uint8)
    octets[:, 6] = (octets[:, 6] & 0x0F) | np.where(np.arange(count) % 2 == 0, 0x70, 0x40).astype(np.uint8)
    octets[:, 8] = (octets[:, 8] & 0x3F) | 0x80
    return id_words(octets)


@njit(nogil=True)
def _put(table: Any, digest: Any, used: int, ids: Any, times: Any, fresh: Any) -> int:
    for i in range(len(ids)):
        a, b = ids[i, 0], ids[i, 1]
        at = find_id(table, a, b)
        fresh[i] = at < 0
        if at < 0:
            row = put_id(table, digest, at, used, IdRow(a, b, a, b, i, times[i], 1, 1))
            used += 1 if row == used else 0
    return used


class Remembering:
    """An id table, and a dictionary of what it should hold: time by id."""

    def __init__(self) -> None:
        self.table, self.digest = IdTable(), np.zeros(2, np.uint64)
        self.model: dict[tuple[int, int], int] = {}
        self.cut_offs = [0, 0]

    def put(self, ids: Ids, times: npt.NDArray[np.int64]) -> None:
        table = self.table
        table.reserve(len(ids))
        fresh = np.zeros(len(ids), np.bool_)
        table.used = int(_put(table.arrays, self.digest, table.used, ids, times, fresh))
        table.count += int(fresh.sum())
        table.timeless += int((fresh & ~have_time(ids)).sum())
        for (a, b), time_us, is_new in zip(ids.tolist(), times.tolist(), fresh.tolist(), strict=True):
            assert is_new == ((a, b) not in self.model)
            self.model.setdefault((a, b), time_us)

    def forget(self, cut_off_us: int, timeless_from_us: int) -> None:
        self.cut_offs = [max(self.cut_offs[0], cut_off_us), max(self.cut_offs[1], timeless_from_us)]
        self.table.forget_before(cut_off_us, timeless_from_us, self.digest)
        keys = np.array(list(self.model), np.uint64).reshape(-1, 2)
        for key, timed in zip(list(self.model), have_time(keys).tolist(), strict=True):
            if self.model[key] < self.cut_offs[0 if timed else 1]:
                del self.model[key]

    def check(self) -> None:
        table = self.table
        keys = np.array(list(self.model), np.uint64).reshape(-1, 2)
        timed = have_time(keys)
        assert (table.count, table.timeless) == (len(keys), int((~timed).sum()))
        remembered = {(a, b): time for a, b, time in table.remembered()[:, [0, 1, 5]].tolist()}
        assert remembered == self.model
        times = np.array(list(self.model.values()), np.int64)[timed]
        assert table.median_time_us() == (int(np.median(times)) if times.size else None)
        alone = IdTable()
        alone.reserve(len(keys))
        digest, fresh = np.zeros(2, np.uint64), np.zeros(len(keys), np.bool_)
        _put(alone.arrays, digest, 0, keys, np.array(list(self.model.values()), np.int64), fresh)
        assert digest.tolist() == self.digest.tolist()
        assert np.count_nonzero(table.slots) >= len(keys)
        assert table.used <= 0.7 * table.slots.size


def is_kept(remembering: Remembering, ids: Ids) -> list[bool]:
    return [remembering.table.find(id.tobytes()) is not None for id in ids]


STEPS = st.lists(
    st.tuples(st.sampled_from([1, 30, 900, 3_000]), st.integers(0, 99), st.integers(0, 99), st.booleans()),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60)
@given(STEPS, st.integers(0, 2**32 - 1), st.sampled_from([0, 500, 20_000]))
def test_what_is_remembered_counts_and_sums_as_in_a_dictionary(
    steps: list[tuple[int, int, int, bool]], seed: int, spread: int
) -> None:
    """spread: how far the times of one block are apart, a block being 1,000 after the one before."""
    chance, remembering, ever = np.random.default_rng(seed), Remembering(), np.empty((0, 2), np.uint64)
    for n, (size, cut_off, timeless_from, again) in enumerate(steps):
        now_us = 1_000 * (n + 1)
        if cut_off > 50:
            remembering.forget(now_us * cut_off // 100, now_us * timeless_from // 100)
        ids = some_ids(chance, size)
        times = now_us + chance.integers(0, spread + 1, size)
        if again and len(ever):  # among them such as were there before: forgotten ones without a time come again
            before = ever[chance.integers(0, len(ever), size // 3 + 1)]
            before = before[~have_time(before)]
            ids = np.unique(np.concatenate((ids, before)), axis=0)
            times = now_us + chance.integers(0, spread + 1, len(ids))
        times = np.maximum(times, np.where(have_time(ids), *remembering.cut_offs))
        remembering.put(ids, times)
        ever = np.concatenate((ever, ids))
        remembering.check()
    remembering.table.sweep()
    remembering.check()


@pytest.mark.parametrize("block", [1, 100, 5_000])
def test_forgetting_touches_no_row_of_a_part_that_is_forgotten_whole_and_each_block_sweeps_its_share(
    block: int,
) -> None:
    count = 64 * PART_ROWS
    chance, remembering = np.random.default_rng(1), Remembering()
    table = remembering.table
    ids = some_ids(chance, count)
    remembering.put(ids, np.arange(count) // PART_ROWS)
    table.rows[: count // 2, 5] = 0  # whoever looked at a row would miscount it
    table.forget_before(32, 32, remembering.digest)
    assert (table.count, table.used) == (count // 2, count)
    assert not any(is_kept(remembering, ids[: count // 2 : 999]))
    while table.used > table.count:
        before = table.used if table._swept is None else count - int(table._swept[0])
        remembering_more = some_ids(chance, block)
        table.reserve(block)
        if table._swept is not None:
            assert int(table._swept[0]) - (count - before) <= SWEPT_A_WORD * max(block, 32) + PART_ROWS
        used = table.used
        assert all(is_kept(remembering, ids[count // 2 :: 999]))
        fresh = np.zeros(block, np.bool_)
        times = np.full(block, 100)
        table.used = int(_put(table.arrays, remembering.digest, used, remembering_more, times, fresh))
        table.count += int(fresh.sum())
    assert table.count - count // 2 <= count // (SWEPT_A_WORD - 1) + block
    assert not any(is_kept(remembering, ids[: count // 2 : 999]))
    assert all(is_kept(remembering, ids[count // 2 :: 999]))
    assert np.count_nonzero(table.slots) == table.count


def test_few_forgotten_rows_wait_until_they_are_a_share_of_all() -> None:
    chance, remembering = np.random.default_rng(2), Remembering()
    count = 64 * PART_ROWS
    remembering.put(some_ids(chance, count), np.arange(count))
    few = count // SWEEP_AT - PART_ROWS
    remembering.forget(few, few)
    remembering.put(some_ids(chance, 1_000), np.full(1_000, count))
    assert remembering.table.used == count + 1_000
    remembering.check()


def test_rows_of_many_ids_are_those_of_each_also_while_what_is_swept_is_in_two_places() -> None:
    """In the order in which they came, which finds each behind the one before it, and in any other."""
    chance, remembering, state = np.random.default_rng(3), Remembering(), State(0)
    state.ids = table = remembering.table
    count = 16 * PART_ROWS
    ids = some_ids(chance, count)
    remembering.put(ids, np.arange(count))
    orders = [np.arange(count), np.arange(count)[::-1], chance.permutation(count)]

    def check() -> None:
        now = [remembered_rows(state, ids[[i]]) for i in range(0, count, 61)]
        for order in orders:
            rows, known = remembered_rows(state, ids[order])
            back = np.argsort(order)
            for i, (row, is_known) in zip(range(0, count, 61), now, strict=True):
                assert known[back[i]] == is_known[0]
                assert not is_known[0] or rows[back[i]].tolist() == row[0].tolist()

    check()
    remembering.forget(count // 4, count // 4)
    check()
    remembering.put(some_ids(chance, 1), np.full(1, count))  # begins to sweep
    assert table._swept is not None
    table._sweep(count // 2)
    at, to = table._swept.tolist()
    assert 0 < to < at < count
    for row in map(
        table.find, map(bytes, ids)
    ):  # what becomes of these from now on is told where they are, not where they were
        if row is not None:
            table.rows[row, 4] = 12345
    # The last one that has moved lies before one that has moved from there.
    orders.append(np.concatenate((np.arange(at - 1, at), np.arange(to, at - 1), np.arange(to), np.arange(at, count))))
    check()
    table.sweep()
    check()
