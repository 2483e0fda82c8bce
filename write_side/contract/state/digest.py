"""The state digest: two wrapping 64-bit sums of a keyed mix of every row of every state table.

Addition is commutative, so equal state gives an equal digest whatever the order it was built in, and one changed row costs
one subtraction and one addition. The mix is multiply-xorshift (Steele, Lea, Flood: "Fast splittable pseudorandom number
generators", 2014); it finds faults, not forgers: forgery is what the BLAKE3 chain is for.
"""

from __future__ import annotations

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined

_A = np.uint64(0xBF58476D1CE4E5B9)
_B = np.uint64(0x94D049BB133111EB)
_ACCOUNTS = np.uint64(0x9E3779B97F4A7C15)
_IDS = np.uint64(0xD1B54A32D192ED03)
_CUT_OFFS = np.uint64(0x8CB92BA72F3D8DD7)
_PENDING = np.uint64(0x2545F4914F6CDD1D)
_LOWS = np.uint64(0x5851F42D4C957F2D)
_S32 = np.uint64(32)
_S29 = np.uint64(29)
_S31 = np.uint64(31)


@njit_inlined
def _absorb_a(h, word):  # type: ignore[no-untyped-def]
    h = (h ^ np.uint64(word)) * _A
    return h ^ (h >> _S32)


@njit_inlined
def _absorb_b(h, word):  # type: ignore[no-untyped-def]
    h = (h ^ np.uint64(word)) * _B
    return h ^ (h >> _S29)


@njit_inlined
def mix_account(row_key, number, posted, held, version, floor, flags):  # type: ignore[no-untyped-def]
    """One accounts row, two lanes. `row_key` stands for id, asset and owner (see `state.py`)."""
    a = _absorb_a(np.uint64(row_key) ^ _ACCOUNTS, number)
    b = _absorb_b(np.uint64(row_key) ^ _ACCOUNTS, number)
    a = _absorb_a(a, posted)
    b = _absorb_b(b, posted)
    a = _absorb_a(a, held)
    b = _absorb_b(b, held)
    a = _absorb_a(a, version)
    b = _absorb_b(b, version)
    a = _absorb_a(a, floor)
    b = _absorb_b(b, floor)
    a = _absorb_a(a, flags)
    b = _absorb_b(b, flags)
    return (a ^ (a >> _S31)) * _B, (b ^ (b >> _S31)) * _A


@njit_inlined
def mix_id(id_a, id_b, time_us):  # type: ignore[no-untyped-def]
    """One remembered transfer id, two lanes. Its place is left out: it depends on where blocks begin."""
    a = _absorb_a(_absorb_a(_absorb_a(_IDS, id_a), id_b), time_us)
    b = _absorb_b(_absorb_b(_absorb_b(_IDS, id_a), id_b), time_us)
    return (a ^ (a >> _S31)) * _B, (b ^ (b >> _S31)) * _A


@njit_inlined
def mix_cut_off(refuse_ids_before_us):  # type: ignore[no-untyped-def]
    """The cut-off of the id table, two lanes."""
    a = _absorb_a(_CUT_OFFS, refuse_ids_before_us)
    b = _absorb_b(_CUT_OFFS, refuse_ids_before_us)
    return (a ^ (a >> _S31)) * _B, (b ^ (b >> _S31)) * _A


@njit_inlined
def mix_identity(key_a, key_b, asset_hash, owner_hash):  # type: ignore[no-untyped-def]
    """The row key of an account: its id's hash, its asset's and its owner's, as one word."""
    return np.uint64(_absorb_a(_absorb_b(_absorb_a(np.uint64(key_a), key_b), asset_hash), owner_hash))


@njit_inlined
def mix_words(a, b, word):  # type: ignore[no-untyped-def]
    """Absorb one more word of a pending row into its two lanes."""
    return _absorb_a(a ^ _PENDING, word), _absorb_b(b ^ _PENDING, word)


@njit_inlined
def mix_low(home_partition, low):  # type: ignore[no-untyped-def]
    """What a partition knows of a home partition's finished processes, two lanes."""
    a = _absorb_a(_absorb_a(_LOWS, home_partition), low)
    b = _absorb_b(_absorb_b(_LOWS, home_partition), low)
    return (a ^ (a >> _S31)) * _B, (b ^ (b >> _S31)) * _A
