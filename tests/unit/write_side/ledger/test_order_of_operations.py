"""Of the three orders in which a transfer can try its two sides one is valid; the other two lose money when they are forced.

The orders are those of "System Design Interview, volume 2" (Xu and Lam, 2022), chapter "Digital Wallet": debit first; credit
first; both at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.ledger.three_partitions import ALICE, BOB, CAROL, USD, ThreePartitions
from write_side.contract.words.codes import Code
from write_side.ledger.across.participant import EFFECTS, Manner
from write_side.ledger.commands.commands import Leg, LegsTransfer, Protocol, Transfer

ID = id_at(NOON_US, 1)
_NOTHING = (0, 0, 0)


def forced(manners: dict[Manner, tuple[tuple[int, int, int], ...]]) -> npt.NDArray[np.int64]:
    table = EFFECTS.copy()
    for manner, actions in manners.items():
        table[manner] = actions
    return table


CREDIT_FIRST = forced({Manner.TCC_CREDIT: ((1, 0, -1), _NOTHING, (-1, 0, 1))})
BOTH_AT_ONCE = forced(
    {
        Manner.TCC_CREDIT: ((1, 0, -1), _NOTHING, (-1, 0, 1)),
        Manner.TCC_DEBIT: ((-1, 0, 1), _NOTHING, (1, 0, -1)),
    }
)


def spent_before_the_refusal(effects: npt.NDArray[np.int64]) -> ThreePartitions:
    """Alice and carol pay bob together; bob spends all he can see; then carol's part is refused."""
    world = ThreePartitions(each=10)
    for partition in world.partitions:
        partition.effects = effects
    legs = (Leg(ALICE, -5, USD), Leg(CAROL, -5_000, USD), Leg(BOB, 5_005, USD))
    world.decide(0, [LegsTransfer(ID, tuple(sorted(legs)), Protocol.TCC)])
    for to, batch in [message for message in world.waiting if message[0] == 1]:
        world.take(to, batch)  # bob's partition is tried first, carol's message is slow
    seen = world.posted(BOB) - world.held(BOB)
    spent = world.decide(1, [Transfer(id_at(NOON_US, 2), BOB, "@world", seen, USD)])
    assert spent.outcomes["code"].tolist() == [Code.DONE]
    world.carry()
    for _ in range(5):
        world.ask_again()
        world.carry()
    return world


def test_debit_first_credit_at_the_confirmation_loses_nothing() -> None:
    world = spent_before_the_refusal(EFFECTS)
    assert world.phase(ID) is None
    assert (world.posted(ALICE), world.posted(BOB), world.posted(CAROL)) == (10, 0, 10)
    assert world.transit() == 0
    world.check()


@pytest.mark.parametrize("effects", [CREDIT_FIRST, BOTH_AT_ONCE], ids=["credit first", "both at once"])
def test_the_other_two_orders_let_bob_spend_money_that_nobody_gave(effects: npt.NDArray[np.int64]) -> None:
    world = spent_before_the_refusal(effects)
    # He has taken 5,015 out of the wallet and had 10: what is missing is his debt, below the floor of his account.
    assert world.posted(BOB) == -5_005
    with pytest.raises(AssertionError):
        world.check()
