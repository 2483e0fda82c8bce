"""kill -9 of the embedded process in a loop during load: nothing acknowledged is lost, nothing is there twice, and what was under
way between its two partitions ends."""

from __future__ import annotations

import json
import random
from pathlib import Path

import aiohttp

from tests.end_to_end import load, processes
from write_side.contract.log.log_file import FileLog

KILLS = 30


async def test_every_acknowledged_transfer_survives_thirty_kills_and_is_there_once(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    ledger = load.Ledger([f"account-{i}" for i in range(8)], random.Random(20))
    await load.kill_again_and_again(
        "up", environment, ledger, kills=KILLS, answers_max=120, errors=tmp_path / "errors.txt"
    )

    assert len(ledger.done) > KILLS * 10
    assert ledger.followed > KILLS

    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await load.settled(service.address)
    log = await FileLog.open_read_only(tmp_path / "data")
    found = await load.audit(log)
    await log.close()
    load.expect_told_is_true(ledger, found)

    code, out, _ = await processes.command("verify", "--code-change", "--json", environment=environment)
    assert code == 0
    assert (json.loads(out)["verdict"], json.loads(out)["code_change"]["verdict"]) == ("good", "same")
    await _expect_shown_is_folded(tmp_path, environment, found)


async def _expect_shown_is_folded(tmp_path: Path, environment: dict[str, str], found: load.Audit) -> None:
    """No balance that the service shows differs from the fold of the log."""
    async with (
        processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service,
        aiohttp.ClientSession() as session,
    ):
        for account, (posted, version) in found.balances.items():
            if account.startswith("@"):
                continue
            async with session.get(f"{service.address}/v1/accounts/{account}") as response:
                document = await response.json()
            assert (int(document["posted"]), document["version"]) == (posted, version)
        for name in list(found.done)[:50]:
            async with session.get(f"{service.address}/v1/transfers/{name}") as response:
                assert (await response.json())["result"] == "done"
        assert await service.interrupt() == 0
