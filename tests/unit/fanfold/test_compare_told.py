"""`fanfold compare` tells what it found, and what was not as a design says of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer

from fanfold.cli.compare_run import Wishes
from fanfold.cli.compare_told import closing_lines, document, fault_sheet, result_sheet, unlike_promised
from write_side.designs.comparison import Compared, Fault
from write_side.designs.design import Capabilities
from write_side.designs.faults import Harm
from write_side.designs.load import Load, Measured
from write_side.designs.money import Verdict, judge
from write_side.designs.wiring import Name

PROMISES = Capabilities(
    steps=("debited", "ended"),
    durable=True,
    once=True,
    past_balance=False,
    loses_money_at=frozenset({"debited"}),
    locked_at=frozenset({"ended"}),
)
LOST = Harm("debited", -5, 0.0, 10.0, -5)
LOCKED = Harm("ended", 0, 2.0, 10.0, 0)


def compared(name: Name = Name.SAGA, rate: int = 100, made: int = 0, harms: tuple[Harm, ...] = ()) -> Compared:
    measured = Measured(rate, 0, 0, 1.0, np.array([1.0, 3.0]))
    in_batches = measured._replace(done=rate * 50) if name is Name.EVENT_SOURCING else None
    return Compared(name, PROMISES, 3, 2, measured, in_batches, 8, Verdict(10, 10 + made, ()), harms)


def test_a_design_that_loses_where_it_says_so_is_as_promised() -> None:
    assert list(unlike_promised(compared(harms=(LOST, LOCKED)))) == []


@pytest.mark.parametrize(
    "found",
    [
        compared(made=-1),
        compared(harms=(LOST._replace(made=0),)),
        compared(harms=(LOCKED._replace(made=3),)),
        compared(harms=(LOCKED._replace(locked_s=0.0),)),
        compared(harms=(LOST._replace(locked_s=1.0),)),
    ],
    ids=["wrong under load", "stopped losing", "made", "not locked", "locked"],
)
def test_what_is_not_as_promised_is_told(found: Compared) -> None:
    assert len(list(unlike_promised(found))) == 1


def test_the_tables_tell_money_that_is_lost() -> None:
    [row] = result_sheet([compared(harms=(LOST,))]).rows
    assert row[:4] == ("saga", "100", "2.0", "3.0")
    assert row[-2:] == ("right", "-5")
    [fault] = fault_sheet([compared(harms=(LOST,))]).rows
    assert fault == ("saga", "debited", "-5", "-", "10 ms", "-5")


def test_ours_is_told_against_each_durable_design() -> None:
    _, line = closing_lines([compared(), compared(Name.EVENT_SOURCING, 200)], 0.1, 5.0)
    assert line == "event_sourcing / saga: 2.0 times one by one, 100.0 times in batches of 8; both durable"


def test_the_document_is_json() -> None:
    wishes = Wishes.of("saga", "service", seconds=1, accounts=8, cross=0.1, dead_s=1)
    told = json.loads(json.dumps(document([compared(harms=(LOST,))], wishes._asdict())))
    assert told["wishes"]["designs"] == ["saga"]
    assert told["designs"][0]["faults"][0]["made"] == -5


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(typer.BadParameter, match="--designs takes in_memory_sharding"):
        Wishes.of("sagas", "none", seconds=1, accounts=8, cross=0.1, dead_s=1)
    assert Wishes.of("saga, saga", "none", seconds=1, accounts=8, cross=0.1, dead_s=1).faults == ()
    assert Wishes.of("saga", "node,pause,service", seconds=1, accounts=8, cross=0.1, dead_s=1).faults == (
        Fault.NODE,
        Fault.PAUSE,
        Fault.SERVICE,
    )


def test_the_judge_counts_an_account_that_is_gone_as_lost_and_tells_who_is_overdrawn() -> None:
    assert judge({"a": 5, "b": 5}, {"a": 5}).made == -5
    verdict = judge({"a": 5, "b": 5}, {"a": 11, "b": -1})
    assert (verdict.made, verdict.overdrawn, verdict.right) == (0, ("b",), False)
    assert judge({"a": 5, "b": 5}, {"a": 10, "b": 0}).right


@pytest.mark.parametrize("cross", [0.0, 0.5, 1.0])
def test_the_load_crosses_as_often_as_asked_and_no_account_pays_itself(cross: float) -> None:
    load = Load(40, cross)
    node = {name: number for number, names in enumerate(load.nodes) for name in names}
    batch = load.batch(2_000)
    pairs = list(zip(batch.payers.to_pylist(), batch.payees.to_pylist(), strict=True))
    pairs += [(each.payer, each.payee) for each in (load.transfer() for _ in range(2_000))]
    assert all(payer != payee for payer, payee in pairs)
    share = sum(node[payer] != node[payee] for payer, payee in pairs) / len(pairs)
    assert share == pytest.approx(cross, abs=0.05)
    assert len({bytes(id) for id in load.again(batch).ids} | {bytes(id) for id in batch.ids}) == 4_000
