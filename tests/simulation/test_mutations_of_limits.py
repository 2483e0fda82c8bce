"""The simulation bites at the limits: who makes a record or a block that is too large is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tests.simulation.clients
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.step_batch import StepBatch

Patch = pytest.MonkeyPatch


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


def test_a_request_that_becomes_a_record_as_large_as_it_is_is_found(monkeypatch: Patch) -> None:
    let_a_request_be_a_record(monkeypatch)
    assert seeds_until_found(partitions=(1,), small=True) <= SEEDS_MAX


def test_a_relay_that_sends_all_at_once_is_found(monkeypatch: Patch) -> None:
    let_a_relay_send_all_at_once(monkeypatch)
    monkeypatch.setattr(tests.simulation.clients, "FLOOD", 300)
    assert seeds_until_found(partitions=(2,), small=True) <= SEEDS_MAX
