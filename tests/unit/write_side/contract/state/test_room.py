"""Room for more rows: a small array is copied, a large one has addresses for all that come, where the machine gives so many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from write_side.contract.state.pending import PendingTable
from write_side.contract.state.room import COPIED_BYTES_MAX, empty_rows, larger, with_addresses
from write_side.contract.state.state import State


def test_accounts_are_copied_no_more_when_they_are_many() -> None:
    state = State(0)
    state.reserve_accounts(1_100)
    assert len(state.rows) < 10_000, "a small partition takes no more than it needs"
    state.reserve_accounts(70_000)
    state.reserve_accounts(140_000)
    rows, times = state.rows, state.changed_at_us
    state.reserve_accounts(3_000_000)
    assert state.rows is rows
    assert len(state.changed_at_us) >= 3_000_000
    assert len(times) >= 140_000


def test_pending_rows_are_copied_no_more_when_they_are_many() -> None:
    table = PendingTable()
    table.reserve(30_000, 0)
    table.reserve(80_000, 0)
    rows = table.rows
    table.reserve(1_000_000, 0)
    assert table.rows is rows


def test_the_rows_that_there_are_come_along() -> None:
    rows = np.arange(COPIED_BYTES_MAX // 8, dtype=np.int64).reshape(-1, 2)
    array = larger(rows, 1_000, len(rows) + 1, 10 * len(rows))
    assert array[:1_000].tolist() == rows[:1_000].tolist()
    assert len(array) == 10 * len(rows)


@pytest.mark.parametrize(("most", "given"), [(1 << 30, 1_000_000), (300_000, 250_000), (40_000, 40_000)])
def test_a_machine_with_fewer_addresses_gives_what_it_has(most: int, given: int) -> None:
    def make(count: int) -> npt.NDArray[np.int64]:
        if count > most:
            raise MemoryError
        return np.empty(count, np.int64)

    assert len(with_addresses(40_000, 1_000_000, make)) == given


def test_a_machine_that_has_not_even_what_is_needed_says_so() -> None:
    def make(count: int) -> npt.NDArray[np.int64]:
        raise MemoryError

    with pytest.raises(MemoryError):
        with_addresses(10, 1_000, make)


@pytest.mark.parametrize(
    ("rows", "boundary"), [(1, 64), (1_000, 64), (COPIED_BYTES_MAX // 64, 1 << 21), (100_000, 1 << 21)]
)
def test_rows_begin_where_memory_comes_from(rows: int, boundary: int) -> None:
    array = empty_rows(rows, (8,), np.int64)
    assert array.shape == (rows, 8)
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.ctypes.data % boundary == 0


def test_larger_arrays_begin_so_too() -> None:
    rows = larger(np.zeros(COPIED_BYTES_MAX // 8, np.int64), 0, 1, 3_000_000)
    assert rows.ctypes.data % (1 << 21) == 0
