"""An id without a time may run again once it is forgotten: what its first transfer left is not taken for the second's."""

from __future__ import annotations

import pytest

from tests.unit.write_side.deciding import timeless_id
from tests.unit.write_side.ledger.three_partitions import ALICE, BOB, CAROL, USD, ThreePartitions
from write_side.contract.state.ids import CUT_OFF_STEP_US, WINDOW_US
from write_side.ledger.commands.commands import Leg, LegsTransfer, Protocol

ID = timeless_id(7)
FORGOTTEN_US = WINDOW_US + CUT_OFF_STEP_US


def _ask(partitions: ThreePartitions, protocol: Protocol, amount: int) -> None:
    legs = (Leg(ALICE, -amount, USD), Leg(BOB, amount - 1, USD), Leg(CAROL, 1, USD))
    partitions.decide(0, [LegsTransfer(ID, tuple(sorted(legs)), protocol)])


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_transfer_that_runs_again_after_its_window_moves_its_money_everywhere(protocol: Protocol) -> None:
    partitions = ThreePartitions()
    _ask(partitions, protocol, 10)
    partitions.carry()
    partitions.leap(FORGOTTEN_US)
    _ask(partitions, protocol, 10)
    partitions.carry()

    partitions.check()
    assert partitions.transit() == 0
    assert [partitions.posted(name) for name in (ALICE, BOB, CAROL)] == [980, 1_018, 1_002]


@pytest.mark.parametrize("protocol", list(Protocol))
def test_a_transfer_that_was_refused_may_be_done_under_its_id_after_the_window(protocol: Protocol) -> None:
    partitions = ThreePartitions()
    legs = (Leg(ALICE, -10, USD), Leg(BOB, -2_000, USD), Leg(CAROL, 2_010, USD))
    partitions.decide(0, [LegsTransfer(ID, tuple(sorted(legs)), protocol)])
    partitions.carry()
    partitions.leap(FORGOTTEN_US)
    _ask(partitions, protocol, 10)
    partitions.carry(times=2)

    partitions.check()
    assert partitions.transit() == 0
    assert [partitions.posted(name) for name in (ALICE, BOB, CAROL)] == [990, 1_009, 1_001]


@pytest.mark.parametrize("protocol", list(Protocol))
def test_an_answer_to_the_transfer_before_ends_nothing_of_the_one_after(protocol: Protocol) -> None:
    partitions = ThreePartitions()
    _ask(partitions, protocol, 10)
    answers = []
    while partitions.waiting:
        partition, batch = partitions.waiting.popleft()
        answers += [(partition, batch)] * (partition == 0)
        partitions.take(partition, batch)
    partitions.leap(FORGOTTEN_US)
    _ask(partitions, protocol, 10)
    asked = list(partitions.waiting)
    partitions.waiting.clear()
    for partition, batch in answers:
        partitions.take(partition, batch)
    assert partitions.phase(ID) is not None, "old answers ended a transfer that nobody else has begun"
    partitions.waiting += asked
    partitions.carry()

    partitions.check()
    assert partitions.transit() == 0
    assert [partitions.posted(name) for name in (ALICE, BOB, CAROL)] == [980, 1_018, 1_002]
