"""What the log says is decided again to the same bytes, and a changed rule is found where it first shows."""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.test_golden_blocks import COUNTED, VERSION_2, VERSION_3
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from tests.unit.write_side.id_runs.bank import Bank, transfer
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from tests.unit.write_side.ledger.streams import cut, random_stream
from tests.unit.write_side.ledger.test_decide_across import run
from tests.unit.write_side.ledger.test_decide_rich import modelled
from tests.unit.write_side.ledger.test_order_of_operations import CREDIT_FIRST, spent_before_the_refusal
from tests.unit.write_side.ledger.three_partitions import ALICE, BOB, USD, ThreePartitions
from tests.unit.write_side.ledger.wallet_model import WalletModel
from write_side.contract.block.block import decode, encode
from write_side.contract.block.columns import SECTIONS
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.state import State
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.across.participant import EFFECTS
from write_side.ledger.again.decide_again import decide_again
from write_side.ledger.again.told_chains import told_chains
from write_side.ledger.again.untold import CannotTell, Untold
from write_side.ledger.commands.commands import Leg, LegsTransfer, OpenAccount, Transfer
from write_side.ledger.deciding import decide as decide_module
from write_side.ledger.deciding import gathered
from write_side.ledger.deciding.decide_loop import decide_loop
from write_side.ledger.rules.book import ENTRIES


def again(blocks: Sequence[bytes], partition: int, partitions: int) -> tuple[State, int, Counter[Untold]]:
    """Decide a log again: the state at its end, how many outcomes were decided and how many not. Nothing may differ."""
    state, outcomes, untold = State(partition, partitions), 0, Counter[Untold]()
    for data in blocks:
        found = decide_again(state, decode(data), data, partitions=partitions)
        assert found.differs is None, decode(data)
        outcomes, untold = outcomes + found.outcomes, untold + found.untold
    return state, outcomes, untold


def expect_the_same(partition: DecidingPartition) -> tuple[int, Counter[Untold]]:
    state, outcomes, untold = again(partition.blocks, partition.state.partition, partition.partitions)
    assert_same_state(state, partition.state)
    assert outcomes + sum(untold.values()) == sum(len(decode(data).outcomes["kind"]) for data in partition.blocks)
    return outcomes, untold


@pytest.mark.parametrize("seed", range(6))
def test_openings_and_plain_transfers_of_every_code_are_decided_again_to_the_same_bytes(seed: int) -> None:
    partition = DecidingPartition()
    for at_us, commands in cut(random_stream(seed, segments=6, commands=120), seed):
        partition.decide(commands, at_us)
    _, untold = expect_the_same(partition)
    assert not untold


@pytest.mark.parametrize("seed", range(12))
def test_holds_captures_reversals_changes_and_batches_are_decided_again_to_the_same_bytes(seed: int) -> None:
    partition = DecidingPartition()
    _, sent = modelled(rich_stream(random.Random(seed), segments=25, items=12), WalletModel(0, 1, 1 << 24))
    for at_us, items in sent:
        decide_items(partition, items, at_us)
    outcomes, untold = expect_the_same(partition)
    assert set(untold) <= {Untold.CHAINS}
    assert outcomes > 4 * sum(untold.values())


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 8))
def test_a_short_random_log_is_decided_again_to_the_same_bytes(
    chance: random.Random, segments: int, items: int
) -> None:
    partition = DecidingPartition()
    _, sent = modelled(rich_stream(chance, segments=segments, items=items), WalletModel(0, 1, 1 << 24))
    for at_us, each in sent:
        decide_items(partition, each, at_us)
    expect_the_same(partition)


@pytest.mark.parametrize("seed", range(9))
def test_transfers_between_partitions_are_decided_again_to_the_same_bytes(seed: int) -> None:
    world = run(seed)
    total, every = 0, Counter[Untold]()
    for partition in world.deciding:
        outcomes, untold = expect_the_same(partition)
        total, every = total + outcomes, every + untold
    assert Untold.ODD not in every
    assert total > 4 * (every.total() - every[Untold.COPY]), every


def test_ids_forgotten_because_they_were_many_are_folded_and_counted() -> None:
    partition = DecidingPartition(ids_max=40)
    for at_us, commands in cut(random_stream(3, segments=6, commands=120), 3):
        partition.decide(commands, at_us)
    _, untold = expect_the_same(partition)
    assert untold[Untold.ID_MEMORY] > 0


