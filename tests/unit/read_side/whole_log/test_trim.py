"""What a trim keeps, what it compares before, and what it does not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from read_side.contract.view import Checkpoint
from read_side.views.view_memory import MemoryViewStore
from read_side.whole_log.trim import NO_VIEW, IdsKept, NoViewYet, PartitionTrimmed, Standing, TrimWishes, trim
from read_side.whole_log.verify import Derived, verify
from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.archiver import Archiver
from write_side.contract.archive.log_archive import LogArchive
from write_side.contract.log.log import START, Trimmed
from write_side.contract.log.log_memory import MemoryLog
from write_side.contract.snapshots.snapshots import Snapshots, named
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.state import State
from write_side.ledger.commands.fingerprint import FINGERPRINTS


class Wallet:
    """A log of one partition with an archive and snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.growing = Growing(FileStore(folder / "snapshots"))
        self.inner = MemoryLog(self.growing.records)
        self.log = ArchivedLog(self.inner, LogArchive(FileStore(folder / "copies"), 1))
        self.snapshots = Snapshots(self.growing.store, self.log)

    @property
    def end(self) -> int:
        return len(self.growing.records.blocks[0]) - 1

    async def archive(self) -> int:
        assert await Archiver(self.inner, self.log.archive, {0: lambda: self.end}, 2_000).archive(0)
        return await self.log.archive.last(0)

    async def snapshot(self) -> int:
        assert await self.growing.taker().take(0)
        return self.end

    async def trim(
        self, view: Standing | None = None, *, dry_run: bool = False, ids_kept: IdsKept | None = None
    ) -> PartitionTrimmed:
        wishes = TrimWishes(dry_run=dry_run)
        result = await trim(self.log, self.snapshots, FINGERPRINTS, view, wishes, ids_kept=ids_kept)
        [told] = result.partitions
        return told


class ViewAt:
    """A view whose live generation stands at an offset."""

    at = 0

    async def checkpoint(self, partition: int) -> Checkpoint | None:
        return Checkpoint(1, 0, bytes(32), self.at, 0)


