"""What a block is decided from, as columns: what time asks for, then commands of clients and messages between partitions, in
the order of their records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block import limits
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.fold import row_keys_of
from write_side.contract.state.fold_ids import id_words
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.pending_columns import (
    ID_A,
    ID_B,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_IF_AVAILABLE,
    LEG_IF_VERSION,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_WIDTH,
    WHAT,
    What,
)
from write_side.contract.state.state import WORLD_KEY, State, string_keys, word_hash
from write_side.contract.words.codes import Kind
from write_side.ledger.commands import rich_columns as rich
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.fingerprint import rich_fingerprints, transfer_fingerprints
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.commands.weights import due_weights, first_fitting
from write_side.ledger.rules.asked import Commands

Int64s = npt.NDArray[np.int64]
_WORLD_A, _WORLD_B = WORLD_KEY
_RICH: Final = Commands._fields.index("rich")
_OPEN: Final = np.uint8(Kind.OPEN)
_TRANSFER: Final = np.uint8(Kind.TRANSFER)
_NONE: Final = np.empty(0, np.int64)
_NO_RICH_ROWS: Final = np.empty((0, rich.WIDTH), np.int64)
_NO_LEGS: Final = np.empty((0, LEG_WIDTH), np.int64)
"""Made once: most blocks have none of them, and in a block of one whatever is made for nothing costs as much as its command."""


class Gathered(NamedTuple):
    """n rows of a block, in the order in which they are decided.

    ids uint8[n, 16], of an opening its account key; back, row int64[n]; batch: every command of a client; client int64[n]: row in
    `batch`, -1 for none; opening_assets: numbers of the assets of openings; openings: how many there are.
    """

    ids: npt.NDArray[np.uint8]
    back: Int64s
    row: Int64s
    commands: Commands
    batch: CommandBatch
    client: Int64s
    opening_assets: npt.NDArray[Any]
    openings: int


@njit(cache=True, nogil=True)
def _away(kind, rich_of, debit, credit, partition, partitions, world_a, world_b):  # type: ignore[no-untyped-def]
    """Rows of plain transfers with an account in another partition, by their keys, uint64[2, n]; `@world` lives in each."""
    rows, n = np.empty(kind.size, np.int64), 0
    for i in range(kind.size):
        if kind[i] != _TRANSFER or rich_of[i] >= 0:
            continue
        for keys in (debit, credit):
            is_world = keys[0, i] == world_a and keys[1, i] == world_b
            if keys[0, i] % partitions != partition and not is_world:
                rows[n] = i
                n += 1
                break
    return rows[:n]


def gather(
    state: State,
    batches: Sequence[CommandBatch | StepBatch],
    back: Int64s,
    row: Int64s,
    *,
    partitions: int,
    created_at_us: int,
) -> Gathered:
    """The columns of a block. back, row: the place of each command of the batches, int64[...]."""
    due = _due(state, created_at_us)
    clients = _Clients(state, [batch for batch in batches if isinstance(batch, CommandBatch)], partitions)
    steps = StepBatch.concatenated([batch for batch in batches if isinstance(batch, StepBatch)])
    commands, ids, n = clients.commands, clients.ids, len(clients.batch)
    client = np.arange(n)
    if len(due) or len(steps):
        at_due, at_client, at_step = _places(len(due), batches)
        total = len(due) + n + len(steps)
        kind = np.empty(total, np.uint8)
        kind[at_due] = np.where(state.pending.rows[due, WHAT] == What.HOLD, Kind.EXPIRE, Kind.TIMEOUT)
        kind[at_client], kind[at_step] = commands.kind, steps.kind
        ids = np.empty((total, 16), np.uint8)
        ids[at_due] = np.ascontiguousarray(state.pending.rows[due, ID_A : ID_B + 1]).view(np.uint8).reshape(-1, 16)
        ids[at_client], ids[at_step] = clients.ids, steps.ids
        spread = [_spread(column, at_client, total) for column in commands[2:_RICH]]
        rich_of = np.full(total, -1, np.int64)
        rich_of[at_client] = commands.rich
        rich_of[at_due] = len(commands.rich_rows) + np.arange(len(due))
        rich_of[at_step] = len(commands.rich_rows) + len(due) + np.arange(len(steps))
        due_rows = np.zeros((len(due), rich.WIDTH), np.int64)
        rich_rows = np.concatenate((commands.rich_rows, due_rows, _rows_of_steps(steps, len(commands.legs))))
        legs = np.concatenate((commands.legs, _step_legs(steps)))
        commands = Commands._make((kind, id_words(ids), *spread, rich_of, rich_rows, legs))
        client = np.full(total, -1, np.int64)
        client[at_client] = np.arange(n)
        back = np.concatenate((np.zeros(len(due), np.int64), back))
        row = np.concatenate((np.zeros(len(due), np.int64), row))
    return Gathered(ids, back, row, commands, clients.batch, client, clients.opening_assets, clients.openings)


def _due(state: State, created_at_us: int) -> Int64s:
    """Rows of the pending table that time ends now, in (deadline, id) order."""
    first_us = state.pending.first_due_us()
    if first_us is None or first_us > created_at_us:
        return _NONE
    due = state.pending.due(created_at_us, limits.DUE_MAX)
    return due[: first_fitting(due_weights(state.pending.rows[due]), limits.DUE_BYTES_MAX)] if due.size else due


def _places(due: int, batches: Sequence[CommandBatch | StepBatch]) -> tuple[npt.NDArray[np.intp], ...]:
    """Where the rows of each sort stand among all: what is due first, the batches in their order."""
    of_step = np.repeat([isinstance(batch, StepBatch) for batch in batches], [len(batch) for batch in batches])
    of_step = of_step.astype(np.bool_)
    return np.arange(due), due + np.flatnonzero(~of_step), due + np.flatnonzero(of_step)


def _spread(column: npt.NDArray[Any], at: npt.NDArray[np.intp], total: int) -> npt.NDArray[Any]:
    wide = np.zeros((*column.shape[:-1], total), column.dtype)
    wide[..., at] = column
    return wide


def _rows_of_steps(steps: StepBatch, first: int) -> Int64s:
    rich_rows = np.zeros((len(steps), rich.WIDTH), np.int64)
    for at, column in (
        (rich.HOME, steps.home), (rich.STEP, steps.step), (rich.ACTION, steps.action), (rich.OPTION, steps.option),
        (rich.STATE, steps.state), (rich.CODE, steps.code), (rich.AVAILABLE, steps.available),
        (rich.SEQUENCE, steps.sequence), (rich.AT_US, steps.at_us), (rich.BEGUN, steps.begun), (rich.LOW, steps.low),
        (rich.FIRST, steps.first_leg[:-1] + first), (rich.LAST, steps.first_leg[1:] + first),
    ):  # fmt: skip
        rich_rows[:, at] = column
    return rich_rows


def _step_legs(steps: StepBatch) -> Int64s:
    legs = np.zeros((len(steps.amount), LEG_WIDTH), np.int64)
    legs[:, LEG_KEY_A : LEG_KEY_B + 1] = np.ascontiguousarray(steps.key).view("<i8").reshape(-1, 2)
    legs[:, LEG_ASSET], legs[:, LEG_AMOUNT] = steps.asset, steps.amount
    legs[:, LEG_IF_VERSION], legs[:, LEG_IF_AVAILABLE] = steps.if_version, steps.if_available
    return legs


def _unused_word(state: State, word: np.int64) -> np.int64:
    """A word for an asset that no account of this partition has."""
    taken = set(state.asset_hashes.view(np.int64).tolist())
    return np.int64(next(other for other in range(int(word) ^ 1, 2**63) if other not in taken))


class _Clients:
    """The commands of clients as columns."""

    def __init__(self, state: State, batches: list[CommandBatch], partitions: int) -> None:
        self._state, self._partitions = state, np.uint64(partitions)
        batch = self.batch = CommandBatch.concatenated(batches) if batches else CommandBatch.of([])
        n = len(batch)
        self._debit, self._credit = string_keys(batch.debit), string_keys(batch.credit)
        opening = (batch.kind == _OPEN).nonzero()[0]
        asset = self._asset_numbers(opening)
        self.openings, self.opening_assets = opening.size, np.unique(asset[opening]) if opening.size else _NONE
        # A command without an asset has -1 there, and finds the word behind the last.
        self._hashes = np.array([*map(word_hash, batch.assets), 0], np.uint64)
        hashes = self._hashes[batch.asset]
        # In legs an asset is its hash. One that has another's hash and is not that asset gets a word that no account here has.
        self._words = self._hashes.view(np.int64).copy()
        for number, name in enumerate(batch.assets):
            if state.colliding(name, self._hashes[number]) is not None:
                self._words[number] = _unused_word(state, self._words[number])
        row_keys = np.zeros(n, np.uint64)
        self.ids = batch.ids
        if opening.size:
            owners = batch.owner.take(pa.array(opening)).to_pylist()
            row_keys[opening] = row_keys_of(self._debit[:, opening], hashes[opening], owners)
            self.ids = batch.ids.copy()
            keys = np.ascontiguousarray(self._debit[:, opening].T)
            self.ids[opening] = keys.view(np.uint8).reshape(-1, 16)
        prints = transfer_fingerprints(hashes, self._debit, self._credit, batch.amount)
        rich_of = np.full(n, -1, np.int64)
        self.rich_rows, self.legs = _NO_RICH_ROWS, _NO_LEGS
        if batch.details is not None:
            prints[:, batch.details.row] = self._add_details()
            rich_of[batch.details.row] = np.arange(len(batch.details))
        if partitions > 1:
            away = _away(
                batch.kind, rich_of, self._debit, self._credit, np.uint64(state.partition), self._partitions,
                _WORLD_A, _WORLD_B,
            )  # fmt: skip
            if away.size:
                rich_of[away] = len(self.rich_rows) + np.arange(away.size)
                self._add_plain(away)
        self.commands = Commands._make((
            batch.kind, id_words(self.ids), *self._debit, *self._credit, batch.amount, asset, prints, row_keys,
            batch.chain.astype(np.int64), rich_of, self.rich_rows, self.legs,
        ))  # fmt: skip

    def _asset_numbers(self, opening: npt.NDArray[np.intp]) -> Int64s:
        """This process's numbers of the batch's assets; a new one gets its number only from an account that is new too."""
        state, batch = self._state, self.batch
        numbers = [*(state.asset_number(name) for name in batch.assets), -1]
        if opening.size == 0:
            return np.array(numbers, np.int64)[batch.asset]
        # Only openings give an asset a number: one of a name that collides stays without, and is refused (`openings.standing`).
        for i in opening[np.array(numbers)[batch.asset[opening]] < 0].tolist():
            asset = batch.asset[i]
            known = find_row(state.rows, state.slots, state.secret, self._debit[0, i], self._debit[1, i]) >= 0
            is_new = numbers[asset] < 0 and not known and state.colliding(batch.assets[asset]) is None
            if is_new and self._debit[0, i] % self._partitions == state.partition:
                numbers[asset] = state.intern_asset(batch.assets[asset])
        return np.array(numbers, np.int64)[batch.asset]

    def _add_details(self) -> npt.NDArray[np.uint64]:
        """Rich rows and legs of the commands with details; their fingerprints."""
        details, batch = self.batch.details, self.batch
        assert details is not None
        keys = string_keys(details.account)
        legs = np.zeros((len(details.leg_amount), LEG_WIDTH), np.int64)
        legs[:, LEG_KEY_A], legs[:, LEG_KEY_B] = keys.view(np.int64)
        legs[:, LEG_ASSET] = self._words[details.leg_asset]
        legs[:, LEG_AMOUNT] = details.leg_amount
        legs[:, LEG_IF_VERSION], legs[:, LEG_IF_AVAILABLE] = details.if_version, details.if_available
        rich_rows = np.zeros((len(details), rich.WIDTH), np.int64)
        rich_rows[:, rich.OTHER_A : rich.OTHER_B + 1] = np.ascontiguousarray(details.other).view("<i8").reshape(-1, 2)
        rich_rows[:, rich.OPTION], rich_rows[:, rich.DEADLINE_US] = details.option, details.deadline_us
        rich_rows[:, rich.FIRST], rich_rows[:, rich.LAST] = details.first_leg[:-1], details.first_leg[1:]
        self.rich_rows, self.legs = rich_rows, legs
        rows = details.row
        said = np.column_stack(
            (rich_rows[:, : rich.DEADLINE_US + 1], batch.amount[rows], *self._debit[:, rows].view(np.int64))
        )
        notes = list(zip(details.reference.to_pylist(), details.metadata.to_pylist(), strict=True))
        # The legs of a reversal are the intake's, not the client's: it says only what it reverses.
        ends = np.where(batch.kind[rows] == Kind.REVERSE, details.first_leg[:-1], details.first_leg[1:])
        return rich_fingerprints(batch.kind[rows], said, legs, (details.first_leg[:-1], ends), notes)

    def _add_plain(self, away: Int64s) -> None:
        """Rich rows and legs of plain transfers to another partition."""
        batch, first = self.batch, len(self.legs)
        legs = np.zeros((2 * away.size, LEG_WIDTH), np.int64)
        for side, keys, sign in ((0, self._debit, -1), (1, self._credit, 1)):
            legs[side::2, LEG_KEY_A], legs[side::2, LEG_KEY_B] = keys[:, away].view(np.int64)
            legs[side::2, LEG_AMOUNT] = sign * batch.amount[away]
            legs[side::2, LEG_ASSET] = self._words[batch.asset[away]]
        legs[:, LEG_IF_VERSION], legs[:, LEG_IF_AVAILABLE] = -1, NOT_TOLD
        rich_rows = np.zeros((away.size, rich.WIDTH), np.int64)
        rich_rows[:, rich.FIRST] = first + 2 * np.arange(away.size)
        rich_rows[:, rich.LAST] = rich_rows[:, rich.FIRST] + 2
        self.rich_rows, self.legs = np.concatenate((self.rich_rows, rich_rows)), np.concatenate((self.legs, legs))
