"""What became of commands, counted by kind and reason: the same whether blocks are folded one by one or a run at once."""

from __future__ import annotations

import uuid
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from read_side.fold.outcome_counts import OutcomeCounts, outcome_word
from read_side.follow.partition_fold import PartitionFold
from tests.unit.read_side.block_maker import opened
from tests.unit.read_side.partitions import Partitions
from write_side.contract.log.log import Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.commands.commands import Transfer

USD = "USD/2"


async def test_outcomes_are_counted_by_kind_and_reason_however_they_are_folded() -> None:
    partitions = Partitions(MemoryLog(MemoryRecords(1)))
    for account in ("alice", "bob"):
        await partitions.say(0, opened(account))
    await partitions.say(0, Transfer(uuid.uuid4().bytes, "@world", "alice", 100, USD))
    for _ in range(3):
        await partitions.say(0, Transfer(uuid.uuid4().bytes, "alice", "bob", 1_000, USD))
    blocks = partitions.writers[0].blocks
    records = [Record(offset, data) for offset, data in enumerate(blocks)]
    together, singly = PartitionFold(0), PartitionFold(0)
    together.take(records)
    for record in records:
        singly.take([record])
    assert dict(together.outcomes.told()) == {
        ("open", "done"): 2,
        ("transfer", "done"): 1,
        ("transfer", "insufficient_available"): 3,
    }
    assert dict(singly.outcomes.told()) == dict(together.outcomes.told())


@given(st.lists(st.tuples(st.sampled_from(Kind), st.sampled_from(Code)), max_size=20), st.integers(1, 5))
def test_every_outcome_counts_once_however_runs_are_cut(outcomes: list[tuple[Kind, Code]], size: int) -> None:
    counts = OutcomeCounts()
    for start in range(0, len(outcomes) + 1, size):
        run = np.array(outcomes[start : start + size], np.uint8).reshape(-1, 2)
        counts.note(run[:, 0], run[:, 1])
    assert dict(counts.told()) == Counter((kind.name.lower(), outcome_word(code)) for kind, code in outcomes)
