"""A writer and a follower that begin at a snapshot answer as those that fold the whole log."""

from __future__ import annotations

from pathlib import Path

from tests.unit.write_side.deciding import NOON_US, assert_same_state, id_at, timeless_id
from tests.unit.write_side.running import RunningPartition
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.start_progress import StartProgress
from write_side.ledger.commands.commands import Hold, Leg, OpenAccount, Transfer, Void
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.follower import Follower

USD = "USD/2"


async def _take(process: RunningPartition) -> None:
    assert process.snapshots is not None
    taker = SnapshotTaker(process.snapshots, process.log, {0: lambda: 0}, SnapshotLimits(), FINGERPRINTS)
    assert await taker.take(0)


async def test_duplicates_are_answered_with_their_first_outcome_and_open_holds_end(tmp_path: Path) -> None:
    records, store = MemoryRecords(1), FileStore(tmp_path)
    deposit = Transfer(id_at(NOON_US, 1), "@world", "ann", 10, USD)
    timeless = Transfer(timeless_id(1), "ann", "bob", 3, USD)
    hold = Hold(id_at(NOON_US, 2), (Leg("ann", -5, USD), Leg("bob", 5, USD)), NOON_US + 60_000_000)
    async with RunningPartition(records, snapshots=store) as process:
        assert process.writer.replay.began_after == -1
        await process.submit(OpenAccount("ann", USD, 0, ""), OpenAccount("bob", USD, 0, ""))
        first = [(await process.submit(command))[0].document for command in (deposit, timeless, hold)]
        await _take(process)
        await process.submit(Transfer(id_at(NOON_US, 3), "ann", "bob", 1, USD))
    async with RunningPartition(records, snapshots=store) as process:
        assert process.writer.replay.began_after == 4
        again = [(await process.submit(command))[0].document for command in (deposit, timeless, hold)]
        assert again == [document | {"repeated": True} for document in first]
        [refused] = await process.submit(deposit._replace(amount=11))
        assert refused.document["code"] == "id_reused_with_other_content"
        [voided] = await process.submit(Void(id_at(NOON_US, 4), hold.id))
        assert voided.status == 201
        assert process.writer.state.chained.epoch == 2
        state = process.writer.state
    async with RunningPartition(records) as whole:
        assert whole.writer.state.count == state.count
        assert whole.writer.state.digest.tolist() == state.digest.tolist()


async def test_a_follower_begins_at_what_a_writer_took(tmp_path: Path) -> None:
    records, store = MemoryRecords(1), FileStore(tmp_path)
    async with RunningPartition(records, snapshots=store) as process:
        await process.submit(OpenAccount("ann", USD, 0, ""))
        await process.submit(Transfer(id_at(NOON_US, 1), "@world", "ann", 10, USD))
        await _take(process)
        await process.submit(Transfer(id_at(NOON_US, 2), "@world", "ann", 10, USD))
        log = MemoryLog(records)
        followers = [Follower(0, log, lambda block, offset: None, each) for each in (Snapshots(store, log), None)]
        for follower in followers:
            await follower.start()
        assert [follower.replay.began_after for follower in followers] == [2, -1]
        for follower in followers:  # without fingerprints, which a follower has no use for
            follower.state.ids.rows[: follower.state.ids.used, 2:4] = 0
        assert_same_state(followers[0].state, followers[1].state)


def test_what_a_snapshot_had_says_nothing_about_the_pace() -> None:
    progress = StartProgress(0)
    progress.end = 1_000
    assert progress.document(900, 899, 2_000_000, 900) == {"blocks_folded": 900, "blocks": 1000, "seconds_left": None}
    assert progress.document(950, 949, 2_000_000, 900) == {"blocks_folded": 950, "blocks": 1000, "seconds_left": 2.0}
