"""The simulation bites where nothing happens for hours and weeks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

import tests.simulation.simulation
import write_side.contract.state.fold_ids
import write_side.ledger.deciding.decide
import write_side.owner.writer
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.state.ids import WINDOW_US
from write_side.contract.state.ids import timeless_from as remembered_from
from write_side.owner.writer import Writer
from write_side.queue.command_queue import Queued, QueueReader

Patch = pytest.MonkeyPatch


def wait_in_ever_deeper_calls(patch: Patch) -> None:
    """A wait for a deadline that calls itself for each look. A look here stands for a minute: sixteen hours are ten seconds."""

    async def nested(self: Writer, reader: QueueReader) -> Sequence[Queued]:
        if self._left_over:
            return self._left_over
        if self._due_us is None:
            return await reader.take(self._limits.block_commands_max)
        try:
            async with asyncio.timeout(min(max((self._due_us - self._clock.wall_us()) / 1e6, 0.0), 0.01)):
                return await reader.take(self._limits.block_commands_max)
        except TimeoutError:
            return () if self._clock.wall_us() >= self._due_us else await nested(self, reader)

    patch.setattr(Writer, "_take", nested)


def leave_what_is_due_to_the_next_command(patch: Patch) -> None:
    """A deadline wakes nobody up: a hold stays open until somebody asks something of its partition."""

    async def only_commands(self: Writer, reader: QueueReader) -> Sequence[Queued]:
        return self._left_over or await reader.take(self._limits.block_commands_max)

    patch.setattr(Writer, "_take", only_commands)


def forget_keys_after_a_day(patch: Patch) -> None:
    """Who decides and who folds agree, and neither keeps what is promised."""

    def sooner(held_us: int, at_us: int) -> int:
        return remembered_from(held_us, at_us + WINDOW_US * 6 // 7)

    patch.setattr(write_side.ledger.deciding.decide, "timeless_from", sooner)
    patch.setattr(write_side.contract.state.fold_ids, "timeless_from", sooner)


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    wait_in_ever_deeper_calls,
    leave_what_is_due_to_the_next_command,
    forget_keys_after_a_day,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_idle_time_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    monkeypatch.setattr(tests.simulation.simulation, "IDLE_STORIES", 1.0)
    assert seeds_until_found() <= SEEDS_MAX
