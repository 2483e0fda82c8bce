"""An id that ran is told its first outcome again at any age, whatever was forgotten, written, joined or lost meanwhile."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.write_side.deciding import NOON_US, id_at, timeless_id
from tests.unit.write_side.id_runs.bank import IDS_MAX, MUCH, SECOND_US, USD, Bank, transfer
from write_side.contract.block.block import decode
from write_side.contract.state.ids import CUT_OFF_STEP_US, WINDOW_US
from write_side.contract.words.codes import Code
from write_side.id_runs import runs
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, OpenAccount
from write_side.ledger.deciding.next_block import next_block


class EveryIdOnce(RuleBasedStateMachine):
    """Every transfer that ever ran is asked for again, under the same id, with the same and with another amount."""

    @initialize()
    def begin(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.bank = Bank(self.place)
        self.bank.decide([OpenAccount("alice", USD, 0, "")])
        self.ran: dict[bytes, tuple[int, int, int]] = {}
        self.numbers = 0

    def teardown(self) -> None:
        if hasattr(self, "place"):
            shutil.rmtree(self.place)

    @rule(timed=st.lists(st.booleans(), min_size=1, max_size=20), many=st.sampled_from((1, 1, 40)))
    def pay(self, timed: list[bool], many: int) -> None:
        commands = []
        for carries_time in timed * many:
            self.numbers += 1
            id16 = id_at(self.bank.at_us, self.numbers) if carries_time else timeless_id(self.numbers)
            commands.append(transfer(id16, self.numbers if self.numbers % 5 else MUCH))
        sequence = len(self.bank.blocks)
        block = self.bank.decide(commands)
        assert Code.ID_MEMORY_FULL not in block.outcomes["code"].tolist()
        for row, command in enumerate(commands):
            self.ran[command.id] = (command.amount, sequence, row)

    @rule(us=st.sampled_from((1, 11 * SECOND_US, 3600 * SECOND_US, WINDOW_US, 3 * WINDOW_US)))
    def wait(self, us: int) -> None:
        self.bank.at_us += us

    @rule()
    def tidy(self) -> None:
        self.bank.ids.tidy()

    @rule()
    def crash(self) -> None:
        self.bank.start_again()

    @precondition(lambda self: len(self.ran) > 0)
    @rule(choice=st.integers(0, 2**32), changed=st.booleans())
    def ask_again(self, choice: int, changed: bool) -> None:
        asked = list(self.ran)[choice % len(self.ran) :][:3]
        commands = [transfer(id16, 7 if changed else self.ran[id16][0]) for id16 in asked]
        block = self.bank.decide(commands)
        outcomes, repeats = block.outcomes, block.repeats
        for row, id16 in enumerate(asked):
            amount, sequence, first = self.ran[id16]
            code = Code(outcomes["code"][row])
            if changed and amount != 7:
                assert code is Code.ID_REUSED
            else:
                assert code is Code.REPEATED
                at = repeats["outcome"].tolist().index(row)
                assert (int(repeats["sequence"][at]), int(repeats["row"][at])) == (sequence, first)

    @invariant()
    def money_is_what_ran(self) -> None:
        if hasattr(self, "bank"):
            number = self.bank.state.number_of("alice")
            assert number is not None
            done = sum(amount for amount, _, _ in self.ran.values() if amount != MUCH)
            assert int(self.bank.state.posted[number]) == done


def test_ids_without_a_time_are_always_taken_and_memory_stays_bounded(tmp_path: Path) -> None:
    bank = Bank(tmp_path)
    bank.decide([OpenAccount("alice", USD, 0, "")])
    timed = [transfer(id_at(NOON_US, n), 1) for n in range(50)]
    bank.decide(timed)
    for minute in range(100):
        bank.at_us += 60 * SECOND_US
        block = bank.decide([transfer(timeless_id(60 * minute + n), 1) for n in range(60)])
        assert set(block.outcomes["code"].tolist()) == {Code.DONE}
        assert bank.state.ids.count <= IDS_MAX
    assert sum(decode(block).header.forgets for block in bank.blocks) > 5
    assert bank.state.find_transfer(timed[0].id) is not None, "those with a time did not have to go for them"
    assert bank.state.find_transfer(timeless_id(0)) is None
    for asked in (timed, [transfer(timeless_id(n), 1) for n in range(0, 6_000, 50)]):
        assert set(bank.decide(asked).outcomes["code"].tolist()) == {Code.REPEATED}
    bank.start_again()
    assert set(bank.decide([transfer(timeless_id(3), 1)]).outcomes["code"].tolist()) == {Code.REPEATED}


def test_who_has_no_place_to_look_runs_none_that_another_may_have_forgotten_before_its_days_were_over(
    tmp_path: Path,
) -> None:
    bank = Bank(tmp_path)
    bank.decide([OpenAccount("alice", USD, 0, "")])
    for minute in range(6):
        bank.at_us += 60 * SECOND_US
        bank.decide([transfer(timeless_id(300 * minute + n), 1) for n in range(300)])
    assert bank.state.find_transfer(timeless_id(1)) is None
    alone = Alone(bank)
    assert alone.codes(transfer(timeless_id(1), 1), transfer(timeless_id(5_000), 1), transfer(id_at(bank.at_us, 1), 1)) == [
        Code.ID_MEMORY_FULL, Code.ID_MEMORY_FULL, Code.DONE,
    ]  # fmt: skip
    bank.at_us += WINDOW_US + CUT_OFF_STEP_US
    assert alone.codes(transfer(timeless_id(5_000), 1)) == [Code.DONE]


class Alone:
    """A writer of the same log that has no files of ids."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank

    def codes(self, *commands: Command) -> list[Code]:
        bank = self._bank
        bank.at_us += 1
        decided = next_block(
            bank.state,
            [(len(bank.blocks), CommandBatch.of(commands))],
            partitions=1,
            created_at_us=bank.at_us,
            consumed_to=len(bank.blocks) + 1,
            ids_max=IDS_MAX,
        )
        bank.blocks.append(decided.data)
        return [Code(code) for code in decided.block.outcomes["code"].tolist()]


TestEveryIdOnce = EveryIdOnce.TestCase
TestEveryIdOnce.settings = settings(max_examples=40, stateful_step_count=30)


def test_files_begin_with_the_first_ids_and_are_never_further_behind_than_a_snapshot_knows_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "SEALED_BLOCKS", 5)
    bank = Bank(tmp_path)
    bank.decide([OpenAccount("alice", USD, 0, "")])
    for number in range(40):
        bank.decide([transfer(timeless_id(number), 1)])
        bank.ids.tidy()
        assert len(bank.blocks) - 1 - bank.ids.folder.end.sequence < 5
        assert bank.ids.folder.end.sequence > 0
    assert len(bank.ids.folder.sealed) < 10
