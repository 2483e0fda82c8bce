"""What the log says is decided again to the same bytes, and a changed rule is found where it first shows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import DecidingPartition, assert_same_state
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from tests.unit.write_side.ledger.streams import cut, random_stream
from tests.unit.write_side.ledger.test_decide_across import run
from tests.unit.write_side.ledger.test_decide_rich import modelled
from tests.unit.write_side.ledger.wallet_model import WalletModel
from write_side.contract.block.block import decode
from write_side.contract.state.state import State
from write_side.ledger.again.decide_again import decide_again
from write_side.ledger.again.untold import Untold


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


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
