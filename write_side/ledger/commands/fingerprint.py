"""Fingerprints: is a repeated id the same command again, or another one under the same id?

Of a plain transfer BLAKE3-128 of 64 bytes, hence one compression: kind and leg count, asset hash, then the two legs sorted by
account key as (key, signed amount). They are not stored in the log: whoever needs them recomputes them from it, by the
functions here. Of a command with more to it BLAKE3-128 of all it says; these few the log keeps (`columns.DETAILS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import Block
from write_side.contract.block.columns import DETAILS, ENTRIES, LEGS, OUTCOMES
from write_side.contract.block.run import PlainRun
from write_side.contract.compiled.blake3_lanes import MESSAGE_BYTES, hash_places, hash_words
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET
from write_side.contract.state.fold_ids import KINDS, REMEMBERED
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.ids import put_prints
from write_side.contract.state.state import State, string_keys, word_hash
from write_side.contract.words.codes import NOT_REMEMBERED, Code, Kind

Uint64s = npt.NDArray[np.uint64]

_HEAD: Final = np.uint64(int(Kind.TRANSFER) | 2 << 8)
_S32: Final = np.uint64(32)


@njit(inline="always")
def _put(words, i, at, value):  # type: ignore[no-untyped-def]
    words[at, i] = np.uint32(value & np.uint64(0xFFFFFFFF))
    words[at + 1, i] = np.uint32(value >> _S32)


@njit(cache=True, nogil=True)
def _transfer_prints(asset_hash, debit_a, debit_b, credit_a, credit_b, amount):  # type: ignore[no-untyped-def]
    words = np.empty((16, amount.size), np.uint32)
    for i in range(amount.size):
        plus = np.uint64(amount[i])
        minus = np.uint64(-amount[i])
        debit_first = debit_a[i] < credit_a[i] or (debit_a[i] == credit_a[i] and debit_b[i] <= credit_b[i])
        _put(words, i, 0, _HEAD)
        _put(words, i, 2, asset_hash[i])
        d, c = (4, 10) if debit_first else (10, 4)
        _put(words, i, d, debit_a[i])
        _put(words, i, d + 2, debit_b[i])
        _put(words, i, d + 4, minus)
        _put(words, i, c, credit_a[i])
        _put(words, i, c + 2, credit_b[i])
        _put(words, i, c + 4, plus)
    return hash_words(words, np.full(amount.size, MESSAGE_BYTES, np.uint32))


def transfer_fingerprints(
    asset_hash: Uint64s, debit: Uint64s, credit: Uint64s, amount: npt.NDArray[np.int64]
) -> Uint64s:
    """Fingerprints of n transfers, uint64[2, n].  debit, credit: account keys, uint64[2, n]; amount: positive, int64[n]."""
    prints: Uint64s = _transfer_prints(asset_hash, debit[0], debit[1], credit[0], credit[1], amount)
    return prints


def rich_fingerprints(
    kind: npt.NDArray[np.uint8],
    numbers: npt.NDArray[np.int64],
    legs: npt.NDArray[np.int64],
    bounds: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    notes: Sequence[tuple[str, str]],
) -> Uint64s:
    """Fingerprints of k commands with details, uint64[2, k].

    numbers: int64[k, ...], whatever the kind gives them besides legs and texts.  legs: int64[m, LEG_WIDTH], those of command i in
    rows bounds[0][i] to bounds[1][i].  notes: reference and metadata of each.
    """
    found = np.empty((len(kind), 2), np.uint64)
    heads, leg_bytes = np.ascontiguousarray(numbers, "<i8").tobytes(), np.ascontiguousarray(legs, "<i8").tobytes()
    head, leg = numbers.shape[1] * 8, legs.shape[1] * 8
    starts, ends = ((bound * leg).tolist() for bound in bounds)
    for i, note in enumerate(notes):
        texts = "\0".join(note).encode()
        message = b"".join((bytes((kind[i],)), heads[i * head : (i + 1) * head], leg_bytes[starts[i] : ends[i]], texts))
        found[i] = np.frombuffer(blake3(message).digest(16), "<u8")
    return found.T


def fingerprints_of_block(state: State, block: Block, deltas: npt.NDArray[np.int64]) -> Uint64s:
    """The fingerprints of a block's remembered transfers, uint64[2, outcomes], from the log alone (`fold.Fingerprints`).

    Done transfers show their legs as entries (`deltas`: what each added), refused ones and those begun across partitions in
    the `legs` section; commands with details have theirs in the log.
    """
    outcomes, entries, legs = block.outcomes, block.entries, block.legs
    prints = np.zeros((2, len(outcomes["kind"])), np.uint64)
    transfer = outcomes["kind"] == Kind.TRANSFER
    if len(block.details["outcome"]):
        detailed = block.details["outcome"]
        prints[:, detailed] = np.array(block.details["fingerprint"], order="C").view("<u8").reshape(-1, 2).T
        transfer[detailed] = False
    done = np.flatnonzero(transfer & (outcomes["code"] == Code.DONE))
    if done.size:
        first = np.searchsorted(entries["outcome"], done)
        prints[:, done] = _of_entries(state, entries["account"], first, deltas)
    refused = np.flatnonzero(transfer & ~np.isin(outcomes["code"], (Code.DONE, *NOT_REMEMBERED)))
    if refused.size:
        first = np.searchsorted(legs["outcome"], refused)
        credit = first + 1
        keys = string_keys(legs["account"])
        hashes = {asset: word_hash(asset) for asset in set(legs["asset"])}
        prints[:, refused] = transfer_fingerprints(
            np.array([hashes[legs["asset"][i]] for i in first], np.uint64),
            keys[:, first],
            keys[:, credit],
            legs["amount"][credit],
        )
    return prints


def fingerprints_of_run(state: State, run: PlainRun, deltas: npt.NDArray[np.int64]) -> None:
    """As `fingerprints_of_block` of every block of a run that was just folded, written into the id table."""
    prints = np.zeros((2, len(run.kind)), np.uint64)
    transfer = run.kind == Kind.TRANSFER
    if len(run.rows(DETAILS).ids):
        detailed = run.outcomes_of(DETAILS)
        prints[:, detailed] = run.rows(DETAILS).ids.T
        transfer[detailed] = False
    done = np.flatnonzero(transfer & (run.code == Code.DONE))
    if done.size:
        first = np.searchsorted(run.outcomes_of(ENTRIES), done)
        prints[:, done] = _of_entries(state, run.numbers(ENTRIES, "account"), first, deltas)
    refused = np.flatnonzero(transfer & ~np.isin(run.code, (Code.DONE, *NOT_REMEMBERED)))
    if refused.size:
        first = np.searchsorted(run.outcomes_of(LEGS), refused)
        accounts, assets = (texts[first] for texts in run.rows(LEGS).texts)
        keys = hash_places(np.concatenate((accounts, run.rows(LEGS).texts[0][first + 1])), run.data)
        prints[:, refused] = transfer_fingerprints(
            _asset_hashes(assets, run.data),
            keys[:, : len(first)],
            keys[:, len(first) :],
            run.numbers(LEGS, "amount")[first + 1],
        )
    remembered = np.flatnonzero(KINDS[run.kind] & REMEMBERED[run.code])
    put_prints(state.ids.arrays, run.rows(OUTCOMES).ids[remembered], prints[:, remembered])


def _asset_hashes(places: npt.NDArray[np.int64], data: bytes) -> Uint64s:
    texts = [data[start:end] for start, end in places.tolist()]
    hashes = {text: word_hash(text.decode()) for text in set(texts)}
    return np.array([hashes[text] for text in texts], np.uint64)


def _of_entries(
    state: State, account: npt.NDArray[np.int64], first: npt.NDArray[np.int64], deltas: npt.NDArray[np.int64]
) -> Uint64s:
    """Of done transfers, by the first of their two entries."""
    debit, credit = account[first], account[first + 1]
    return transfer_fingerprints(
        state.asset_hashes[state.rows[debit, FLAGS_AND_ASSET] >> ASSET_SHIFT],
        np.stack((state.key_a[debit], state.key_b[debit])),
        np.stack((state.key_a[credit], state.key_b[credit])),
        deltas[first + 1],
    )


FINGERPRINTS: Final = Prints(fingerprints_of_block, fingerprints_of_run)