async def test_nothing_goes_that_is_not_archived_or_that_no_snapshot_has(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(100)
    told = await wallet.trim()
    assert (told.begins, told.keeps) == (0, "nothing is archived yet")
    last = await wallet.archive()
    assert 50 < last < wallet.end
    told = await wallet.trim()
    assert (told.begins, told.keeps) == (0, "there is no snapshot that a writer could start at")
    at = await wallet.snapshot()
    told = await wallet.trim()
    assert (told.began, told.begins, told.snapshot_at, told.archived_to) == (0, last, at, last)
    assert told.keeps == "what comes next is not archived yet"
    assert told.compared > 0
    wallet.growing.grow(200)
    await wallet.archive()
    told = await wallet.trim()
    assert (told.began, told.begins) == (last, at)
    assert told.keeps == "a start goes on from the newest snapshot"
    assert (await wallet.trim()).begins == at


async def test_what_was_trimmed_is_folded_from_the_archive_and_a_start_does_without_it(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.snapshot()
    wallet.growing.grow(200)
    await wallet.archive()
    assert (await wallet.trim()).begins > 0
    verdict = await verify(wallet.log, against=Derived(log_archive=True))
    assert verdict.good, verdict.problems
    assert verdict.partitions[0].log_archived == await wallet.log.archive.last(0)
    replay, _ = await wallet.growing.started(Snapshots(wallet.growing.store, wallet.inner))  # without the archive
    assert replay.began_after > 0
    for each in named(wallet.growing.store, 0):
        wallet.growing.store.delete(each.name)
    wallet.growing.log = wallet.log  # type: ignore[assignment]
    replay, _ = await wallet.growing.started()
    assert replay.began_after == -1


async def test_a_view_that_is_behind_keeps_what_it_needs(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()
    await wallet.snapshot()
    view = ViewAt()
    view.at = 17
    told = await wallet.trim(view)
    assert (told.begins, told.view_at, told.keeps) == (17, 17, "the view goes on from where it stands")


async def test_a_dry_run_says_what_would_go_and_nothing_goes(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    last = await wallet.archive()
    await wallet.snapshot()
    told = await wallet.trim(dry_run=True)
    assert (told.begins, told.before) == (0, last)
    assert told.compared > 0
    assert await wallet.inner.begin(0) == 0


@pytest.mark.parametrize("damage", ["a flipped byte", "a cut file", "another record"])
async def test_an_archive_that_says_something_else_keeps_all_and_is_named(tmp_path: Path, damage: str) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()
    await wallet.snapshot()
    name = (await wallet.log.archive.runs(0))[2]
    path = tmp_path / "copies" / name.text
    data = path.read_bytes()
    match damage:
        case "a flipped byte":
            path.write_bytes(data[:500] + bytes((data[500] ^ 1,)) + data[501:])
        case "a cut file":
            path.write_bytes(data[:-5])
        case _:
            wallet.growing.records.blocks[0][name.after + 1] += b"!"
    wallet.log.archive = LogArchive(FileStore(tmp_path / "copies"), 1)
    told = await wallet.trim()
    assert told.begins == 0
    assert told.problem is not None
    assert name.text in told.problem if damage != "another record" else f"offset {name.after + 1}" in told.problem
    if damage != "another record":
        verdict = await verify(wallet.log, against=Derived(log_archive=True))
        assert verdict.word == "broken"
        assert name.text in verdict.problems[0]


@pytest.mark.parametrize("left", ["all but a byte", "its first bytes", "nothing"])
async def test_a_block_that_was_damaged_before_it_was_archived_keeps_all(tmp_path: Path, left: str) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.snapshot()
    blocks = wallet.growing.records.blocks[0]
    whole = blocks[50]
    blocks[50] = {
        "all but a byte": whole[:-1] + bytes((whole[-1] ^ 1,)),
        "its first bytes": whole[:20],
        "nothing": b"",
    }[left]
    await wallet.archive()
    told = await wallet.trim()
    assert told.begins == 0
    assert told.problem is not None
    assert "offset 50" in told.problem


async def test_an_archive_that_goes_further_than_its_log_tells_that_the_log_lost_blocks(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    last = await wallet.archive()
    del wallet.growing.records.blocks[0][last - 3 :]
    verdict = await verify(wallet.log, against=Derived(log_archive=True))
    assert verdict.word == "broken"
    assert "lost blocks" in verdict.problems[0]


async def test_a_partition_that_there_is_none_of_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    with pytest.raises(ValueError, match="partitions 0 to 0"):
        await trim(wallet.log, wallet.snapshots, FINGERPRINTS, None, TrimWishes((0, 1)))


async def test_who_has_no_archive_is_told_where_it_is_named(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()
    await wallet.snapshot()
    await wallet.trim()
    verdict = await verify(wallet.log)
    assert verdict.good
    with pytest.raises(Trimmed, match="FANFOLD_LOG_ARCHIVE"):
        async for _ in wallet.inner.read(0):
            pass


async def test_what_is_compared_is_what_the_store_has_now_and_not_what_memory_has_of_it(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()  # read back, and kept in memory
    await wallet.snapshot()
    name = (await wallet.log.archive.runs(0))[-1]
    path = tmp_path / "copies" / name.text
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    told = await wallet.trim()
    assert told.begins == 0
    assert told.problem is not None
    assert name.text in told.problem


@pytest.mark.parametrize("gone", ["the first file", "a file in the middle", "all"])
async def test_a_trimmed_log_whose_archive_ends_before_it_begins_is_a_problem(tmp_path: Path, gone: str) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()
    await wallet.snapshot()
    begins = (await wallet.trim()).begins
    runs = await wallet.log.archive.runs(0)
    for name in {"the first file": runs[:1], "a file in the middle": runs[2:3], "all": runs}[gone]:
        (tmp_path / "copies" / name.text).unlink()
    wallet.growing.grow(200)
    told = await wallet.trim()
    assert told.begins == begins
    assert told.problem is not None
    assert "is missing" in told.problem
    archiver = Archiver(wallet.inner, wallet.log.archive, {0: lambda: wallet.end}, 2_000)
    assert not await archiver.archive(0)
    assert "is missing" in archiver.failing[0]
    assert "the log has it all" not in archiver.failing[0]


async def test_a_trim_beside_another_one_goes_on_where_that_one_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    last = await wallet.archive()
    await wallet.snapshot()
    begin = wallet.log.begin
    others = [17, 40]

    async def another_trims_then(partition: int) -> int:
        began = await begin(partition)
        if others:
            await wallet.inner.trim(partition, others.pop(0))
        return began

    monkeypatch.setattr(wallet.log, "begin", another_trims_then)
    told = await wallet.trim()
    assert (told.problem, told.began, told.begins) == (None, 40, last)


async def test_a_log_that_is_only_read_is_trimmed_by_whoever_may_once_all_is_compared(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    last = await wallet.archive()
    await wallet.snapshot()
    done: list[tuple[str, int]] = []

    async def forget(partition: int, before: int) -> int:
        done.append(("forget", before))
        return await wallet.inner.trim(partition, before)

    def on_progress(partition: int, compared: int) -> None:
        done.append(("compare", compared))

    told = await trim(wallet.log, wallet.snapshots, FINGERPRINTS, None, TrimWishes(), on_progress, forget)
    assert told.partitions[0].begins == last
    assert [what for what, _ in done[-2:]] == ["compare", "forget"]
    assert [at for what, at in done if what == "forget"] == [last]


async def test_a_view_that_nobody_has_made_yet_keeps_all_and_says_what_to_do(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    await wallet.archive()
    await wallet.snapshot()
    for view in (NoViewYet(), MemoryViewStore()):  # the second is there, and has nothing of this partition
        told = await wallet.trim(view)
        assert (told.problem, told.begins, told.view_at, told.keeps) == (None, 0, START, NO_VIEW)


async def test_ids_that_are_in_no_file_yet_keep_their_blocks(tmp_path: Path) -> None:
    wallet = Wallet(tmp_path)
    wallet.growing.grow(200)
    last = await wallet.archive()
    await wallet.snapshot()

    def kept_to(block: int | None) -> IdsKept:
        async def kept(partition: int, state: State) -> int | None:
            assert (partition, state.chained.sequence) == (0, wallet.growing.position)
            return block

        return kept

    told = await wallet.trim(ids_kept=kept_to(-1))
    assert (told.begins, told.ids_at, told.keeps) == (0, START, "the ids of what comes next are not in their files yet")
    told = await wallet.trim(ids_kept=kept_to(17))
    assert (told.begins, told.ids_at) == (17, 17)
    told = await wallet.trim(ids_kept=kept_to(None))
    assert (told.begins, told.ids_at) == (last, None)