def test_repeats_of_ids_that_memory_has_forgotten_are_decided_again_and_so_are_blocks_that_forget(
    tmp_path: Path,
) -> None:
    bank = Bank(tmp_path)
    bank.decide([OpenAccount("alice", USD, 0, "")])
    ran = [
        transfer(timeless_id(number) if number % 3 else id_at(NOON_US, number), number + 1) for number in range(4_000)
    ]
    for first in range(0, len(ran), 40):
        bank.at_us += 60_000_000
        changed = [transfer(each.id, each.amount + 1) for each in ran[max(0, first - 100) : first : 7]]
        bank.decide([*ran[first : first + 40], *ran[:first:50], *changed])
    assert sum(decode(block).header.forgets for block in bank.blocks) > 3
    state, outcomes, untold = again(bank.blocks, 0, 1)
    assert set(untold) == {Untold.ID_MEMORY}, "those with a time that had to make room"
    assert outcomes > 4 * untold.total()
    assert np.array_equal(state.digest, bank.state.digest)


def sent_as(partition: DecidingPartition, seed: int) -> None:
    _, sent = modelled(rich_stream(random.Random(seed), segments=25, items=12), WalletModel(0, 1, 1 << 24))
    for at_us, items in sent:
        decide_items(partition, items, at_us)


def first_differing(partition: DecidingPartition) -> tuple[int, str]:
    """The first block that is decided otherwise, and what is said of it."""
    state = State(partition.state.partition, partition.partitions)
    for sequence, data in enumerate(partition.blocks):
        found = decide_again(state, decode(data), data, partitions=partition.partitions)
        if found.differs is not None:
            return sequence, found.differs
    raise AssertionError("nothing differs")


def test_a_rule_that_lets_holds_live_on_is_found_where_the_first_one_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = DecidingPartition()
    sent_as(partition, 1)
    expired = [(decode(data).outcomes["kind"] == Kind.EXPIRE).any() for data in partition.blocks].index(True)
    monkeypatch.setattr(gathered, "_due", lambda state, at_us: np.empty(0, np.int64))
    sequence, told = first_differing(partition)
    assert sequence == expired
    assert "outcomes" in told


def test_a_fee_is_found_at_the_first_transfer_that_would_pay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    partition = DecidingPartition()
    partition.decide([OpenAccount("ann", "USD/2", 0, ""), OpenAccount("bob", "USD/2", 0, "")], NOON_US)
    for number, amount in enumerate((5, 99, 100, 7), 1):
        partition.decide([Transfer(id_at(NOON_US, number), "@world", "ann", amount, "USD/2")], NOON_US + number)

    def with_a_fee(book: Any, ids: Any, commands: Any, *rest: Any) -> tuple[int, int]:
        reached: tuple[int, int] = decide_loop(book, ids, commands, *rest)
        for entry in range(int(book.counts[ENTRIES])):
            book.output.entries[entry, 2] -= commands.amount[book.output.entries[entry, 0]] // 100
        return reached

    monkeypatch.setattr(decide_module, "decide_loop", with_a_fee)
    sequence, told = first_differing(partition)
    assert sequence == 3
    assert str(uuid.UUID(bytes=id_at(NOON_US, 3))) in told
    assert "entries.posted: the log says -204, decided now -205" in told


def test_another_code_is_told_by_its_words() -> None:
    partition = DecidingPartition()
    partition.decide([OpenAccount("ann", "USD/2", 0, "")], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "ann", "@world", 1, "USD/2")], NOON_US + 1)
    block = decode(partition.blocks[1])
    block.outcomes["code"][0] = Code.BALANCE_LIMIT
    sections = {section.name: getattr(block, section.name) for section in SECTIONS}
    fields = block.header._asdict()
    partition.blocks[1] = encode(
        **{name: value for name, value in fields.items() if name not in ("body_bytes", "block_hash")}, sections=sections
    )
    sequence, told = first_differing(partition)
    assert sequence == 1
    assert "outcomes.code: the log says balance_limit_exceeded, decided now insufficient_available" in told


def test_another_order_of_operations_between_partitions_is_found() -> None:
    for partition in spent_before_the_refusal(EFFECTS).partitions:
        expect_the_same(partition)
    bobs = spent_before_the_refusal(CREDIT_FIRST).partitions[1]
    sequence, told = first_differing(bobs)
    tried = [(decode(data).outcomes["kind"] == Kind.STEP).any() for data in bobs.blocks].index(True)
    assert sequence == tried
    assert "entries" in told


@pytest.mark.parametrize("files", [*VERSION_2, *COUNTED, *VERSION_3], ids=lambda files: files[0].name)
def test_blocks_of_older_versions_are_decided_again_as_they_were(files: list[Path]) -> None:
    partition = int(files[0].name.split("partition-")[1].split("-")[0])
    _, outcomes, untold = again([path.read_bytes() for path in files], partition, partitions=2)
    assert outcomes > 0
    assert set(untold) <= {Untold.STEP_REFUSED}


