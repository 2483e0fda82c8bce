"""Each snapshot is what the log says at its block, to the last byte, or it is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from read_side.whole_log.compare_snapshots import compare_snapshots
from read_side.whole_log.verify import Derived, verify
from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.log.log_memory import MemoryLog
from write_side.contract.snapshots.snapshots import Named, Snapshots, named
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.account_rows import VERSION
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import write_snapshot
from write_side.ledger.commands.fingerprint import FINGERPRINTS


@pytest.fixture
async def growing(tmp_path: Path) -> Growing:
    growing = Growing(FileStore(tmp_path))
    for decides in (True, False):
        growing.grow(5)
        assert await growing.taker(decides=decides).take(0)
    growing.grow(2)
    return growing


def names(growing: Growing) -> list[str]:
    return [each.name for each in reversed(named(growing.store, 0))]


async def test_every_snapshot_that_is_what_the_log_says_is_told(growing: Growing) -> None:
    for prints in (FINGERPRINTS, None):
        found = await compare_snapshots(growing.log, growing.snapshots, 0, prints)
        assert (found.problem, found.compared) == (None, names(growing))
    assert len(names(growing)) == 2


async def test_a_snapshot_with_a_flipped_bit_is_named_and_the_others_are_compared(
    growing: Growing, tmp_path: Path
) -> None:
    older, newer = names(growing)
    whole = (tmp_path / older).read_bytes()
    for at in (0, 9, len(whole) // 2, len(whole) - 1):
        data = bytearray(whole)
        data[at] ^= 4
        (tmp_path / older).write_bytes(data)
        found = await compare_snapshots(growing.log, growing.snapshots, 0)
        assert found.compared == [newer]
        assert found.problem is not None, at
        assert older in found.problem
        assert not found.unread


async def wrongly_taken(growing: Growing, change: Callable[[Any], None]) -> str:
    """A whole snapshot, taken by a program that was wrong: what is said of it."""
    newest = named(growing.store, 0)[0]
    snapshot = await growing.snapshots.load(newest, None)
    change(snapshot.replay.state)
    growing.store.put(newest.name, write_snapshot(snapshot, with_prints=newest.with_prints, written_by="test"))
    found = await compare_snapshots(growing.log, growing.snapshots, 0)
    assert found.problem is not None
    assert newest.name in found.problem
    return found.problem


async def test_a_time_that_no_block_says_is_found_though_no_digest_knows_it(growing: Growing) -> None:
    def later(state: Any) -> None:
        state.changed_at_us[2] += 1

    assert "1 accounts differ, the first is ann at version" in await wrongly_taken(growing, later)


async def test_a_row_that_is_not_the_digests_is_found(growing: Growing) -> None:
    def newer(state: Any) -> None:
        state.rows[2, VERSION] += np.int64(1)

    assert "another digest" in await wrongly_taken(growing, newer)


async def test_a_snapshot_of_blocks_that_the_log_has_lost_is_broken(growing: Growing) -> None:
    del growing.records.blocks[0][-4:]
    found = await compare_snapshots(MemoryLog(growing.records), growing.snapshots, 0)
    assert found.problem is not None
    assert "lost blocks" in found.problem
    assert not found.unread


async def test_a_snapshot_that_goes_away_meanwhile_is_passed_over(
    growing: Growing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = names(growing)
    load = Snapshots.load

    async def after_cleaning(self: Snapshots, each: Named, prints: None) -> Any:
        (tmp_path / older).unlink(missing_ok=True)
        return await load(self, each, prints)

    monkeypatch.setattr(Snapshots, "load", after_cleaning)
    found = await compare_snapshots(growing.log, growing.snapshots, 0)
    assert (found.problem, found.compared) == (None, [newer])


async def test_a_store_that_cannot_be_read_says_nothing_about_snapshots(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FileStore, prefix: str) -> list[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(FileStore, "names", fail)
    found = await compare_snapshots(growing.log, growing.snapshots, 0)
    assert found.unread
    assert found.problem is not None
    assert "Input/output error" in found.problem


async def test_verify_says_it_of_each_partition(growing: Growing, tmp_path: Path) -> None:
    good = await verify(growing.log, against=Derived(snapshots=growing.snapshots, prints=FINGERPRINTS))
    assert good.word == "good"
    assert good.document()["by_partition"][0]["snapshots"]["compared"] == names(growing)
    (tmp_path / names(growing)[1]).write_bytes(b"")
    assert (await verify(growing.log, against=Derived(snapshots=growing.snapshots))).word == "broken"


def test_a_replay_knows_what_its_prints_are_by(growing: Growing) -> None:
    assert Replay(growing.partition.state, FINGERPRINTS).prints is FINGERPRINTS


async def test_verify_begins_at_a_snapshot_of_no_later_block_than_was_asked_for(growing: Growing) -> None:
    older, newer = (each.sequence for each in reversed(named(growing.store, 0)))
    for behind, begun in (
        ({0: newer}, newer),
        ({0: newer - 1}, older),
        ({0: older - 1}, None),
        ({}, None),
        (None, newer),
    ):
        [found] = (await verify(growing.log, snapshots=growing.snapshots, behind=behind)).partitions
        assert (found.begun_after, found.problem) == (None if begun is None else f"0:{begun}", None)
