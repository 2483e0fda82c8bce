"""The index of ids while it grows: every word is found at every moment, and no block does more than its part."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from write_side.contract.compiled.compiled import njit
from write_side.contract.state.hash_index import PIECE_MIN, SLOTS_A_WORD, Growing, find_row, grown
from write_side.contract.state.ids import IdRow, IdTable, find_id, put_id

SEED = 26


def ids_of(count: int) -> npt.NDArray[np.uint64]:
    return np.random.default_rng(SEED).integers(0, 2**64, (count, 2), np.uint64)


@njit(nogil=True)
def _put(table: Any, digest: Any, used: int, ids: Any) -> None:
    for i in range(len(ids)):
        row, a, b = used + i, ids[i, 0], ids[i, 1]
        put_id(table, digest, find_id(table, a, b), row, IdRow(a, b, a, b, row, row, 1, 1))


@njit(nogil=True)
def _find(rows: Any, slots: Any, secret: Any, ids: Any, found: Any) -> None:
    for i in range(len(ids)):
        found[i] = find_row(rows, slots, secret, ids[i, 0], ids[i, 1])


def add(table: IdTable, ids: npt.NDArray[np.uint64]) -> None:
    """One block of new ids, whose time is their number."""
    table.reserve(len(ids))
    _put(table.arrays, np.zeros(2, np.uint64), table.used, ids)
    table.used += len(ids)
    table.count += len(ids)


def rows_found(table: IdTable, ids: npt.NDArray[np.uint64]) -> list[int]:
    found = np.empty(len(ids), np.int64)
    _find(table.rows, table.slots, table.secret, ids, found)
    return found.tolist()


def assert_sound(table: IdTable, ids: npt.NDArray[np.uint64]) -> None:
    assert rows_found(table, ids[: table.count]) == list(range(table.count))
    assert np.count_nonzero(table.slots) == table.count
    assert table.count <= 0.7 * table.slots.size


@settings(max_examples=60)
@given(st.lists(st.sampled_from([1, 2, 7, 40, 300, 1_000, 2_500]), min_size=1, max_size=25))
def test_every_id_is_found_after_every_block_whatever_the_blocks_are(sizes: list[int]) -> None:
    ids, table, first = ids_of(sum(sizes)), IdTable(), 0
    for size in sizes:
        add(table, ids[first : first + size])
        first += size
        assert_sound(table, ids)


@pytest.mark.parametrize("block", [1, 64, 1_024])
def test_the_larger_table_is_ready_before_the_old_one_is_full_and_is_made_in_parts(block: int) -> None:
    ids, table = ids_of(40_000), IdTable()
    passed, sizes = 0, {table.slots.size}
    for at in range(0, len(ids), block):
        growing = table._growing
        add(table, ids[at : at + block])
        if growing is not None and growing is table._growing:
            assert growing._passed - passed <= SLOTS_A_WORD * max(block, PIECE_MIN)
        passed = table._growing._passed if table._growing else 0
        # Where a block is small beside the table, growing has ended long before it must.
        assert table.count <= 0.66 * table.slots.size or block > table.slots.size / 32
        sizes.add(table.slots.size)
    assert len(sizes) > 4
    assert_sound(table, ids)


def test_ids_forgotten_while_a_larger_index_is_on_its_way_are_swept_out_when_it_is_there() -> None:
    ids, table = ids_of(6_000), IdTable()
    while not isinstance(table._growing, Growing):
        add(table, ids[table.count : table.count + 16])
    kept_from = table.count // 2
    table.forget_before(kept_from, kept_from, np.zeros(2, np.uint64))
    for at in range(table.used, len(ids), 16):
        add(table, ids[at : at + 16])
        assert [table.find(id.tobytes()) is None for id in ids[[0, kept_from - 1, kept_from]]] == [True, True, False]
    assert table._growing is None
    table.sweep()
    assert rows_found(table, ids[kept_from:]) == list(range(len(ids) - kept_from))
    assert rows_found(table, ids[:kept_from])[0] < 0
    assert np.count_nonzero(table.slots) == table.count == len(ids) - kept_from


def test_more_words_at_once_than_a_table_has_slots_all_get_room() -> None:
    slots, growing = grown(np.zeros(2_048, np.uint64), None, np.empty((0, 2), np.uint64), 0, 1_000_000, np.uint64(1))
    assert slots.size * 0.7 >= 1_000_000
    assert growing is None or growing.of is slots


def test_rows_are_not_copied_when_there_are_more_of_them() -> None:
    ids, table = ids_of(5_000), IdTable()
    add(table, ids[:2_000])
    rows = table.rows
    add(table, ids[2_000:])
    assert table.rows is rows
    assert len(rows) > 16_777_216 + 2**16, "the default of FANFOLD_IDS_MAX, and a block"
