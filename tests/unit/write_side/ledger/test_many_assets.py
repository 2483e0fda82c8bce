"""A partition with thousands of assets: legs find the `@world` of theirs by its hash, and look at a few words for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.hash_index import INDEX, TAG, first_slot, following, hash_words
from write_side.contract.state.state import State
from write_side.contract.words.codes import Code
from write_side.ledger.commands.commands import Leg, LegsTransfer, OpenAccount

ASSETS = 3_000


@njit(nogil=True)
def _steps(slots: Any, hashes: Any, secret: Any, steps: Any) -> None:
    for asset in range(len(steps)):
        slot = first_slot(hash_words(hashes[asset], np.uint64(0), secret) & TAG, np.uint64(slots.size))
        while np.int64(slots[slot] & INDEX) != asset + 1 and slots[slot] != 0:
            slot = following(slot, np.uint64(slots.size))
            steps[asset] += 1
        steps[asset] = -1 if slots[slot] == 0 else steps[asset]


def words_passed(state: State) -> list[int]:
    """How many words are passed on the way to that of each asset; -1 where it is not found."""
    steps = np.zeros(len(state.asset_names), np.int64)
    _steps(state.asset_slots, state.asset_hashes, state.secret, steps)
    return steps.tolist()


def test_the_world_of_each_of_thousands_of_assets_is_found_near_where_its_hash_says() -> None:
    partition = DecidingPartition()
    partition.decide([OpenAccount(f"a{n}", f"C{n}/0", 0, "") for n in range(ASSETS)], NOON_US)
    state = partition.state
    passed = words_passed(state)
    assert min(passed) >= 0
    assert max(passed) < 64
    asked = range(0, ASSETS, 101)
    deposits = [
        LegsTransfer(id_at(NOON_US, n), (Leg("@world", -n - 1, f"C{n}/0"), Leg(f"a{n}", n + 1, f"C{n}/0")))
        for n in asked
    ]
    block = partition.decide(deposits, NOON_US + 1)
    assert set(block.outcomes["code"].tolist()) == {int(Code.DONE)}
    for n in asked:
        number = state.number_of(f"@world:C{n}/0")
        assert number is not None
        assert int(state.posted[number]) == -n - 1
    assert_same_state(state, partition.replayed())
    assert min(words_passed(partition.replayed())) >= 0
