"""`fanfold up`: a balance that is read right after a write, without any parameter, has it."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests.end_to_end import load, processes

TIMES = 300


async def test_a_balance_right_after_a_write_is_never_the_old_one(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    async with (
        processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service,
        aiohttp.ClientSession() as session,
    ):
        await load.open_accounts(session, service.address, ["alice"])
        old = 0
        for number in range(1, TIMES + 1):
            body = {"from": "@world", "to": "alice", "amount": "1", "asset": load.ASSET}
            headers = {"Idempotency-Key": f"payment-{number}"}
            async with session.post(f"{service.address}/v1/transfers", json=body, headers=headers) as written:
                assert written.status == 201
                assert "fanfold-position" in written.headers
            async with session.get(f"{service.address}/v1/accounts/alice") as read:
                assert read.status == 200
                old += (await read.json())["posted"] != str(number)
        assert old == 0
