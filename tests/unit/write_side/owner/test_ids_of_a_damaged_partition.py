"""An id that ran in a partition which a start finds damaged does not run in another one, as far as what ran can be read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.unit.write_side.deciding import NOON_US, id_at, timeless_id
from tests.unit.write_side.running import DEADLINE_S, SimulatedClock
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_path
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.ids import WINDOW_US
from write_side.contract.words.atoms import partition_of
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.intake.intake import Intake
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, Mode, OpenAccount, Reverse, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.outcomes import PartitionUnavailable
from write_side.owner.partition import Partition, Standing
from write_side.owner.writer import WriterLimits
from write_side.queue.queue_memory import MemoryQueue

HURT, WELL = [next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in range(2)]
LATER_US = NOON_US + 2 * WINDOW_US


def to(account: str, id16: bytes) -> Transfer:
    """Its home is the account's partition."""
    return Transfer(id16, "@world", account, 1, "USD/2")


class Process:
    """Two partitions over files in a folder, with every id that ran and snapshots beside them."""

    def __init__(self, folder: Path, log: FileLog, at_us: int) -> None:
        self.log, self.clock, queue = log, SimulatedClock(at_us), MemoryQueue()
        self.snapshots = Snapshots(FileStore(folder / "snapshots"), log)

        def new_ids(number: int) -> IdRuns:
            return IdRuns(RunFolder(folder / "ids", FileStore(folder / "ids", synced=False), number))

        self.partitions = [
            Partition(
                p, log, queue, self.clock, WriterLimits(),
                owned=True, snapshots=self.snapshots, new_ids=partial(new_ids, p),
            )
            for p in range(2)
        ]  # fmt: skip
        outcomes = {each.number: each.outcomes for each in self.partitions}
        self.intake = Intake(queue, outcomes, partitions=2, clock=self.clock, wait_s=DEADLINE_S)

    async def status(self, command: Command) -> int:
        [answer] = await self.intake.submit([command])
        return answer.status

    async def take_snapshot(self) -> None:
        taker = SnapshotTaker(self.snapshots, self.log, {0: lambda: 0}, SnapshotLimits(), FINGERPRINTS)
        assert await taker.take(0)


@asynccontextmanager
async def running(folder: Path, at_us: int = NOON_US) -> AsyncIterator[Process]:
    log = await FileLog.open(folder, 2)
    process = Process(folder, log, at_us)
    kept = [asyncio.create_task(each.keep()) for each in process.partitions]
    try:
        async with asyncio.timeout(DEADLINE_S):
            for each in process.partitions:
                await each.settled.wait()
            yield process
    finally:
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
        await log.close()


def damage_behind(folder: Path, good: int) -> None:
    """One bit of the first block behind so many bytes of partition 0; there is a good one behind it."""
    segment = segment_path(partition_folder(folder, 0), 0)
    data = bytearray(segment.read_bytes())
    data[good + 100] ^= 1
    segment.write_bytes(data)


def size(folder: Path) -> int:
    return segment_path(partition_folder(folder, 0), 0).stat().st_size


async def lived(folder: Path, *ran: bytes, snapshot: bool = False) -> None:
    """A process in which these ids ran in partition 0, and two blocks of it behind them, the first of which is then damaged."""
    async with running(folder) as process:
        for account in (HURT, WELL):
            await process.intake.submit([OpenAccount(account, "USD/2", 0, "")])
        for id16 in ran:
            assert await process.status(to(HURT, id16)) == 201
        good = size(folder)
        for number in range(2):
            assert await process.status(to(HURT, id_at(NOON_US, 900 + number))) == 201
        if snapshot:
            await process.take_snapshot()
    damage_behind(folder, good)


async def refuses_elsewhere(process: Process, id16: bytes) -> None:
    assert [each.standing for each in process.partitions] == [Standing.STOPPED, Standing.SERVING]
    with pytest.raises(PartitionUnavailable, match="fanfold verify") as refused:
        await process.status(to(WELL, id16))
    assert refused.value.partition == 0
    with pytest.raises(PartitionUnavailable, match="fanfold verify"):
        await process.intake.submit_batch(CommandBatch.of([to(WELL, id16)]), Mode.CONTINUE, None)


@pytest.mark.parametrize("ran", [id_at(NOON_US, 1), timeless_id(1)])
@pytest.mark.parametrize("snapshot", [False, True], ids=["no snapshot", "a snapshot behind the damage"])
async def test_an_id_of_its_good_blocks_does_not_run_in_another(tmp_path: Path, ran: bytes, snapshot: bool) -> None:
    await lived(tmp_path, ran, snapshot=snapshot)
    async with running(tmp_path) as process:
        await refuses_elsewhere(process, ran)
        assert await process.status(to(WELL, id_at(NOON_US, 2))) == 201, "the others go on"
        assert await process.status(to(WELL, timeless_id(2))) == 201


async def test_an_id_that_memory_has_forgotten_does_not_run_in_another(tmp_path: Path) -> None:
    async with running(tmp_path) as process:
        for account in (HURT, WELL):
            await process.intake.submit([OpenAccount(account, "USD/2", 0, "")])
        assert await process.status(to(HURT, timeless_id(1))) == 201
    async with running(tmp_path, LATER_US) as process:
        assert await process.status(to(HURT, timeless_id(2))) == 201
        assert process.partitions[0].part.state.find_transfer(timeless_id(1)) is None
        good = size(tmp_path)
        for number in range(2):
            assert await process.status(to(HURT, timeless_id(900 + number))) == 201
    damage_behind(tmp_path, good)
    async with running(tmp_path, LATER_US) as process:
        await refuses_elsewhere(process, timeless_id(1))
        assert await process.status(to(WELL, timeless_id(3))) == 201


async def test_what_a_stopped_partition_may_have_begun_is_its_own_to_say(tmp_path: Path) -> None:
    """What is found in its good blocks is not served from there: capture, reversal and repeat are told that it is stopped."""
    hold = Hold(id_at(NOON_US, 20), (Leg(HURT, -1, "USD/2"), Leg("@world", 1, "USD/2")))
    async with running(tmp_path) as process:
        for account in (HURT, WELL):
            await process.intake.submit([OpenAccount(account, "USD/2", 0, "")])
        assert await process.status(to(HURT, id_at(NOON_US, 1))) == 201
        across = Transfer(id_at(NOON_US, 2), HURT, WELL, 1, "USD/2")
        assert await process.status(across) == 201
        assert await process.status(to(HURT, id_at(NOON_US, 3))) == 201
        assert await process.status(hold) == 201
        good = size(tmp_path)
        for number in range(2):
            assert await process.status(to(HURT, id_at(NOON_US, 900 + number))) == 201
    damage_behind(tmp_path, good)
    async with running(tmp_path) as process:
        for command in (
            to(HURT, id_at(NOON_US, 1)),
            Capture(id_at(NOON_US, 30), hold.id),
            Reverse(id_at(NOON_US, 31), id_at(NOON_US, 1)),
            Reverse(id_at(NOON_US, 32), across.id),
        ):
            with pytest.raises(PartitionUnavailable, match="fanfold verify"):
                await process.status(command)
