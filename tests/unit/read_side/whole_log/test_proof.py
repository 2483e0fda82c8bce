"""What was said of an account as of a moment is compared with the blocks, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fanfold.api.answers.accounts import AccountState
from fanfold.api.values import read
from read_side.whole_log.proof import check_proof
from tests.unit.read_side.archive import Archive
from tests.unit.read_side.ask.test_transfers import USD, new_id
from tests.unit.read_side.block_maker import NO_FLAGS, moved
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import Change, Hold, Leg


@pytest.fixture
async def bank(bank: Archive) -> Archive:
    for amount in range(1, 6):
        await bank.partitions.say(0, moved(bank.alice, bank.carol, amount))
    return bank


async def said(bank: Archive, version: int) -> AccountState:
    return read(AccountState, await bank.page(f"/v1/accounts/{bank.alice}?as_of={version}"))


async def test_every_version_is_what_the_blocks_say(bank: Archive) -> None:
    for version in range(7):
        state = await said(bank, version)
        checked = await check_proof(bank.log, state)
        assert checked.wrong == []
        assert checked.blocks == int(state.position.partition(":")[2]) + 1
        assert (checked.later_at_us is None) == (version == 6)


async def test_every_version_of_several_in_one_block_is_what_the_blocks_say(bank: Archive) -> None:
    frozen, free = (Flag.DEBIT_FROZEN, NO_FLAGS), (NO_FLAGS, Flag.DEBIT_FROZEN)
    flags = [Change(new_id(), bank.alice, *each) for each in (frozen, free)]
    legs = tuple(sorted([Leg(bank.alice, -3, USD), Leg(bank.carol, 3, USD)]))
    paid, got = moved(bank.alice, bank.carol, 1), moved("@world", bank.alice, 2)
    await bank.partitions.say(0, paid, flags[0], got, flags[1], Hold(new_id(), legs))
    for version in range(7, 12):
        state = await said(bank, version)
        assert (await check_proof(bank.log, state)).wrong == [], version
        assert (await check_proof(bank.log, replace(state, posted=state.posted + 1))).wrong
    with_flags = await said(bank, 8)
    assert with_flags.flags
    assert (await check_proof(bank.log, replace(with_flags, flags=()))).wrong


@pytest.mark.parametrize("field", ["posted", "held", "version", "floor"])
async def test_a_number_that_is_another_one_is_found(bank: Archive, field: str) -> None:
    state = await said(bank, 3)
    wrong = replace(state, **{field: getattr(state, field) + 1})
    [told] = (await check_proof(bank.log, wrong)).wrong
    assert field in told


async def test_another_hash_another_block_and_another_log_are_found(bank: Archive) -> None:
    state = await said(bank, 3)
    assert "hash" in str((await check_proof(bank.log, replace(state, block_hash="00" * 32))).wrong)
    assert "hash" in str((await check_proof(bank.log, replace(state, position="0:6"))).wrong)
    assert "ends at" in str((await check_proof(bank.log, replace(state, position="0:99"))).wrong)
    assert "lives in partition 0" in str((await check_proof(bank.log, replace(state, position="1:3"))).wrong)
    assert (await check_proof(MemoryLog(MemoryRecords(2)), state)).wrong


async def test_damage_before_the_block_is_told(bank: Archive) -> None:
    state = await said(bank, 3)
    records = MemoryRecords(2)
    for block in bank.partitions.writers[0].blocks:
        records.append(0, block[:-1] + bytes([block[-1] ^ 1]) if len(records.blocks[0]) == 2 else block)
    assert "cannot be read" in str((await check_proof(MemoryLog(records), state)).wrong)
