"""A bank's 49,070 transactions through the real intake: our balances are the bank's, after every single one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from fanfold import AccountState, Client, Entries, Entry
from tests.end_to_end import bank, deployed, load, processes
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog

PARTITIONS = 4
SAMPLED = 15
"""Of so many accounts one is asked at the end of each of its days, another one in each set-up: a fifth of them in all."""
AT_ONCE = 16


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


async def _ask_the_past_and_compare(address: str, first: int) -> None:
    """Every line of every statement is the bank's; and so is, of some accounts, the balance at the end of every day.

    first: which of `SAMPLED` accounts is asked so.
    """
    written = bank.written_by_the_bank()
    async with Client(address) as client:
        told = {account: await _statement(client, account) for account in written}
        for account, lines in written.items():
            found = [(entry.version, entry.amount, entry.posted) for entry in told[account]]
            assert found == [(n, line.amount, line.balance) for n, line in enumerate(lines, 1)], account
        some = list(written)[first::SAMPLED]
        for account in some:
            assert await _statement(client, account, newest_first=True) == told[account][::-1]
        moments = [(account, version) for account in some for version in bank.ends_of_days(written[account])]
        at_once = asyncio.Semaphore(AT_ONCE)

        async def compare(account: str, version: int) -> None:
            entry = told[account][version - 1]
            # A block may have several of an account's transactions: a position and a time are those of the last one.
            last = max(each.version for each in told[account] if each.position == entry.position)
            for moment, expected in ((version, version), (entry.position, last), (entry.at, last)):
                async with at_once:
                    was = await client.balance(account, as_of=moment)
                assert isinstance(was, AccountState), was
                balance = written[account][expected - 1].balance
                assert (was.version, was.posted, was.position) == (expected, balance, entry.position)

        await asyncio.gather(*(compare(*moment) for moment in moments))


async def _statement(client: Client, account: str, *, newest_first: bool = False) -> list[Entry]:
    entries: list[Entry] = []
    async for page in client.entries(account, order="newest" if newest_first else "oldest", limit=100):
        assert isinstance(page, Entries), page
        assert (page.account, page.asset) == (account, bank.ASSET)
        entries += page.entries
    return entries


async def _replay_and_compare(log: Log) -> None:
    try:
        assert await bank.shown_by_the_log(log) == bank.shown_by_the_bank()
    finally:
        await log.close()


@pytest.mark.parametrize(("partitions", "first"), [(1, 0), (PARTITIONS, 1)])
async def test_embedded_balances_are_the_banks_after_every_transaction(
    tmp_path: Path, partitions: int, first: int
) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": str(partitions)}
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        await _import_and_compare(service.address, environment)
        await _ask_the_past_and_compare(service.address, first)
    await _replay_and_compare(await FileLog.open_read_only(tmp_path / "data"))


@pytest.mark.kafka
@pytest.mark.redis
async def test_deployed_balances_are_the_banks_after_every_transaction(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str
) -> None:
    environment = deployed.environment_of(kafka_bootstrap, redis_url, PARTITIONS)
    environment["FANFOLD_ARCHIVE"] = f"file:{tmp_path / 'archive'}"
    async with deployed.running(environment, tmp_path / "errors.txt") as gateway:
        await _import_and_compare(gateway.address, environment)
        await _ask_the_past_and_compare(gateway.address, 2)
    await _replay_and_compare(await deployed.open_log(environment))
    code, out, _ = await processes.command("verify", "--json", environment=environment)
    assert (code, json.loads(out)["partitions"]) == (0, PARTITIONS)
