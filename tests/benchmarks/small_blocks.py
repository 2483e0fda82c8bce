"""Blocks of one plain transfer, made ten times as fast as they are decided: for logs of ten million of them.

Nothing is decided here: the bytes are written as `block/FORMAT.md` says, with the digest of the state after each. They are what
would have been decided of the same transfers (`test_small_blocks.py`), and whoever folds the log makes every check.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import FORMAT_VERSION, HASH_BYTES, HEADER_BYTES, MAGIC
from write_side.contract.block.columns import ENTRIES, FLAGS_MASK, OUTCOMES
from write_side.contract.block.sections import CONSTANT
from write_side.contract.compiled.compiled import njit, njit_inlined
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, FLOOR, HELD, POSTED, ROW_KEY, VERSION
from write_side.contract.state.digest import mix_account, mix_id
from write_side.contract.state.state import State, cut_off_lanes
from write_side.contract.words.codes import Code, Kind

BLOCK_BYTES_MAX: Final = 320
_HASHED: Final = HEADER_BYTES - HASH_BYTES
_PREVIOUS: Final = slice(32, 32 + HASH_BYTES)
_KIND, _DONE = int(Kind.TRANSFER), int(Code.DONE)
_OUTCOMES, _ENTRIES = OUTCOMES.number, ENTRIES.number
_OUTCOME_COLUMNS, _ENTRY_COLUMNS = len(OUTCOMES.columns), len(ENTRIES.columns)


def make_small_blocks(
    state: State, debits: npt.NDArray[np.int64], credits: npt.NDArray[np.int64], ids: npt.NDArray[np.uint8]
) -> bytes:
    """The next blocks of a partition, each a transfer of one minor unit, 1 us after the one before.

    debits, credits: numbers of open accounts that are able to, int64[n]; ids: uint8[n, 16], UUIDv7. The state moves on, but does
    not remember the ids: nothing may be decided with it any more.
    """
    n, chained = len(debits), state.chained
    out, ends = np.zeros(n * BLOCK_BYTES_MAX, np.uint8), np.empty(n, np.int64)
    head = (chained.partitions, state.partition, chained.epoch, chained.sequence + 1)
    times = (chained.consumed_to, chained.created_at_us, chained.refuse_ids_before_us)
    lanes = cut_off_lanes(chained.refuse_ids_before_us)
    _put_blocks(out, ends, state.rows, state.digest, lanes, debits, credits, ids, ids.view("<u8"), head, times)
    data = out.data[: int(ends[-1])]
    previous, begin = chained.block_hash, 0
    for end in ends.tolist():
        data[begin : begin + len(MAGIC)] = MAGIC
        data[begin + _PREVIOUS.start : begin + _PREVIOUS.stop] = previous
        previous = blake3(data[begin : begin + _HASHED]).update(data[begin + HEADER_BYTES : end]).digest()
        data[begin + _HASHED : begin + HEADER_BYTES] = previous
        begin = end
    chained.sequence += n
    chained.consumed_to += n
    chained.created_at_us += n
    chained.block_hash = previous
    return bytes(data)


@njit_inlined
def _put(out, at, value, size):  # type: ignore[no-untyped-def]
    for i in range(size):
        out[at + i] = np.uint8((value >> (8 * i)) & 255)
    return at + size


@njit_inlined
def _width(first, second, bits):  # type: ignore[no-untyped-def]
    """The code of the narrowest width that holds both. bits: of one byte."""
    most = max(first if first >= 0 else ~first, second if second >= 0 else ~second)
    code = 0
    while code < 3 and most >> (bits + 8 * ((1 << code) - 1)):
        code += 1
    return code


@njit_inlined
def _put_pair(out, at, place, first, second, bits):  # type: ignore[no-untyped-def]
    """A column of two rows at `at`, its code at `place`."""
    code = _width(first, second, bits)
    at = _put(out, at, first, 1 << code)
    if first == second:
        out[place] = code | CONSTANT
        return at
    out[place] = code
    return _put(out, at, second, 1 << code)


@njit_inlined
def _mixed(rows, number):  # type: ignore[no-untyped-def]
    flags = rows[number, FLAGS_AND_ASSET] & FLAGS_MASK
    return mix_account(
        rows[number, ROW_KEY], number, rows[number, POSTED], rows[number, HELD], rows[number, VERSION],
        rows[number, FLOOR], flags,
    )  # fmt: skip


@njit(cache=True)
def _put_blocks(out, ends, rows, digest, lanes, debits, credits, ids, words, head, times):  # type: ignore[no-untyped-def]
    """Write the blocks without their hashes one behind the other into `out`, and where each ends."""
    partitions, partition, epoch, sequence = head
    consumed_to, created_at_us, refuse_ids_before_us = times
    begin = 0
    for i in range(debits.size):
        debit, credit = debits[i], credits[i]
        time_us = np.int64(0)
        for octet in range(6):
            time_us = (time_us << 8) | np.int64(ids[i, octet])
        for number, amount in ((debit, -1), (credit, 1)):
            a, b = _mixed(rows, number)
            digest[0] -= a
            digest[1] -= b
            rows[number, POSTED] += amount
            rows[number, VERSION] += 1
            a, b = _mixed(rows, number)
            digest[0] += a
            digest[1] += b
        a, b = mix_id(words[i, 0], words[i, 1], time_us * 1000)
        digest[0] += a
        digest[1] += b
        at = begin + HEADER_BYTES
        at = _put(out, at, _OUTCOMES, 1)
        at = _put(out, at, _OUTCOME_COLUMNS, 1)
        at = _put(out, at, 1, 4)
        at += _OUTCOME_COLUMNS  # their codes: 0
        for octet in range(16):
            out[at + octet] = ids[i, octet]
        at += 16
        at = _put(out, at, _KIND, 1)
        at = _put(out, at, _DONE, 1)
        at = _put(out, at, 1, 1)  # back: asked for by the record before
        at = _put(out, at, 0, 1)  # the record's only row
        at = _put(out, at, _ENTRIES, 1)
        at = _put(out, at, _ENTRY_COLUMNS, 1)
        at = _put(out, at, 2, 4)
        codes = at
        at += _ENTRY_COLUMNS
        at = _put_pair(out, at, codes, 0, 0, 8)
        at = _put_pair(out, at, codes + 1, debit, credit, 8)
        at = _put_pair(out, at, codes + 2, rows[debit, POSTED], rows[credit, POSTED], 7)
        at = _put_pair(out, at, codes + 3, rows[debit, VERSION], rows[credit, VERSION], 8)
        ends[i] = at
        _put(out, begin + 8, FORMAT_VERSION, 2)
        _put(out, begin + 10, partitions, 2)
        _put(out, begin + 12, partition, 4)
        _put(out, begin + 16, epoch, 8)
        _put(out, begin + 24, sequence + i, 8)
        _put(out, begin + 64, consumed_to + i + 1, 8)
        _put(out, begin + 72, created_at_us + i + 1, 8)
        _put(out, begin + 80, refuse_ids_before_us, 8)
        for lane in range(2):
            word = digest[lane] + lanes[lane]
            for octet in range(8):
                out[begin + 88 + 8 * lane + octet] = np.uint8((word >> np.uint64(8 * octet)) & np.uint64(255))
        _put(out, begin + 104, at - begin - HEADER_BYTES, 8)
        begin = at
