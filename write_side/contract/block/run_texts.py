"""The texts of a block's bytes, passed over in compiled loops: whether they are UTF-8, names of accounts, names of who asked.

Where they lie was compared with the block's end before (`run_bytes.py`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.columns import ACCOUNTS, ASKERS
from write_side.contract.block.limits import ACCOUNT_BYTES_MAX, ASKER_BYTES_MAX
from write_side.contract.block.sections import CONSTANT
from write_side.contract.compiled.compiled import njit, njit_inlined

_ACCOUNT_COLUMNS: Final = len(ACCOUNTS.columns)
_ASKER_COLUMNS: Final = len(ASKERS.columns)


@njit_inlined
def unsigned(data, at, width):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for i in range(width):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    return value


@njit(cache=True, nogil=True)
def is_utf8(data, at, end):  # type: ignore[no-untyped-def]
    """RFC 3629, 4: the well-formed byte sequences."""
    while at < end:
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        more = 1 if 0xC2 <= first <= 0xDF else 2 if 0xE0 <= first <= 0xEF else 3 if 0xF0 <= first <= 0xF4 else 0
        if more == 0 or at + more >= end:
            return False
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if not low <= data[at + 1] <= high:
            return False
        for k in range(2, more + 1):
            if not 0x80 <= data[at + k] <= 0xBF:
                return False
        at += more + 1
    return True


@njit_inlined
def _size_of_numbers(code, rows):  # type: ignore[no-untyped-def]
    return (np.int64(1) if code & CONSTANT else rows) << (code & 3)


@njit_inlined
def _is_name_byte(byte, is_first):  # type: ignore[no-untyped-def]
    if 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122:
        return True
    return not is_first and (byte == 95 or byte == 46 or byte == 58 or byte == 45)


@njit(cache=True, nogil=True)
def are_names(data, codes, rows):  # type: ignore[no-untyped-def]
    """Whether all accounts of a section, looked at before, have the ids of accounts that a client may open (`atoms.py`)."""
    at = codes + _ACCOUNT_COLUMNS + _size_of_numbers(np.int64(data[codes]), rows)
    code = np.int64(data[codes + 1])
    width, stored = np.int64(1) << (code & 3), np.int64(1) if code & CONSTANT else rows
    start, texts = np.int64(0), at + stored * width
    for row in range(stored):
        end = unsigned(data, at + row * width, width)
        if not 1 <= end - start <= ACCOUNT_BYTES_MAX:
            return False
        for place in range(start, end):
            if not _is_name_byte(data[texts + place], place == start):
                return False
        start = end
    return True


@njit(cache=True, nogil=True)
def are_askers(data, codes, rows):  # type: ignore[no-untyped-def]
    """Whether the names of who asked, looked at before, are what `grammar.py` asks of them."""
    at = codes + _ASKER_COLUMNS + _size_of_numbers(np.int64(data[codes]), rows)
    code = np.int64(data[codes + 1])
    if code & CONSTANT and rows > 1:
        return False
    width = np.int64(1) << (code & 3)
    texts, before, start = at + rows * width, np.int64(0), np.int64(0)
    for row in range(rows):
        end = unsigned(data, at + row * width, width)
        if end - start > ASKER_BYTES_MAX or (row == 0 and end == 0):
            return False
        for place in range(start, end):
            if not 33 <= data[texts + place] <= 126:
                return False
        if row and end - start == start - before:
            is_same = True
            for k in range(end - start):
                if data[texts + start + k] != data[texts + before + k]:
                    is_same = False
                    break
            if is_same:
                return False
        before, start = start, end
    return True
