"""A run: ids that ran, sorted, each with its fingerprint and where its first outcome is, and a filter of ten bits an id.

Rows lie in the order of `spread`, a mix of the id's two words, so that a row is found near where its share of all numbers lies
(interpolation search, Peterson 1957), and a run of any size is joined with others in one pass. The filter is a blocked Bloom
filter (Putze, Sanders, Singler 2007): whether an id is here is asked of one cache line; of a hundred that are not, one or two are
looked for in vain. Whoever chooses ids can make that more, and makes only his own questions slower.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit, njit_borrowing, njit_inlined
from write_side.contract.state.hash_index import hash_words
from write_side.ledger.rules.ran_before import ID_A, ID_B, ROW_WIDTH

Uint64s = npt.NDArray[np.uint64]

JOINED: Final = 16
"""Runs at most that are joined at once."""
FILTER_BITS: Final = 10
"""An id."""
_BLOCK_WORDS: Final = 8
_BLOCK_BITS: Final = 64 * _BLOCK_WORDS
_PROBES: Final = 6
_CHUNK_ROWS: Final = 1 << 16
_NONE: Final = np.empty((0, ROW_WIDTH), np.uint64)
_SPREAD: Final = ~np.uint64((1 << 20) - 1)
"""Files hold their rows in the order of so much of the mixed words."""


class IdRun(NamedTuple):
    """rows: uint64[n, ROW_WIDTH] in the order of `spread`, of one id the newest first. filter: uint64[blocks, 8].

    secret: the same for all runs of a folder, which are joined by it, and known to nobody else: who could choose ids of one
    spread would have each of them looked for among all the others.
    """

    rows: Uint64s
    filter: Uint64s
    secret: np.uint64


@njit_inlined
def spread(a, b, secret):  # type: ignore[no-untyped-def]
    """The two words of an id as one that is spread over all numbers."""
    return hash_words(a, b, secret) & _SPREAD


@njit_inlined
def _share(word, count):  # type: ignore[no-untyped-def]
    """As far into `count` as the word is into all numbers."""
    return np.int64(((word >> np.uint64(32)) * np.uint64(count)) >> np.uint64(32))


@njit_inlined
def _bits(word):  # type: ignore[no-untyped-def]
    """Another mix, 9 bits of it for each probe."""
    z = (word ^ (word >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    return z ^ (z >> np.uint64(33))


@njit(cache=True, nogil=True)
def _spreads(rows, secret):  # type: ignore[no-untyped-def]
    found = np.empty(len(rows), np.uint64)
    for i in range(len(rows)):
        found[i] = spread(rows[i, ID_A], rows[i, ID_B], secret)
    return found


@njit(cache=True, nogil=True)
def _order(words):  # type: ignore[no-untyped-def]
    """int64[n]: which spread word, uint64[n], comes first, second ...; of equal ones the last. Each is put where its share of all
    numbers lies, which is almost right, and moved from there (Flashsort, Neubert 1998): a sixth of what comparing all takes."""
    n = len(words)
    at = np.zeros(n + 1, np.int64)
    for i in range(n):
        at[_share(words[i], n) + 1] += 1
    for i in range(n):
        at[i + 1] += at[i]
    order, placed = np.empty(n, np.int64), np.empty(n, np.uint64)
    for i in range(n - 1, -1, -1):
        share = _share(words[i], n)
        order[at[share]], placed[at[share]] = i, words[i]
        at[share] += 1
    for i in range(1, n):
        word, which, to = placed[i], order[i], i
        while to > 0 and placed[to - 1] > word:
            placed[to], order[to] = placed[to - 1], order[to - 1]
            to -= 1
        placed[to], order[to] = word, which
    return order


@njit(cache=True, nogil=True)
def _note_in_filter(rows, blocks, secret):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        word = spread(rows[i, ID_A], rows[i, ID_B], secret)
        block, bits = _share(word, len(blocks)), _bits(word)
        for _ in range(_PROBES):
            bit = bits & np.uint64(_BLOCK_BITS - 1)
            blocks[block, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
            bits >>= np.uint64(9)


@njit_inlined
def _may_have(blocks, word):  # type: ignore[no-untyped-def]
    block, bits = _share(word, len(blocks)), _bits(word)
    for _ in range(_PROBES):
        bit = bits & np.uint64(_BLOCK_BITS - 1)
        if (blocks[block, bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) == 0:
            return False
        bits >>= np.uint64(9)
    return True


@njit_inlined
def _first_from(rows, word, secret):  # type: ignore[no-untyped-def]
    """The first row whose spread is not below the word."""
    guess, step = _share(word, len(rows)), np.int64(64)
    low = high = min(guess, np.int64(len(rows)))
    while low > 0 and spread(rows[low - 1, ID_A], rows[low - 1, ID_B], secret) >= word:
        high = low
        low = max(np.int64(0), low - step)
        step *= 2
    step = np.int64(64)
    while high < len(rows) and spread(rows[high, ID_A], rows[high, ID_B], secret) < word:
        low = high + 1
        high = min(np.int64(len(rows)), high + step)
        step *= 2
    while low < high:
        middle = (low + high) // 2
        if spread(rows[middle, ID_A], rows[middle, ID_B], secret) < word:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def find_in_run(run, ids, wanted, found):  # type: ignore[no-untyped-def]
    """Of the ids, uint64[n, 2], that are wanted and not found yet: write the row of each that is in the run into `found`,
    uint64[n, ROW_WIDTH], and take it from `wanted`, bool[n]."""
    rows, blocks, secret = run.rows, run.filter, run.secret
    for i in range(len(ids)):
        if not wanted[i]:
            continue
        word = spread(ids[i, 0], ids[i, 1], secret)
        if not _may_have(blocks, word):
            continue
        row = _first_from(rows, word, secret)
        while row < len(rows) and spread(rows[row, ID_A], rows[row, ID_B], secret) == word:
            if rows[row, ID_A] == ids[i, 0] and rows[row, ID_B] == ids[i, 1]:
                for column in range(ROW_WIDTH):
                    found[i, column] = rows[row, column]
                wanted[i] = False
                break
            row += 1


@njit_borrowing
def _merge(runs, words, at, out, secret):  # type: ignore[no-untyped-def]
    """Write rows of these runs, the newest first, in their order, going on at `at`, int64[runs], until `out` is full or all end;
    how many. words: uint64[runs], the spread of the next row of each. Of equal ones the newest run's come first."""
    n = 0
    while n < len(out):
        least = -1
        for i in range(len(runs)):
            if at[i] < len(runs[i]) and (least < 0 or words[i] < words[least]):
                least = i
        if least < 0:
            break
        rows = runs[least]
        for column in range(ROW_WIDTH):
            out[n, column] = rows[at[least], column]
        n += 1
        at[least] += 1
        if at[least] < len(rows):
            words[least] = spread(rows[at[least], ID_A], rows[at[least], ID_B], secret)
    return n


