"""A writer without its shell: decides commands into encoded blocks and keeps them. And ids with a time in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.block.limits import DUE_BYTES_MAX, FRAME_BYTES
from write_side.contract.log.log import Record
from write_side.contract.state.pending_columns import (
    BEGUN,
    ENDS_BY_US,
    FIRST_LEG,
    ID_B,
    LEG_COUNT,
    STATE,
    STEPS,
    WHAT,
    HoldState,
    Phase,
    StepState,
    What,
)
from write_side.contract.state.pending_index import WORK_COUNT
from write_side.contract.state.replay import Replay, size_of
from write_side.contract.state.state import State
from write_side.ledger.across.participant import EFFECTS
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.next_block import Decided, next_block, opening_block

NOON_US = 1_760_000_000_000_500
"""Some moment. Ids carry milliseconds; the half one keeps blocks a few microseconds apart on the same side of every id."""


def id_at(at_us: int, number: int) -> bytes:
    """A UUIDv7 of this time (RFC 9562, 5.7), `number` in its random bits."""
    tail = number.to_bytes(9, "big")
    return b"".join(
        (
            (at_us // 1000).to_bytes(6, "big"),
            bytes((0x70 | tail[0] & 0x0F, tail[1], 0x80 | tail[2] & 0x3F)),
            tail[2:],
        )
    )[:16]


def timeless_id(number: int) -> bytes:
    """A UUID of version 4, with no time in it."""
    return b"".join((b"timele", bytes((0x40, 1, 0x80, 1)), number.to_bytes(6, "big")))


class DecidingPartition:
    def __init__(self, partition: int = 0, partitions: int = 1, *, ids_max: int = 1 << 24) -> None:
        self.state = State(partition)
        self.partitions = partitions
        self.ids_max = ids_max
        self.effects = EFFECTS
        self.blocks: list[bytes] = []
        self.next_offset = 0

    def decide(self, commands: Sequence[Command], at_us: int) -> Block:
        """One record of commands, one block."""
        return self.decide_batch(CommandBatch.of(commands), at_us)

    def decide_batch(self, batch: CommandBatch | StepBatch, at_us: int) -> Block:
        """One record of commands or of messages from other partitions, one block, no heavier than it may become."""
        bound = batch.weight(self.state.pending)
        assert bound <= batch.weight(), "what is known of the state makes no batch heavier"
        block = self.decide_records([batch], at_us)
        assert block.header.body_bytes <= FRAME_BYTES // 4 + bound + DUE_BYTES_MAX * int(
            (block.outcomes["back"] == 0).any()
        )
        return block

    def decide_records(self, records: Sequence[CommandBatch | StepBatch], at_us: int) -> Block:
        """One block of these records of the queue."""
        first = self.next_offset
        self.next_offset += len(records)
        decided = next_block(
            self.state,
            list(enumerate(records, first)),
            partitions=self.partitions,
            created_at_us=at_us,
            consumed_to=self.next_offset,
            ids_max=self.ids_max,
            epoch=max(1, self.state.chained.epoch),
            effects=self.effects,
        )
        return self._kept(decided)

    def open_epoch(self, at_us: int) -> Block:
        decided = opening_block(self.state, partitions=self.partitions, created_at_us=at_us)
        self.state.chained.advance(decided.block.header)
        return self._kept(decided)

    def _kept(self, decided: Decided) -> Block:
        self.blocks.append(decided.data)
        return decided.block

    def replayed(self) -> State:
        """A state folded from the blocks, with the fingerprints that a writer needs: block by block, and as a run of them."""
        replay, other = (Replay(State(self.state.partition), FINGERPRINTS) for _ in range(2))
        records = [Record(offset, data) for offset, data in enumerate(self.blocks)]
        assert all(replay.take(record) is not None for record in records)
        assert sum(size_of(folded)[0] for folded in other.take_run(records)) == len(records)
        assert_same_state(replay.state, other.state)
        return replay.state


def assert_same_state(one: State, other: State) -> None:
    """Equal to the last byte, in everything but where the hash tables happen to put a row."""
    assert one.chained == other.chained
    assert (one.count, one.names, one.assets, one.owners) == (other.count, other.names, other.assets, other.owners)
    for name in ("key_a", "key_b", "row_key", "posted", "held", "version", "floor", "flags", "changed_at_us"):
        assert np.array_equal(getattr(one, name)[: one.count], getattr(other, name)[: one.count]), name
    for name, asset in zip(one.names, one.assets, strict=True):
        row_name = f"{name}:{asset}" if name.startswith("@") else name
        assert one.number_of(row_name) == other.number_of(row_name) is not None
    assert np.array_equal(one.digest, other.digest)
    assert pending_rows(one) == pending_rows(other)
    assert_indexed(one)
    assert_indexed(other)
    assert np.array_equal(one.pending.lows, other.pending.lows)
    for name in ("count", "timeless", "timeless_from_us"):
        assert getattr(one.ids, name) == getattr(other.ids, name), name
    remembered = one.ids.remembered()
    assert len(remembered) == one.ids.count
    assert np.array_equal(remembered, other.ids.remembered())
    for row in remembered[:, :2]:
        assert one.find_transfer(row.tobytes()) == other.find_transfer(row.tobytes()) is not None


def pending_rows(state: State) -> dict[bytes, tuple[list[int], list[list[int]], list[list[int]]]]:
    """Every pending row by its key: its columns, legs and records of steps, wherever they happen to lie."""
    table = state.pending
    found = {}
    for row in range(table.count):
        columns = table.rows[row].tolist()
        first, legs, steps = columns[FIRST_LEG], columns[LEG_COUNT], columns[STEPS]
        del columns[FIRST_LEG]
        pool = table.legs[first : first + legs + steps].tolist()
        found[table.rows[row, : WHAT + 1].tobytes()] = (columns, pool[:legs], pool[legs:])
    return found


def assert_indexed(state: State) -> None:
    """What the indexes of the pending rows find is what looking at every row finds."""
    table = state.pending
    rows = table.rows[: table.count].tolist()
    kinds = [row[WHAT] & 255 for row in rows]
    due = [
        (row[ENDS_BY_US], table.rows[at, : ID_B + 1].tobytes(), at)
        for at, (kind, row) in enumerate(zip(kinds, rows, strict=True))
        if row[ENDS_BY_US] > 0 and (kind, row[STATE]) in ((What.HOLD, HoldState.OPEN), (What.PROCESS, Phase.TRYING))
    ]
    ordered = [at for _, _, at in sorted(due)]
    assert table.due(2**62, table.count).tolist() == ordered
    assert table.due(2**62, 2).tolist() == ordered[:2]
    assert table.first_due_us() == (min(due)[0] if due else None)
    begun = [row[BEGUN] for kind, row in zip(kinds, rows, strict=True) if kind == What.PROCESS]
    assert table.first_begun() == (min(begun) if begun else None)
    processes = [at for at, kind in enumerate(kinds) if kind == What.PROCESS]
    assert sorted(table.processes().tolist()) == processes
    open_legs: Counter[bytes] = Counter()
    for at, (kind, row) in enumerate(zip(kinds, rows, strict=True)):
        if kind == What.PROCESS or (kind == What.STEP and row[STATE] == StepState.HELD):
            open_legs.update(leg[:2].tobytes() for leg in table.legs_of(at))
    counted = {row[:2].tobytes(): int(row[2]) for row in table.work[: table.counts[WORK_COUNT]]}
    assert counted == open_legs
    for key, legs in open_legs.items():
        a, b = np.frombuffer(key, np.uint64)
        assert table.open_legs((a, b)) == legs
