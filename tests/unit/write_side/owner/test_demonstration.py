"""The scripted transfers of `fanfold explain --demo`: they end as they are said to, and no money is left in flight."""

from __future__ import annotations

import itertools

import pytest

from read_side.whole_log.explain import explain_records
from write_side.contract.block.block import decode
from write_side.contract.state.pending_columns import Action
from write_side.contract.words.codes import Code
from write_side.ledger.commands.commands import Protocol
from write_side.owner.demonstration import Fail, demonstrate

ENDS = {
    None: Code.DONE,
    Fail.CRASH: Code.DONE,
    Fail.CREDIT: Code.CREDIT_FROZEN,
    Fail.DEBIT: Code.INSUFFICIENT_AVAILABLE,
}


@pytest.mark.parametrize(("protocol", "fail"), list(itertools.product(Protocol, ENDS)))
def test_a_demonstration_ends_with_nothing_in_flight(protocol: Protocol, fail: Fail | None) -> None:
    shown = demonstrate(protocol, fail)
    steps = explain_records(shown.logs, shown.transfer)
    assert steps[-1].happened.code is ENDS[fail]
    assert set(steps[-1].transit.values()) == {0}
    # A saga has its money in flight before the credit is asked; tcc not before the decision.
    first = next(iter(steps[0].own.values()), 0)
    assert (first != 0) == (protocol is Protocol.SAGA)


def test_tcc_takes_one_round_trip_more() -> None:
    assert [demonstrate(protocol, None).messages for protocol in (Protocol.SAGA, Protocol.TCC)] == [2, 4]


def test_a_try_that_is_answered_behind_the_decision_is_told_with_the_other_steps() -> None:
    shown = demonstrate(Protocol.TCC, Fail.DEBIT)
    steps = decode(shown.logs[0][-1].data).steps
    told = {(Action(action), step) for action, step in zip(steps["action"], steps["step"], strict=True)}
    assert told == {(Action.TRY, 0), (Action.TRY, 1), (Action.TRY, 2), (Action.CANCEL, 0), (Action.CANCEL, 2)}
