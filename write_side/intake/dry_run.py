"""Dry run: what a command would do now, decided by the ledger itself on copies of the accounts it touches.

Nothing of it is kept. Everything is as the states have it at this moment, so the answer equals the real one as long as nobody
else changes these accounts in between. An id that was used before gets what it would get: its first outcome, or a refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from fanfold.api.problems import KEPT_BY_ID
from write_side.contract.block.block import Block
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.state.account_rows import (
    ASSET_SHIFT,
    FLAGS_AND_ASSET,
    AccountIndex,
    Accounts,
    NewAccount,
    add_account,
)
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.pending_columns import (
    FIRST_LEG,
    ID_A,
    ID_B,
    LEG_ASSET,
    LEG_COUNT,
    LEG_KEY_A,
    LEG_WIDTH,
    STEPS,
    WHAT,
    What,
)
from write_side.contract.state.pending_index import note_pending
from write_side.contract.state.pending_rows import add_leg, add_pending
from write_side.contract.state.state import Place, State, name_key, word_hash
from write_side.contract.tell.answers import PENDING_STATUS, Answer, BlockAnswers
from write_side.contract.tell.whole_answer import told_under_way, told_whole
from write_side.contract.words.atoms import WORLD, partition_of
from write_side.contract.words.codes import Code, Kind
from write_side.contract.words.position import Position
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Change, Command, OpenAccount, Reverse, Transfer, Void
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.look_back import EveryId
from write_side.ledger.deciding.next_block import next_block

ROUNDS_MAX: Final = 1_000
"""Messages of one transfer: two for each of 62 steps and phases, several times over. More means that it waits for a limit."""

Key = tuple[np.uint64, np.uint64]


def dry_run(
    states: Mapping[int, State],
    home: int,
    command: Command,
    partitions: int,
    wall_us: int,
    ids_max: int = 1 << 24,
    ever: EveryId | None = None,
) -> Answer | Place:
    """The answer that the command would get, or where its first outcome lies.

    states: of all partitions; each is locked while it is copied from.

    wall_us: the time, UTC microseconds; no earlier than the last block's is taken.  ids_max: as the writers have it.  ever: of
    home, see `decide.py`.
    """
    now_us = max(wall_us, *(state.chained.created_at_us + 1 for state in states.values()))
    copies = _Copies(states, home, command, partitions, now_us)
    blocks = deque([(home, _decided(copies.of(home), CommandBatch.of([command]), partitions, now_us, ids_max, ever))])
    position = Position(home, states[home].chained.sequence)
    answer: Answer | Place | None = None
    at_home: list[BlockAnswers] = []
    for _ in range(ROUNDS_MAX):
        if not blocks:
            break
        partition, block = blocks.popleft()
        if partition == home:
            at_home.append(BlockAnswers(block, copies.of(home)))
            answer = _last_answer(at_home[-1]) or answer
        for target, messages in messages_of_block(block).items():
            blocks.append((target, _decided(copies.of(target), messages, partitions, now_us, ids_max)))
    assert answer is not None, "the first block answers"
    if isinstance(answer, Place):
        return answer
    if "phase" in answer.document and not isinstance(command, OpenAccount):  # it goes across partitions
        answer = (
            told_under_way(answer, at_home[0], command.id)
            if answer.status == PENDING_STATUS
            else told_whole(answer, command.id, at_home)
        )
    document = {name: value for name, value in answer.document.items() if name not in ("steps", "phase")}
    if "code" in document:  # no id keeps the answer of a dry run
        document["detail"] = str(document["detail"]).removesuffix(KEPT_BY_ID)
    return Answer(answer.status, document | {"position": str(position), "dry_run": True})


def _last_answer(block: BlockAnswers) -> Answer | Place | None:
    """What a block of the home partition says of the command: begun or decided at once, or ended."""
    for row, outcome in enumerate(block.outcomes):
        kind, code = outcome.kind, outcome.code
        if kind is Kind.STEP or code is Code.STALE or (kind is Kind.ANSWER and code is Code.PENDING):
            continue
        if kind is not Kind.EXPIRE:
            return block.answer(row)
    return None


def _decided(
    state: State,
    batch: CommandBatch | StepBatch,
    partitions: int,
    now_us: int,
    ids_max: int,
    ever: EveryId | None = None,
) -> Block:
    offset = state.chained.consumed_to
    at_us = max(now_us, state.chained.created_at_us + 1)
    return next_block(
        state,
        [(offset, batch)],
        partitions=partitions,
        created_at_us=at_us,
        consumed_to=offset + 1,
        ids_max=ids_max,
        ever=ever,
    ).block


class _Copies:
    """States with nothing in them but what a command may touch."""

    def __init__(self, states: Mapping[int, State], home: int, command: Command, partitions: int, now_us: int) -> None:
        self._states = states
        self._now_us = now_us
        self._copies: dict[int, State] = {}
        self._hold = command.hold if isinstance(command, Capture | Void) else None
        self._changes = isinstance(command, Change)
        self._original = command.transfer if isinstance(command, Reverse) else None
        own = () if isinstance(command, OpenAccount) else (command.id,)
        self._ids = own if self._original is None else tuple({*own, self._original})
        self._keys: dict[int, list[Key]] = {partition: [] for partition in states}
        self._assets: set[str] = set()
        for account, asset in _accounts(command):
            if asset:
                self._assets.add(asset)
            if account != WORLD:
                self._keys[partition_of(account, partitions)].append(name_key(account))
        if self._hold is not None:
            self._add_legs_of_hold(states[home], self._hold, partitions)

    def of(self, partition: int) -> State:
        """The copy of one partition."""
        if partition not in self._copies:
            source = self._states[partition]
            with source.lock:
                self._copies[partition] = self._copy(source)
        return self._copies[partition]

    def _add_legs_of_hold(self, state: State, hold: bytes, partitions: int) -> None:
        with state.lock:
            row = state.pending.find(hold, What.HOLD)
            legs = np.zeros((0, LEG_WIDTH), np.int64) if row is None else state.pending.legs_of(row).copy()
            names = {int(word_hash(name).view(np.int64)): name for name in state.asset_names}
        for leg in legs:
            a, b = leg[LEG_KEY_A : LEG_KEY_A + 2].view(np.uint64)
            self._keys[int(a % np.uint64(partitions))].append((a, b))
            self._assets |= {names[int(leg[LEG_ASSET])]} if int(leg[LEG_ASSET]) in names else set()

    def _copy(self, source: State) -> State:
        copy = State(source.partition)
        copy.chained = replace(source.chained)
        numbers = [
            int(find_row(source.rows, source.slots, source.secret, a, b)) for a, b in self._keys[source.partition]
        ]
        found = list(dict.fromkeys(number for number in numbers if number >= 0))
        others = {other for asset in self._assets if (other := source.colliding(asset)) is not None}
        for asset in sorted(self._assets | others | {source.assets[number] for number in found}):
            at = source.asset_number(asset)
            if at >= 0 and source.world[at] >= 0:
                copy.world[copy.intern_asset(asset)] = _copy_account(source, copy, int(source.world[at]))
                copy.transit[copy.asset_number(asset)] = _copy_account(source, copy, int(source.transit[at]))
        for number in found:
            _copy_account(source, copy, number)
        copy.ids.reserve(2)
        for id16 in self._ids:
            _copy_id(source, copy, id16)
        copy.ids.copy_rule(source.ids, self._now_us)
        if self._original is not None:
            _copy_pending(source, copy, self._original, What.REVERSAL)
        if self._hold is not None:
            _copy_pending(source, copy, self._hold, What.HOLD)
        if self._changes:  # money that is on its way to an account keeps it from being closed
            for key in self._keys[source.partition]:
                copy.pending.count_open(key, source.pending.open_legs(key))
        return copy


def _accounts(command: Command) -> Iterable[tuple[str, str]]:
    if isinstance(command, OpenAccount | Change):
        return [(command.account, command.asset if isinstance(command, OpenAccount) else "")]
    if isinstance(command, Transfer):
        return [(command.debit, command.asset), (command.credit, command.asset)]
    if isinstance(command, Void):
        return []
    return [(leg.account, leg.asset) for leg in command.legs]


def _copy_account(source: State, copy: State, number: int) -> int:
    copy.reserve_accounts(1)
    at = copy.count
    asset = copy.intern_asset(source.assets[number])
    row = source.rows[number].copy()
    row[FLAGS_AND_ASSET] = (row[FLAGS_AND_ASSET] & FLAGS_MASK) | (np.int64(asset) << ASSET_SHIFT)
    a, b = row.view(np.uint64)[:2]
    # Written as a new account to get its place in the index, then with what it has. Nobody settles this list of touched rows.
    zero, hidden = np.int64(0), source.names[number].startswith("@")
    accounts = Accounts(copy.rows, copy.changed_at_us, np.zeros(2, np.int64))
    new = NewAccount(a, b, zero, zero, zero, zero)
    add_account(accounts, AccountIndex(copy.slots, copy.secret), np.int64(at), new, zero, hidden)
    copy.rows[at] = row
    copy.names.extend([source.names[number]])
    copy.owners.extend([source.owners[number]])
    copy.count += 1
    return at


def _copy_id(source: State, copy: State, id16: bytes) -> None:
    row = source.ids.find(id16)
    if row is not None:
        columns = source.ids.rows[row]
        copy.ids.put(columns)


def _copy_pending(source: State, copy: State, id16: bytes, what: What) -> None:
    row = source.pending.find(id16, what)
    _copy_pending_row(source, copy, -1 if row is None else row)


def _copy_pending_row(source: State, copy: State, row: int) -> None:
    if row < 0:
        return
    values = source.pending.rows[row].copy()
    first, count = (
        int(values[FIRST_LEG]),
        int(values[LEG_COUNT] + values[STEPS]),
    )  # a process has a record a step behind its legs
    copy.pending.reserve(1, count)
    table = copy.pending.arrays
    at = add_pending(table, values[ID_A], values[ID_B], values[WHAT], np.int64(0))
    for leg in source.pending.legs[first : first + count]:
        add_leg(table, at, leg)
    values[FIRST_LEG] = copy.pending.rows[at, FIRST_LEG]
    copy.pending.rows[at] = values
    note_pending(table, np.int64(at))
