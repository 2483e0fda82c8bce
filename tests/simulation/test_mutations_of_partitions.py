"""The simulation bites where one partition fails and the others of its process do not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import write_side.owner.partition
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from tests.simulation.processes import Parts, SimulatedPartition
from write_side.owner.follower import Follower
from write_side.owner.partition import Partition
from write_side.owner.writer import Writer

Patch = pytest.MonkeyPatch


async def end_all_with_the_first(partitions: Sequence[Partition]) -> None:
    """The first failure of a partition is the failure of all."""

    async def once(partition: Partition) -> None:
        await partition._live()

    await asyncio.gather(*map(once, partitions))


def test_a_failure_of_one_partition_that_ends_all_is_found(monkeypatch: Patch) -> None:
    monkeypatch.setattr(write_side.owner.partition, "keep_all", end_all_with_the_first)
    assert seeds_until_found(partitions=(2, 3, 4)) <= SEEDS_MAX


def test_a_partition_that_comes_back_with_its_old_state_is_found(monkeypatch: Patch) -> None:
    """The next writer takes over what the one before had decided, whether the log has it or not."""
    make = SimulatedPartition._new_part

    def without_a_fold(partition: SimulatedPartition) -> Writer | Follower:
        before, part = getattr(partition, "part", None), make(partition)
        if before is not None and before.replay.offsets:
            part.state = before.state
            part.replay = before.replay
        return part

    monkeypatch.setattr(SimulatedPartition, "_new_part", without_a_fold)
    assert seeds_until_found() <= SEEDS_MAX


class TakesBack(Writer):
    """Knows nothing of the writers of its process before it, so it takes the partition over as if it had never been there."""

    def __init__(self, *arguments: Any, claimed: int | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)


def test_a_partition_that_is_taken_back_from_who_took_it_over_is_found() -> None:
    assert seeds_until_found(Parts(writer=TakesBack)) <= SEEDS_MAX
