"""The simulation bites between partitions: mistakes of a participant, of home and of what carries their messages are found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import write_side.contract.state.fold_pending
import write_side.ledger.deciding.decide
import write_side.ledger.deciding.next_block
import write_side.owner.relay
import write_side.owner.writer
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.pending_columns import (
    LEG_KEY_A,
    LEG_KEY_B,
    MASK_STEPS_MAX,
    STATE,
    WHAT,
    Action,
    StepState,
    What,
)
from write_side.contract.state.pending_rows import drop, purge, step_what
from write_side.contract.state.state import State
from write_side.contract.words.codes import Kind
from write_side.ledger.across.participant import EFFECTS, Manner
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.decide import Decision, decide

Patch = pytest.MonkeyPatch

SEVERAL = (2, 3, 4)
"""Partitions: in a story of one there is nobody to send a message to."""


def _forget_steps(patch: Patch, *states: StepState) -> None:
    """Deciding and folding both forget the steps in these states at the end of the block: no digest and no replay shows it."""

    def forgetful(table: Any, digest: Any) -> None:
        purge(table, digest)
        rows, counts = table[0], table[3]
        for row in range(int(counts[0]) - 1, -1, -1):
            if rows[row, WHAT] & 255 == What.STEP and rows[row, STATE] in states:
                drop(table, digest, row)

    for module in (write_side.ledger.deciding.decide, write_side.contract.state.fold_pending):
        patch.setattr(module, "purge", forgetful)


def drop_the_fence(patch: Patch) -> None:
    """A cancel without a try is answered, and leaves nothing: the try that comes later is done, and nobody will end it."""
    _forget_steps(patch, StepState.FENCED)


def forget_the_steps(patch: Patch) -> None:
    """What a participant has done is not remembered by (home, transfer, step): a message that comes twice moves money twice."""
    _forget_steps(patch, StepState.DONE, StepState.RELEASED, StepState.REJECTED)


def credit_first(patch: Patch) -> None:
    """Credits land spendable before the decision: a receiver may spend what a refusal elsewhere takes back."""
    effects = EFFECTS.copy()
    effects[Manner.SAGA_CREDIT] = ((1, 0, -1), (0, 0, 0), (-1, 0, 1))
    effects[Manner.TCC_CREDIT] = ((1, 0, -1), (0, 0, 0), (-1, 0, 1))

    def forced(*arguments: Any, **more: Any) -> Decision:
        return decide(*arguments, **(more | {"effects": effects}))

    patch.setattr(write_side.ledger.deciding.next_block, "decide", forced)


def let_a_freeze_stop_a_confirm(patch: Patch) -> None:
    """A participant does not confirm or cancel what it holds while the account is frozen."""

    def stopped(state: State, batches: Sequence[CommandBatch | StepBatch], *arguments: Any, **more: Any) -> Decision:
        heeded = [_without_frozen(state, batch) if isinstance(batch, StepBatch) else batch for batch in batches]
        return decide(state, heeded, *arguments, **more)

    patch.setattr(write_side.ledger.deciding.next_block, "decide", stopped)


def _without_frozen(state: State, batch: StepBatch) -> StepBatch:
    steps = batch.step.copy()
    for row in np.flatnonzero((batch.kind == Kind.STEP) & (batch.action != Action.TRY)):
        held = state.pending.find(batch.ids[row].tobytes(), int(step_what(batch.home[row], batch.step[row])))
        if held is None:
            continue
        keys = state.pending.legs_of(held)[:, LEG_KEY_A : LEG_KEY_B + 1].view(np.uint64)
        numbers = [find_row(state.rows, state.slots, state.secret, a, b) for a, b in keys]
        if any(state.flags[number] for number in numbers if number >= 0):
            steps[row] = MASK_STEPS_MAX - 1  # one that there is not
    return replace(batch, step=steps)


def close_on_its_way(patch: Patch) -> None:
    """An empty account is closed although a transfer under way still has a step on it."""

    def blind(state: State, batches: Sequence[CommandBatch | StepBatch], *arguments: Any, **more: Any) -> Decision:
        due_us = state.pending.first_due_us()
        nothing_else = all((batch.kind == Kind.CHANGE).all() for batch in batches)
        if not nothing_else or (due_us is not None and due_us <= more["created_at_us"]):  # their legs are needed
            return decide(state, batches, *arguments, **more)
        slots = state.pending.work_slots.copy()
        state.pending.work_slots[:] = 0
        try:
            return decide(state, batches, *arguments, **more)
        finally:
            state.pending.work_slots[:] = slots

    patch.setattr(write_side.ledger.deciding.next_block, "decide", blind)


def never_ask_again(patch: Patch) -> None:
    """A message that is lost is lost: nobody looks at the transfers that are still open."""
    patch.setattr(write_side.owner.relay, "LOOK_S", 1e9)


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    drop_the_fence,
    forget_the_steps,
    credit_first,
    let_a_freeze_stop_a_confirm,
    close_on_its_way,
    never_ask_again,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_between_partitions_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(partitions=SEVERAL, mistake=mistake) <= SEEDS_MAX
