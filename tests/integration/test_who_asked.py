"""Who asked is in the log with each command, through every door of a gateway that asks it; and told to whom it may be."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from fanfold.api.ids import new_id
from tests.integration.test_identity import ALICE, BOB, CAROL, DORA, LIMIT_S, USD, Caller, Wallet, wallet
from tests.tokens import some
from write_side.contract.block.block import decode
from write_side.contract.log.log_file import FileLog
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.codes import Kind

__all__ = ["wallet"]


def _transfer(source: str, target: str, amount: int = 1) -> dict[str, Any]:
    return {"id": new_id(), "from": source, "to": target, "amount": str(amount), "asset": USD}


async def _asked_by(caller: Caller, id: str) -> Any:
    told = await caller.get(f"/v1/transfers/{id}")
    assert told.status == 200, told.body
    return told.document.get("asked_by")


def _columns(transfers: list[dict[str, Any]]) -> bytes:
    ids = pa.array([bytes.fromhex(each["id"].replace("-", "")) for each in transfers], pa.binary(16))
    texts = {name: [each[name] for each in transfers] for name in ("from", "to", "asset")}
    table = pa.table({"id": ids, **texts, "amount": [int(each["amount"]) for each in transfers]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


async def test_every_door_takes_down_who_asked(wallet: Wallet, tmp_path: Path) -> None:
    anna = wallet.caller("anna@example.com", some(ALICE, "debit", "read"), some("*", "credit", "open"))
    forged = {"fanfold_principal": "admin"}
    ids: list[str] = []
    single, across, refused = _transfer(ALICE, BOB), _transfer(ALICE, DORA), _transfer(ALICE, BOB, 90_000)
    for body in (single, across, refused):
        await anna.ask("POST", "/v1/transfers", body, prefer="wait=20", **forged)
        ids.append(body["id"])
    unnamed = {name: value for name, value in single.items() if name != "id"}
    key = await anna.ask("POST", "/v1/transfers", unnamed, idempotency_key="order-1", **forged)
    ids.append(key.document["id"])
    hold = await anna.hold(ALICE, BOB, 5)
    captured = await anna.ask("POST", f"/v1/holds/{hold}/capture", {"id": (capture := new_id())})
    assert captured.status == 201, captured.body
    lines = [_transfer(ALICE, BOB), {"hold": (held := _transfer(ALICE, CAROL, 3))}, _transfer(ALICE, DORA)]
    joined = b"\n".join(json.dumps(line).encode() for line in lines)
    batch = await anna.ask("POST", "/v1/transfers:batch", joined, content_type="application/x-ndjson", prefer="wait=20")
    assert [json.loads(line)["status"] for line in batch.body.splitlines()] == [201, 201, 201]
    ids += [hold, capture, str(lines[0]["id"]), held["id"], str(lines[2]["id"])]
    headers = {"authorization": f"Bearer {anna.token}"}
    plain, rich = _transfer(ALICE, BOB), _transfer(ALICE, BOB) | {"reference": "r"}
    async with wallet.session.ws_connect(wallet.served.stream_url, headers=headers) as stream:
        await stream.send_json({"op": "submit", "id": 1, "commands": [plain, rich]})
        assert (await stream.receive_json(timeout=LIMIT_S))["op"] == "hello"
        heard = await stream.receive_json(timeout=LIMIT_S)
    assert [each["status"] for each in heard["answers"]] == [201, 201]
    ids += [plain["id"], rich["id"]]
    assert (await anna.ask("PUT", "/v1/accounts/opened-by-anna", {"asset": USD}, **forged)).status == 201
    columns = [_transfer(ALICE, BOB), _transfer(ALICE, CAROL), _transfer(DORA, ALICE)]
    arrow = "application/vnd.apache.arrow.stream"
    assert (await wallet.admin.ask("POST", "/v1/transfers:batch", _columns(columns), content_type=arrow)).status == 200
    assert [await _asked_by(wallet.admin, id) for id in ids] == ["anna@example.com"] * len(ids)
    assert [await _asked_by(wallet.admin, each["id"]) for each in columns] == ["admin"] * 3
    log = await FileLog.open_read_only(tmp_path)
    opened = [
        outcome.asked_by
        for partition in range(log.partitions)
        async for run in log.read(partition)
        for record in run
        for outcome in BlockOutcomes(decode(record.data))
        if outcome.kind is Kind.OPEN
    ]
    await log.close()
    assert sorted(opened) == ["admin"] * 4 + ["anna@example.com"]
    assert json.loads((tmp_path / "log" / "meta.json").read_bytes())["format"] == 2


async def test_who_asked_is_told_to_who_did_and_to_who_reads_everything(wallet: Wallet) -> None:
    anna = wallet.caller("anna", some(ALICE, "debit", "read"), some("*", "credit"))
    bert = wallet.caller("bert", some(BOB, "read"))
    everyone = wallet.caller("auditor", some("*", "read", "system"))
    paid, across = _transfer(ALICE, BOB), _transfer(ALICE, DORA)
    for body in (paid, across):
        told = await anna.ask("POST", "/v1/transfers", body, prefer="wait=20")
        assert told.status == 201
        assert "asked_by" not in told.document, "who asks knows"
    assert await _asked_by(anna, paid["id"]) == await _asked_by(everyone, paid["id"]) == "anna"
    assert await _asked_by(anna, across["id"]) == await _asked_by(everyone, across["id"]) == "anna"
    assert await _asked_by(bert, paid["id"]) is None
    again = await wallet.admin.ask("POST", "/v1/transfers", paid)
    assert again.document["repeated"] is True
    assert await _asked_by(everyone, paid["id"]) == "anna", "a repeat changes nothing"
