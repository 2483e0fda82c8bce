"""What a transfer waits for, as readers tell it, is what its home waits for."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from read_side.fold.phase_table import waiting_for
from write_side.contract.state.pending_columns import CURSOR, DEBITS, MASK, STATE, STEPS, WIDTH, Phase
from write_side.contract.state.phase_plan import OPEN_PHASES, PLANS, is_waited_for, steps_of_phase, waited_steps


@pytest.mark.parametrize("phase", OPEN_PHASES)
def test_readers_and_home_agree_on_what_a_phase_waits_for(phase: Phase) -> None:
    rows = np.zeros((1, WIDTH), np.int64)
    first_and_last: Any = steps_of_phase
    waits_for: Any = is_waited_for
    rows[0, STATE] = phase
    for debits, credits, cursor, mask in itertools.product(range(1, 4), range(1, 4), range(-1, 7), range(1 << 6)):
        steps = debits + credits
        rows[0, [DEBITS, STEPS, CURSOR, MASK]] = debits, steps, cursor, mask
        first, last = first_and_last(rows, 0)
        at_home = [step for step in range(first, last) if waits_for(rows, 0, step)]
        assert waited_steps(phase, debits, steps, cursor, mask) == at_home
        asked = waiting_for(phase, debits, steps, cursor, mask, dict.fromkeys(range(steps), 7))
        assert [(each.step, each.partition, each.action) for each in asked] == [
            (step, 7, PLANS[phase].action) for step in at_home
        ]


def test_a_transfer_that_is_over_waits_for_nothing() -> None:
    assert [waited_steps(phase, 1, 2, 0, 0) for phase in (Phase.DONE, Phase.REFUSED)] == [[], []]
