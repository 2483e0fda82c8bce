"""What an outcome leaves of a transfer or a hold that is not over, as values: a row of the pending table, its legs, its steps."""

from __future__ import annotations

from typing import NamedTuple

from write_side.contract.state.pending_columns import (
    CREDIT_BIT,
    LAST_BIT,
    STEP_SHIFT,
    TCC_BIT,
    Action,
    StepState,
    What,
)
from write_side.contract.words.codes import Code


class KeyedLeg(NamedTuple):
    """A leg by the key of its account (16 bytes) and the hash of its asset: the account may live in another partition."""

    key: bytes
    asset_hash: int
    amount: int
    step: int
    partition: int


class StepDone(NamedTuple):
    """What a partition did for a step, as its home knows it."""

    step: int
    action: Action
    partition: int
    code: Code
    sequence: int
    at_us: int


class PendingRow(NamedTuple):
    """A row of the pending table after `outcome`, the row of an outcome. state: 0 when the row is gone; a `Phase` of a process, a
    `StepState` of a step. first_leg, end_leg: its legs in the block, none when they are as before."""

    id: bytes
    outcome: int
    what: int
    state: int
    option: int
    begun: int
    debits: int
    steps: int
    cursor: int
    mask: int
    available: int
    first_leg: int
    end_leg: int

    @property
    def is_process(self) -> bool:
        return self.what == What.PROCESS

    @property
    def is_step(self) -> bool:
        return self.what & 255 == What.STEP

    @property
    def step(self) -> int:
        """Of a step: its number."""
        return self.what >> STEP_SHIFT

    @property
    def protocol(self) -> str:
        return protocol_of(self.option)

    @property
    def action(self) -> Action:
        """What brought a step to its state: a saga's last credit is done by its try."""
        if self.state in (StepState.HELD, StepState.REJECTED):
            return Action.TRY
        if self.state == StepState.DONE:
            last = self.option & LAST_BIT and self.option & CREDIT_BIT and not self.option & TCC_BIT
            return Action.TRY if last else Action.CONFIRM
        return Action.CANCEL


def protocol_of(option: int) -> str:
    """`tcc` or `saga`, by the option of a process or a step."""
    return "tcc" if option & TCC_BIT else "saga"
