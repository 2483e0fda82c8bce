"""A mark for each account: a number made of its name. Equal names have equal marks, and other names seldom do.

By marks alone it is told which accounts changed; who finds one that may be its own looks at the row, which has the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Marks = npt.NDArray[np.uint32]
"""Mixed well in every bit: any part of it may serve as a place in a table."""

NAME_MAX: Final = 64
WORD: Final = 8
_ODD: Final = np.array([0x9E3779B97F4A7C15 * odd % 2**64 for odd in range(1, 2 * NAME_MAX // WORD, 2)], np.uint64)
"""One for each word of the longest name."""
_MIX: Final = np.uint64(0xFF51AFD7ED558CCD)
_KEY_WORDS: Final = 4

Names = npt.NDArray[np.bytes_]


def padded(names: Sequence[str]) -> Names:
    """S[n]: each in ASCII, with zeros behind it to the end of a word. Raises ValueError for a name that no account can have."""
    longest = max(map(len, names), default=0)
    if longest > NAME_MAX:
        raise ValueError("longer than the name of any account")
    return np.array(names, f"S{max(1, -(-longest // WORD)) * WORD}")


def marks_of_padded(names: Names) -> Marks:
    """uint32[n]. However many zeros stand behind a name, they add nothing."""
    words = names.view("<u8").reshape(len(names), names.itemsize // WORD)
    mixed = words[:, 0] * _ODD[0]
    for number in range(1, words.shape[1]):
        mixed ^= words[:, number] * _ODD[number]
    mixed = (mixed ^ mixed >> np.uint64(29)) * _MIX
    found: Marks = (mixed >> np.uint64(32)).astype("<u4")
    return found


def marks_of(names: Sequence[str]) -> Marks:
    """uint32[n], the same."""
    return marks_of_padded(padded(names))


def marks_of_keys(keys: Sequence[bytes]) -> Marks:
    """uint32[n], of the keys by which changes of phase name accounts: hashes, so that a part of each does."""
    return np.frombuffer(b"".join(keys), "<u4")[::_KEY_WORDS]
