"""The phase table: transfers that are not over, as a fold tells them. Which step each waits for follows from its row alone.

Everything here is copied out of `State.pending` under the state's lock, so that it is one moment and may be looked at later.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.state.pending import PendingTable
from write_side.contract.state.pending_columns import (
    AT_US,
    BEGUN,
    CURSOR,
    DEBITS,
    FIRST_LEG,
    HOLD_DEADLINE_US,
    ID_A,
    ID_B,
    KIND_SHIFT,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_COUNT,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_PARTITION,
    LEG_STEP,
    MASK,
    OPTION,
    RECORD_END,
    RECORD_END_ACTION,
    RECORD_PARTITION,
    RECORD_TRY,
    REVERSING_A,
    REVERSING_B,
    STATE,
    STEPS,
    SUBJECT_A,
    SUBJECT_B,
    WHAT,
    Action,
    HoldState,
    Phase,
    What,
)
from write_side.contract.state.phase_plan import OPEN_PHASES, PLANS, waited_steps
from write_side.contract.state.state import State
from write_side.contract.tell.pending_row import KeyedLeg, StepDone, protocol_of
from write_side.contract.words.codes import Code, Kind

Int64s = npt.NDArray[np.int64]


class Waiting(NamedTuple):
    """What a transfer waits for: `partition` has not said yet that it did `action` for `step`."""

    step: int
    partition: int
    action: Action


class OpenTransfer(NamedTuple):
    """A transfer across partitions under way. link: the hold it captures or the transfer it reverses, zeros for neither."""

    id: bytes
    kind: Kind
    protocol: str
    phase: Phase
    partition: int
    begun: int
    begun_at_us: int
    link: bytes
    waiting_for: tuple[Waiting, ...]
    steps: tuple[StepDone, ...]
    legs: tuple[KeyedLeg, ...]


class OpenHold(NamedTuple):
    """A hold: what is left of it, and whether a capture of it is on its way."""

    id: bytes
    state: HoldState
    deadline_us: int
    at_us: int
    left: tuple[KeyedLeg, ...]


def open_transfers(
    state: State, phases: Collection[Phase] = OPEN_PHASES, begun_by_us: int = 2**62, limit: int = 2**31
) -> list[OpenTransfer]:
    """The transfers in one of these phases that began at `begun_by_us` or before, the oldest `limit` of them, oldest first."""
    with state.lock:
        table = state.pending
        numbers = table.processes()  # by their index: a million open holds are not looked at
        rows = table.rows[numbers]
        wanted = (rows[:, AT_US] <= begun_by_us) & np.isin(rows[:, STATE], [int(phase) for phase in phases])
        rows, numbers = rows[wanted], numbers[wanted]
        oldest = numbers[np.lexsort((rows[:, ID_B], rows[:, ID_A], rows[:, AT_US]))][:limit]
        return [_transfer(table, int(row), state.partition) for row in oldest]


def open_transfer(state: State, transfer_id: bytes) -> OpenTransfer | None:
    """The transfer of this id that this partition is home of, while it is under way."""
    with state.lock:
        row = state.pending.find(transfer_id, What.PROCESS)
        return None if row is None else _transfer(state.pending, row, state.partition)


def open_hold(state: State, hold_id: bytes) -> OpenHold | None:
    """The hold of this id, until it is captured, voided or expired."""
    with state.lock:
        row = state.pending.find(hold_id, What.HOLD)
        return None if row is None else _hold(state.pending, row)


def holds_on(state: State, account: str, most: int) -> list[tuple[OpenHold, int]]:
    """The open holds in which an account gives, the oldest first, and how much of it each still holds. While the account holds
    nothing no row is looked at; else all legs are, once."""
    with state.lock:
        number, table = state.number_of(account), state.pending
        if number is None or state.held[number] == 0:
            return []
        key_a, key_b = state.key_a[number].view(np.int64), state.key_b[number].view(np.int64)
        rows = table.rows[: table.count]
        holds = np.flatnonzero(rows[:, WHAT] == What.HOLD)
        holds = holds[np.argsort(rows[holds, AT_US], kind="stable")]
        legs = table.legs[np.repeat(rows[holds, FIRST_LEG], rows[holds, LEG_COUNT]) + _within(rows[holds, LEG_COUNT])]
        gives = (legs[:, LEG_KEY_A] == key_a) & (legs[:, LEG_KEY_B] == key_b) & (legs[:, LEG_AMOUNT] < 0)
        amounts = -legs[gives, LEG_AMOUNT]
        found = np.repeat(holds, rows[holds, LEG_COUNT])[gives][:most].tolist()
        return [(_hold(table, row), amount) for row, amount in zip(found, amounts.tolist(), strict=False)]


def reversal_of(state: State, transfer_id: bytes) -> bytes | None:
    """The id of the transfer that reverses this one, or is about to."""
    with state.lock:
        row = state.pending.find(transfer_id, What.REVERSAL)
        return None if row is None else state.pending.rows[row, REVERSING_A : REVERSING_B + 1].tobytes()


def waiting_for(
    phase: Phase, debits: int, steps: int, cursor: int, mask: int, partitions: dict[int, int]
) -> tuple[Waiting, ...]:
    """`waited_steps` with the partition of each (`partitions`: by step) and what is asked of it."""
    return tuple(
        Waiting(step, partitions[step], PLANS[phase].action)
        for step in waited_steps(phase, debits, steps, cursor, mask)
    )


def _transfer(table: PendingTable, row: int, partition: int) -> OpenTransfer:
    found = table.rows[row]
    phase, legs = Phase(int(found[STATE])), _legs(table, row)
    debits, steps, cursor, mask = (int(found[column]) for column in (DEBITS, STEPS, CURSOR, MASK))
    return OpenTransfer(
        id=found[ID_A : ID_B + 1].tobytes(), kind=Kind(int(found[OPTION]) >> KIND_SHIFT & 255),
        protocol=protocol_of(int(found[OPTION])), phase=phase, partition=partition, begun=int(found[BEGUN]),
        begun_at_us=int(found[AT_US]), link=found[SUBJECT_A : SUBJECT_B + 1].tobytes(),
        waiting_for=waiting_for(phase, debits, steps, cursor, mask, {leg.step: leg.partition for leg in legs}),
        steps=_records(table, row), legs=legs,
    )  # fmt: skip


def _hold(table: PendingTable, row: int) -> OpenHold:
    found = table.rows[row]
    return OpenHold(
        found[ID_A : ID_B + 1].tobytes(), HoldState(int(found[STATE])), int(found[HOLD_DEADLINE_US]), int(found[AT_US]),
        _legs(table, row),
    )  # fmt: skip


def _within(counts: Int64s) -> Int64s:
    """0, 1, ... of each of these counts, one behind the other."""
    ends = np.cumsum(counts)
    return np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)


def _legs(table: PendingTable, row: int) -> tuple[KeyedLeg, ...]:
    return tuple(
        KeyedLeg(
            leg[LEG_KEY_A : LEG_KEY_B + 1].tobytes(),
            int(leg[LEG_ASSET]),
            int(leg[LEG_AMOUNT]),
            int(leg[LEG_STEP]),
            int(leg[LEG_PARTITION]),
        )
        for leg in table.legs_of(row)
    )


def _records(table: PendingTable, row: int) -> tuple[StepDone, ...]:
    """What home remembers of the steps, in order of time: of each its try, and its confirm or cancel."""
    found = table.rows[row]
    first = int(found[FIRST_LEG] + found[LEG_COUNT])
    done = []
    for step, record in enumerate(table.legs[first : first + int(found[STEPS])]):
        for told, action in ((RECORD_TRY, Action.TRY), (RECORD_END, Action(int(record[RECORD_END_ACTION])))):
            code, sequence, at_us = (int(record[column]) for column in told)
            if code > 0:
                done.append(StepDone(step, action, int(record[RECORD_PARTITION]), Code(code - 1), sequence, at_us))
    return tuple(sorted(done, key=lambda each: (each.at_us, each.action, each.step)))
