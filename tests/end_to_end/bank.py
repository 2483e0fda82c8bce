"""The bank's transactions as an oracle: what every account must show after every one of them (tests/data/README.md)."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import aiohttp

from write_side.contract.log.log import Log
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State

CSV = Path(__file__).parents[1] / "data" / "pkdd99-transactions.csv.gz"
ASSET = "CZK/2"
TRANSACTIONS = 49_070


class Line(NamedTuple):
    """A transaction as the bank wrote it. amount, balance (after it): minor units."""

    day: str
    amount: int
    balance: int


def written_by_the_bank() -> dict[str, list[Line]]:
    """Account -> its transactions, in order."""
    lines: dict[str, list[Line]] = defaultdict(list)
    with gzip.open(CSV, "rt", newline="") as file:
        for row in csv.DictReader(file):
            lines[row["account"]].append(Line(row["date"], int(row["amount"]), int(row["balance_after"])))
    assert sum(map(len, lines.values())) == TRANSACTIONS
    return dict(lines)


def shown_by_the_bank() -> dict[str, list[int]]:
    """Account -> its balance after each of its transactions, in order."""
    return {account: [line.balance for line in lines] for account, lines in written_by_the_bank().items()}


def ends_of_days(lines: list[Line]) -> list[int]:
    """How many transactions an account has had at the end of each day on which it had some: its version then."""
    return [n for n, line in enumerate(lines, 1) if n == len(lines) or lines[n].day != line.day]


async def shown_by_the_log(log: Log) -> dict[str, list[int]]:
    """The same from the log, entry by entry; every check of a replay is made on the way."""
    balances: dict[str, list[int]] = defaultdict(list)
    for partition in range(log.partitions):
        replay = Replay(State(partition))
        async for records in log.read(partition):
            for record in records:
                folded = replay.take(record)
                if folded is None:
                    continue
                entries = folded.block.entries
                for account, posted in zip(entries["account"].tolist(), entries["posted"].tolist(), strict=True):
                    balances[replay.state.names[account]].append(posted)
        for number in replay.state.world[replay.state.world >= 0].tolist():
            others = replay.state.posted[: replay.state.count].sum() - replay.state.posted[number]
            assert replay.state.posted[number] == -others  # each partition has a world of its own, and sums to zero
    balances.pop("@world")
    return dict(balances)


async def shown_by_the_service(address: str, accounts: list[str]) -> dict[str, int]:
    """What every account shows now over REST."""
    found = {}
    async with aiohttp.ClientSession() as session:
        for account in accounts:
            async with session.get(f"{address}/v1/accounts/{account}") as response:
                document = await response.json()
                assert response.status == 200, document
                assert document["asset"] == ASSET
                found[account] = int(document["posted"])
    return found
