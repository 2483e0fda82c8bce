"""Snapshots of the embedded process: taken under load and killed at any moment of it, damaged, and left to a clean stop."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.end_to_end import load, processes
from tests.relay import relay
from tests.servers import S3Server, s3_address
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.snapshots import Named, named
from write_side.contract.snapshots.store_file import FileStore
from write_side.wiring import snapshot_store

KILLS = 6
BLOCKS = 100
KILLED_AFTER_S = 10.0
"""What starts services gives them so long to end."""


async def test_starts_from_snapshots_lose_nothing_whenever_the_process_is_killed(tmp_path: Path) -> None:
    snapshots = FileStore(tmp_path / "data" / "snapshots")
    environment = load.folder_of(tmp_path / "data") | {
        "FANFOLD_PARTITIONS": "2",
        "FANFOLD_SNAPSHOT_BLOCKS": str(BLOCKS),
    }
    ledger = load.Ledger([f"account-{i}" for i in range(8)], random.Random(21))
    await load.kill_again_and_again(
        "up", environment, ledger, kills=KILLS, answers_max=2_000, errors=tmp_path / "errors.txt"
    )
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await load.settled(service.address)
        async with asyncio.timeout(60):  # whether a killed one had the time for a snapshot is chance
            while not _newest(snapshots):  # noqa: ASYNC110 - nothing of this process knows of another one's files
                await asyncio.sleep(0.1)
        assert await service.interrupt() == 0
    # Damaged, and cut short, as no crash leaves them: the start says so and folds what it has to.
    for each in _newest(snapshots):
        path = tmp_path / "data" / "snapshots" / each.name
        path.write_bytes(path.read_bytes()[: -(1 + each.partition)] + b"x")
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await load.settled(service.address)
        log = await FileLog.open_read_only(tmp_path / "data")
        found = await load.audit(log)
        await log.close()
        load.expect_told_is_true(ledger, found)
        await _expect_shown(service.address, found)
        assert await service.interrupt() == 0
    for newest in _newest(snapshots):
        (
            tmp_path / "data" / "snapshots" / newest.name
        ).unlink()  # where the stop has taken none, it is still the damaged one
    against = ("verify", "--against", "snapshot", "--code-change")
    code, out, _ = await processes.command(*against, environment=environment)
    assert code == 0, out
    for each in _newest(snapshots):
        path = tmp_path / "data" / "snapshots" / each.name
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    code, out, _ = await processes.command(*against, environment=environment)
    assert (code, [each.name in out for each in _newest(snapshots)]) == (1, [True] * len(_newest(snapshots)))


@pytest.mark.s3
async def test_a_start_begins_in_s3_and_one_that_is_silent_stops_neither_a_start_nor_a_stop(
    tmp_path: Path, s3_server: S3Server
) -> None:
    bucket = s3_server.new_bucket()
    with relay(s3_server.port) as between:
        environment = load.folder_of(tmp_path / "data") | {
            "FANFOLD_SNAPSHOTS": s3_address(bucket, "wallet", between.port),
        }
        errors = tmp_path / "errors.txt"
        for begun in range(2):
            async with processes.running("up", environment=environment, errors=errors) as service:
                await _blocks(service.address, BLOCKS + 10)
                assert await service.interrupt() == 0
            taken = named(snapshot_store(environment["FANFOLD_SNAPSHOTS"]), 0)
            assert len(taken) == begun + 1
        asked, between.hanging = between.connections, True
        between.cut()
        async with processes.running("up", environment=environment, errors=errors) as service:
            assert between.connections > asked
            await _blocks(service.address, BLOCKS + 10)
            async with asyncio.timeout(KILLED_AFTER_S):
                assert await service.interrupt() == 0
    assert (await processes.command("verify", environment=environment))[0] == 0


@pytest.mark.s3
@pytest.mark.parametrize("request_line", ["list-type", "?uploads", "partNumber", "x-amz-copy-source"])
async def test_an_s3_that_falls_silent_in_the_last_snapshot_does_not_hold_the_stop(
    request_line: str, tmp_path: Path, s3_server: S3Server
) -> None:
    with relay(s3_server.port) as between:
        address = s3_address(s3_server.new_bucket(), "wallet", between.port)
        environment = load.folder_of(tmp_path / "data") | {"FANFOLD_SNAPSHOTS": address}
        async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
            await _blocks(service.address, BLOCKS + 10)
            between.unanswered = request_line.encode()
            async with asyncio.timeout(KILLED_AFTER_S):
                assert await service.interrupt() == 0
        assert between.unanswered_connections > 0
    assert (await processes.command("verify", environment=environment))[0] == 0


async def _blocks(address: str, count: int) -> None:
    """One transfer each."""
    async with aiohttp.ClientSession() as session:
        await load.open_accounts(session, address, ["ann"])
        for _ in range(count):
            wanted = {"id": str(uuid4()), "from": "@world", "to": "ann", "amount": "1", "asset": "USD/2"}
            async with session.post(f"{address}/v1/transfers", json=wanted) as response:
                assert response.status == 201


def _newest(snapshots: FileStore) -> list[Named]:
    return [named(snapshots, partition)[0] for partition in range(2) if named(snapshots, partition)]


async def _expect_shown(address: str, found: load.Audit) -> None:
    async with aiohttp.ClientSession() as session:
        for account, (posted, version) in found.balances.items():
            if not account.startswith("@"):
                async with session.get(f"{address}/v1/accounts/{account}") as response:
                    document = await response.json()
                assert (int(document["posted"]), document["version"]) == (posted, version)
        for name in list(found.done)[:50]:
            async with session.get(f"{address}/v1/transfers/{name}") as response:
                assert (await response.json())["result"] == "done"
