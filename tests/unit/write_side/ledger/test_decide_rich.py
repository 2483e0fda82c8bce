"""decide against the model for everything a client may ask inside one partition: holds, legs, flags, conditions, chains."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import DecidingPartition, assert_same_state
from tests.unit.write_side.ledger.decided_outcomes import DecidedOutcomes, balances_of, decide_items, word
from tests.unit.write_side.ledger.rich_streams import RichSegment, cut_rich, rich_stream
from tests.unit.write_side.ledger.wallet_model import Chain, Item, Outcome, WalletModel
from write_side.contract.block.block import decode
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.pending_columns import LEG_AMOUNT, LEG_KEY_A, LEG_KEY_B, LOGGED
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Code
from write_side.ledger.commands.commands import Command

ROOT = Path(__file__).resolve().parents[4]
ACROSS = {Code.PENDING, Code.PARTITIONS_DIFFER, Code.HOLD_SPANS_PARTITIONS, Code.HOLD_BUSY, Code.TIMED_OUT, Code.STALE}
"""Codes that take several partitions."""


class Filled:
    """The items of a stream as the intake sends them: reversals with the legs that the log has, as the model knows them."""

    def __init__(self, model: WalletModel) -> None:
        self._model = model
        self.items: list[Command | Chain] = []

    def of(self, items: list[Command | Chain]) -> Iterator[Item]:
        """One by one, each after the one before has been decided."""
        self.items = []
        for item in items:
            filled = (
                Chain(item.mode, tuple(map(self._model.filled, item.commands)))
                if isinstance(item, Chain)
                else self._model.filled(item)
            )
            self.items.append(filled)
            yield filled


def modelled(stream: list[RichSegment], model: WalletModel) -> tuple[list[list[Outcome]], list[RichSegment]]:
    """What the model says of each block, and the stream as it is sent."""
    filled, outcomes, sent = Filled(model), [], []
    for at_us, items in stream:
        outcomes.append(model.block(filled.of(items), at_us))
        sent.append(RichSegment(at_us, filled.items))
    return outcomes, sent


def assert_decided_as_modelled(stream: list[RichSegment], ids_max: int = 1 << 24) -> list[Outcome]:
    partition, model = DecidingPartition(ids_max=ids_max), WalletModel(0, 1, ids_max)
    decided = DecidedOutcomes(partition)
    said, sent = modelled(stream, model)
    for block_said, (at_us, items) in zip(said, sent, strict=True):
        got = decided.read(decide_items(partition, items, at_us))
        assert len(got) == len(block_said)
        for outcome, wanted in zip(got, block_said, strict=True):
            assert outcome == wanted
    assert balances_of(partition) == model.balances()
    replayed = partition.replayed()
    assert_same_state(partition.state, replayed)
    assert pending_of(partition.state.pending) == pending_of(replayed.pending)
    return decided.outcomes


def pending_of(table: PendingTable) -> dict[object, object]:
    """Every row that is not over, with its legs, whatever its place."""
    return {
        tuple(table.rows[row, :3].tolist()): (
            table.rows[row, list(LOGGED)].tolist(),
            table.legs_of(row).tolist(),
        )
        for row in range(table.count)
    }


@pytest.mark.parametrize("seed", range(40))
def test_every_outcome_is_the_models(seed: int) -> None:
    chance = random.Random(seed)
    stream = rich_stream(chance, segments=12, items=60)
    outcomes = assert_decided_as_modelled(cut_rich(stream, chance) if seed % 2 else stream)
    assert {outcome.word for outcome in outcomes} >= {"done", "repeated", "hold_unknown"}


@pytest.mark.parametrize("seed", range(16))
def test_every_outcome_is_the_models_when_few_ids_are_remembered(seed: int) -> None:
    chance = random.Random(1000 + seed)
    stream = rich_stream(chance, segments=10, items=40)
    assert_decided_as_modelled(cut_rich(stream, chance), ids_max=(60, 20, 8)[seed % 3])


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(1, 12))
def test_every_outcome_of_a_short_stream_is_the_models(chance: random.Random, segments: int, items: int) -> None:
    assert_decided_as_modelled(rich_stream(chance, segments=segments, items=items))


def test_the_streams_meet_every_code_of_one_partition() -> None:
    words = set()
    for seed in range(20):
        ids_max = 20 if seed == 0 else 1 << 24
        said, _ = modelled(rich_stream(random.Random(seed), segments=12, items=60), WalletModel(0, 1, ids_max))
        words |= {outcome.word for block in said for outcome in block}
    assert words == {
        word(code) for code in Code if code not in (*ACROSS, Code.ASSET_COLLIDES)
    }  # test_asset_collision.py


@pytest.mark.parametrize("seed", range(12))
def test_any_cutting_into_blocks_gives_the_same_outcomes_and_the_same_digest(seed: int) -> None:
    chance = random.Random(seed)
    stream = rich_stream(chance, segments=8, items=60, timeless=False)
    _, sent = modelled(stream, WalletModel(0, 1, 1 << 24))
    whole, in_pieces = DecidingPartition(), DecidingPartition()
    for partition, blocks in ((whole, sent), (in_pieces, cut_rich(sent, chance))):
        for at_us, items in blocks:
            decide_items(partition, items, at_us)
    said = [DecidedOutcomes(whole), DecidedOutcomes(in_pieces)]
    for each in said:
        for data in each.partition.blocks:
            each.read(decode(data))
    assert said[0].outcomes == said[1].outcomes
    assert len(in_pieces.blocks) > len(whole.blocks)
    assert in_pieces.state.digest_bytes() == whole.state.digest_bytes()


@pytest.mark.parametrize("seed", range(6))
def test_what_is_held_is_what_the_open_holds_have_left(seed: int) -> None:
    partition, model = DecidingPartition(), WalletModel(0, 1, 1 << 24)
    chance = random.Random(seed)
    _, sent = modelled(cut_rich(rich_stream(chance, segments=8, items=40), chance), model)
    for at_us, items in sent:
        decide_items(partition, items, at_us)
        state, table = partition.state, partition.state.pending
        held: dict[tuple[int, int, int], int] = {}
        for row in range(table.count):
            for leg in table.legs_of(row):
                if table.rows[row, 2] == 1 and leg[LEG_AMOUNT] < 0:
                    key = (int(leg[LEG_KEY_A]), int(leg[LEG_KEY_B]), int(leg[LEG_KEY_B + 1]))
                    held[key] = held.get(key, 0) - int(leg[LEG_AMOUNT])
        totals: dict[str, int] = {}
        for number in range(state.count):
            posted, floor, holding = (int(column[number]) for column in (state.posted, state.floor, state.held))
            totals[state.assets[number]] = totals.get(state.assets[number], 0) + posted
            assert 0 <= holding <= LIMIT
            assert abs(posted) <= LIMIT
            assert floor == NO_FLOOR or posted - holding >= floor
        assert not any(totals.values())
        assert sum(held.values()) == int(state.held[: state.count].sum())


def hashes_of_streams() -> list[str]:
    found = []
    for seed in range(3):
        chance = random.Random(seed)
        _, sent = modelled(
            cut_rich(rich_stream(chance, segments=5, items=30), chance), WalletModel(0, 1, 1 << 24)
        )  # fmt: skip
        partition = DecidingPartition()
        for at_us, items in sent:
            decide_items(partition, items, at_us)
        assert_same_state(partition.state, partition.replayed())
        found += [data[112:144].hex() for data in partition.blocks]
    return found


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
    assert uncompiled.stdout.split() == hashes_of_streams()


if __name__ == "__main__":
    print("\n".join(hashes_of_streams()))
