"""decide: state + commands -> block. The rules of the money, as one plain loop over integer columns in command order.

No clock, no I/O, no texts inside: account ids are their BLAKE3-128 keys, assets are small numbers, time is an argument.
The loop below is compiled by numba and is its own specification: run uncompiled it gives the same outcomes, and any
cutting of a command stream into blocks gives the same outcomes too, given the times (`tests/unit/write_side/ledger`).

The conditions of a transfer are tested in the order of `codes.PRECEDENCE`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.account_rows import (
    FLOOR,
    HELD,
    POSTED,
    ROW_KEY,
    VERSION,
    add_account,
    asset_of,
    find_account,
    prefetch_account,
    settle,
    touch,
)
from write_side.contract.atoms import LIMIT, NO_FLOOR, TRANSIT, WORLD
from write_side.contract.codes import Code, Kind
from write_side.contract.columns import NOT_TOLD
from write_side.contract.compiled import njit
from write_side.contract.digest import mix_id
from write_side.contract.fold import id_words, row_keys_of, time_of_id
from write_side.contract.hash_index import prefetch_home
from write_side.contract.ids import FINGERPRINT_A, FINGERPRINT_B, ROW, SEQUENCE, find_id, put_id
from write_side.contract.prefetch import AHEAD
from write_side.contract.state import TRANSIT_KEY, WORLD_KEY, State, string_keys, word_hash
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.fingerprint import transfer_fingerprints

ID_WINDOW_US: Final = 7 * 24 * 3600 * 1_000_000
"""Ids are remembered this long at least, unless the table reaches its bound before."""
ID_AHEAD_US: Final = 5 * 60 * 1_000_000
"""A client's clock may be this far ahead of ours."""
ID_LATE_US: Final = 10 * 1_000_000
"""A request is decided at most this long after its id was made: the table's bound never refuses so young an id, and grows
instead. Without it a client that makes its ids ahead of time could push the cut-off up to now, and everybody out."""
CUT_OFF_STEP_US: Final = 3600 * 1_000_000
"""The cut-off follows the window in steps, because forgetting passes over the whole table."""

_OPEN: Final = int(Kind.OPEN)
(
    _DONE,
    _EXISTS,
    _REPEATED,
    _REUSED,
    _EXPIRED,
    _FUTURE,
    _DIFFER,
    _UNKNOWN,
    _MISMATCH,
    _INSUFFICIENT,
    _LIMITED,
    _OTHER_TERMS,
) = (int(code) for code in Code)
_IS_REFUSAL: Final = np.array([code not in (Code.DONE, Code.REPEATED, Code.EXISTS) for code in range(256)])
_LIMIT: Final = LIMIT
_NO_FLOOR: Final = np.int64(NO_FLOOR)
_WORLD_A, _WORLD_B = WORLD_KEY
_TRANSIT_A, _TRANSIT_B = TRANSIT_KEY
_NEW_WORLD: Final = -1
_NEW_TRANSIT: Final = -2


@njit(inline="always")
def _change(rows, changed_at_us, touched, digest, number, delta, at_us):  # type: ignore[no-untyped-def]
    touch(rows, changed_at_us, touched, digest, number, at_us)
    rows[number, POSTED] += delta
    rows[number, VERSION] += 1


@njit(inline="always")
def _number(rows, slots, secret, world, a, b, asset):  # type: ignore[no-untyped-def]
    """The account's number, negative when there is none; `@world` is the one of the asset."""
    if a == _WORLD_A and b == _WORLD_B:
        return world[asset] if asset >= 0 else np.int64(-1)
    return find_account(rows, slots, secret, a, b)


@njit(inline="always")
def _elsewhere(a, b, partition, partitions):  # type: ignore[no-untyped-def]
    return not (a == _WORLD_A and b == _WORLD_B) and a % partitions != partition


