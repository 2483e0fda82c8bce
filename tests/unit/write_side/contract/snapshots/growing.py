"""A partition in a log that grows, and a store of snapshots."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots, fold_from_newest
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS

USD = "USD/2"


class Growing:
    """The log, and what is taken of it and begun at."""

    def __init__(self, store: SnapshotStore, *, at_us: int = NOON_US) -> None:
        self.partition = DecidingPartition()
        self.records = MemoryRecords(1)
        self.log = MemoryLog(self.records)
        self.store = store
        self.snapshots = Snapshots(self.store, self.log)
        self._at_us = at_us
        self.partition.open_epoch(at_us)
        self.records.append(0, self.partition.blocks[-1])
        self.grow(0)

    def grow(self, blocks: int) -> None:
        if blocks == 0:
            self.partition.decide([OpenAccount("ann", USD, 0, "")], self._at_us + 1)
            self.records.append(0, self.partition.blocks[-1])
        for _ in range(blocks):
            number = len(self.partition.blocks)
            transfer = Transfer(id_at(self._at_us, number), "@world", "ann", number, USD)
            self.partition.decide([transfer], self._at_us + number)
            self.records.append(0, self.partition.blocks[-1])

    @property
    def position(self) -> int:
        return self.partition.state.chained.sequence

    def taker(self, limits: SnapshotLimits = SnapshotLimits(), *, decides: bool = True) -> SnapshotTaker:  # noqa: B008
        prints = FINGERPRINTS if decides else None
        return SnapshotTaker(self.snapshots, self.log, {0: lambda: self.position}, limits, prints)

    async def started(self, snapshots: Snapshots | None = None) -> tuple[Replay, list[dict[str, object]]]:
        """As a writer starts, and what it says."""
        replay = Replay(State(0, 1), FINGERPRINTS)

        async def fold_on() -> None:
            async for records in self.log.read(0, replay.last_offset):
                for _ in replay.take_run(records):
                    pass

        with capture_logs() as said:
            await fold_from_newest(
                snapshots or Snapshots(self.store, self.log),
                0,
                1,
                FINGERPRINTS,
                lambda s: replay.begin_at(s.replay),
                fold_on,
            )
        assert_same_state(replay.state, self.partition.state)
        assert replay.passed == len(self.records.blocks[0])
        return replay, [dict(each) for each in said]
