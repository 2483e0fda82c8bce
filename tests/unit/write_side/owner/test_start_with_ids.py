"""A writer that starts finds every id that ran, whatever became of the files that have them."""

from __future__ import annotations

import shutil
from pathlib import Path

from structlog.testing import capture_logs

from tests.unit.write_side.deciding import NOON_US, timeless_id
from tests.unit.write_side.running import RunningPartition, SimulatedClock
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.ids import WINDOW_US
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS

USD = "USD/2"
FIRST = Transfer(timeless_id(1), "@world", "ann", 10, USD)
LATER_US = NOON_US + 2 * WINDOW_US


class Place:
    """What outlives a writer. The first one runs `FIRST`, and forgets it weeks later."""

    def __init__(self, folder: Path) -> None:
        self.records = MemoryRecords(1)
        self.snapshots = FileStore(folder / "snapshots")
        self.ids = folder / "ids"
        self.first: dict[str, object] = {}

    def partition(self, at_us: int = LATER_US) -> RunningPartition:
        return RunningPartition(self.records, SimulatedClock(at_us), snapshots=self.snapshots, ids=self.ids)

    async def live(self, *, written: bool) -> None:
        """written: whether what was forgotten is in a file when the writer ends, with a snapshot behind it."""
        async with self.partition(NOON_US) as process:
            [_, answer] = await process.submit(OpenAccount("ann", USD, 0, ""), FIRST)
            self.first = dict(answer.document)
            assert process.snapshots is not None
            assert process.writer.ids is not None
            process.clock.pass_us(2 * WINDOW_US)
            await process.submit(Transfer(timeless_id(2), "@world", "ann", 1, USD))
            assert process.writer.state.find_transfer(FIRST.id) is None
            if written:
                process.writer.ids.tidy()
            taker = SnapshotTaker(process.snapshots, process.log, {0: lambda: 0}, SnapshotLimits(), FINGERPRINTS)
            assert await taker.take(0)

    async def expect_remembered(self, *, began_after: int) -> list[str]:
        """What the next writer says while it starts."""
        with capture_logs() as said:
            async with self.partition() as process:
                assert process.writer.replay.began_after == began_after
                [again] = await process.submit(FIRST)
                assert again.document == self.first | {"repeated": True}
                [changed] = await process.submit(FIRST._replace(amount=11))
                assert changed.document["code"] == "id_reused_with_other_content"
                number = process.writer.state.number_of("ann")
                assert number is not None
                assert int(process.writer.state.posted[number]) == 11
        return [each["event"] for each in said]


async def test_it_begins_at_a_snapshot_whose_forgotten_ids_are_written(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.live(written=True)
    assert await place.expect_remembered(began_after=2) == ["begins at a snapshot"]


async def test_it_begins_at_no_snapshot_whose_forgotten_ids_are_not_written(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.live(written=False)
    assert await place.expect_remembered(began_after=-1) == ["begins at no snapshot"]


async def test_a_folder_that_was_lost_is_filled_from_the_log_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    await place.live(written=True)
    shutil.rmtree(place.ids)
    assert await place.expect_remembered(began_after=-1) == ["begins at no snapshot"]
    assert len(list(place.ids.iterdir())) > 0
    assert await place.expect_remembered(began_after=2) == ["begins at a snapshot"]


async def test_ids_of_another_log_are_not_used(tmp_path: Path) -> None:
    other, place = Place(tmp_path / "other"), Place(tmp_path / "place")
    await other.live(written=True)
    await place.live(written=True)
    async with place.partition(LATER_US + 1) as process:  # another chain from its first block on
        await process.submit(Transfer(timeless_id(3), "@world", "ann", 1, USD))
    shutil.rmtree(place.ids)
    shutil.copytree(other.ids, place.ids)
    other.records, other.snapshots = MemoryRecords(1), FileStore(tmp_path / "nowhere")
    async with other.partition(NOON_US + 7) as process:
        [_, answer] = await process.submit(OpenAccount("bob", USD, 0, ""), Transfer(FIRST.id, "@world", "bob", 2, USD))
        assert answer.status == 201


async def test_a_folder_that_cannot_be_read_or_written_stops_nobody(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.ids.write_text("no folder")
    await place.live(written=False)
    said = await place.expect_remembered(began_after=-1)
    assert "ids cannot be read" in said
    assert "begins at no snapshot" in said
