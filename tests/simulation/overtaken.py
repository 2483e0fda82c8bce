"""A fault of its own: tries that are overtaken by the cancel that follows them.

A network that only loses, doubles and delays makes this once in thousands of stories: home cancels a try that it has no answer
to after ten seconds, and by then the try, or one of its repeats, has long been there. So a try of tcc is held back, its repeats
with it, until another message of its transfer goes to the same partition, and comes behind that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from tests.simulation.faults import Chaos
from write_side.contract.state.pending_columns import TCC_BIT, Action
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.step_batch import StepBatch

Transfer = tuple[int, bytes]
"""Home and id."""
_LEG_COLUMNS = ("key", "asset", "amount", "if_version", "if_available")


class HeldBack:
    """The messages on the way to one partition that others overtake."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._held: dict[Transfer, list[StepBatch]] = {}

    def pass_through(self, batch: StepBatch) -> tuple[StepBatch | None, list[StepBatch]]:
        """What of these messages goes on now, and what was held back and comes behind it.

        What stays here comes out again: home times out, when it is calm too, and its cancel lets it go.
        """
        on, behind = list[int](), list[StepBatch]()
        for row in range(len(batch)):
            transfer = (int(batch.home[row]), batch.ids[row].tobytes())
            if self._stays(batch, row, transfer):
                self._held.setdefault(transfer, []).append(_rows(batch, [row]))
                continue
            on.append(row)
            if batch.kind[row] == Kind.STEP:
                behind += self._held.pop(transfer, [])
        if len(on) == len(batch):
            return batch, behind
        return (_rows(batch, on) if on else None), behind

    def _stays(self, batch: StepBatch, row: int, transfer: Transfer) -> bool:
        tries = batch.kind[row] == Kind.STEP and batch.action[row] == Action.TRY
        if not tries or not batch.option[row] & TCC_BIT:  # a saga waits for its tries for ever
            return False
        return transfer in self._held or self._chaos.strikes("try held back until its cancel", 0.2)


def _rows(batch: StepBatch, rows: Sequence[int]) -> StepBatch:
    """Some messages of a record, with their legs."""
    bounds = batch.first_leg
    legs = np.concatenate([np.arange(bounds[row], bounds[row + 1]) for row in rows])
    sizes = np.diff(bounds)[rows]
    columns = {
        field.name: getattr(batch, field.name)[legs if field.name in _LEG_COLUMNS else rows]
        for field in fields(StepBatch)
        if field.name != "first_leg"
    }
    return replace(batch, first_leg=np.concatenate(([0], np.cumsum(sizes))), **columns)
