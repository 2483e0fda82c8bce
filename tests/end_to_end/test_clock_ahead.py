"""The way out of a log that a wrong clock has stamped: who refuses it says where to look, and doing what is said there works."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import re
import signal
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fanfold.api.ids import uuid7
from tests.end_to_end import load, processes
from tests.servers import free_port, unique_name
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.times import format_time

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
ALICE, BOB = (next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in range(2))
COMMAND = re.compile(r"^  (FANFOLD_ACCEPT_LOG_TIME)=(\S+) fanfold (up)$", re.MULTILINE)


@pytest.mark.parametrize("ahead_us", [HOUR_US, YEAR_US])
async def test_what_the_command_says_goes_on_with_a_log_that_is_ahead(tmp_path: Path, ahead_us: int) -> None:
    environment = load.folder_of(tmp_path / "data")
    before_us, log_us = await _stamped_ahead(tmp_path / "data", ahead_us)
    async with _refused(environment) as address:
        assert (await _asked(address, "GET", f"/v1/accounts/{ALICE}"))[1]["posted"] == "100", "reads go on"
        code, told, errors = await processes.command("log", "clock", environment=environment)  # beside it
        assert (code, errors) == (1, "")

    said = COMMAND.search(told)
    assert said is not None, told
    name, value, start = said.groups()
    assert value == format_time(log_us), "the newest of both partitions"
    for life in range(2):  # the blocks of the first do not lock the second one out
        async with processes.running(
            start, environment=environment | {name: value}, errors=tmp_path / "on.txt"
        ) as service:
            await _pays(service.address, life, ahead_us, before_us, log_us)
            assert await service.interrupt() == 0
    code, told, _ = await processes.command("log", "clock", environment=environment | {name: value})
    assert code == 1
    assert "FANFOLD_ACCEPT_LOG_TIME says so" in told

    async with _refused(environment):
        """Without the setting it is refused as before."""
    code, told, errors = await processes.command("verify", "--code-change", environment=environment)
    assert code == 0, told + errors


@pytest.mark.kafka
async def test_of_a_log_in_kafka_it_tells_the_same_and_the_command_of_its_side(kafka_bootstrap: str) -> None:
    topic = unique_name("ahead")
    environment = {
        "FANFOLD_LOG": f"kafka://{kafka_bootstrap}",
        "FANFOLD_TOPIC": topic,
        "FANFOLD_REPLICATION": "1",
        "FANFOLD_MIN_IN_SYNC": "1",
        "FANFOLD_SNAPSHOTS": "off",
    }
    log = await KafkaLog.open(kafka_bootstrap, f"{topic}.events", create_partitions=3, replication=1, min_in_sync=1)
    ahead = BlockMaker(log, 2, start_us=time.time_ns() // 1000 + YEAR_US)
    await BlockMaker(log, 0).epoch()
    await ahead.epoch()
    await log.close()
    code, out, errors = await processes.command("log", "clock", "--json", environment=environment)
    assert code == 1, errors
    document = json.loads(out)
    assert [each["verdict"] for each in document["partitions"]] == ["fine", "fine", "refused"]
    assert [each["position"] for each in document["partitions"]] == ["0:0", None, "2:0"]
    assert document["command"] == f"FANFOLD_ACCEPT_LOG_TIME={format_time(ahead.now_us)} fanfold write-side"


@asynccontextmanager
async def _refused(environment: dict[str, str]) -> AsyncIterator[str]:
    """`fanfold up` that is not ready, and says why in its log and at its door: where that is."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    process = await asyncio.create_subprocess_exec(
        *processes.COMMAND,
        "up",
        env={**os.environ, **environment, "FANFOLD_PORT": str(port)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(processes.READY_S):
            refused: set[bytes] = set()
            while len(refused) < 2 and (line := await process.stdout.readline()):
                refused |= {
                    part for part in (b"partition=0", b"partition=1") if part in line and b"fanfold log clock" in line
                }
        status, document = await _asked(address, "GET", "/readyz")
        assert status == 503
        assert sum("fanfold log clock" in reason for reason in document["reasons"]) == 2
        yield address
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(processes.EXIT_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _stamped_ahead(folder: Path, ahead_us: int) -> tuple[int, int]:
    """Two partitions: an hour ago by a right clock, then ahead. The time between, and that of the newest block."""
    now_us = time.time_ns() // 1000
    log = await FileLog.open(folder, 2)
    newest = []
    for partition, account in enumerate((ALICE, BOB)):
        maker = BlockMaker(log, partition, start_us=now_us - HOUR_US)
        await maker.epoch()
        await maker.append(opened(account), moved("@world", account, 90))
        maker.now_us = now_us + ahead_us - partition * HOUR_US // 2
        await maker.append(moved("@world", account, 10))
        newest.append(maker.now_us)
    await log.close()
    return now_us, max(newest)


async def _pays(address: str, life: int, ahead_us: int, before_us: int, log_us: int) -> None:
    """Writes and reads at the log's time; `life` is how many were before, each of which has paid 4."""
    moved_before = 4 * life
    transfer = {"from": ALICE, "to": BOB, "amount": "1", "asset": load.ASSET}  # from one partition to the other
    status, answer = await _asked(address, "POST", "/v1/transfers", transfer | {"id": str(uuid.uuid4())})
    assert (status, answer["result"]) == (201, "done")
    status, answer = await _asked(address, "POST", "/v1/transfers", transfer, key=f"order {life}")
    assert (status, answer["result"]) == (201, "done")

    # An id that carries a time of now is taken where ids are remembered for longer than the log is ahead.
    of_now = transfer | {"id": str(uuid7()), "amount": "2"}
    status, answer = await _asked(address, "POST", "/v1/transfers", of_now)
    if ahead_us < 7 * DAY_US:
        assert (status, answer["result"]) == (201, "done")
        assert (await _asked(address, "POST", "/v1/transfers", of_now))[1]["repeated"] is True
    else:
        assert (status, answer["code"]) == (422, "id_expired")
        assert "fanfold log clock" in answer["detail"]
        status, answer = await _asked(address, "POST", "/v1/transfers", of_now | {"id": str(uuid.uuid4())})
        assert (status, answer["result"]) == (201, "done")

    posted = str(100 - moved_before - 4)
    _, state = await _asked(address, "GET", f"/v1/accounts/{ALICE}")
    assert state["posted"] == posted
    assert _us(state["at"]) > log_us - HOUR_US, "by the log's time"
    # As of now is before the blocks that are ahead, and the log's time names what they left.
    for as_of_us, then in ((before_us, "90"), (_us(state["at"]), posted)):
        status, past = await _asked(address, "GET", f"/v1/accounts/{ALICE}?as_of={format_time(as_of_us)}")
        assert (status, past["posted"]) == (200, then)

    # A deadline before the log's time has passed at once; behind it a hold stays open, for the clock is not there yet.
    hold = transfer | {"deadline": format_time(before_us + 60_000_000)}
    status, answer = await _asked(address, "POST", "/v1/holds", hold | {"id": str(uuid.uuid4())})
    assert status == 422, answer
    assert answer["code"] == "deadline_passed"
    id = str(uuid.uuid4())
    hold = transfer | {"deadline": format_time(log_us + HOUR_US), "id": id}
    status, answer = await _asked(address, "POST", "/v1/holds", hold)
    assert (status, answer["result"]) == (201, "held"), answer
    status, answer = await _asked(address, "POST", f"/v1/holds/{id}/void", {"id": str(uuid.uuid4())})
    assert (status, answer["result"]) == (201, "voided"), answer


async def _asked(
    address: str, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None
) -> tuple[int, dict[str, Any]]:
    headers = {} if key is None else {"Idempotency-Key": key}
    async with (
        aiohttp.ClientSession(address) as session,
        session.request(method, path, json=body, headers=headers) as response,
    ):
        document: dict[str, Any] = await response.json(content_type=None)
        return response.status, document


def _us(at: str) -> int:
    return (
        datetime.datetime.fromisoformat(at) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    ) // datetime.timedelta(microseconds=1)
