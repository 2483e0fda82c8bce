"""Every bit of a body changed, under a right hash: refused, or harmless. Compiled loops check no bounds, so nobody else would."""

from __future__ import annotations

import random

from tests.unit.write_side.contract.blocks import two_blocks, with_body
from tests.unit.write_side.deciding import assert_same_state
from write_side.contract.block.block import HEADER_BYTES
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.ids import FINGERPRINT_A, FINGERPRINT_B
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.fingerprint import FINGERPRINTS


def test_a_changed_body_under_a_right_hash_is_refused_or_folds_to_the_same_state() -> None:
    """All bytes mean something; those of a refusal's legs and of what a refused command was about are vouched for by the hash."""
    partition = two_blocks()
    first, second = partition.blocks
    chance = random.Random(7)
    refused = 0
    for at in range(HEADER_BYTES, len(second)):
        body = bytearray(second[HEADER_BYTES:])
        body[at - HEADER_BYTES] ^= chance.choice((1, 2, 16, 128, 255))
        replay = Replay(State(0), FINGERPRINTS)
        replay.take(Record(0, first))
        try:
            replay.take(Record(1, with_body(second, bytes(body))))
        except (ChainBroken, CheckFailed):
            refused += 1
        else:
            # Legs of a refusal change no state, but the fingerprint: what came of its id is vouched for by the hash alone.
            prints = slice(FINGERPRINT_A, FINGERPRINT_B + 1)
            replay.state.ids.rows[:, prints] = partition.state.ids.rows[:, prints]
            replay.state.chained.block_hash = partition.state.chained.block_hash
            assert_same_state(replay.state, partition.state)
    assert refused > (len(second) - HEADER_BYTES) * 3 // 5
