"""BLAKE3 of many short messages at once, one message a SIMD lane.

Account keys and fingerprints are hashes of at most 64 bytes, that is one BLAKE3 compression each.  Calling a hash library
once per item costs more than deciding the transfer; the loop below has no branches and no calls, so LLVM turns it into
vector code that hashes 8 to 16 messages side by side.

Source: "BLAKE3: one function, fast everywhere", O'Connor, Aumasson, Neves, Wilcox-O'Hearn, section 2.2.
The tests compare every length with the `blake3` package.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit, njit_borrowing, njit_inlined

MESSAGE_BYTES = 64
"""One compression takes one block; account ids are at most 64 characters for this reason."""

CHUNK_BYTES = 1024
"""What is one chunk: no tree is made of it, its compressions follow each other."""

_CHUNK_START, _CHUNK_END, _ROOT = 1, 2, 8
_HASH = 32
_LANES = 64
"""Messages that are hashed side by side: enough to fill every vector, few enough to stay in the nearest cache."""
_IV = np.array(
    [0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19], np.uint32
)


@njit_inlined
def _rotate(x, n):  # type: ignore[no-untyped-def]
    return np.uint32((x >> np.uint32(n)) | (x << np.uint32(32 - n)))


@njit_inlined
def _quarter(a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    a = np.uint32(a + b + x)
    d = _rotate(np.uint32(d ^ a), 16)
    c = np.uint32(c + d)
    b = _rotate(np.uint32(b ^ c), 12)
    a = np.uint32(a + b + y)
    d = _rotate(np.uint32(d ^ a), 8)
    c = np.uint32(c + d)
    b = _rotate(np.uint32(b ^ c), 7)
    return a, b, c, d


@njit_inlined
def _round(v, m):  # type: ignore[no-untyped-def]
    v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf = v
    v0, v4, v8, vc = _quarter(v0, v4, v8, vc, m[0], m[1])
    v1, v5, v9, vd = _quarter(v1, v5, v9, vd, m[2], m[3])
    v2, v6, va, ve = _quarter(v2, v6, va, ve, m[4], m[5])
    v3, v7, vb, vf = _quarter(v3, v7, vb, vf, m[6], m[7])
    v0, v5, va, vf = _quarter(v0, v5, va, vf, m[8], m[9])
    v1, v6, vb, vc = _quarter(v1, v6, vb, vc, m[10], m[11])
    v2, v7, v8, vd = _quarter(v2, v7, v8, vd, m[12], m[13])
    v3, v4, v9, ve = _quarter(v3, v4, v9, ve, m[14], m[15])
    return (v0, v1, v2, v3, v4, v5, v6, v7, v8, v9, va, vb, vc, vd, ve, vf)


@njit(
    inline="always"
)  # as a call, even an inlined one, it keeps LLVM from making vectors of the loop: ten times slower
def _permute(m):  # type: ignore[no-untyped-def]
    return (m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8])


@njit(inline="always")
def _rounds(v, m):  # type: ignore[no-untyped-def]
    v = _round(v, m)
    m = _permute(m)
    v = _round(v, m)
    m = _permute(m)
    v = _round(v, m)
    m = _permute(m)
    v = _round(v, m)
    m = _permute(m)
    v = _round(v, m)
    m = _permute(m)
    v = _round(v, m)
    m = _permute(m)
    return _round(v, m)


@njit(inline="always")
def _message(words, k):  # type: ignore[no-untyped-def]
    return (
        words[0, k], words[1, k], words[2, k], words[3, k], words[4, k], words[5, k], words[6, k], words[7, k],
        words[8, k], words[9, k], words[10, k], words[11, k], words[12, k], words[13, k], words[14, k], words[15, k],
    )  # fmt: skip


@njit_borrowing
def hash_lanes(words, lengths, out):  # type: ignore[no-untyped-def]
    """First 16 bytes of BLAKE3 of each message.

    words: uint32[16, n], message k in column k, zero padded; lengths: uint32[n], bytes, 0 to 64.
    out: uint32[4, n], written.
    """
    for k in range(words.shape[1]):
        v = (
            np.uint32(0x6A09E667), np.uint32(0xBB67AE85), np.uint32(0x3C6EF372), np.uint32(0xA54FF53A),
            np.uint32(0x510E527F), np.uint32(0x9B05688C), np.uint32(0x1F83D9AB), np.uint32(0x5BE0CD19),
            np.uint32(0x6A09E667), np.uint32(0xBB67AE85), np.uint32(0x3C6EF372), np.uint32(0xA54FF53A),
            np.uint32(0), np.uint32(0), lengths[k], np.uint32(_CHUNK_START | _CHUNK_END | _ROOT),
        )  # fmt: skip
        v = _rounds(v, _message(words, k))
        out[0, k] = v[0] ^ v[8]
        out[1, k] = v[1] ^ v[9]
        out[2, k] = v[2] ^ v[10]
        out[3, k] = v[3] ^ v[11]


@njit_borrowing
def _compress_lanes(words, lengths, flags, chained):  # type: ignore[no-untyped-def]
    """One more compression of each message: chained, uint32[8, n], from what it was to what it is behind these 64 bytes."""
    for k in range(words.shape[1]):
        v = (
            chained[0, k], chained[1, k], chained[2, k], chained[3, k],
            chained[4, k], chained[5, k], chained[6, k], chained[7, k],
            np.uint32(0x6A09E667), np.uint32(0xBB67AE85), np.uint32(0x3C6EF372), np.uint32(0xA54FF53A),
            np.uint32(0), np.uint32(0), lengths[k], flags[k],
        )  # fmt: skip
        v = _rounds(v, _message(words, k))
        chained[0, k] = v[0] ^ v[8]
        chained[1, k] = v[1] ^ v[9]
        chained[2, k] = v[2] ^ v[10]
        chained[3, k] = v[3] ^ v[11]
        chained[4, k] = v[4] ^ v[12]
        chained[5, k] = v[5] ^ v[13]
        chained[6, k] = v[6] ^ v[14]
        chained[7, k] = v[7] ^ v[15]


@njit(cache=True, nogil=True)
def _check_hashes(data, starts, hash_at, iv, good):  # type: ignore[no-untyped-def]
    words = np.empty((16, _LANES), np.uint32)
    chained = np.empty((8, _LANES), np.uint32)
    lengths, flags = np.empty(_LANES, np.uint32), np.empty(_LANES, np.uint32)
    count = starts.size - 1
    for first in range(0, count, _LANES):
        lanes = min(_LANES, count - first)
        most = 0
        for k in range(_LANES):
            for i in range(8):
                chained[i, k] = iv[i]
            if k < lanes:
                size = starts[first + k + 1] - starts[first + k] - _HASH
                most = max(most, size if size <= CHUNK_BYTES else 0)
        for at in range(0, max(most, 1), MESSAGE_BYTES):
            for k in range(lanes):
                start = starts[first + k]
                size = starts[first + k + 1] - start - _HASH
                here = min(max(size - at, 0), MESSAGE_BYTES)
                lengths[k] = here
                flags[k] = (_CHUNK_START if at == 0 else 0) | (_CHUNK_END | _ROOT if at + MESSAGE_BYTES >= size else 0)
                # What lies behind the hash in the record comes right behind what lies before it in the message.
                place = start + at + (_HASH if at >= hash_at else 0)
                if here == MESSAGE_BYTES and (at + MESSAGE_BYTES <= hash_at or at >= hash_at):
                    for word in range(16):
                        p = place + 4 * word
                        words[word, k] = (
                            np.uint32(data[p]) | np.uint32(data[p + 1]) << np.uint32(8)
                            | np.uint32(data[p + 2]) << np.uint32(16) | np.uint32(data[p + 3]) << np.uint32(24)
                        )  # fmt: skip
                    continue
                for word in range(16):
                    words[word, k] = 0
                for i in range(here):
                    p = start + at + i
                    if at + i >= hash_at:
                        p += _HASH
                    words[i >> 2, k] |= np.uint32(np.uint32(data[p]) << np.uint32(8 * (i & 3)))
            _compress_lanes(words, lengths, flags, chained)
            for k in range(lanes):
                start = starts[first + k]
                size = starts[first + k + 1] - start - _HASH
                if at <= max(size - 1, 0) < at + MESSAGE_BYTES:
                    for i in range(_HASH):
                        if data[start + hash_at + i] != (chained[i >> 2, k] >> np.uint32(8 * (i & 3))) & np.uint32(255):
                            good[first + k] = False


def hash_chunks(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], hash_at: int) -> npt.NDArray[np.bool_]:
    """Which of n records have the BLAKE3 of all their other bytes at `hash_at`; of those with more than `CHUNK_BYTES` others, of
    which BLAKE3 makes a tree, nothing is known, and True is said.

    data: uint8[...]; record i from starts[i] to starts[i + 1], its hash included.
    """
    good = np.ones(len(starts) - 1, np.bool_)
    if len(good):
        _check_hashes(data, starts, np.int64(hash_at), _IV, good)
    return good


@njit(cache=True, nogil=True)
def _spread(starts, ends, data, words, lengths):  # type: ignore[no-untyped-def]
    for k in range(starts.size):
        start = starts[k]
        size = ends[k] - start
        lengths[k] = size
        for i in range(size):
            words[i >> 2, k] |= np.uint32(np.uint32(data[start + i]) << np.uint32(8 * (i & 3)))


@njit(cache=True, nogil=True)
def hash_words(words, lengths):  # type: ignore[no-untyped-def]
    """As `hash_lanes`; returns uint64[2, n]."""
    out = np.empty((4, lengths.size), np.uint32)
    hash_lanes(words, lengths, out)
    keys = np.empty((2, lengths.size), np.uint64)
    for k in range(lengths.size):
        keys[0, k] = np.uint64(out[0, k]) | np.uint64(out[1, k]) << np.uint64(32)
        keys[1, k] = np.uint64(out[2, k]) | np.uint64(out[3, k]) << np.uint64(32)
    return keys


@njit(cache=True, nogil=True)
def _hash_between(starts, ends, data):  # type: ignore[no-untyped-def]
    """One call for all of it: each call has its price, and most blocks have few strings. No column when one is too long."""
    n = starts.size
    for k in range(n):
        if ends[k] - starts[k] > MESSAGE_BYTES:
            return np.empty((2, 0), np.uint64)
    words, lengths = np.zeros((16, n), np.uint32), np.empty(n, np.uint32)
    _spread(starts, ends, data, words, lengths)
    return hash_words(words, lengths)


def hash_strings(offsets: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """BLAKE3-128 of n byte strings of at most 64 bytes each, in Arrow's layout.

    offsets: int32[n + 1] into data: uint8[].  Returns uint64[2, n]: the first and the second 8 bytes, little endian.
    Raises ValueError when a string is longer than 64 bytes.
    """
    return _whole(_hash_between(offsets[:-1], offsets[1:], data), offsets.size - 1)


def hash_places(places: npt.NDArray[np.int64], data: bytes) -> npt.NDArray[np.uint64]:
    """The same of strings that lie anywhere in `data`. places: int64[n, 2], where each begins and ends."""
    starts, ends = np.ascontiguousarray(places.T)
    return _whole(_hash_between(starts, ends, np.frombuffer(data, np.uint8)), len(places))


def _whole(keys: npt.NDArray[np.uint64], strings: int) -> npt.NDArray[np.uint64]:
    if keys.shape[1] < strings:
        raise ValueError(f"a string is longer than {MESSAGE_BYTES} bytes")
    return keys
