"""Which failure is followed by what: every row of the table in `failures.py`."""

from __future__ import annotations

import pytest

from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import LogDamaged, LogFailed, LogUnsynced, Trimmed
from write_side.contract.state.fold import CheckFailed
from write_side.owner.clock import ClockStepped
from write_side.owner.failures import FAULTS_MAX, Next, a_new_process_may_mend, what_follows
from write_side.owner.writer import Overtaken

FOR_EVER = 1_000


@pytest.mark.parametrize(
    "failure",
    [
        LogDamaged("the file ends too early"),
        LogUnsynced("the disk did not take it"),
        Trimmed("The log", 17),
        ChainBroken(0, 1, "a hole"),
        CheckFailed(0, 1, "a sum"),
        Overtaken("another one has it"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_what_trying_again_cannot_mend_stays_stopped(failure: Exception) -> None:
    assert what_follows(failure, 1) is Next.STAYS
    assert not a_new_process_may_mend(failure)


@pytest.mark.parametrize(
    "failure", [LogFailed("no broker"), ClockStepped("a jump")], ids=lambda each: type(each).__name__
)
def test_what_the_environment_mends_is_tried_for_ever(failure: Exception) -> None:
    assert {what_follows(failure, times) for times in (1, FAULTS_MAX + 1, FOR_EVER)} == {Next.AGAIN}


@pytest.mark.parametrize(
    "failure", [AssertionError(), RecursionError(), ValueError()], ids=lambda each: type(each).__name__
)
def test_a_fault_of_ours_is_tried_a_few_times(failure: Exception) -> None:
    assert [what_follows(failure, times) for times in (1, FAULTS_MAX, FAULTS_MAX + 1)] == [
        Next.AGAIN,
        Next.AGAIN,
        Next.STAYS,
    ]
    assert a_new_process_may_mend(failure)


def test_a_process_without_memory_ends() -> None:
    assert what_follows(MemoryError(), 1) is Next.ENDS
