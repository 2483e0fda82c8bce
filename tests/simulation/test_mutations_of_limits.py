"""The simulation bites at the limits: who makes a record or a block that is too large is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.step_batch import StepBatch

Patch = pytest.MonkeyPatch
SEVERAL = (2, 3, 4)


def let_a_request_be_a_record(patch: Patch) -> None:
    """What a door lets in becomes one record, as large as it is."""

    def whole(batch: CommandBatch) -> Iterator[CommandBatch]:
        yield batch

    patch.setattr(CommandBatch, "parts", whole)


def let_a_relay_send_all_at_once(patch: Patch) -> None:
    """All messages to a partition become one record."""

    def whole(batch: StepBatch) -> Iterator[StepBatch]:
        yield batch

    patch.setattr(StepBatch, "parts", whole)


MISTAKES: tuple[Callable[[Patch], None], ...] = (let_a_request_be_a_record, let_a_relay_send_all_at_once)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_at_the_limits_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(partitions=SEVERAL, small=True) <= SEEDS_MAX
