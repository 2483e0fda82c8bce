"""Account rows: one cache line an account, as the compiled loops read and write it.

A transfer between random accounts costs what its cache misses cost; in ten columns an account is seven lines, in one row it is
one. The digest needs a row's mix before its first and after its last change in a block only: what lies between cancels out.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.compiled.compiled import njit, njit_borrowing, njit_inlined
from write_side.contract.compiled.prefetch import AHEAD, prefetch_row
from write_side.contract.state.digest import mix_account
from write_side.contract.state.hash_index import INDEX, TAG, find_row, first_slot, hash_words, point_to
from write_side.contract.state.room import empty_rows

KEY_A: Final = 0
KEY_B: Final = 1
ROW_KEY: Final = 2
POSTED: Final = 3
HELD: Final = 4
VERSION: Final = 5
FLOOR: Final = 6
FLAGS_AND_ASSET: Final = 7
WIDTH: Final = 8

ASSET_SHIFT: Final = np.int64(32)


class Accounts(NamedTuple):
    """The rows, the times of the blocks that changed them last, and those changed by this one (`touch`)."""

    rows: npt.NDArray[np.int64]
    changed_at_us: npt.NDArray[np.int64]
    touched: npt.NDArray[np.int64]


class AccountIndex(NamedTuple):
    """Where an account is found by its key (`hash_index.py`)."""

    slots: npt.NDArray[np.uint64]
    secret: np.uint64


class OpenedAccounts(NamedTuple):
    """Accounts to open, a column each: int64[n], keys uint64[n]; hidden bool[n]: those that are not found by their keys."""

    number: npt.NDArray[np.int64]
    floor: npt.NDArray[np.int64]
    flags: npt.NDArray[np.int64]
    key_a: npt.NDArray[np.uint64]
    key_b: npt.NDArray[np.uint64]
    asset: npt.NDArray[np.int64]
    row_key: npt.NDArray[np.uint64]
    hidden: npt.NDArray[np.bool_]


class NewAccount(NamedTuple):
    """What an account is opened with: integers, or what numba has for them."""

    key_a: Any
    key_b: Any
    row_key: Any
    asset: Any
    floor: Any
    flags: Any


def rows_of_lines(count: int) -> npt.NDArray[np.int64]:
    """int64[count, WIDTH], uninitialised, each row on a cache line of its own."""
    return empty_rows(count, (WIDTH,), np.int64)


@njit_inlined
def prefetch_account(rows, slots, secret, a, b):  # type: ignore[no-untyped-def]
    """Fetch the row that probing for key (a, b) looks at first; its slot should have been fetched before."""
    word = slots[first_slot(hash_words(a, b, secret) & TAG, np.uint64(slots.size))]
    if word != 0:
        prefetch_row(rows, np.int64(word & INDEX) - 1)


@njit_inlined
def asset_of(rows, number):  # type: ignore[no-untyped-def]
    """This process's number of the account's asset."""
    return rows[number, FLAGS_AND_ASSET] >> ASSET_SHIFT


@njit_inlined
def _mix_row(rows, number):  # type: ignore[no-untyped-def]
    return mix_account(
        rows[number, ROW_KEY],
        number,
        rows[number, POSTED],
        rows[number, HELD],
        rows[number, VERSION],
        rows[number, FLOOR],
        rows[number, FLAGS_AND_ASSET] & FLAGS_MASK,
    )


@njit(cache=True, nogil=True)
def add_account(accounts, index, number, new, at_us, hidden):  # type: ignore[no-untyped-def]
    """Write a `NewAccount` with nothing on it. `hidden` ones (system accounts) are not found by key."""
    rows, touched, a, b = accounts.rows, accounts.touched, new.key_a, new.key_b
    if not hidden:
        point_to(index.slots, find_row(rows, index.slots, index.secret, a, b), number, a, b, index.secret)
    rows[number, KEY_A] = np.int64(a)
    rows[number, KEY_B] = np.int64(b)
    rows[number, ROW_KEY] = np.int64(new.row_key)
    rows[number, POSTED] = 0
    rows[number, HELD] = 0
    rows[number, VERSION] = 0
    rows[number, FLOOR] = new.floor
    rows[number, FLAGS_AND_ASSET] = new.flags | (new.asset << ASSET_SHIFT)
    accounts.changed_at_us[number] = at_us
    touched[0] += 1
    touched[touched[0]] = number


@njit_borrowing
def add_accounts(accounts, index, opened, first, end, at_us):  # type: ignore[no-untyped-def]
    """Write the `OpenedAccounts` from `first` until `end`; False when one is there already."""
    for i in range(first, end):
        a, b = opened.key_a[i], opened.key_b[i]
        if not opened.hidden[i] and find_row(accounts.rows, index.slots, index.secret, a, b) >= 0:
            return False
        new = NewAccount(a, b, opened.row_key[i], opened.asset[i], opened.floor[i], opened.flags[i])
        add_account(accounts, index, opened.number[i], new, at_us, opened.hidden[i])
    return True


@njit_inlined
def touch(rows, changed_at_us, touched, digest, number, at_us):  # type: ignore[no-untyped-def]
    """To be called before a row changes: at its first change in the block of time `at_us` it leaves the digest.

    touched: int64[...], [0] counts, the numbers behind it; `settle` takes the rows back in.
    """
    if changed_at_us[number] != at_us:
        changed_at_us[number] = at_us
        touched[0] += 1
        touched[touched[0]] = number
        a, b = _mix_row(rows, number)
        digest[0] -= a
        digest[1] -= b


@njit_borrowing
def touch_all(accounts, count, digest, numbers, at_us):  # type: ignore[no-untyped-def]
    """`touch` of these, each maybe often; False where one is none of `count` accounts.

    In two loops that have no branch but that one: which entry is the first of its account in a block, no processor foresees.
    """
    rows, changed_at_us, touched = accounts.rows, accounts.changed_at_us, accounts.touched
    first = last = touched[0]
    for i in range(numbers.size):
        number = numbers[i]
        if number < 0 or number >= count:
            return False
        prefetch_row(rows, number)
        touched[last + 1] = number
        last += 1 if changed_at_us[number] != at_us else 0
        changed_at_us[number] = at_us
    touched[0] = last
    a, b = _mix_rows(rows, touched, first + 1, last + 1)
    digest[0] -= a
    digest[1] -= b
    return True


@njit_inlined
def _mix_rows(rows, touched, first, end):  # type: ignore[no-untyped-def]
    """The sums of what these touched rows are in the digest."""
    sum_a, sum_b = np.uint64(0), np.uint64(0)
    for i in range(first, end):
        if i + AHEAD < end:
            prefetch_row(rows, touched[i + AHEAD])
        a, b = _mix_row(rows, touched[i])
        sum_a += a
        sum_b += b
    return sum_a, sum_b


@njit(cache=True, nogil=True)
def untouch(rows, changed_at_us, touched, digest, number, before_us):  # type: ignore[no-untyped-def]
    """Undo the first `touch` of a row that is again as it was: it goes back into the digest, with the time of its last change.

    Does nothing for a row that was not touched. It must be among the last touched ones: only later ones are looked at.
    """
    for i in range(touched[0], 0, -1):
        if touched[i] == number:
            touched[i] = touched[touched[0]]
            touched[0] -= 1
            changed_at_us[number] = before_us
            a, b = _mix_row(rows, number)
            digest[0] += a
            digest[1] += b
            return


@njit(cache=True, nogil=True)
def settle(rows, touched, digest):  # type: ignore[no-untyped-def]
    """Take every touched row, as it is now, into the digest: once a block, at its end."""
    a, b = _mix_rows(rows, touched, 1, touched[0] + 1)
    digest[0] += a
    digest[1] += b
    touched[0] = 0
