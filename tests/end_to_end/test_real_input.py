"""A bank's 49,070 transactions through the real intake: our balances are the bank's, after every single one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.end_to_end import bank, deployed, load, processes
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog

PARTITIONS = 4


async def _import_and_compare(address: str, environment: dict[str, str]) -> None:
    asked = {**environment, "FANFOLD_URL": address}
    code, out, errors = await processes.command(
        "import", str(bank.CSV), "--asset", bank.ASSET, "--minor", "--json", environment=asked
    )
    assert code == 0, errors
    summary = json.loads(out)
    assert (summary["done"], summary["refused"]) == (bank.TRANSACTIONS, 0), summary
    code, out, errors = await processes.command(
        "import", str(bank.CSV), "--asset", bank.ASSET, "--minor", "--json", environment=asked
    )
    assert (code, json.loads(out)["repeated"]) == (0, bank.TRANSACTIONS), errors
    expected = {account: balances[-1] for account, balances in bank.shown_by_the_bank().items()}
    assert await bank.shown_by_the_service(address, list(expected)) == expected


async def _replay_and_compare(log: Log) -> None:
    try:
        assert await bank.shown_by_the_log(log) == bank.shown_by_the_bank()
    finally:
        await log.close()


@pytest.mark.parametrize("partitions", [1, PARTITIONS])
async def test_embedded_balances_are_the_banks_after_every_transaction(tmp_path: Path, partitions: int) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": str(partitions)}
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _import_and_compare(service.address, environment)
    await _replay_and_compare(await FileLog.open_read_only(tmp_path / "data"))


@pytest.mark.kafka
@pytest.mark.redis
async def test_deployed_balances_are_the_banks_after_every_transaction(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str
) -> None:
    environment = deployed.environment_of(kafka_bootstrap, redis_url, PARTITIONS)
    async with deployed.running(environment, tmp_path / "errors.txt") as gateway:
        await _import_and_compare(gateway.address, environment)
    await _replay_and_compare(await deployed.open_log(environment))
    code, out, _ = await processes.command("verify", "--json", environment=environment)
    assert (code, json.loads(out)["partitions"]) == (0, PARTITIONS)
