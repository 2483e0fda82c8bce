"""`fanfold trim` as its users type it: what the log forgets is told from its archive, over files and over a real Kafka."""

from __future__ import annotations

import asyncio
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.end_to_end import deployed, load, processes
from write_side.contract.archive.archiver import Archiver
from write_side.contract.archive.log_archive import LogArchive
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.store_file import FileStore
from write_side.id_runs.keeping import TIDIED_S

PAYMENTS = 240


async def _command(*arguments: str, environment: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    code, out, errors = await processes.command(*arguments, "--json", environment=environment)
    assert "Traceback" not in errors, errors
    return code, json.loads(out) if out else {}, errors


async def _pay(session: aiohttp.ClientSession, address: str, id_: str, amount: int) -> tuple[int, dict[str, Any]]:
    body = {"id": id_, "from": "@world", "to": "alice", "amount": str(amount), "asset": load.ASSET}
    async with session.post(f"{address}/v1/transfers", json=body) as response:
        return response.status, dict(await response.json())


async def _get(session: aiohttp.ClientSession, address: str, path: str) -> dict[str, Any]:
    async with session.get(f"{address}{path}") as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def _write(address: str, ids: list[str]) -> None:
    """One payment after the other, so that each has a block."""
    async with aiohttp.ClientSession() as session:
        await load.open_accounts(session, address, ["alice"])
        for id_ in ids:
            assert (await _pay(session, address, id_, 1))[0] == 201


async def _assert_all_is_told(address: str, ids: list[str], posted: int) -> None:
    async with aiohttp.ClientSession() as session:
        assert int((await _get(session, address, "/v1/accounts/alice"))["posted"]) == posted
        for id_ in (ids[0], ids[len(ids) // 2], ids[-1]):
            assert (await _get(session, address, f"/v1/transfers/{id_}"))["result"] == "done"
            status, again = await _pay(session, address, id_, 1)
            assert (status, again["repeated"]) == (201, True)
        assert int((await _get(session, address, "/v1/accounts/alice"))["posted"]) == posted


async def _archive(log: Log, folder: Path, sealed_bytes: int = 4_000) -> None:
    """As the process that writes does, in files so small that this log has some."""
    archiver = Archiver(log, LogArchive(FileStore(folder), log.partitions), {}, sealed_bytes)
    for partition in range(log.partitions):
        assert await archiver.archive(partition), archiver.failing


async def _in_small_segments(data: Path) -> None:
    """The same log with segments of some kB: only whole ones are trimmed, and usually they have 256 MiB."""
    whole = await FileLog.open_read_only(data)
    cut = await FileLog.open(data / "cut", whole.partitions, segment_bytes=4_000)
    for partition in range(whole.partitions):
        async for run in whole.read(partition):
            for record in run:
                assert await cut.append(partition, bytes(record.data)) == record.offset
    await whole.close()
    await cut.close()
    shutil.rmtree(data / "log")
    (data / "cut" / "log").rename(data / "log")
    shutil.rmtree(data / "cut")


async def test_a_file_log_forgets_what_its_archive_has_and_everything_is_told_as_before(tmp_path: Path) -> None:
    data, copies, errors = tmp_path / "data", tmp_path / "copies", tmp_path / "errors.txt"
    environment = load.folder_of(data)
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _write(service.address, ids)
        assert await service.interrupt() == 0  # with a snapshot
    await _in_small_segments(data)
    code, _, told = await _command("trim", environment=environment)
    assert (code, "FANFOLD_LOG_ARCHIVE" in told) == (2, True)
    environment["FANFOLD_LOG_ARCHIVE"] = f"file:{copies}"
    log = await FileLog.open_read_only(data)
    await _archive(log, copies)
    await log.close()

    code, result, told = await _command("trim", "--dry-run", environment=environment)  # nobody serves the folder
    [found] = result["partitions"]
    assert (code, result["verdict"], found["begins"]) == (0, "dry_run", 0), told
    assert found["before"] > 0
    before = sorted((data / "log" / "p00000").glob("*.segment"))
    async with processes.running("up", environment=environment, errors=errors) as service:
        code, result, told = await _command("trim", environment=environment)  # the process that serves it does it
        [found] = result["partitions"]
        assert code == 0, told
        assert 0 < found["begins"] <= found["before"]
        await _assert_all_is_told(service.address, ids, PAYMENTS)
        assert len(sorted((data / "log" / "p00000").glob("*.segment"))) < len(before)
        await service.kill()
    for derived in ("snapshots", "ids", "archive"):
        shutil.rmtree(data / derived, ignore_errors=True)
    async with processes.running("up", environment=environment, errors=errors) as service:  # all from the archive
        await _assert_all_is_told(service.address, ids, PAYMENTS)
        code, result, told = await _command("verify", "--against", "log-archive", environment=environment)
        assert (code, result["verdict"]) == (0, "good"), told
        assert result["blocks"] > PAYMENTS
        assert await service.interrupt() == 0

    name = min(copies.iterdir())
    name.write_bytes(name.read_bytes()[:-1] + b"?")
    code, result, _ = await _command("verify", environment=environment)
    assert (code, result["verdict"]) == (1, "broken")
    assert name.name in result["problem"]


async def test_a_log_that_was_trimmed_is_not_read_without_its_archive_and_says_so(tmp_path: Path) -> None:
    data, copies, errors = tmp_path / "data", tmp_path / "copies", tmp_path / "errors.txt"
    environment = load.folder_of(data)
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _write(service.address, ids)
        assert await service.interrupt() == 0
    await _in_small_segments(data)
    log = await FileLog.open_read_only(data)
    await _archive(log, copies)
    await log.close()
    archived = environment | {"FANFOLD_LOG_ARCHIVE": f"file:{copies}"}
    code, result, told = await _command("trim", environment=archived)
    assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told
    shutil.rmtree(data / "snapshots")
    async with (
        processes.running("up", environment=environment, errors=errors) as service,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(f"{service.address}/readyz") as response:
            assert response.status == 503
            assert "FANFOLD_LOG_ARCHIVE" in await response.text()
        status, problem = await _pay(session, service.address, ids[0], 1)
        assert status == 503, problem
    async with processes.running("up", environment=archived, errors=errors) as service:
        await _assert_all_is_told(service.address, ids, PAYMENTS)


async def test_an_archive_that_is_away_keeps_nobody_from_paying_and_what_is_asked_of_it_is_told_when_it_is_back(
    tmp_path: Path,
) -> None:
    data, copies, errors = tmp_path / "data", tmp_path / "copies", tmp_path / "errors.txt"
    environment = load.folder_of(data)
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _write(service.address, ids)
        await asyncio.sleep(2 * TIDIED_S)
        assert await service.interrupt() == 0
    await _in_small_segments(data)
    log = await FileLog.open_read_only(data)
    await _archive(log, copies)
    await log.close()
    environment |= {"FANFOLD_LOG_ARCHIVE": f"file:{copies}"}
    code, result, told = await _command("trim", environment=environment)
    assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told
    copies.rename(tmp_path / "away")
    for archive in (environment, environment | {"FANFOLD_LOG_ARCHIVE": "off"}):
        async with (
            processes.running("up", environment=archive, errors=errors) as service,
            aiohttp.ClientSession() as session,
        ):
            status, paid = await _pay(session, service.address, str(uuid.uuid4()), 1)
            assert status == 201, paid
    (tmp_path / "away").rename(copies)
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _assert_all_is_told(service.address, ids, PAYMENTS + 2)


@pytest.mark.kafka
@pytest.mark.redis
async def test_a_log_in_kafka_forgets_what_its_archive_has_beside_services_that_run(
    kafka_bootstrap: str, redis_url: str, tmp_path: Path
) -> None:
    copies, errors = tmp_path / "copies", tmp_path / "errors.txt"
    environment = deployed.environment_of(kafka_bootstrap, redis_url, partitions=1)
    environment |= {
        "FANFOLD_LOG_ARCHIVE": f"file:{copies}",
        "FANFOLD_SNAPSHOTS": f"file:{tmp_path / 'snapshots'}",
        "FANFOLD_SNAPSHOT_BLOCKS": "100",
        "FANFOLD_IDS": f"file:{tmp_path / 'ids'}",
        "FANFOLD_ARCHIVE": f"file:{tmp_path / 'history'}",
    }
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    async with deployed.running(environment, errors) as gateway:
        await _write(gateway.address, ids)
        log = await deployed.open_log(environment)
        await _archive(log, copies)
        async with asyncio.timeout(processes.READY_S):
            while True:
                code, result, told = await _command("trim", environment=environment)
                assert code == 0, told
                [found] = result["partitions"]
                if found["begins"] > 0:  # a snapshot is taken within seconds, and the view written
                    break
                await asyncio.sleep(1)
        assert found["begins"] == await log.begin(0) > 100
        await log.close()
        await _assert_all_is_told(gateway.address, ids, PAYMENTS)
    for derived in ("snapshots", "ids", "history"):
        shutil.rmtree(tmp_path / derived, ignore_errors=True)
    async with deployed.running(environment, errors) as gateway:  # everything is folded from the archive on
        await _assert_all_is_told(gateway.address, ids, PAYMENTS)
    code, result, told = await _command("verify", "--against", "log-archive", environment=environment)
    assert (code, result["verdict"]) == (0, "good"), told
    code, result, told = await _command("rebuild", "--dry-run", environment=environment)
    assert (code, result["verdict"]) == (0, "equal"), told
