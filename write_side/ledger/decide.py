"""decide: state + commands -> block. Makes the columns that `rules.py` runs over, and a block's sections of what it says.

Any cutting of a command stream into blocks gives the same outcomes, given the times (`tests/unit/write_side/ledger`).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.account_rows import settle
from write_side.contract.atoms import NO_FLOOR, TRANSIT, WORLD
from write_side.contract.codes import Code, Kind
from write_side.contract.columns import NOT_TOLD
from write_side.contract.fold import id_words, row_keys_of
from write_side.contract.hash_index import find_row
from write_side.contract.state import TRANSIT_KEY, WORLD_KEY, State, string_keys, word_hash
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.fingerprint import transfer_fingerprints
from write_side.ledger.rules import decide_loop

ID_WINDOW_US: Final = 7 * 24 * 3600 * 1_000_000
"""Ids are remembered this long at least, unless the table reaches its bound before."""
ID_LATE_US: Final = 10 * 1_000_000
"""A request is decided at most this long after its id was made: the table's bound never refuses so young an id, and grows
instead. Without it a client that makes its ids ahead of time could push the cut-off up to now, and everybody out."""
CUT_OFF_STEP_US: Final = 3600 * 1_000_000
"""The cut-off follows the window in steps, because forgetting passes over the whole table."""

_IS_REFUSAL: Final = np.array([code not in (Code.DONE, Code.REPEATED, Code.EXISTS) for code in range(256)])


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
            known = find_row(state.rows, state.slots, state.secret, self.debit[0, i], self.debit[1, i]) >= 0
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
