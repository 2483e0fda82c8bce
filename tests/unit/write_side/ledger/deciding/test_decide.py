"""decide against a model that shares no code with it, cut into any blocks, uncompiled, and replayed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import write_side.ledger.deciding.decide
import write_side.ledger.deciding.next_block
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from tests.unit.write_side.ledger.decided_outcomes import DecidedOutcomes, balances_of, word
from tests.unit.write_side.ledger.streams import Segment, cut, random_stream
from tests.unit.write_side.ledger.wallet_model import Entry, Outcome, WalletModel
from write_side.contract.block import grammar
from write_side.contract.block.block import encode
from write_side.contract.state import account_rows, fold, fold_ids
from write_side.contract.state.state import State
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import PRECEDENCE, Code, Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Leg, Mode, OpenAccount, Reverse, Transfer
from write_side.ledger.deciding.decide_loop import decide_loop

ROOT = Path(__file__).resolve().parents[5]
NEEDS_MORE = {
    Code.DEBIT_FROZEN, Code.CREDIT_FROZEN, Code.ACCOUNT_CLOSED, Code.VERSION_DIFFERS, Code.AVAILABLE_BELOW,
    Code.NOT_RUN, Code.BATCH_REFUSED, Code.ID_MEMORY_FULL,
}  # fmt: skip
"""What takes flags, conditions, chains or a small table of ids to meet: `test_decide_rich.py`."""
PLAIN = {*PRECEDENCE[Kind.OPEN], *PRECEDENCE[Kind.TRANSFER]} - NEEDS_MORE


def decide_all(blocks: list[Segment], partition: DecidingPartition) -> list[Outcome]:
    decided = DecidedOutcomes(partition)
    for at_us, commands in blocks:
        decided.read(partition.decide(commands, at_us))
    return decided.outcomes


@pytest.mark.parametrize("seed", range(24))
def test_every_outcome_is_the_models(seed: int) -> None:
    partitions, ids_max = (1, 2, 3)[seed % 3], (1 << 24, 100, 33, 7)[seed % 4]
    partition = DecidingPartition(partitions - 1, partitions, ids_max=ids_max)
    model = WalletModel(partitions - 1, partitions, ids_max)
    decided = DecidedOutcomes(partition)
    stream = random_stream(seed, segments=10, commands=150)
    for at_us, commands in cut(stream, seed) if seed % 2 else stream:
        assert decided.read(partition.decide(commands, at_us)) == model.block(commands, at_us)
        assert partition.state.chained.refuse_ids_before_us == model.refuse_before_us
    assert {outcome.word for outcome in decided.outcomes} >= {"done", "repeated", "insufficient_available"}
    assert model.balances() == balances_of(partition)
    assert_same_state(partition.state, partition.replayed())


def test_the_streams_meet_every_code() -> None:
    words = set()
    for seed in range(6):
        model = WalletModel(0, 2, 1 << 24)
        for at_us, commands in random_stream(seed, segments=10, commands=150):
            words |= {outcome.word for outcome in model.block(commands, at_us)}
    assert words == {word(code) for code in PLAIN if code is not Code.ASSET_COLLIDES}  # test_asset_collision.py


@pytest.mark.parametrize("seed", range(12))
def test_any_cutting_into_blocks_gives_the_same_outcomes_and_the_same_digest(seed: int) -> None:
    ids_max = (1 << 24, 64, 20)[seed % 3]
    stream = random_stream(seed, segments=8, commands=120, past_ids_only=True)
    whole = DecidingPartition(ids_max=ids_max)
    in_pieces = DecidingPartition(ids_max=ids_max)
    assert decide_all(stream, whole) == decide_all(cut(stream, seed + 1), in_pieces)
    assert len(in_pieces.blocks) > len(whole.blocks)
    assert in_pieces.state.digest_bytes() == whole.state.digest_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_ids_without_a_time_give_the_same_outcomes_for_any_cutting_too(seed: int) -> None:
    stream = random_stream(seed, segments=8, commands=120)
    assert decide_all(stream, DecidingPartition()) == decide_all(cut(stream, seed + 1), DecidingPartition())


@pytest.mark.parametrize("seed", range(4))
def test_every_block_keeps_zero_sums_limits_and_floors(seed: int) -> None:
    partition = DecidingPartition()
    state = partition.state
    for at_us, commands in cut(random_stream(seed, segments=6, commands=100), seed):
        before = dict(zip(state.names, state.posted[: state.count].tolist(), strict=True))
        partition.decide(commands, at_us)
        totals: dict[str, int] = {}
        for number in range(state.count):
            posted, floor = int(state.posted[number]), int(state.floor[number])
            totals[state.assets[number]] = totals.get(state.assets[number], 0) + posted
            assert abs(posted) <= LIMIT
            assert floor == NO_FLOOR or posted >= min(floor, before.get(state.names[number], 0))
        assert not any(totals.values())


STREAM_SEED, STREAM_SEGMENTS, STREAM_COMMANDS, STREAM_IDS_MAX = 5, 5, 60, 40


def hashes_of_stream() -> list[str]:
    partition = DecidingPartition(1, 2, ids_max=STREAM_IDS_MAX)
    stream = random_stream(STREAM_SEED, segments=STREAM_SEGMENTS, commands=STREAM_COMMANDS)
    decide_all(cut(stream, STREAM_SEED), partition)
    assert_same_state(partition.state, partition.replayed())
    return [data[112:144].hex() for data in partition.blocks]


def test_the_uncompiled_loop_makes_the_same_blocks_to_the_last_byte() -> None:
    """Its own process, because numba decides at import. Wrapping of 64-bit words is meant, so numpy need not warn of it."""
    uncompiled = subprocess.run(
        [sys.executable, "-W", "ignore:overflow:RuntimeWarning", "-m", __name__],
        cwd=ROOT,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert uncompiled.stdout.split() == hashes_of_stream()


def opened(*names: str, floor: int = 0, asset: str = "USD/2") -> list[Command]:
    return [OpenAccount(name, asset, floor, "") for name in names]


def moved(number: int, debit: str, credit: str, amount: int, at_us: int = NOON_US) -> Transfer:
    return Transfer(id_at(at_us, number), debit, credit, amount, "USD/2")


def words(partition: DecidingPartition, commands: list[Command], at_us: int) -> list[str]:
    return [outcome.word for outcome in DecidedOutcomes(partition).read(partition.decide(commands, at_us))]


def test_withdrawal_above_available_is_refused_and_says_what_is_available() -> None:
    partition = DecidingPartition()
    commands = [*opened("a"), moved(1, "@world", "a", 5), moved(2, "a", "@world", 6), moved(3, "a", "@world", 5)]
    outcomes = DecidedOutcomes(partition).read(partition.decide(commands, NOON_US))
    assert outcomes[2] == Outcome("insufficient_available", available=5)
    assert outcomes[3] == Outcome("done", (Entry("@world:USD/2", 0, 2), Entry("a", 0, 2)))


def test_a_refused_transfer_keeps_its_refusal_when_there_is_enough_later() -> None:
    partition = DecidingPartition()
    too_much = moved(1, "a", "@world", 6)
    assert words(partition, [*opened("a"), too_much], NOON_US) == ["done", "insufficient_available"]
    decided = DecidedOutcomes(partition)
    decided._first[0, 1] = 77
    assert decided.read(partition.decide([moved(2, "@world", "a", 10), too_much], NOON_US + 1))[1].first == 77


def test_overdraft_down_to_a_negative_floor_is_allowed_and_not_further() -> None:
    partition = DecidingPartition()
    commands = [*opened("a", floor=-10), moved(1, "a", "@world", 11), moved(2, "a", "@world", 10)]
    assert words(partition, commands, NOON_US) == ["done", "insufficient_available", "done"]


def test_no_balance_passes_ten_to_eighteen_in_either_direction() -> None:
    partition = DecidingPartition()
    commands: list[Command] = [
        *opened("a", "b", floor=NO_FLOOR),
        moved(1, "a", "b", LIMIT),
        moved(2, "a", "b", 1),
        moved(3, "@world", "b", 1),
        moved(4, "b", "a", LIMIT),
        moved(5, "b", "a", LIMIT),
    ]
    said = words(partition, commands, NOON_US)
    assert said == ["done", "done", "done", "balance_limit_exceeded", "balance_limit_exceeded", "done", "done"]


def test_lifting_the_floor_to_the_limit_never_wraps_available() -> None:
    partition = DecidingPartition()
    commands: list[Command] = [
        *opened("high", floor=LIMIT),
        *opened("low", floor=-LIMIT),
        moved(1, "low", "high", LIMIT),
        moved(2, "high", "low", 1),
        moved(3, "low", "high", 1),
    ]
    outcomes = DecidedOutcomes(partition).read(partition.decide(commands, NOON_US))
    assert [outcome.available for outcome in outcomes] == [None, None, None, 0, 0]


def test_an_id_of_the_next_minutes_is_taken_and_one_further_ahead_is_not() -> None:
    partition = DecidingPartition()
    ahead_us = 300_000_000
    at_us = NOON_US // 1000 * 1000
    commands: list[Command] = [
        *opened("a"),
        moved(1, "@world", "a", 1, at_us + ahead_us),
        moved(2, "@world", "a", 1, at_us + ahead_us + 1000),
    ]
    assert words(partition, commands, at_us) == ["done", "done", "id_in_future"]


def test_an_id_older_than_the_window_is_refused_even_though_it_was_never_seen() -> None:
    partition = DecidingPartition()
    week_us = 7 * 24 * 3600 * 1_000_000
    at_us = NOON_US // 1000 * 1000
    commands: list[Command] = [
        *opened("a"),
        moved(1, "@world", "a", 1, at_us - week_us),
        moved(2, "@world", "a", 1, at_us - week_us - 1000),
    ]
    assert words(partition, commands, at_us) == ["done", "done", "id_expired"]


def test_a_block_whose_time_does_not_rise_is_a_bug_and_changes_nothing() -> None:
    partition = DecidingPartition()
    partition.decide(opened("a"), NOON_US)
    before = partition.state.digest_bytes()
    for at_us in (NOON_US, NOON_US - 1):
        with pytest.raises(AssertionError, match="must rise"):
            partition.decide([moved(1, "@world", "a", 5)], at_us)
    assert partition.state.digest_bytes() == before


def test_a_full_id_table_forgets_the_older_half_and_never_runs_an_id_of_it_again() -> None:
    partition = DecidingPartition(ids_max=10)
    deposits: list[Command] = [moved(n, "@world", "a", 1, NOON_US + n * 1000) for n in range(11)]
    at_us = NOON_US + 60_000_000
    assert words(partition, [*opened("a"), *deposits, *deposits], at_us) == (
        ["done"] * 12 + ["id_expired"] * 4 + ["id_expired"] + ["repeated"] * 6
    )
    assert int(partition.state.posted[2]) == 11
    assert partition.state.ids.count == 6
    assert_same_state(partition.state, partition.replayed())


WEEK_US, HOUR_US = 7 * 24 * 3_600_000_000, 3_600_000_000


def codes(partition: DecidingPartition, commands: list[Command], at_us: int) -> list[str]:
    """As `words`, where a repeat names an outcome of an earlier block."""
    return [word(Code(code)) for code in partition.decide(commands, at_us).outcomes["code"].tolist()]


def timeless_deposits(first: int, count: int) -> list[Command]:
    return [Transfer(timeless_id(n), "@world", "a", 1, "USD/2") for n in range(first, first + count)]


def test_an_id_without_a_time_is_remembered_for_the_whole_window_however_many_others_come() -> None:
    partition = DecidingPartition(ids_max=10)
    [timeless] = timeless_deposits(0, 1)
    assert codes(partition, [*opened("a"), timeless], NOON_US) == ["done", "done"]
    for n in range(1, 8):
        at_us = NOON_US + n * (WEEK_US // 8)
        flood: list[Command] = [moved(100 * n + i, "@world", "a", 1, at_us - 60_000_000 + i * 1000) for i in range(40)]
        assert "done" in codes(partition, flood, at_us)
        assert codes(partition, [timeless], at_us + 1) == ["repeated"]
    assert codes(partition, [timeless], NOON_US + WEEK_US) == ["repeated"]
    assert_same_state(partition.state, partition.replayed())


def test_ids_that_carry_a_time_make_room_and_are_refused_afterwards() -> None:
    partition = DecidingPartition(ids_max=10)
    timed: list[Command] = [moved(n, "@world", "a", 1, NOON_US + n * 1000) for n in range(5)]
    at_us = NOON_US + 60_000_000
    # The five with a time make the table's bound be met: three of them go, and none of those without one.
    assert codes(partition, [*opened("a"), *timed, *timeless_deposits(0, 10)], at_us) == ["done"] * 16
    assert codes(partition, [*timeless_deposits(0, 10), *timed], at_us + 1)[:10] == ["repeated"] * 10
    assert set(codes(partition, timed, at_us + 2)) <= {"id_expired", "repeated"}
    assert int(partition.state.posted[2]) == 15
    assert_same_state(partition.state, partition.replayed())


def test_when_ids_without_a_time_fill_the_memory_another_is_refused_and_stays_free() -> None:
    partition = DecidingPartition(ids_max=10)
    late = timeless_deposits(10, 1)
    assert codes(partition, [*opened("a"), *timeless_deposits(0, 10), *late], NOON_US) == ["done"] * 11 + [
        "id_memory_full"
    ]
    assert codes(partition, [moved(1, "@world", "a", 1), *late], NOON_US + 1) == ["done", "id_memory_full"]
    at_us = NOON_US + WEEK_US + HOUR_US + 1
    assert codes(partition, late, at_us) == ["done"]
    assert partition.state.ids.count == 1
    assert_same_state(partition.state, partition.replayed())


def test_a_refusal_for_want_of_memory_refuses_an_atomic_batch_and_stops_one_that_stops() -> None:
    for mode, said in ((Mode.ATOMIC, "batch_refused"), (Mode.STOP, "not_run")):
        partition = DecidingPartition(ids_max=10)
        partition.decide([*opened("a"), *timeless_deposits(0, 10)], NOON_US)
        lines = [*timeless_deposits(10, 1), moved(1, "@world", "a", 1)]
        block = partition.decide_batch(CommandBatch.of(lines, mode), NOON_US + 1)
        assert [word(Code(code)) for code in block.outcomes["code"].tolist()] == ["id_memory_full", said]
        assert_same_state(partition.state, partition.replayed())


def test_a_transfer_whose_id_has_no_time_is_not_reversed_twice_when_others_are_forgotten() -> None:
    partition = DecidingPartition(ids_max=10)
    [original] = timeless_deposits(0, 1)
    assert isinstance(original, Transfer)
    legs = (Leg("@world", 1, "USD/2"), Leg("a", -1, "USD/2"))
    partition.decide([*opened("a", floor=-5), original], NOON_US)
    at_us = NOON_US + HOUR_US
    assert codes(partition, [Reverse(id_at(at_us, 1), original.id, legs)], at_us) == ["done"]
    flood: list[Command] = [moved(100 + i, "@world", "a", 1, at_us + HOUR_US + i * 1000) for i in range(40)]
    partition.decide(flood, at_us + 2 * HOUR_US)
    assert partition.state.chained.refuse_ids_before_us > at_us
    assert codes(partition, [Reverse(timeless_id(7), original.id, legs)], at_us + 3 * HOUR_US) == ["already_reversed"]
    assert_same_state(partition.state, partition.replayed())


@pytest.mark.parametrize("hours", [0, 1, 24, 24 * 8])
def test_blocks_that_decide_nothing_forget_alike_for_the_writer_and_for_who_reads(hours: int) -> None:
    partition = DecidingPartition(ids_max=10)
    partition.decide([*opened("a"), *timeless_deposits(0, 5)], NOON_US)
    flood: list[Command] = [moved(100 + i, "@world", "a", 1, NOON_US + HOUR_US + i * 1000) for i in range(40)]
    partition.decide(flood, NOON_US + 2 * HOUR_US)
    partition.open_epoch(NOON_US + (2 + hours) * HOUR_US + 1)
    partition.decide([], NOON_US + (2 + hours) * HOUR_US + 2)
    partition.open_epoch(NOON_US + (3 + hours) * HOUR_US + 3)
    partition.decide(timeless_deposits(0, 2), NOON_US + (4 + hours) * HOUR_US)
    assert_same_state(partition.state, partition.replayed())


def test_a_log_of_before_that_forgot_all_ids_by_one_cut_off_folds_as_it_was_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def alike(state: State, cut_off_us: int, _timeless_from_us: int) -> None:
        fold_ids.forget_before(state, cut_off_us, cut_off_us)

    def untold(**fields: Any) -> bytes:
        return encode(**(fields | {"partitions": 0}))

    partition = DecidingPartition(ids_max=10)
    with monkeypatch.context() as before:
        before.setattr(write_side.ledger.deciding.decide, "forget_before", alike)
        before.setattr(write_side.ledger.deciding.next_block, "encode", untold)
        partition.decide([*opened("a"), *timeless_deposits(0, 5)], NOON_US)
        for n in range(1, 4):
            flood: list[Command] = [moved(100 * n + i, "@world", "a", 1, NOON_US + n * HOUR_US) for i in range(20)]
            partition.decide(flood, NOON_US + n * HOUR_US + 60_000_000)
        assert partition.state.find_transfer(timeless_id(0)) is None
    # It forgot such ids before their days were over: none is run that may have been, until they would be over.
    assert codes(partition, timeless_deposits(5, 5), NOON_US + 5 * HOUR_US) == ["id_memory_full"] * 5
    assert codes(partition, timeless_deposits(5, 5), NOON_US + 5 * HOUR_US + WEEK_US) == ["done"] * 5
    partition.decide(timeless_deposits(10, 1), NOON_US + 4 * HOUR_US + 2 * WEEK_US)
    assert partition.state.ids.timeless == 6
    assert_same_state(partition.state, partition.replayed())


def test_ids_made_ahead_of_time_never_push_the_cut_off_so_far_that_others_are_refused() -> None:
    partition = DecidingPartition(ids_max=10)
    ahead: list[Command] = [moved(n, "@world", "a", 1, NOON_US + 60_000_000) for n in range(40)]
    ordinary: list[Command] = [moved(100 + n, "@world", "a", 1, NOON_US - 2_000_000) for n in range(5)]
    assert words(partition, [*opened("a"), *ahead, *ordinary], NOON_US) == ["done"] * 46
    assert_same_state(partition.state, partition.replayed())


def test_an_opening_that_opens_nothing_leaves_no_asset_behind() -> None:
    partition = DecidingPartition()
    other: list[Command] = [OpenAccount("a", f"A{n}/2", 0, "") for n in range(5)]
    assert words(partition, [*opened("a")], NOON_US) == ["done"]
    assert set(words(partition, other, NOON_US + 1)) == {"account_exists_with_other_terms"}
    assert partition.state.asset_names == ["USD/2"]


def test_a_plain_transfer_takes_at_most_seventy_bytes_in_a_full_block() -> None:
    partition = DecidingPartition()
    names = [f"account-{n}" for n in range(1_000)]
    partition.decide([*opened(*names), *(moved(n, "@world", names[n], 1_000_000) for n in range(1_000))], NOON_US)
    partition.state.version[: partition.state.count] += 100_000  # as wide as they get in real life
    pairs = [(i % 1000, i * 7 % 999) for i in range(9000)]
    commands = [
        moved(10_000 + i, names[debit], names[credit], i % 999 + 1)
        for i, (debit, credit) in enumerate(pair for pair in pairs if pair[0] != pair[1])
    ][:8192]
    block = partition.decide(commands, NOON_US + 1)
    assert block.outcomes["code"].tolist() == [Code.DONE] * 8192
    assert len(partition.blocks[-1]) / 8192 <= 70


def test_decide_is_compiled_once_whatever_way_the_commands_came() -> None:
    """A second version would be compiled in the middle of the traffic: tens of seconds in which nothing is answered."""
    partition = DecidingPartition()
    partition.open_epoch(NOON_US)
    batches = [CommandBatch.of([*opened("a", "b"), moved(1, "@world", "a", 5), moved(2, "a", "b", 1)])]
    batches.append(CommandBatch.decode(CommandBatch.of([moved(3, "@world", "a", 5), moved(2, "a", "b", 1)]).encode()))
    batches.append(CommandBatch.concatenated([batches[1], batches[0]]))
    batches.append(batches[2].slice(1, 4))
    batches.append(CommandBatch.of([moved(9, "@world", "a", LIMIT - 1)]))
    for n, batch in enumerate(batches):
        partition.decide_batch(batch, NOON_US + 1 + n)
    partition.replayed()
    loops: list[Any] = [decide_loop, fold.fold_entries, fold_ids.fold_ids, account_rows.add_accounts, grammar.walk]
    assert [len(loop.signatures) for loop in loops] == [1] * len(loops)


if __name__ == "__main__":
    print("\n".join(hashes_of_stream()))