@njit(inline="always")
def _transfer_code(rows, debit, credit, asset, amount):  # type: ignore[no-untyped-def]
    """The code of a transfer between two looked-up accounts, and the debited one's available (`NOT_TOLD` if irrelevant)."""
    if debit < 0 or credit < 0:
        return _UNKNOWN, np.int64(_NO_FLOOR)
    if asset_of(rows, debit) != asset or asset_of(rows, credit) != asset:
        return _MISMATCH, np.int64(_NO_FLOOR)
    posted, floor = rows[debit, POSTED], rows[debit, FLOOR]
    if floor != _NO_FLOOR and posted - rows[debit, HELD] - floor < amount:
        return _INSUFFICIENT, posted - rows[debit, HELD] - floor
    if posted - amount < -_LIMIT or rows[credit, POSTED] + amount > _LIMIT:
        return _LIMITED, np.int64(_NO_FLOOR)
    return _DONE, np.int64(_NO_FLOOR)


@njit(cache=True, nogil=True)
def decide_loop(start, raised, commands, accounts, lookup, systems, ids, digest, times, output, counts):  # type: ignore[no-untyped-def]
    """Decide commands from `start` on; returns the index reached: all, or where the id table asks for a higher cut-off.

    commands: kind uint8[n], id uint64[n, 2], debit_a, debit_b, credit_a, credit_b uint64[n], amount int64[n], asset int64[n],
    fingerprint uint64[2, n], row_key uint64[n] (openings).  accounts: rows, changed_at_us, touched.
    lookup: slots, secret, partition, partitions (uint64).
    systems: world, transit int64[assets], their row keys uint64[assets].  ids: rows, slots, secret, ids_max.
    times: created_at_us, sequence, refuse_ids_before_us.  output: code uint8[n], available int64[n], repeat_sequence,
    repeat_row int64[n], entry outcome, account, posted, version int64[2n], opened int64[...] (command, or a negative for system).
    counts: accounts, ids, entries, opened (int64[4], changed).  `raised`: the cut-off was just raised for `start`.
    """
    kind, id_pairs, debit_a, debit_b, credit_a, credit_b, amounts, assets, prints, row_keys = commands
    slots, secret, partition, partitions = lookup
    world, transit, world_keys, transit_keys = systems
    id_rows, id_slots, id_secret, ids_max = ids
    at_us, sequence, refuse_before_us = times
    codes, available, repeat_sequence, repeat_row, entry_outcome, entry_account, entry_posted, entry_version, opened = (
        output
    )
    rows, changed_at_us, touched = accounts
    step = max(np.int64(1), ids_max // 16)
    for i in range(start, kind.size):
        if i + 2 * AHEAD < kind.size:
            ahead = i + 2 * AHEAD
            prefetch_home(id_slots, id_pairs[ahead, 0], id_pairs[ahead, 1], id_secret)
            prefetch_home(slots, debit_a[ahead], debit_b[ahead], secret)
            prefetch_home(slots, credit_a[ahead], credit_b[ahead], secret)
            prefetch_account(rows, slots, secret, debit_a[i + AHEAD], debit_b[i + AHEAD])
            prefetch_account(rows, slots, secret, credit_a[i + AHEAD], credit_b[i + AHEAD])
        asset = assets[i]
        amount = amounts[i]
        if kind[i] == _OPEN:
            if _elsewhere(debit_a[i], debit_b[i], partition, partitions):
                codes[i] = _DIFFER
                continue
            number = find_account(rows, slots, secret, debit_a[i], debit_b[i])
            if number >= 0:
                same = np.uint64(rows[number, ROW_KEY]) == row_keys[i] and rows[number, FLOOR] == amount
                codes[i] = _EXISTS if same else _OTHER_TERMS
                continue
            if world[asset] < 0:
                world[asset] = counts[0]
                transit[asset] = counts[0] + 1
                add_account(
                    rows, changed_at_us, touched, slots, secret, counts[0], _WORLD_A, _WORLD_B, asset, world_keys[asset],
                    _NO_FLOOR, 0, at_us, True,
                )  # fmt: skip
                add_account(
                    rows, changed_at_us, touched, slots, secret, counts[0] + 1, _TRANSIT_A, _TRANSIT_B, asset,
                    transit_keys[asset], _NO_FLOOR, 0, at_us, True,
                )  # fmt: skip
                opened[counts[3]] = _NEW_WORLD - 2 * asset
                opened[counts[3] + 1] = _NEW_TRANSIT - 2 * asset
                counts[0] += 2
                counts[3] += 2
            add_account(
                rows, changed_at_us, touched, slots, secret, counts[0], debit_a[i], debit_b[i], asset, row_keys[i],
                amount, 0, at_us, False,
            )  # fmt: skip
            opened[counts[3]] = i
            counts[0] += 1
            counts[3] += 1
            codes[i] = _DONE
            continue

        id_a, id_b = id_pairs[i, 0], id_pairs[i, 1]
        free = find_id(id_rows, id_slots, id_secret, id_a, id_b)
        if free >= 0:
            if id_rows[free, FINGERPRINT_A] == prints[0, i] and id_rows[free, FINGERPRINT_B] == prints[1, i]:
                codes[i] = _REPEATED
                repeat_sequence[i] = np.int64(id_rows[free, SEQUENCE])
                repeat_row[i] = np.int64(id_rows[free, ROW])
            else:
                codes[i] = _REUSED
            continue
        id_time_us = time_of_id(id_a, id_b, at_us)
        if id_time_us < refuse_before_us:
            codes[i] = _EXPIRED
            continue
        if id_time_us > at_us + ID_AHEAD_US:
            codes[i] = _FUTURE
            continue
        if counts[1] >= ids_max and (counts[1] - ids_max) % step == 0 and not (raised and i == start):
            return i
        put_id(
            id_rows,
            id_slots,
            id_secret,
            free,
            counts[1],
            id_a,
            id_b,
            prints[0, i],
            prints[1, i],
            sequence,
            i,
            id_time_us,
        )
        x, y = mix_id(id_a, id_b, id_time_us)
        digest[0] += x
        digest[1] += y
        counts[1] += 1

        if _elsewhere(debit_a[i], debit_b[i], partition, partitions) or _elsewhere(
            credit_a[i], credit_b[i], partition, partitions
        ):
            codes[i] = _DIFFER
            continue
        debit = _number(rows, slots, secret, world, debit_a[i], debit_b[i], asset)
        credit = _number(rows, slots, secret, world, credit_a[i], credit_b[i], asset)
        code, spendable = _transfer_code(rows, debit, credit, asset, amount)
        codes[i] = code
        available[i] = spendable
        if code != _DONE:
            continue
        _change(rows, changed_at_us, touched, digest, debit, -amount, at_us)
        _change(rows, changed_at_us, touched, digest, credit, amount, at_us)
        entry = counts[2]
        entry_outcome[entry] = i
        entry_account[entry] = debit
        entry_posted[entry] = rows[debit, POSTED]
        entry_version[entry] = rows[debit, VERSION]
        entry_outcome[entry + 1] = i
        entry_account[entry + 1] = credit
        entry_posted[entry + 1] = rows[credit, POSTED]
        entry_version[entry + 1] = rows[credit, VERSION]
        counts[2] = entry + 2
    return kind.size


class Decision(NamedTuple):
    """The sections of the block decided, the cut-off after it, and the digest of the state after it."""

    sections: dict[str, dict[str, Any]]
    refuse_ids_before_us: int
    digest: bytes


def decide(
    state: State,
    batch: CommandBatch,
    back: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    *,
    partitions: int,
    created_at_us: int,
    ids_max: int,
) -> Decision:
    """Decide a batch as the block after `state.chained`, changing the state.

    back, row: the place of each command (see `columns.OUTCOMES`), int64[n].  ids_max: when the id table holds this many, the
    cut-off rises to forget the older half.  `created_at_us` must be above the last block's.
    """
    with state.lock:
        return _Deciding(state, batch, partitions, created_at_us, ids_max).run(back, row)


class _Deciding:
    """The arrays of one call of `decide`."""

    def __init__(self, state: State, batch: CommandBatch, partitions: int, created_at_us: int, ids_max: int) -> None:
        self.state, self.batch, self.at_us, self.ids_max = state, batch, created_at_us, ids_max
        self.partitions = np.uint64(partitions)
        n = len(batch)
        self.debit, self.credit = string_keys(batch.debit), string_keys(batch.credit)
        opening = np.flatnonzero(batch.kind == Kind.OPEN)
        asset = self._asset_numbers(opening)
        self.opening_assets = np.unique(asset[opening])
        hashes = np.array([word_hash(name) for name in batch.assets], np.uint64)[batch.asset]
        row_keys = np.zeros(n, np.uint64)
        self.ids = batch.ids
        if opening.size:
            owners = batch.owner.take(pa.array(opening)).to_pylist()
            row_keys[opening] = row_keys_of(self.debit[:, opening], hashes[opening], owners)
            self.ids = batch.ids.copy()
            self.ids[opening] = np.ascontiguousarray(self.debit[:, opening].T).view(np.uint8).reshape(-1, 16)
        # A row is taken out of the digest when its time is not this block's (`account_rows.touch`): an equal time would hide it.
        assert created_at_us > state.chained.created_at_us, "the time of a block must rise"
        state.reserve_accounts(3 * opening.size)
        state.ids.reserve(n)
        self.commands = (
            batch.kind, id_words(self.ids), *self.debit, *self.credit, batch.amount, asset,
            transfer_fingerprints(hashes, self.debit, self.credit, batch.amount), row_keys,
        )  # fmt: skip
        self.lookup = (state.slots, state.secret, np.uint64(state.partition), np.uint64(partitions))
        self.output: tuple[Any, ...] = (
            np.empty(n, np.uint8), np.full(n, NOT_TOLD, np.int64), *(np.empty(n, np.int64) for _ in range(2)),
            *(np.empty(2 * n, np.int64) for _ in range(4)), np.empty(3 * opening.size, np.int64),
        )  # fmt: skip
        self.touched = np.zeros(2 * n + 3 * opening.size + 1, np.int64)
        self.counts = np.array([state.count, state.ids.count, 0, 0], np.int64)
        self.cut_off_us = state.chained.refuse_ids_before_us

    def _asset_numbers(self, opening: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """This process's numbers of the batch's assets; a new one gets its number only from an account that is new too."""
        state = self.state
        numbers = [state.asset_number(name) for name in self.batch.assets]
        for i in opening[np.array(numbers)[self.batch.asset[opening]] < 0].tolist():
            asset = self.batch.asset[i]
            known = find_account(state.rows, state.slots, state.secret, self.debit[0, i], self.debit[1, i]) >= 0
            if numbers[asset] < 0 and not known and self.debit[0, i] % self.partitions == state.partition:
                numbers[asset] = state.intern_asset(self.batch.assets[asset])
        return np.array(numbers, np.int64)[self.batch.asset]

    def _system_keys(self) -> tuple[npt.NDArray[np.uint64], ...]:
        """Row keys of `@world` and `@transit`, by asset number: only of those that this batch may have to open."""
        state = self.state
        missing = self.opening_assets[state.world[self.opening_assets] < 0]
        hashes = state.asset_hashes[missing]
        found = []
        for a, b in (WORLD_KEY, TRANSIT_KEY):
            keys = np.zeros(state.world.size, np.uint64)
            if missing.size:
                repeated = np.stack((np.full(missing.size, a), np.full(missing.size, b)))
                keys[missing] = row_keys_of(repeated, hashes, [""] * missing.size)
            found.append(keys)
        return tuple(found)

    def run(self, back: npt.NDArray[np.int64], row: npt.NDArray[np.int64]) -> Decision:
        state, n = self.state, len(self.batch)
        if self.at_us - ID_WINDOW_US - self.cut_off_us >= CUT_OFF_STEP_US:
            self._raise_cut_off(self.at_us - ID_WINDOW_US)
        world_keys, transit_keys = self._system_keys()
        systems = (state.world, state.transit, world_keys, transit_keys)
        reached, raised = 0, False
        while True:
            reached = decide_loop(
                reached, raised, self.commands, (state.rows, state.changed_at_us, self.touched), self.lookup, systems,
                (state.ids.rows, state.ids.slots, state.ids.secret, self.ids_max), state.digest,
                (self.at_us, state.chained.sequence + 1, self.cut_off_us), self.output, self.counts,
            )  # fmt: skip
            state.count, state.ids.count = int(self.counts[0]), int(self.counts[1])
            if reached == n:
                break
            # Whole seconds: where one block ends and the next begins, some microseconds on, must not show in the cut-off.
            latest_us = (self.at_us - ID_LATE_US) // 1_000_000 * 1_000_000
            self._raise_cut_off(min(state.ids.median_time_us(), latest_us))
            raised = True
        settle(state.rows, self.touched, state.digest)
        return Decision(self._sections(back, row), self.cut_off_us, state.digest_bytes(self.cut_off_us))

    def _raise_cut_off(self, cut_off_us: int) -> None:
        self.cut_off_us = max(self.cut_off_us, cut_off_us)
        self.state.ids.forget_before(self.cut_off_us, self.state.digest)
        self.counts[1] = self.state.ids.count

    def _sections(self, back: npt.NDArray[np.int64], row: npt.NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        code, available, repeat_sequence, repeat_row, *changes, opened = self.output
        entries = [column[: self.counts[2]] for column in changes]
        repeated = np.flatnonzero(code == Code.REPEATED)
        return {
            "accounts": self._opened(opened[: self.counts[3]]),
            "outcomes": {"id": self.ids, "kind": self.batch.kind, "code": code, "back": back, "row": row},
            "entries": dict(zip(("outcome", "account", "posted", "version"), entries, strict=True)),
            "repeats": {"outcome": repeated, "sequence": repeat_sequence[repeated], "row": repeat_row[repeated]},
            "legs": self._refused_legs(code, available),
        }

    def _opened(self, opened: npt.NDArray[np.int64]) -> dict[str, Any]:
        state, batch = self.state, self.batch
        names, assets, owners = [], [], []
        for command in opened.tolist():
            if command >= 0:
                names.append(batch.debit[command].as_py())
                assets.append(batch.assets[batch.asset[command]])
                owners.append(batch.owner[command].as_py())
            else:
                names.append(WORLD if (-command) % 2 else TRANSIT)
                assets.append(state.asset_names[(-command - 1) // 2])
                owners.append("")
        numbers = np.arange(state.count - len(opened), state.count)
        state.names += names
        state.assets += assets
        state.owners += owners
        columns = {"number": numbers, "id": names, "asset": assets, "owner": owners}
        return columns | {"floor": state.floor[numbers], "flags": state.flags[numbers]}

    def _refused_legs(self, code: npt.NDArray[np.uint8], available: npt.NDArray[np.int64]) -> dict[str, Any]:
        """The command again, two legs a refused transfer and one a refused opening, in command order."""
        refused = np.flatnonzero(_IS_REFUSAL[code])
        m = refused.size
        legs = np.stack(
            (np.arange(m), np.arange(m) + m), axis=1
        ).ravel()  # the debit of refusal k is k, its credit k + m
        transfer = self.batch.kind[refused] == Kind.TRANSFER
        legs = legs[(legs < m) | transfer[legs % m]] if m else legs
        outcome = refused[legs % m] if m else refused
        is_debit = legs < m
        sign = np.where(is_debit & (self.batch.kind[outcome] == Kind.TRANSFER), -1, 1)
        accounts = pa.concat_arrays([texts.take(pa.array(refused)) for texts in (self.batch.debit, self.batch.credit)])
        return {
            "outcome": outcome,
            "account": accounts.take(pa.array(legs)),
            "amount": np.where(self.batch.amount[outcome] == NO_FLOOR, NO_FLOOR, sign * self.batch.amount[outcome]),
            "asset": pa.array(self.batch.assets, pa.utf8()).take(pa.array(self.batch.asset[outcome])),
            "available": np.where(is_debit, available[outcome], NOT_TOLD),
        }
