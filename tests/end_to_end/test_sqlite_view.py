"""`fanfold up` over a view in SQLite: it outlives kill -9, and anybody asks it with SQL while money moves."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.end_to_end import load, processes

ACCOUNTS = [f"account-{i}" for i in range(6)]


def asked(view: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{view}?mode=ro", uri=True)) as reader:
        return reader.execute(question).fetchall()


async def pay(address: str, payments: range) -> None:
    async with aiohttp.ClientSession() as session:
        for number in payments:
            to = ACCOUNTS[number % len(ACCOUNTS)]
            body = {"from": "@world", "to": to, "amount": str(number + 1), "asset": load.ASSET}
            async with session.post(
                f"{address}/v1/transfers", json=body, headers={"Idempotency-Key": f"payment {number}"}
            ) as response:
                assert response.status == 201


async def told(address: str) -> dict[str, tuple[int, int]]:
    """What the service answers: posted and version."""
    balances = {}
    async with aiohttp.ClientSession() as session:
        for account in ACCOUNTS:
            async with session.get(f"{address}/v1/accounts/{account}") as response:
                document = await response.json()
                balances[account] = (int(document["posted"]), document["version"])
    return balances


def shown(view: Path) -> dict[str, tuple[int, int]]:
    """What anybody finds with SQL."""
    rows = asked(view, "SELECT account, posted, version FROM balances WHERE account NOT LIKE '@%'")
    return {account: (posted, version) for account, posted, version in rows}


async def test_the_view_outlives_kills_and_is_asked_with_sql_while_it_is_served(tmp_path: Path) -> None:
    view = tmp_path / "view.db"
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2", "FANFOLD_VIEW": f"sqlite:{view}"}
    errors = tmp_path / "errors.txt"
    async with processes.running("up", environment=environment, errors=errors) as service:
        async with aiohttp.ClientSession() as session:
            await load.open_accounts(session, service.address, ACCOUNTS)
        await pay(service.address, range(30))
        first = await told(service.address)
        assert sum(posted for posted, _ in first.values()) == sum(range(1, 31))
        assert shown(view) == first
        await service.kill()
    assert shown(view) == first, "what was shown is in the file after kill -9"

    async with processes.running("up", environment=environment, errors=errors) as service:
        assert await told(service.address) == shown(view) == first
        await pay(service.address, range(20, 40))  # ten of them again
        second = await told(service.address)
        assert sum(posted for posted, _ in second.values()) == sum(range(1, 41))
        assert shown(view) == second

        code, _, said = await processes.command(
            "up", "--port", "0", environment=environment | load.folder_of(tmp_path / "other")
        )
        assert code == 1
        assert "is written by another process" in said
        assert "Traceback" not in said

        code, out, said = await processes.command(
            "verify", "--against", "view", "--code-change", "--json", environment=environment
        )
        assert code == 0, said
        assert (json.loads(out)["verdict"], json.loads(out)["code_change"]["verdict"]) == ("good", "same")
        assert all(each["view"]["different"] == 0 for each in json.loads(out)["by_partition"])

        code, out, said = await processes.command("rebuild", "--json", environment=environment)
        assert code == 0, said
        assert (json.loads(out)["verdict"], json.loads(out)["equal"]) == ("switched", True)
        assert shown(view) == second
        await pay(service.address, range(40, 42))
        third = await told(service.address)
        assert shown(view) == third
        assert {generation for (generation,) in asked(view, "SELECT generation FROM checkpoints")} == {2}
        assert await service.interrupt() == 0

    code, out, said = await processes.command("rebuild", "--json", environment=environment)
    assert code == 0, said
    assert json.loads(out)["switched"], "with nobody serving it is rebuilt from here"
    assert shown(view) == third

    with closing(sqlite3.connect(view)) as hand:
        [(rows,)] = hand.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'rows_0_%' ORDER BY name DESC LIMIT 1")
        hand.execute(f"UPDATE {rows} SET posted = posted + 1 WHERE account LIKE '@world%'")
        hand.commit()
    code, out, _ = await processes.command("verify", "--against", "view", environment=environment)
    assert code == 1
    assert "1 of" in out
    assert "the first is @world:USD/2 at version" in out


@pytest.mark.parametrize("view", ["", "memory", "sqlite:{folder}/view.db"])
async def test_a_gateway_of_its_own_is_refused_over_a_view_of_one_process(tmp_path: Path, view: str) -> None:
    """It would take every subscription and push nothing. Without a setting the view is in memory."""
    environment = {"FANFOLD_VIEW": view.format(folder=tmp_path), "FANFOLD_PORT": "0"}
    code, _, said = await processes.command("gateway", environment=environment)
    assert code == 1
    assert "would push nothing" in said
    assert "fanfold up" in said


async def test_a_view_that_cannot_be_used_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    for address, sentence in {
        f"sqlite:{tmp_path}": "is a folder",
        f"sqlite:{tmp_path}/none/view.db": "lies in a folder that is not there",
        "sqlite:": "must name a file after sqlite:",
    }.items():
        environment = load.folder_of(tmp_path / "data") | {"FANFOLD_VIEW": address}
        code, _, said = await processes.command("up", environment=environment)
        assert code == 1
        assert sentence in said
        assert "Traceback" not in said
