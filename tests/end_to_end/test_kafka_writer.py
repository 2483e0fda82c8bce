"""The writer over Kafka: killed again and again, and two at once. The chain rule lets one win; nothing is counted twice."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import aiohttp
import pytest

from tests.end_to_end import deployed, load, processes

KILLS = 30

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


async def _audit(environment: dict[str, str], ledger: load.Ledger) -> load.Audit:
    log = await deployed.open_log(environment)
    try:
        found = await load.audit(log)
    finally:
        await log.close()
    load.expect_told_is_true(ledger, found)
    code, _, errors = await processes.command("verify", environment=environment)
    assert code == 0, errors
    return found


async def test_every_acknowledged_transfer_survives_thirty_kills_of_the_writer(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str
) -> None:
    environment = deployed.environment_of(kafka_bootstrap, redis_url, partitions=1)
    ledger = load.Ledger([f"account-{i}" for i in range(8)], random.Random(21))
    await load.kill_again_and_again(
        "write-side", environment, ledger, kills=KILLS, answers_max=200, errors=tmp_path / "errors.txt"
    )
    await _audit(environment, ledger)
    assert len(ledger.done) > KILLS


async def test_a_paused_writer_that_wakes_up_after_another_took_over_changes_nothing_and_says_so(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str
) -> None:
    environment = deployed.environment_of(kafka_bootstrap, redis_url, partitions=1)
    chance = random.Random(22)
    accounts = [f"account-{i}" for i in range(8)]
    old_ledger, new_ledger = load.Ledger(accounts, chance), load.Ledger(accounts, random.Random(23))
    old = await processes.start("write-side", environment=environment, errors=tmp_path / "old.txt")
    async with aiohttp.ClientSession() as session:
        await load.open_accounts(session, old.address, accounts)
    enough = asyncio.Event()
    loading_old = asyncio.create_task(load.transfer_until_gone(old.address, old_ledger, 16, 100, enough))
    await enough.wait()
    old.process.send_signal(signal.SIGSTOP)

    new = await processes.start("write-side", environment=environment, errors=tmp_path / "new.txt")
    enough = asyncio.Event()
    loading_new = asyncio.create_task(load.transfer_until_gone(new.address, new_ledger, 16, 100, enough))
    await enough.wait()
    old.process.send_signal(signal.SIGCONT)

    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{old.address}/readyz") as response:
                ready = await response.json()
            if response.status == 503 and ready["partitions"]["0"]["standing"] == "overtaken":
                break
            await asyncio.sleep(0.1)
        async with session.get(f"{old.address}/metrics") as response:
            assert 'fanfold_partition_overtaken{partition="0"} 1.0' in await response.text()
    assert "another writer has taken over partition 0" in ready["partitions"]["0"]["reason"]
    assert old.process.returncode is None, "whoever keeps it would start it again, to take the partition back"
    await old.kill()
    await loading_old
    enough = asyncio.Event()
    loading_on = asyncio.create_task(load.transfer_until_gone(new.address, new_ledger, 16, 20, enough))
    await enough.wait()  # the one that took over goes on
    assert new.process.returncode is None
    await new.kill()
    await asyncio.gather(loading_new, loading_on)

    both = load.Ledger(accounts, chance)
    for ledger in (old_ledger, new_ledger):
        both.done |= ledger.done
        both.refused |= ledger.refused
        both.unanswered |= ledger.unanswered
    await _audit(environment, both)