def test_a_refused_step_is_folded_and_counted_and_the_rest_decided_again() -> None:
    world = ThreePartitions()
    world.decide(0, [LegsTransfer(id_at(NOON_US, 1), (Leg(ALICE, -5, USD), Leg("carol-who-is-not-there", 5, USD)))])
    world.carry()
    every = Counter[Untold]()
    for partition in world.partitions:
        every += expect_the_same(partition)[1]
    assert every == {Untold.STEP_REFUSED: 1}


def test_a_message_that_came_twice_is_counted_and_its_block_decided_again() -> None:
    world = ThreePartitions()
    world.decide(0, [Transfer(id_at(NOON_US, 1), ALICE, BOB, 5, USD)])
    world.carry(times=2)
    for partition in world.partitions:
        _, untold = expect_the_same(partition)
        assert set(untold) <= {Untold.COPY}


@pytest.mark.parametrize(
    ("codes", "chain"),
    [
        ((Code.BATCH_REFUSED, Code.ACCOUNT_UNKNOWN, Code.BATCH_REFUSED), [1, 1, 1]),
        ((Code.ACCOUNT_UNKNOWN, Code.ACCOUNT_UNKNOWN, Code.BATCH_REFUSED), [0, 1, 1]),
        ((Code.DONE, Code.BATCH_REFUSED, Code.ACCOUNT_UNKNOWN, Code.DONE), [0, 1, 1, 0]),
        ((Code.BATCH_REFUSED, Code.ACCOUNT_UNKNOWN, Code.ACCOUNT_UNKNOWN), [1, 1, 0]),
        ((Code.DONE, Code.ACCOUNT_UNKNOWN, Code.NOT_RUN, Code.REPEATED, Code.NOT_RUN), [0, -1, -1, -1, -1]),
        ((Code.ACCOUNT_UNKNOWN, Code.NOT_RUN, Code.ACCOUNT_UNKNOWN, Code.NOT_RUN), [-1, -1, -2, -2]),
        ((Code.PARTITIONS_DIFFER, Code.DONE), [1, 0]),
    ],
)
def test_what_became_of_lines_tells_which_hung_together(codes: tuple[Code, ...], chain: list[int]) -> None:
    assert told_chains([Kind.TRANSFER] * len(codes), codes, [1] * len(codes)).tolist() == chain


@pytest.mark.parametrize(
    "codes",
    [
        (Code.BATCH_REFUSED, Code.ACCOUNT_UNKNOWN, Code.BATCH_REFUSED, Code.ACCOUNT_UNKNOWN),
        (Code.BATCH_REFUSED, Code.REPEATED, Code.ACCOUNT_UNKNOWN),
        (Code.BATCH_REFUSED, Code.NOT_RUN, Code.ACCOUNT_UNKNOWN),
        (Code.BATCH_REFUSED, Code.REPEATED, Code.REPEATED),
    ],
)
def test_batches_that_cannot_be_told_apart_are_not_guessed(codes: tuple[Code, ...]) -> None:
    with pytest.raises(CannotTell):
        told_chains([Kind.TRANSFER] * len(codes), codes, [1] * len(codes))


SENT = DecidingPartition()
sent_as(SENT, 5)
ACROSS = run(4).deciding[0]


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from((SENT, ACROSS)), st.data())
def test_whatever_a_whole_block_says_it_is_told_and_nothing_breaks(
    partition: DecidingPartition, data: st.DataObject
) -> None:
    """A number of a block is another one, and its hash is right: it is decided otherwise, or does not follow."""
    at = data.draw(st.integers(1, len(partition.blocks) - 1))
    state = State(partition.state.partition, partition.partitions)
    for block in partition.blocks[:at]:
        decide_again(state, decode(block), block, partitions=partition.partitions)
    changed = decode(partition.blocks[at])
    filled = [
        (section.name, column.name)
        for section in SECTIONS
        for column in section.columns
        if column.dtype is not None and len(getattr(changed, section.name)[column.name])
    ]
    assume(filled)
    section, column = data.draw(st.sampled_from(filled))
    values = getattr(changed, section)[column]
    row = data.draw(st.integers(0, len(values) - 1))
    before = int(values[row])
    values[row] = data.draw(st.sampled_from((0, 1, before + 1, 62, 200)))
    assume(int(values[row]) != before)
    fields = {
        name: value for name, value in changed.header._asdict().items() if name not in ("body_bytes", "block_hash")
    }
    bytes_now = encode(**fields, sections={each.name: getattr(changed, each.name) for each in SECTIONS})
    try:
        found = decide_again(state, decode(bytes_now), bytes_now, partitions=partition.partitions)
    except CheckFailed:
        return
    is_decided = section in ("entries", "held", "repeats") or column == "code"  # the rest may be what was asked
    assert found.differs is not None or found.untold or not is_decided, (section, column, row, before)
