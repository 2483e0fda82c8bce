"""fold: state + block -> state. The one way in which anybody but the deciding writer changes a `State`.

Every check of the design is made on the way: the block is well formed (`grammar.py`), account numbers dense, version = held + 1,
the entries of every outcome sum to zero for every asset, limits kept, and at the end the state digest equals the header's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.block.loop_columns import EntryColumns
from write_side.contract.compiled.compiled import njit
from write_side.contract.compiled.prefetch import AHEAD, prefetch_row
from write_side.contract.state.account_rows import (
    ASSET_SHIFT,
    FLAGS_AND_ASSET,
    HELD,
    POSTED,
    VERSION,
    AccountIndex,
    Accounts,
    OpenedAccounts,
    add_accounts,
    asset_of,
    settle,
    touch_all,
)
from write_side.contract.state.fold_ids import id_words, remember
from write_side.contract.state.fold_pending import fold_pending
from write_side.contract.state.state import State, identity_keys, string_keys, word_hash
from write_side.contract.state.texts import Joined
from write_side.contract.words.atoms import LIMIT, NO_FLOOR, TRANSIT, WORLD
from write_side.contract.words.codes import Code, Kind

Int64s = npt.NDArray[np.int64]

Fingerprints = Callable[[State, Block, Int64s], npt.NDArray[np.uint64]]
"""(state with the block's accounts opened, block, delta of each entry) -> uint64[2, outcomes]."""

_LIMIT: Final = LIMIT

FAULTS: Final = {
    2: "an entry names an account that does not exist",
    3: "an entry's version is not the held one + 1",
    4: "an entry's balance passes 10^18",
    5: "the entries of an outcome do not sum to zero for an asset",
    6: "the changes of an outcome pass 64 bits",
    7: "an entry does not tell what is held",
}

OPENED_TWICE: Final = "an account is opened twice"
OTHER_DIGEST: Final = "the state digest is not the header's"


class CheckFailed(Exception):
    """A block of the chain does not follow from the state before it: the writer that made it was wrong, or memory was.

    The partition stops; `sequence` is the block that failed.
    """

    def __init__(self, partition: int, sequence: int, what: str) -> None:
        super().__init__(
            f"partition {partition} stops at block {sequence}: {what}. Balances up to block {sequence - 1} are good. "
            "Keep the log as it is and run `fanfold verify`."
        )
        self.partition = partition
        self.sequence = sequence
        self.what = what


@njit(cache=True, nogil=True)
def fold_entries(accounts, count, digest, entries, at_us, deltas, sums):  # type: ignore[no-untyped-def]
    """Apply `EntryColumns` in order; 0 or a fault number. sums: int64 by asset, zero between outcomes; deltas: int64[n],
    written."""
    rows, outcome, account = accounts.rows, entries.outcome, entries.account
    held_entry, held_after, flags_entry, flags_after = (
        entries.held_entry, entries.held, entries.flags_entry, entries.flags,
    )  # fmt: skip
    if not touch_all(accounts, count, digest, account, at_us):
        return 2
    next_held = held_entry[0] if held_entry.size else -1
    next_flags = flags_entry[0] if flags_entry.size else -1
    helds = flaggeds = 0
    first = 0
    for i in range(account.size):
        number = account[i]
        if i + AHEAD < account.size:
            prefetch_row(rows, account[i + AHEAD])
        after = entries.posted[i]
        if after > _LIMIT or after < -_LIMIT:
            return 4
        if entries.version[i] != rows[number, VERSION] + 1:
            return 3
        delta = after - rows[number, POSTED]
        deltas[i] = delta
        asset = asset_of(rows, number)
        total = sums[asset] + delta
        if (sums[asset] ^ total) & (delta ^ total) < 0:
            return 6
        sums[asset] = total
        rows[number, POSTED] = after
        rows[number, VERSION] += 1
        if i == next_held:
            if held_after[helds] < 0 or held_after[helds] > _LIMIT:
                return 4
            rows[number, HELD] = held_after[helds]
            helds += 1
            next_held = held_entry[helds] if helds < held_entry.size else -1
        elif rows[number, HELD] != 0:
            return 7
        if i == next_flags:
            rows[number, FLAGS_AND_ASSET] = (asset << ASSET_SHIFT) | flags_after[flaggeds]
            flaggeds += 1
            next_flags = flags_entry[flaggeds] if flaggeds < flags_entry.size else -1
        if i + 1 == account.size or outcome[i + 1] != outcome[i]:
            for j in range(first, i + 1):
                if sums[asset_of(rows, account[j])] != 0:
                    return 5
            first = i + 1
    return 0


def fold(state: State, block: Block, fingerprints: Fingerprints | None = None) -> None:
    """Apply an accepted block.

    `fingerprints` recomputes those of the block's transfers, kept with their ids by a writer that will go on deciding; readers
    leave it out. Raises CheckFailed; the state is then unusable. The caller has applied the chain rule.
    """
    with state.lock:
        _fold(state, block, fingerprints)


def changed_accounts(state: State, since_us: int, changed: Sequence[Int64s]) -> Int64s:
    """The numbers of the accounts that blocks after `since_us`, just folded, changed: each once, rising.

    changed: their accounts, block by block. Many: look for the times of those blocks in the whole column; few: sort the few.
    """
    entries = sum(map(len, changed))
    if entries == 0:
        return np.empty(0, np.int64)
    if entries * 16 > state.count:
        with state.lock:
            return np.flatnonzero(state.changed_at_us[: state.count] > since_us)
    return np.unique(np.concatenate(changed))


def _fold(state: State, block: Block, fingerprints: Fingerprints | None) -> None:
    header, entries = block.header, block.entries
    fail = _Failure(state.partition, header.sequence)
    if header.created_at_us <= state.chained.created_at_us:
        raise fail("its time does not rise")
    if not state.chained.refuse_ids_before_us <= header.refuse_ids_before_us <= header.created_at_us:
        raise fail("the cut-off of ids falls or lies in the future")
    if header.consumed_to < state.chained.consumed_to:
        raise fail("the place in the command queue falls")
    if header.partitions and state.chained.partitions not in (0, header.partitions):
        raise fail(
            f"it was written for a log of {header.partitions} partitions, and this one has {state.chained.partitions}"
        )
    if fault := grammar_fault(block):
        raise fail(fault)
    touched = np.zeros(len(entries["account"]) + len(block.accounts["number"]) + 1, np.int64)
    open_accounts(state, block, touched)
    sums = np.zeros(max(1, len(state.asset_names)), np.int64)
    deltas = np.empty(len(entries["account"]), np.int64)
    columns = EntryColumns(
        entries["outcome"], entries["account"], entries["posted"], entries["version"], block.held["entry"],
        block.held["held"], block.flags["entry"], block.flags["flags"],
    )  # fmt: skip
    accounts = Accounts(state.rows, state.changed_at_us, touched)
    failed = fold_entries(accounts, state.count, state.digest, columns, header.created_at_us, deltas, sums)
    if failed:
        raise fail(FAULTS[failed])
    settle(state.rows, touched, state.digest)
    if fault := fold_pending(state, block):
        raise fail(fault)
    try:
        prints = None if fingerprints is None else fingerprints(state, block, deltas)
    except ValueError as error:
        raise fail("a leg's account id is too long") from error
    if fault := remember(state, block, prints, columns, deltas):
        raise fail(fault)
    if state.digest_bytes(header.refuse_ids_before_us) != header.digest:
        raise fail(OTHER_DIGEST)
    state.chained.advance(header)


def open_accounts(state: State, block: Block, touched: Int64s) -> None:
    """Apply the accounts section, noting the new rows in `touched` (see `account_rows.touch`). Raises CheckFailed."""
    opened = block.accounts
    numbers: Int64s = opened["number"]
    fail = _Failure(state.partition, block.header.sequence)
    done = (block.outcomes["kind"] == Kind.OPEN) & (block.outcomes["code"] == Code.DONE)
    if not np.array_equal(numbers, np.arange(state.count, state.count + len(numbers))):
        raise fail("account numbers are not dense")
    if len(numbers) == 0 and not done.any():
        return
    names, assets, owners = opened["id"], opened["asset"], opened["owner"]
    hidden = np.array([name.startswith("@") for name in names], np.bool_)
    state.reserve_accounts(len(numbers))
    asset_numbers = np.array([state.intern_asset(asset) for asset in assets], np.int64)
    keys = string_keys(names)
    if not np.array_equal(id_words(block.outcomes["id"][done]), keys[:, ~hidden].T):
        raise fail("the accounts are not those of its openings")
    partitions = np.uint64(block.header.partitions or state.chained.partitions)
    if partitions and np.any(keys[0, ~hidden] % partitions != state.partition):
        raise fail(f"an account of another partition is opened, if the log has {partitions} partitions")
    row_keys = row_keys_of(keys, state.asset_hashes[asset_numbers], owners)
    accounts, index = Accounts(state.rows, state.changed_at_us, touched), AccountIndex(state.slots, state.secret)
    columns = OpenedAccounts(
        numbers, opened["floor"], opened["flags"], keys[0], keys[1], asset_numbers, row_keys, hidden
    )
    if not add_accounts(accounts, index, columns, 0, len(numbers), block.header.created_at_us):
        raise fail(OPENED_TWICE)
    for i in np.flatnonzero(hidden):
        table = {WORLD: state.world, TRANSIT: state.transit}[names[i]]
        if table[asset_numbers[i]] >= 0 or opened["floor"][i] != NO_FLOOR:
            raise fail("a system account is there twice or has a floor")
        table[asset_numbers[i]] = numbers[i]
    state.put_names(state.count, Joined.of(names))
    state.owners.extend(owners)
    state.count += len(numbers)


def row_keys_of(
    keys: npt.NDArray[np.uint64], asset_hashes: npt.NDArray[np.uint64], owners: list[str]
) -> npt.NDArray[np.uint64]:
    """The digest's word for id, asset and owner of n accounts. keys: uint64[2, n]."""
    owner_hash = {owner: word_hash(owner) for owner in set(owners)}
    out = np.empty(len(owners), np.uint64)
    identity_keys(keys[0], keys[1], asset_hashes, np.array([owner_hash[owner] for owner in owners], np.uint64), out)
    return out


class _Failure:
    def __init__(self, partition: int, sequence: int) -> None:
        self.partition = partition
        self.sequence = sequence

    def __call__(self, what: Any) -> CheckFailed:
        return CheckFailed(self.partition, self.sequence, str(what))
