"""The simulation bites between partitions: mistakes of a participant, of home and of what carries their messages are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import write_side.contract.fold_pending
import write_side.ledger.decide
import write_side.relay
import write_side.writer
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.pending import STATE, WHAT, StepState, What, drop, purge
from write_side.ledger.decide import Decision, decide
from write_side.ledger.participant import EFFECTS, Manner

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

    for module in (write_side.ledger.decide, write_side.contract.fold_pending):
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
        return decide(*arguments, **more, effects=effects)

    patch.setattr(write_side.writer, "decide", forced)


def never_ask_again(patch: Patch) -> None:
    """A message that is lost is lost: nobody looks at the transfers that are still open."""
    patch.setattr(write_side.relay, "LOOK_S", 1e9)


MISTAKES: tuple[Callable[[Patch], None], ...] = (drop_the_fence, forget_the_steps, credit_first, never_ask_again)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_between_partitions_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(partitions=SEVERAL) <= SEEDS_MAX
