"""Blocks that were written for a benchmark are those that would have been decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks.made_log import LogMaker
from tests.benchmarks.small_blocks import make_small_blocks
from write_side.contract.log.log_file_folder import prepare_folder
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Transfer
from write_side.ledger.deciding.next_block import next_block

NOW_US = 1_764_000_000_000_000
BLOCKS = 600  # so that versions and balances need two bytes


def test_small_blocks_have_the_bytes_that_are_decided(tmp_path: Path) -> None:
    names = [f"account-{number}" for number in range(9)]
    for folder in ("wrote", "decides"):
        prepare_folder(tmp_path / folder, 2)
    wrote, decides = (LogMaker(tmp_path / folder, 0, 2, names, NOW_US).state for folder in ("wrote", "decides"))
    opened = decides.names.take(np.arange(2, decides.count))
    chance = np.random.default_rng(1)
    picked = chance.integers(0, len(opened), BLOCKS)
    debits, credits = 2 + picked, 2 + (picked + 1) % len(opened)
    debits[:300], credits[:300] = 2, 3
    ids = chance.integers(0, 256, (BLOCKS, 16), dtype=np.uint8)
    ids[:, :6] = np.frombuffer((decides.chained.created_at_us // 1000).to_bytes(6, "big"), np.uint8)
    ids[:, 6], ids[:, 8] = 0x70 | ids[:, 6] & 15, 0x80 | ids[:, 8] & 63
    decided = b""
    for debit, credit, id16 in zip(debits.tolist(), credits.tolist(), ids, strict=True):
        chained = decides.chained
        transfer = Transfer(id16.tobytes(), decides.names[debit], decides.names[credit], 1, "USD/2")
        decided += next_block(
            decides,
            [(chained.consumed_to, CommandBatch.of([transfer]))],
            partitions=2,
            created_at_us=chained.created_at_us + 1,
            consumed_to=chained.consumed_to + 1,
            ids_max=1 << 24,
        ).data
    assert make_small_blocks(wrote, debits, credits, ids) == decided
    assert wrote.chained == decides.chained
    assert wrote.digest_bytes() == decides.digest_bytes()
