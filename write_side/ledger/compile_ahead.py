"""Compile every loop before the first client waits for one: a scripted life of a partition on throw-away states.

The first start after an update takes some 20 s for this; later ones load what was compiled (`contract/compiled.py`).
"""

from __future__ import annotations

import numpy as np

from write_side.contract.block import ZERO_HASH, encode, header_of
from write_side.contract.log import Record
from write_side.contract.replay import Replay
from write_side.contract.state import State
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import Command, OpenAccount, Transfer
from write_side.ledger.decide import decide
from write_side.ledger.fingerprint import fingerprints_of_block


def compile_ahead() -> None:
    """Decide, encode, decode and fold a few commands; takes milliseconds once everything is compiled."""
    state, replay, reader = State(0), Replay(State(0), fingerprints_of_block), Replay(State(0))
    first, refused = b"\x01" * 16, b"\x02" * 16
    rounds: tuple[list[Command], ...] = (
        [OpenAccount("a", "USD/2", 0, ""), OpenAccount("b", "USD/2", 0, "owner")],
        [Transfer(first, "@world", "a", 5, "USD/2"), Transfer(refused, "b", "a", 5, "USD/2")],
        [Transfer(first, "@world", "a", 5, "USD/2"), OpenAccount("a", "USD/2", 0, "")],
    )
    for sequence, commands in enumerate(rounds):
        decision = decide(
            state,
            [CommandBatch.of(commands)],
            np.ones(len(commands), np.int64),
            np.arange(len(commands)),
            partitions=1,
            created_at_us=sequence + 1,
            ids_max=1024,
        )
        block = encode(
            partition=0,
            epoch=1,
            sequence=sequence,
            previous_hash=state.chained.block_hash if sequence else ZERO_HASH,
            consumed_to=sequence + 1,
            created_at_us=sequence + 1,
            refuse_ids_before_us=decision.refuse_ids_before_us,
            digest=decision.digest,
            sections=decision.sections,
        )
        state.chained.advance(header_of(block))
        for each in (replay, reader):
            each.take(Record(sequence, block))
    reader.state.find_transfer(first)
    reader.state.number_of("a")
    reader.state.reserve_accounts(2048)
    reader.state.ids.reserve(2048)
    reader.state.ids.forget_before(2, reader.state.digest)
