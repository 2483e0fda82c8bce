"""What a process has forgotten for want of room it still answers: after kill -9, and when the folder of ids is gone."""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from pathlib import Path

import aiohttp

from tests.end_to_end import load, processes
from tests.unit.write_side.deciding import id_at

IDS_MAX = 1_024
HOUR_US = 3_600_000_000
Answered = tuple[int, dict[str, object]]


async def test_an_id_that_was_forgotten_gets_its_first_outcome_again(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_IDS_MAX": str(IDS_MAX)}
    an_hour_ago_us = time.time_ns() // 1_000 - HOUR_US
    done, refused, never = (str(uuid.UUID(bytes=id_at(an_hour_ago_us, number))) for number in (1, 2, 3))
    errors = tmp_path / "errors.txt"
    async with processes.running("up", environment=environment, errors=errors) as service:
        await _open(service.address)
        first = [await _pay(service.address, done, 5), await _pay(service.address, refused, 5, back=True)]
        assert [status for status, _ in first] == [201, 422]
        again = [(status, document | {"repeated": True}) for status, document in first]
        await _fill(service.address)
        assert await _asked_again(service.address, done, refused, never) == again
        await service.kill()
    async with processes.running("up", environment=environment, errors=errors) as service:
        assert await _asked_again(service.address, done, refused, never) == again
        assert await service.interrupt() == 0
    shutil.rmtree(tmp_path / "data" / "ids")
    async with processes.running("up", environment=environment, errors=errors) as service:
        assert await _asked_again(service.address, done, refused, never) == again
        posted = (await _get(service.address, "/v1/accounts/alice"))["posted"]
        assert posted == str(5 + 2 * IDS_MAX)
        assert await service.interrupt() == 0
    assert list((tmp_path / "data" / "ids").iterdir())


async def _asked_again(address: str, done: str, refused: str, never: str) -> list[Answered]:
    for changed in (await _pay(address, done, 6), await _pay(address, refused, 6)):
        assert changed[1]["code"] == "id_reused_with_other_content"
    assert (await _pay(address, never, 5))[1]["code"] == "id_expired"
    dry = await _pay(address, done, 5, dry_run=True)
    first = await _pay(address, done, 5)
    assert dry == (first[0], first[1] | {"dry_run": True})
    return [first, await _pay(address, refused, 5, back=True)]


async def _fill(address: str) -> None:
    """Twice as many ids as memory holds: the first of them are forgotten."""
    for _ in range(8):
        ids = [_now() if number % 2 else str(uuid.uuid4()) for number in range(IDS_MAX // 4)]
        answers = await asyncio.gather(*(_pay(address, each, 1) for each in ids))
        assert {status for status, _ in answers} == {201}
    async with aiohttp.ClientSession(address) as session, session.get("/readyz") as response:
        said = await response.json()
    assert said["write_side"]["ids"]["for_ever"]


def _now() -> str:
    return str(uuid.UUID(bytes=id_at(time.time_ns() // 1_000, uuid.uuid4().int % 2**60)))


async def _open(address: str) -> None:
    async with (
        aiohttp.ClientSession(address) as session,
        session.put("/v1/accounts/alice", json={"asset": "USD/2", "floor": "0"}) as response,
    ):
        assert response.status == 201


async def _pay(address: str, id_: str, amount: int, *, back: bool = False, dry_run: bool = False) -> Answered:
    """back: more than alice ever has, to the world."""
    giver, taker = ("alice", "@world") if back else ("@world", "alice")
    body: dict[str, object] = {
        "id": id_,
        "from": giver,
        "to": taker,
        "amount": str(amount * 10**9 if back else amount),
        "asset": "USD/2",
        "dry_run": dry_run,
    }
    async with (
        aiohttp.ClientSession(address) as session,
        session.post("/v1/transfers", json=body) as response,
    ):
        document: dict[str, object] = await response.json()
        return response.status, document


async def _get(address: str, path: str) -> dict[str, object]:
    async with aiohttp.ClientSession(address) as session, session.get(path) as response:
        document: dict[str, object] = await response.json()
        return document
