"""A log that was trimmed: killed in the middle of it, and every command over it, with its archive named and without."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from pathlib import Path

import pytest

from tests.end_to_end import load, processes
from tests.end_to_end.test_project import MONTHLY
from tests.end_to_end.test_trim import PAYMENTS, _archive, _assert_all_is_told, _command, _in_small_segments, _write
from write_side.contract.log.log_file import FileLog

LIMIT_S = 60.0
CODES = {"project": 2, "export": 2, "verify": 2}
PUBLISH = 2


async def _archived(tmp_path: Path, **settings: str) -> tuple[dict[str, str], list[str]]:
    """A folder that nobody serves, all of it in an archive that the environment names; the ids that were paid."""
    data, copies = tmp_path / "data", tmp_path / "copies"
    environment = load.folder_of(data) | settings
    ids = [str(uuid.uuid4()) for _ in range(PAYMENTS)]
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _write(service.address, ids)
        assert await service.interrupt() == 0  # with a snapshot
    await _in_small_segments(data)
    log = await FileLog.open_read_only(data)
    await _archive(log, copies)
    await log.close()
    return environment | {"FANFOLD_LOG_ARCHIVE": f"file:{copies}"}, ids


@pytest.mark.parametrize("when", ["while it compares", "while it removes"])
async def test_a_service_that_is_killed_in_the_middle_of_a_trim_has_all_of_it_afterwards(
    tmp_path: Path, when: str
) -> None:
    environment, ids = await _archived(tmp_path)
    errors, begin = tmp_path / "errors.txt", tmp_path / "data" / "log" / "p00000" / "begin.json"
    async with processes.running("up", environment=environment, errors=errors) as service:
        trimming = await asyncio.create_subprocess_exec(
            *processes.COMMAND, "trim", "--json", env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        if when == "while it removes":
            async with asyncio.timeout(LIMIT_S):
                while not begin.exists():
                    assert trimming.returncode is None
                    await asyncio.sleep(0)
        else:
            await asyncio.sleep(1.0)
        await service.kill()
        _, told = await trimming.communicate()
    assert b"Traceback" not in told
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _assert_all_is_told(service.address, ids, PAYMENTS)
        code, result, told_again = await _command("trim", environment=environment)
        assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told_again
        await _assert_all_is_told(service.address, ids, PAYMENTS)
        await service.kill()
    code, result, told_again = await _command("verify", "--against", "log-archive", environment=environment)
    assert (code, result["verdict"]) == (0, "good"), told_again


async def test_every_command_over_a_trimmed_log_works_through_its_archive_or_says_where_to_name_it(
    tmp_path: Path,
) -> None:
    environment, _ = await _archived(tmp_path)
    before = {
        what: await _told_by(tmp_path, what, f"{what}-before", environment) for what in CODES if what != "publish"
    }
    assert all(code == 0 for code, _ in before.values()), before
    code, result, told = await _command("trim", environment=environment)
    assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told
    without = environment | {"FANFOLD_LOG_ARCHIVE": "off", "FANFOLD_SNAPSHOTS": "off"}
    for what, expected in before.items():
        for archive, name in (
            (environment | {"FANFOLD_SNAPSHOTS": "off"}, f"{what}-with"),
            (environment, f"{what}-snap"),
        ):
            assert await _told_by(tmp_path, what, name, archive) == expected, name
        code, told = await _told_by(tmp_path, what, f"{what}-without", without)
        assert code == CODES[what], (what, code, told)
        assert "FANFOLD_LOG_ARCHIVE" in told, (what, told)


async def _told_by(tmp_path: Path, what: str, place: str, environment: dict[str, str]) -> tuple[int, str]:
    """Exit code, and what is the same wherever the blocks come from; where it fails, what it says."""
    arguments = {
        "project": ("project", MONTHLY, "--state", str(tmp_path / f"{place}.db"), "--once", "--json"),
        "export": ("export", "--parquet", str(tmp_path / place), "--json"),
        "verify": ("verify", "--json"),
    }[what]
    code, out, errors = await processes.command(*arguments, environment=environment)
    assert "Traceback" not in errors, errors
    if code != 0:
        return code, out + errors
    told = json.loads(out)
    return code, json.dumps(
        {name: told[name] for name in sorted(told) if name not in ("seconds", "rate", "folder", "state")}
    )


@pytest.mark.kafka
async def test_events_of_a_trimmed_log_are_published_through_its_archive_or_it_is_said_where_to_name_it(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    environment, _ = await _archived(tmp_path)
    code, _, told = await _command("trim", environment=environment)
    assert code == 0, told
    environment |= {"FANFOLD_SNAPSHOTS": "off", "FANFOLD_REPLICATION": "1", "FANFOLD_MIN_IN_SYNC": "1"}
    topic = ("publish", "--to", f"kafka://{kafka_bootstrap}", "--topic", f"events-{uuid.uuid4()}", "--once")
    code, _, told = await _command(*topic, environment=environment | {"FANFOLD_LOG_ARCHIVE": "off"})
    assert (code, "FANFOLD_LOG_ARCHIVE" in told) == (PUBLISH, True), told
    code, result, told = await _command(*topic, environment=environment)
    assert code == 0, told
    assert result["events"] > PAYMENTS


async def test_a_view_in_sqlite_that_is_not_there_yet_keeps_all_and_is_no_bad_usage(tmp_path: Path) -> None:
    environment, ids = await _archived(tmp_path)
    environment["FANFOLD_VIEW"] = f"sqlite:{tmp_path / 'view.db'}"
    code, result, told = await _command("trim", environment=environment)
    assert (code, result["verdict"], told) == (0, "trimmed", "")
    [found] = result["partitions"]
    assert found["begins"] == 0
    assert "there is no view yet: start the service" in found["keeps"]
    code, out, told = await processes.command("trim", environment=environment)
    assert (code, "no view yet" in out) == (0, True), told
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _assert_all_is_told(service.address, ids, PAYMENTS)
        code, result, told = await _command("trim", environment=environment)
        assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told


async def test_what_was_proven_before_a_trim_is_proven_after_it_and_without_the_archive_it_is_said_where_to_name_it(
    tmp_path: Path,
) -> None:
    environment, _ = await _archived(tmp_path)
    errors, proofs = tmp_path / "errors.txt", list[str]()
    code, result, told = await _command("trim", environment=environment)
    assert (code, result["partitions"][0]["begins"] > 0) == (0, True), told
    async with processes.running("up", environment=environment, errors=errors) as service:
        asked = environment | {"FANFOLD_URL": service.address}
        code, out, told = await processes.command("proof", "alice", "--as-of", "7", environment=asked)
        assert code == 0, told
        proofs.append(out)
        await service.kill()
    code, out, told = await processes.command("proof", "--check", "-", environment=environment, input_text=proofs[0])
    assert code == 0, (out, told)
    without = environment | {"FANFOLD_LOG_ARCHIVE": "off"}
    async with processes.running("up", environment=without, errors=errors) as service:
        asked = without | {"FANFOLD_URL": service.address}
        code, out, told = await processes.command("proof", "alice", "--as-of", "7", environment=asked)
        assert "Traceback" not in told
        assert code != 0 or json.loads(out) == json.loads(proofs[0]), "what is kept of the past may have it still"
        assert code == 0 or "FANFOLD_LOG_ARCHIVE" in out + told, (code, out, told)
