"""The simulation bites where commands hang together, and where they are only tried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import write_side.intake.dry_run
import write_side.intake.intake
import write_side.ledger.deciding.next_block
import write_side.owner.writer
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.block import limits
from write_side.contract.state.state import State
from write_side.contract.tell.answers import Answer
from write_side.intake.intake import Intake
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Mode
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.decide import Decision, decide

Patch = pytest.MonkeyPatch
Batch = CommandBatch | StepBatch


def _decide_other_batches(patch: Patch, other: Callable[[CommandBatch], CommandBatch]) -> None:
    """The writer decides something else than what is in the queue."""

    def mistaken(state: State, batches: Sequence[Batch], *arguments: Any, **more: Any) -> Decision:
        decided = [other(batch) if isinstance(batch, CommandBatch) else batch for batch in batches]
        return decide(state, decided, *arguments, **more)

    patch.setattr(write_side.ledger.deciding.next_block, "decide", mistaken)


def keep_what_was_done_before_the_refusal(patch: Patch) -> None:
    """An atomic batch ends with its first refusal, and the lines before it stay."""
    _decide_other_batches(patch, lambda batch: replace(batch, chain=-np.abs(batch.chain)))


def go_on_behind_the_refusal(patch: Patch) -> None:
    """A batch that stops goes on: its lines are decided as if each were alone."""
    _decide_other_batches(patch, lambda batch: replace(batch, chain=np.maximum(batch.chain, 0)))


def send_what_stops_all_at_once(patch: Patch) -> None:
    """The lines of a batch that stops go to their partitions together: each partition stops for its own only."""

    in_order = write_side.intake.intake.Intake._in_order

    def at_once(self: Intake, routed: Any, until_s: float, runs: int) -> Any:
        if CommandBatch.of([line.command for line in routed]).weight() > limits.COMMANDS_BYTES_MAX:
            return in_order(self, routed, until_s, runs)  # more than one block takes
        return self._submit(routed, Mode.STOP, until_s)

    patch.setattr(write_side.intake.intake.Intake, "_in_order", at_once)


def try_out_for_real(patch: Patch) -> None:
    """A dry run is decided like any other command."""

    async def submitted(self: Intake, command: Command) -> Answer:
        [answer] = await self.submit([command])
        return answer

    patch.setattr(write_side.intake.intake.Intake, "dry_run", submitted)


def try_out_without_the_holds(patch: Patch) -> None:
    """The copies that a dry run is decided on have the accounts, and nothing that is open."""
    patch.setattr(write_side.intake.dry_run, "_copy_pending", lambda *arguments: None)


def name_the_one_before_where_records_are_gathered(patch: Patch) -> None:
    """Who asked is a row late in what was gathered: each command has the name of the one before it."""
    joined = Askers.joined

    def late(parts: Iterable[tuple[int, Askers | None]]) -> Askers | None:
        sizes = list(parts)
        found = joined(sizes)
        if found is None:
            return None
        total = sum(size for size, _ in sizes)
        names = [found.names[run] for run in (found.first.searchsorted(np.arange(total), "right") - 1).tolist()]
        return Askers.each([names[0], *names[:-1]])

    patch.setattr(Askers, "joined", staticmethod(late))


def forget_who_asked_on_the_way_through_the_queue(patch: Patch) -> None:
    """A block names nobody."""
    _decide_other_batches(patch, lambda batch: batch.asked_by(""))


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    keep_what_was_done_before_the_refusal,
    go_on_behind_the_refusal,
    send_what_stops_all_at_once,
    try_out_for_real,
    try_out_without_the_holds,
    name_the_one_before_where_records_are_gathered,
    forget_who_asked_on_the_way_through_the_queue,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_commands_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(mistake=mistake) <= SEEDS_MAX
