"""Who asked, in a block: what it must be, by itself and in a run of blocks, and of whom it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.unit.write_side.contract.blocks import encoded, sealed
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import NewerFormat, decode, is_newer
from write_side.contract.block.chain import NO_HEAD, ChainBroken, judge
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import FoldedBlocks, Replay
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Hold, Leg, OpenAccount, Transfer

USD = "USD/2"


def _transfer(number: int) -> Transfer:
    return Transfer(id_at(NOON_US, number), "@world", "ann", 1, USD)


def _partition() -> DecidingPartition:
    partition = DecidingPartition(0, 1)
    partition.decide([OpenAccount("ann", USD, 0, "")], NOON_US)
    return partition


def _named(partition: DecidingPartition, names: Sequence[str], commands: Sequence[Command], at_us: int) -> None:
    partition.decide_batch(replace(CommandBatch.of(commands), askers=Askers.each(names)), at_us)


def _asked(data: bytes) -> list[str]:
    return [outcome.asked_by for outcome in BlockOutcomes(decode(data))]


def test_each_command_has_the_name_of_who_asked_for_it() -> None:
    partition = _partition()
    names = ["", "eve", "eve", "", "", "bob", "eve"]
    _named(partition, names, [_transfer(n) for n in range(1, 8)], NOON_US + 1)
    _named(partition, ["", ""], [_transfer(8), _transfer(9)], NOON_US + 2)
    assert _asked(partition.blocks[1]) == names
    assert decode(partition.blocks[1]).askers["outcome"].tolist() == [1, 3, 5, 6]
    assert _asked(partition.blocks[2]) == ["", ""]
    assert [data[8] for data in partition.blocks] == [3, 4, 3]


def test_a_repeat_tells_who_repeats_and_the_first_outcome_who_asked_first() -> None:
    partition = _partition()
    _named(partition, ["eve"], [_transfer(1)], NOON_US + 1)
    _named(partition, ["bob"], [_transfer(1)], NOON_US + 2)
    assert (_asked(partition.blocks[1]), _asked(partition.blocks[2])) == (["eve"], ["bob"])


def test_what_time_decides_has_no_asker() -> None:
    partition = _partition()
    legs = (Leg("@world", -5, USD), Leg("ann", 5, USD))
    _named(partition, ["eve"], [Hold(id_at(NOON_US, 1), legs, deadline_us=NOON_US + 10)], NOON_US + 1)
    _named(partition, ["bob"], [_transfer(2)], NOON_US + 10)
    assert _asked(partition.blocks[2]) == ["", "bob"], "the hold ends before"


def test_a_batch_of_one_principal_is_one_run() -> None:
    sizes = []
    for name in ("", "eve"):
        partition = _partition()
        partition.decide_batch(CommandBatch.of([_transfer(n) for n in range(1, 8_193)]).asked_by(name), NOON_US + 1)
        sizes.append(len(partition.blocks[1]))
    assert sizes[1] - sizes[0] == 6 + 2 + 1 + 1 + len("eve")


def _fold(records: Sequence[Record], *, run: bool) -> None:
    replay = Replay(State(0))
    if run:
        list(replay.take_run(records))
    else:
        for record in records:
            replay.take(record)


WRONG: dict[str, tuple[list[int], list[str]]] = {
    "no name at first": ([0, 1], ["", "eve"]),
    "the same name twice": ([0, 1], ["eve", "eve"]),
    "not rising": ([1, 1], ["eve", "bob"]),
    "falling": ([2, 1], ["eve", "bob"]),
    "no such outcome": ([0, 3], ["eve", "bob"]),
    "a blank": ([0], ["eve smith"]),
    "not ASCII": ([0], ["\u00e9ve"]),
    "a control character": ([0], ["eve\n"]),
    "too long": ([0], ["e" * 256]),
    "no command": ([1], ["eve"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_list_of_askers_is_refused_by_itself_and_in_a_run(wrong: str) -> None:
    partition = _partition()
    legs = (Leg("@world", -5, USD), Leg("ann", 5, USD))
    partition.decide([Hold(id_at(NOON_US, 1), legs, deadline_us=NOON_US + 10)], NOON_US + 1)
    partition.decide([_transfer(2), _transfer(3), _transfer(4)], NOON_US + 2)
    if wrong == "no command":
        partition.decide([], NOON_US + 10)
        partition.decide([_transfer(5)], NOON_US + 11)
    first, names = WRONG[wrong]
    at = 2
    block = decode(partition.blocks[2])
    if wrong == "no command":  # a hold that ended, and nothing else
        at, block, first = 3, decode(partition.blocks[3]), [0]
    askers: dict[str, Any] = {"outcome": np.array(first, np.int64), "name": names}
    made = encoded(block._replace(askers=askers))
    assert made[8] == 4
    assert grammar_fault(decode(made)) is not None
    blocks = [*partition.blocks[:at], made]
    for run in (False, True):
        with pytest.raises(CheckFailed) as failed:
            _fold([Record(offset, data) for offset, data in enumerate(blocks)], run=run)
        assert failed.value.sequence == at


def test_blocks_that_name_somebody_are_taken_by_the_run() -> None:
    partition = _partition()
    for number in range(1, 9):
        _named(partition, ["eve" if number % 2 else ""], [_transfer(number)], NOON_US + number)
    records = [Record(offset, data) for offset, data in enumerate(partition.blocks)]
    taken = list(Replay(State(0)).take_run(records))
    assert [len(each.records) if isinstance(each, FoldedBlocks) else 0 for each in taken] == [0, 8]


def test_a_block_of_a_later_format_says_what_to_do() -> None:
    later = sealed(_partition().blocks[0], version=5)
    with pytest.raises(NewerFormat, match=r"version 5, and this release of fanfold reads 1 to 4"):
        decode(later)
    with pytest.raises(ChainBroken, match="A newer release has written it") as broken:
        judge(0, NO_HEAD, later)
    assert "Restore the log" not in str(broken.value)
    assert is_newer(later)
    assert not is_newer(later[:-1])
    assert not is_newer(later[:-1] + bytes([later[-1] ^ 1])), "half of an append"
    assert not is_newer(_partition().blocks[0])
