"""The commands that read the log, beside a running service and without one."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end import load, processes
from tests.unit.read_side.block_maker import BlockMaker, opened
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_path
from write_side.contract.words.atoms import partition_of


async def _fill(address: str) -> None:
    async with aiohttp.ClientSession() as session:
        await load.open_accounts(session, address, ["alice", "bob"])
        for number in range(20):
            body = {"from": "@world", "to": "alice", "amount": "10", "asset": load.ASSET}
            headers = {"Idempotency-Key": str(number % 15)}
            async with session.post(f"{address}/v1/transfers", json=body, headers=headers) as response:
                assert response.status == 201


async def test_rebuild_inside_the_running_process_switches_to_an_equal_view(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["a-folder-that-lies-deep"] * 6)  # deeper than a socket's path may be long
    environment = load.folder_of(deep) | {"FANFOLD_PARTITIONS": "2", "FANFOLD_TOPIC": ""}
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _fill(service.address)
        for generation, flags in ((2, ["--from-snapshot"]), (3, [])):  # there is none: from the beginning, too
            code, out, errors = await processes.command("rebuild", "--json", *flags, environment=environment)
            assert code == 0, errors
            result = json.loads(out)
            assert (result["verdict"], result["equal"], result["entries"]) == ("switched", True, 30)
            assert {part["new_generation"] for part in result["partitions"]} == {generation}
        async with aiohttp.ClientSession() as session, session.get(f"{service.address}/v1/accounts/alice") as response:
            assert (await response.json())["posted"] == "150"


async def test_rebuild_without_a_process_says_that_there_is_nothing_to_rebuild(tmp_path: Path) -> None:
    code, _, errors = await processes.command("rebuild", environment=load.folder_of(tmp_path))
    assert code == 2
    assert "no fanfold is running" in errors


async def test_tail_prints_every_outcome_once_as_json(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data")
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _fill(service.address)
        code, out, _ = await processes.command("tail", "--no-follow", environment=environment)
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["kind"] for event in events].count("open") == 2
    assert [event["outcome"] for event in events if event["kind"] == "transfer"].count("done") == 15
    assert [event["outcome"] for event in events].count("repeated") == 5
    assert sum(int(entry["posted"]) for entry in events[-6]["entries"]) == 0


async def test_verify_names_the_file_and_the_byte_of_a_damaged_block(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data")
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _fill(service.address)
        assert await service.interrupt() == 0
    code, out, _ = await processes.command("verify", "--json", environment=environment)
    good = json.loads(out)
    assert (code, good["verdict"], good["entries"]) == (0, "good", 30)
    (segment,) = (tmp_path / "data").rglob("*.segment")
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    segment.write_bytes(damaged)
    code, out, _ = await processes.command("verify", "--json", environment=environment)
    broken = json.loads(out)
    assert (code, broken["verdict"]) == (1, "broken")
    assert broken["blocks"] < good["blocks"]
    assert "a block is damaged" in broken["problem"]
    assert str(segment) in broken["problem"]


async def test_a_second_process_over_the_same_folder_is_told_who_has_it(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data")
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        code, _, errors = await processes.command("up", environment=environment)
        assert code == 1
        assert str(service.process.pid) in errors


async def test_a_wrong_setting_is_named_and_its_value_is_not_shown(tmp_path: Path) -> None:
    for name, value in (("FANFOLD_PORT", "hunter2"), ("FANFOLD_PARTITIONS", "-7"), ("FANFOLD_LOG", "hunter2:x")):
        code, _, errors = await processes.command("up", environment=load.folder_of(tmp_path) | {name: value})
        assert code == 1
        assert name in errors
        assert "Traceback" not in errors
        assert value == "hunter2:x" or value not in errors


@pytest.mark.parametrize("arguments", [["verify"], ["tail", "--no-follow"], ["log", "clock"]])
async def test_a_folder_without_a_log_is_a_sentence_not_a_traceback(tmp_path: Path, arguments: list[str]) -> None:
    code, out, errors = await processes.command(*arguments, environment=load.folder_of(tmp_path))
    assert (code, out) == (2, "")
    assert "There is no log in" in errors
    assert "Traceback" not in errors


async def test_tail_says_that_a_partition_is_not_there_and_what_cannot_be_read_of_one_that_is(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path)
    log = await FileLog.open(tmp_path, 2)
    names = [next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in range(2)]
    for partition in range(2):
        await BlockMaker(log, partition).append(opened(names[partition]))
    await log.close()
    code, out, errors = await processes.command("tail", "--no-follow", "--after", "7:1", environment=environment)
    assert (code, out) == (2, "")
    assert "--after: names a partition that is not there: the log has 2, 0 to 1" in errors
    segment = segment_path(partition_folder(tmp_path, 0), 0)
    segment.rename(tmp_path / "aside")
    segment.mkdir()
    code, out, errors = await processes.command("tail", "--no-follow", environment=environment)
    assert code == 2
    assert [json.loads(line)["position"].split(":")[0] for line in out.splitlines()] == ["1"]
    assert "partition 0: The log in" in errors
    code, out, errors = await processes.command("verify", environment=environment)
    assert code == 2
    assert "NOT ALL READ" in out
    assert "Traceback" not in errors


async def test_the_commands_agree_with_a_real_service_on_amounts_outputs_and_imports(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        asked = environment | {"FANFOLD_URL": service.address}

        async def run(*arguments: str, code: int = 0, input_text: str = "") -> str:
            ended, out, errors = await processes.command(*arguments, environment=asked, input_text=input_text)
            assert ended == code, errors
            return out + errors

        for account in ("alice", "bob"):
            assert "floor -1.50" in await run("open", account, load.ASSET, "--floor=-1.5")
            await run("transfer", "@world", account, "1,000.00", load.ASSET)
        held = json.loads(await run("hold", "alice", "bob", "12.5", load.ASSET, "--json"))
        assert "2.25 USD/2 (225 minor units) of the hold" in await run("capture", held["id"], "2.25", "--final")
        assert "999.25 USD/2 is available." in await run("transfer", "alice", "bob", "1000", load.ASSET, code=1)
        assert "-2,000.00" in await run("system", load.ASSET)

        file = "transaction,account,amount,date\n1,alice,5.00,mon\n2,carol,-7,tue\n3,bob,1.10,wed\n"
        imported = ("import", "-", "--asset", load.ASSET, "--major", "--floor", "0", "--json")
        first = json.loads(await run(*imported, code=1, input_text=file))
        assert [first[name] for name in ("done", "repeated", "refused", "refused_earlier")] == [2, 0, 1, 0]
        again = json.loads(await run(*imported, code=1, input_text=file.replace("5.00", " 05")))
        assert [again[name] for name in ("done", "repeated", "refused", "refused_earlier")] == [0, 2, 1, 1]
        other = json.loads(
            await run(*imported, code=1, input_text=file.replace("wed", "sun").replace("2,carol,-7,tue\n", ""))
        )
        assert [other[name] for name in ("done", "repeated", "differing")] == [0, 1, 1]
        assert json.loads(await run("balance", "bob", "--json"))["posted"] == 100_000 + 225 + 110
