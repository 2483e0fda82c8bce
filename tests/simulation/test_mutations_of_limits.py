"""The simulation bites at the limits: who makes a record that is too large is found. (Relays: `test_relay.py`.)"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.ledger.commands.command_batch import CommandBatch

Patch = pytest.MonkeyPatch


def let_a_request_be_a_record(patch: Patch) -> None:
    """What a door lets in becomes one record, as large as it is."""

    def whole(batch: CommandBatch) -> Iterator[CommandBatch]:
        yield batch

    patch.setattr(CommandBatch, "parts", whole)


def test_a_request_that_becomes_a_record_as_large_as_it_is_is_found(monkeypatch: Patch) -> None:
    let_a_request_be_a_record(monkeypatch)
    assert seeds_until_found(partitions=(1,), small=True) <= SEEDS_MAX
