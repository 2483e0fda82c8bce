"""What a record of commands must be before anybody decides it: the rules of the doors, by the column.

One body at the door: `fanfold/api/body_checks.py`.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fanfold.api.grammar import ASSET, PARTY, REFERENCE, whole
from write_side.contract.words.atoms import LIMIT, NO_FLOOR, WORLD
from write_side.contract.words.codes import Flag, Kind
from write_side.ledger.commands.batch_columns import CommandColumns
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION
from write_side.ledger.commands.details import FINAL, NO_ASSET, TCC, Details
from write_side.ledger.commands.records import BatchMalformed
from write_side.ledger.commands.rich_columns import CLEAR_SHIFT, SET_SHIFT

ACCOUNT_PATTERN: Final = whole(PARTY)
ASSET_PATTERN: Final = whole(ASSET)
OWNER_BYTES_MAX: Final = 255
"""What the doors let through (`fanfold/api/words/`): a record with a longer one would be passed over whole."""
_REFERENCE_PATTERN: Final = whole(f"(?:{REFERENCE})?")
METADATA_BYTES_MAX: Final = 16 * 1024
"""As the whole body that it comes in (`batch_door.py`): written canonically it is never longer than in there."""

_WITH_LEGS: Final = (Kind.TRANSFER, Kind.HOLD)
_MAY_HAVE_LEGS: Final = (*_WITH_LEGS, Kind.CAPTURE, Kind.REVERSE)
_WITH_OTHER: Final = (Kind.CAPTURE, Kind.VOID, Kind.REVERSE)
_FLAGS: Final = int(~Flag(0))
_OPTIONS: Final = {
    Kind.TRANSFER: TCC,
    Kind.HOLD: 0,
    Kind.CAPTURE: TCC | FINAL,
    Kind.VOID: 0,
    Kind.REVERSE: TCC,
    Kind.CHANGE: _FLAGS << SET_SHIFT | _FLAGS << CLEAR_SHIFT,
}
"""The kinds that have details, and the bits that the option of each may have."""
_OPTION_BITS: Final = np.array([_OPTIONS.get(Kind(kind), 0) if kind else 0 for kind in range(max(Kind) + 1)], np.int64)

Bools = npt.NDArray[np.bool_]


def check(batch: CommandColumns) -> None:
    """Raises BatchMalformed unless an intake can have made it."""
    rich = np.zeros(len(batch), np.bool_)
    if batch.details is not None:
        _check_details(batch, batch.details)
        rich[batch.details.row] = True
    _check_numbers(batch, rich)
    _check_texts(batch, rich)
    _check_chains(batch.chain)


def _check_numbers(batch: CommandColumns, rich: Bools) -> None:
    amount, opening, capture = batch.amount, batch.kind == Kind.OPEN, batch.kind == Kind.CAPTURE
    plain = (batch.kind == Kind.TRANSFER) & ~rich
    at_most = amount <= LIMIT
    floor_fits = (amount == NO_FLOOR) | ((amount >= -LIMIT) & at_most)
    rich_fits = (batch.asset == NO_ASSET) & ((amount == 0) | (capture & (amount > 0) & at_most))
    if not np.all((plain & (amount > 0) & at_most) | (opening & floor_fits) | (rich & rich_fits)):
        raise BatchMalformed("a kind, amount or floor is out of range")
    if np.any(batch.asset[~rich] < 0) or np.any(batch.asset >= len(batch.assets)):
        raise BatchMalformed("an asset is out of range")
    none, every = ~batch.ids.any(axis=1), (batch.ids == 255).all(axis=1)
    if np.any(none != opening) or np.any(every):
        raise BatchMalformed("an id is malformed")


def _check_texts(batch: CommandColumns, rich: Bools) -> None:
    opening, change = batch.kind == Kind.OPEN, batch.kind == Kind.CHANGE
    plain = ~rich & ~opening
    if not all_match(pa.array(batch.assets, pa.utf8()), ASSET_PATTERN) or len(set(batch.assets)) < len(batch.assets):
        raise BatchMalformed("an asset is malformed, or there twice")
    for accounts, named in ((batch.debit, ~rich | change), (batch.credit, plain)):
        if not all_match(accounts.filter(pa.array(named)), ACCOUNT_PATTERN) or _any_text(accounts, ~named):
            raise BatchMalformed("an account is malformed")
    if np.any(np.asarray(pc.equal(batch.debit, batch.credit)) & plain):
        raise BatchMalformed("a transfer from an account to itself")
    if np.any(np.asarray(pc.equal(batch.debit, WORLD)) & (opening | change)):
        raise BatchMalformed("a system account is opened or changed")
    if longest(batch.owner) > OWNER_BYTES_MAX or _any_text(batch.owner, ~opening):
        raise BatchMalformed("an owner is too long, or none that an account has")


def _check_chains(chain: npt.NDArray[np.int32]) -> None:
    if chain.any():
        first_of_each = chain[np.concatenate(([True], chain[1:] != chain[:-1]))]
        chains = first_of_each[first_of_each != 0]
        if np.unique(chains).size < chains.size:
            raise BatchMalformed("the lines of a chain do not lie side by side")


def _check_details(batch: CommandColumns, details: Details) -> None:
    row = details.row
    if row[0] < 0 or row[-1] >= len(batch) or np.any(row[1:] <= row[:-1]):
        raise BatchMalformed("the details do not rise with their commands")
    kind, sizes = batch.kind[row], np.diff(details.first_leg)
    if not np.isin(kind, list(_OPTIONS)).all():
        raise BatchMalformed("a kind has details that has none")
    if np.any(np.isin(kind, _WITH_LEGS) & (sizes == 0)) or np.any(~np.isin(kind, _MAY_HAVE_LEGS) & (sizes > 0)):
        raise BatchMalformed("a kind has legs that has none, or none")
    if np.any((batch.amount[row] != 0) & (sizes > 0)):
        raise BatchMalformed("a capture has an amount and legs")
    if np.any(details.other.any(axis=1) != np.isin(kind, _WITH_OTHER)):
        raise BatchMalformed("a kind names another command that names none, or names none")
    if np.any(details.option & ~_OPTION_BITS[kind]):
        raise BatchMalformed("an option is unknown to its kind")
    if np.any(details.deadline_us < 0) or np.any((details.deadline_us > 0) & (kind != Kind.HOLD)):
        raise BatchMalformed("a deadline is out of range")
    if not all_match(details.reference, _REFERENCE_PATTERN) or longest(details.metadata) > METADATA_BYTES_MAX:
        raise BatchMalformed("a reference or metadata is malformed")
    if not all(_is_metadata(text) for text in pc.unique(details.metadata).to_pylist()):
        raise BatchMalformed("a reference or metadata is malformed")
    if sizes.any():
        _check_legs(details, kind, sizes, len(batch.assets))


def _check_legs(details: Details, kind: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64], assets: int) -> None:
    amount, asset = details.leg_amount, details.leg_asset
    if np.any(amount == 0) or is_beyond(amount, LIMIT) or np.any(asset < 0) or np.any(asset >= assets):
        raise BatchMalformed("the amount or asset of a leg is out of range")
    if not all_match(details.account, ACCOUNT_PATTERN):
        raise BatchMalformed("the account of a leg is malformed")
    check_conditions(details.if_version, details.if_available)
    has_condition = (details.if_version != ANY_VERSION) | (details.if_available != ANY_AVAILABLE)
    of = np.repeat(np.arange(len(sizes)), sizes)
    if np.any(has_condition & ~np.isin(kind[of], _WITH_LEGS)):
        raise BatchMalformed("a kind has a condition that has none")
    # In Python's integers, for 32 amounts may pass 64 bits; only commands with legs pay for it.
    given: dict[tuple[int, int], int] = {}
    received: dict[tuple[int, int], int] = {}
    seen: set[tuple[int, str, int]] = set()
    last = (-1, "")
    for at, account, size, of_asset in zip(
        of.tolist(), details.account.to_pylist(), amount.tolist(), asset.tolist(), strict=True
    ):
        if (at, account) < last:
            raise BatchMalformed("the legs of a command are not sorted by account")
        last = at, account
        sums = given if size < 0 else received
        sums[at, of_asset] = sums.get((at, of_asset), 0) + abs(size)
        seen.add((at, account, of_asset))
    if given != received or max(received.values()) > LIMIT or len(seen) < len(of):
        raise BatchMalformed("the legs of a command do not sum to zero, move too much, or name an account twice")


def check_conditions(if_version: npt.NDArray[np.int64], if_available: npt.NDArray[np.int64]) -> None:
    """Raises BatchMalformed."""
    told = if_available != ANY_AVAILABLE
    if np.any(if_version < ANY_VERSION) or is_beyond(if_available[told], LIMIT):
        raise BatchMalformed("the condition of a leg is out of range")


def is_beyond(values: npt.NDArray[np.int64], limit: int) -> bool:
    """Whether one is larger than this or smaller than minus this. (numpy's abs of -2^63 is negative.)"""
    return bool(np.any(values > limit) or np.any(values < -limit))


def all_match(texts: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(texts, pattern)).as_py() in (True, None)


def longest(texts: pa.Array) -> int:
    """Bytes."""
    return pc.max(pc.binary_length(texts)).as_py() or 0


def _any_text(texts: pa.Array, rows: Bools) -> bool:
    """Whether one of these rows has a text."""
    return bool(np.any((np.asarray(pc.binary_length(texts)) > 0) & rows))


def _is_metadata(text: str) -> bool:
    """Nothing, or an object of texts as the doors write it: answers read it again."""
    if not text:
        return True
    try:
        value: Any = json.loads(text)
        return (
            isinstance(value, dict)
            and all(isinstance(each, str) for each in value.values())
            and json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) == text
        )
    except (ValueError, RecursionError):
        return False
