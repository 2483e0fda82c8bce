"""Partitions of a log on disk are damaged while nothing runs: the others are as they were, and commands name what is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.end_to_end import load, processes
from tests.end_to_end.test_project import asked
from write_side.contract.words.atoms import partition_of

PARTITIONS = 4
HURT, WELL, OTHER = (
    next(name for n in range(200) if partition_of(name := f"acc{n}", PARTITIONS) == partition)
    for partition in (2, 1, 0)
)


def damage(data: Path, partition: int) -> None:
    """One bit, with something before it and a good block behind it."""
    [segment] = (data / "log" / f"p{partition:05}").glob("*.segment")
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) * 3 // 4] ^= 1
    segment.write_bytes(damaged)


async def says_since_when_it_is_old(session: aiohttp.ClientSession, address: str, transfer: str) -> None:
    """Every place of the damaged partition 2 that may be old, the others not."""

    async def told(target: str) -> dict[str, Any]:
        async with session.get(address + target) as response:
            assert response.status == 200, (target, await response.text())
            found: dict[str, Any] = await response.json()
            return found

    since = (await told(f"/v1/accounts/{HURT}"))["stale_since"]
    for target in ("/v1/accounts", "/v1/transfers", "/v1/transfers:find?reference=x", "/readyz"):
        assert [(each["partition"], each["stale_since"]) for each in (await told(target))["stale"]] == [(2, since)], (
            target
        )
    listed = {each["account"]: each.get("stale_since") for each in (await told("/v1/accounts"))["accounts"]}
    assert listed == {HURT: since, WELL: None, OTHER: None}
    for target in (f"/v1/accounts/{HURT}/holds", f"/v1/accounts/{HURT}/entries", f"/v1/transfers/{transfer}"):
        assert (await told(target))["stale_since"] == since, target
    assert "stale_since" not in await told(f"/v1/accounts/{WELL}/holds")
    parts = (await told("/v1/positions"))["partitions"]
    assert [each.get("stale_since") for each in parts] == [None, None, since, None]
    system = await told(f"/v1/system?asset={load.ASSET}&as_of=2099-01-01T00:00:00Z")
    assert [each.get("stale_since") for each in system["partitions"]] == [None, None, since, None]
    async with session.get(f"{address}/v1/accounts/{HURT}/entries?format=csv") as response:
        assert response.headers["Fanfold-Stale-Since"] == since


async def test_what_is_good_is_served_and_what_is_not_is_named(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {
        "FANFOLD_PARTITIONS": str(PARTITIONS),
        "FANFOLD_SNAPSHOTS": "off",
        "FANFOLD_VIEW": f"sqlite:{tmp_path / 'view.db'}",
    }
    errors = tmp_path / "errors.txt"
    async with processes.running("up", environment=environment, errors=errors) as service:
        async with aiohttp.ClientSession() as session:
            await load.open_accounts(session, service.address, [HURT, WELL, OTHER])
            ids: list[str] = []
            for number, account in enumerate([HURT, WELL, OTHER] * 4):
                body = {"from": "@world", "to": account, "amount": "10", "asset": load.ASSET}
                headers = {"Idempotency-Key": str(number)}
                async with session.post(f"{service.address}/v1/transfers", json=body, headers=headers) as response:
                    assert response.status == 201
                    ids.append((await response.json())["id"])
        assert await service.interrupt() == 0
    damage(tmp_path / "data", 2)

    code, out, _ = await processes.command("verify", "--json", environment=environment)
    parts = json.loads(out)["by_partition"]
    assert (code, [part["problem"] is None for part in parts]) == (1, [True, True, False, True])
    assert parts[2]["blocks"] > 0, "verify says how far it was good"

    async with processes.running("up", environment=environment, errors=errors) as service:
        told = environment | {"FANFOLD_URL": service.address}
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{service.address}/readyz") as response:
                ready = await response.json()
                assert ready["write_side"]["ids"]["window_seconds"] > 0
            async with session.get(f"{service.address}/v1/accounts/{HURT}") as response:
                assert response.status == 200
                since = (await response.json())["stale_since"]
            old = "SELECT DISTINCT partition, stale_since FROM balances WHERE stale_since IS NOT NULL"
            assert asked(tmp_path / "view.db", old) == [(2, since)], "who asks with SQL is told as well"
            async with session.get(f"{service.address}/metrics") as response:
                metrics = await response.text()
                assert 'fanfold_projector_stopped{partition="2"} 1.0' in metrics
                assert [line.partition(" ")[0] for line in metrics.splitlines() if "_stale_since_seconds{" in line] == [
                    'fanfold_projector_stale_since_seconds{partition="2"}'
                ]
            await says_since_when_it_is_old(session, service.address, ids[0])
            body = {"from": "@world", "to": WELL, "amount": "10", "asset": load.ASSET}
            headers = {"Idempotency-Key": "0"}  # it ran for the account in partition 2, whose good blocks tell so
            async with session.post(f"{service.address}/v1/transfers", json=body, headers=headers) as response:
                refused = await response.json()
                assert (response.status, refused["code"], refused["partition"]) == (503, "partition_stopped", 2)
            body = {"from": WELL, "to": HURT, "amount": "1", "asset": load.ASSET}
            headers = {"Idempotency-Key": "to the damaged one"}
            async with session.post(f"{service.address}/v1/transfers", json=body, headers=headers) as response:
                refused = await response.json()
                assert (response.status, refused["code"], refused["partition"]) == (503, "partition_stopped", 2)
            async with session.get(f"{service.address}/v1/system?asset={load.ASSET}&partitions=1") as response:
                assert (await response.json())["transit"] == "0", "nothing of it was begun"
            async with session.ws_connect(f"{service.address}/v1/stream", protocols=["wallet.v1"]) as stream:
                wanted = [{"account": account} for account in (HURT, WELL)]
                await stream.send_json({"op": "subscribe", "id": 1, "accounts": wanted})
                assert (await stream.receive_json(timeout=20))["op"] == "hello"
                ack = await stream.receive_json(timeout=20)
                assert [row.get("code") for row in ack["accounts"]] == ["partition_unavailable", None]
                [item] = (await stream.receive_json(timeout=20))["items"]
                assert (item["sub"], item["posted"]) == (2, "40")
        code, out, said = await processes.command("balance", WELL, HURT, OTHER, "--json", environment=told)
        assert [json.loads(line)["account"] for line in out.splitlines()] == [WELL, HURT, OTHER]
        assert code == 2
        assert f"{HURT}: old, of " in said
        code, out, said = await processes.command("system", load.ASSET, environment=told)
        assert (code, out != "") == (2, True)
        assert "partition 2 is old" in said
        code, out, said = await processes.command("transfers", environment=told)
        assert (code, "partition 2 is old" in said) == (2, True)
        code, out, _ = await processes.command("status", environment=told)
        assert code == 2
        assert ["stale since " in line for line in out.splitlines()[1:]] == [False, False, True, False]


@pytest.mark.parametrize("partitions", [1, 2])
async def test_a_service_over_nothing_but_damaged_partitions_starts_and_says_so(
    tmp_path: Path, partitions: int
) -> None:
    environment = load.folder_of(tmp_path / "data") | {
        "FANFOLD_PARTITIONS": str(partitions),
        "FANFOLD_SNAPSHOTS": "off",
    }
    errors = tmp_path / "errors.txt"
    accounts = [
        next(name for n in range(200) if partition_of(name := f"acc{n}", partitions) == partition)
        for partition in range(partitions)
    ]
    async with processes.running("up", environment=environment, errors=errors) as service:
        async with aiohttp.ClientSession() as session:
            for number in range(4):  # a block each, so that the middle has one behind it
                await load.open_accounts(session, service.address, [accounts[number % partitions], *accounts])
        assert await service.interrupt() == 0
    for partition in range(partitions):
        damage(tmp_path / "data", partition)

    async with processes.running("up", environment=environment, errors=errors) as service:
        await service.has_said("fanfold: partition 0: ")
        await service.has_said("fanfold verify")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{service.address}/healthz") as response:
                assert response.status == 200
            async with session.get(f"{service.address}/readyz") as response:
                ready = await response.json()
                assert (response.status, ready["status"]) == (503, "not ready")
                assert "fanfold verify" in str(ready)
            for account in accounts:
                body = {"from": "@world", "to": account, "amount": "1", "asset": load.ASSET}
                async with session.post(
                    f"{service.address}/v1/transfers", json=body, headers={"Idempotency-Key": account}
                ) as response:
                    refused = await response.json()
                    assert (response.status, refused["code"]) == (503, "partition_stopped")
                async with session.get(f"{service.address}/v1/accounts/{account}") as response:
                    told = await response.json()
                    assert response.status == 503 or "stale_since" in told, "what is good is told as old"
            async with session.get(f"{service.address}/metrics") as response:
                assert 'fanfold_partition_serves{partition="0"} 0.0' in await response.text()
        assert await service.interrupt() == 0