def run_of(parts: Sequence[Uint64s], secret: np.uint64) -> IdRun:
    """Rows as they came, oldest first."""
    rows = np.concatenate((_NONE, *parts))
    rows = rows.take(_order(_spreads(rows, secret)), axis=0)  # a fourth of what rows[...] takes
    blocks = new_filter(len(rows))
    _note_in_filter(rows, blocks, secret)
    return IdRun(rows, blocks, secret)


def new_filter(count: int) -> Uint64s:
    """An empty filter for so many ids."""
    return np.zeros((max(1, -(-count * FILTER_BITS // _BLOCK_BITS)), _BLOCK_WORDS), np.uint64)


class Merged:
    """Runs as one, made a piece at a time: none of them has to fit into memory. count: rows in all.

    runs: oldest first. `rows` once, to its end; then `filter` is that of all of them.
    """

    def __init__(self, runs: Sequence[IdRun]) -> None:
        self._secret = runs[0].secret
        self._runs = tuple(run.rows for run in reversed(runs))
        self.count = sum(map(len, self._runs))
        self.filter = new_filter(self.count)

    def rows(self) -> Iterator[Uint64s]:
        """Pieces of the rows, in order. Each lies where the one before it lay."""
        runs = self._runs + (_NONE,) * (JOINED - len(self._runs))
        words = np.concatenate(
            [_spreads(rows[:1], self._secret) if len(rows) else np.zeros(1, np.uint64) for rows in runs]
        )
        at, out = np.zeros(JOINED, np.int64), np.empty((_CHUNK_ROWS, ROW_WIDTH), np.uint64)
        while count := int(_merge(runs, words, at, out, self._secret)):
            _note_in_filter(out[:count], self.filter, self._secret)
            yield out[:count]
