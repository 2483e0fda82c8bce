"""The whole round on every snapshot store: taken, begun at, damaged, cut short, shared by two, and gone when it is needed."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.relay import relay
from tests.servers import S3Server, s3_address
from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.snapshots import taker as taker_module
from write_side.contract.snapshots.snapshots import Snapshots, named
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.snapshots.taker import SnapshotLimits
from write_side.wiring import snapshot_store


def content(store: SnapshotStore, name: str) -> bytes:
    with store.open(name) as source:
        data = bytearray(source.size)
        filled = 0
        while more := source.readinto(memoryview(data)[filled:]):
            filled += more
        return bytes(data[:filled])


async def test_a_start_begins_at_the_newest_snapshot_of_the_store_and_folds_what_came_since(address: str) -> None:
    growing = Growing(snapshot_store(address))
    for _ in range(3):
        growing.grow(5)
        assert await growing.taker().take(0)
    growing.grow(2)
    replay, said = await growing.started(Snapshots(snapshot_store(address), growing.log))
    assert replay.began_after == growing.position - 2
    assert [each["event"] for each in said] == ["begins at a snapshot"]
    kept = [each.sequence for each in named(growing.store, 0)]
    assert kept == [growing.position - 2, growing.position - 7]


async def test_half_a_file_and_a_damaged_one_are_refused_and_the_next_older_one_is_used(address: str) -> None:
    growing = Growing(snapshot_store(address))
    for _ in range(3):
        growing.grow(5)
        assert await growing.taker(SnapshotLimits(kept=3)).take(0)
    half, damaged, good = named(growing.store, 0)
    growing.store.put(half.name, [content(growing.store, half.name)[:-100]])
    octets = bytearray(content(growing.store, damaged.name))
    octets[len(octets) // 2] ^= 4
    growing.store.put(damaged.name, [bytes(octets)])
    replay, (*said, begins) = await growing.started()
    assert replay.began_after == begins["block"] == good.sequence
    assert [each["name"] for each in said] == [half.name, damaged.name]
    assert all("damaged" in str(each["reason"]) and "No money is affected" in str(each["reason"]) for each in said)


async def test_two_that_take_into_one_store_leave_snapshots_that_both_begin_at(address: str) -> None:
    growing = Growing(snapshot_store(address))
    growing.grow(taker_module.WORTH_BLOCKS)
    others = [Growing.taker(growing), Growing.taker(growing)]
    for taker in others:
        taker._snapshots = Snapshots(snapshot_store(address), growing.log)
    assert all(await asyncio.gather(*(taker.take(0) for taker in others)))
    assert [each.sequence for each in named(growing.store, 0)] == [growing.position]
    assert (await growing.started())[0].began_after == growing.position


@pytest.mark.s3
async def test_a_store_that_is_gone_stops_no_start_and_costs_no_fold_of_the_log(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with relay(s3_server.port) as between:
        growing = Growing(snapshot_store(s3_address(bucket, "x", between.port)))
        growing.grow(5)
        assert await growing.taker().take(0)
        between.close()
        replay, [told] = await growing.started()
        assert replay.began_after == -1
        assert told["event"] == "snapshots not read"
        assert "cannot be reached" in str(told["reason"])
        assert "No money is affected" in str(told["reason"])
        growing.log.read = None  # type: ignore[assignment,method-assign]  # nobody may ask for a block
        with capture_logs() as said:
            assert not await growing.taker().take(0)
        assert said[0]["event"] == "snapshot not taken"
        assert "cannot be reached" in str(said[0]["reason"])


@pytest.mark.s3
async def test_a_snapshot_that_breaks_off_while_it_is_read_is_named_and_the_log_is_folded(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    with relay(s3_server.port) as between:
        growing = Growing(snapshot_store(s3_address(bucket, "x", between.port)))
        growing.grow(5)
        assert await growing.taker().take(0)
        [only] = named(growing.store, 0)
        between.answered_bytes = len(content(growing.store, only.name)) // 2
        between.cut()
        replay, [told] = await growing.started()
        assert replay.began_after == -1
        assert (told["event"], told["name"]) == ("snapshot not used", only.name)
