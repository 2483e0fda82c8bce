"""Rights over an owner's accounts, before the real sides: what they give, and that what is not theirs is not there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect

from fanfold.api.ids import new_id
from fanfold.doors.answer import problem
from fanfold.doors.answer import send as send_answer
from gateway.identity import owners
from gateway.identity.grants import Principal, grants_of
from read_side.settings import ReadSettings
from tests.both_sides import both_sides
from tests.gateway_server import next_frame, serving
from tests.integration.test_identity import (
    ALICE,
    BOB,
    CAROL,
    DORA,
    GHOST_BESIDE,
    PARTITIONS,
    SIGNER,
    USD,
    Reply,
    Wallet,
)
from tests.tokens import AUDIENCE, ISSUER, jwks, some
from write_side.settings import WriteSettings

OWNERS = {ALICE: "anna", BOB: "ben", DORA: "anna"}
"""Carol's account is nobody's."""
AWAY = set[str]()
"""`reads`, while the read side cannot be asked."""


def of(owner: str, *rights: str) -> dict[str, Any]:
    return {"owner": owner, "rights": list(rights)}


@pytest.fixture
async def wallet(tmp_path: Path) -> AsyncIterator[Wallet]:
    write_settings = WriteSettings(data=str(tmp_path), log="", partitions=PARTITIONS)
    (tmp_path / "keys.json").write_bytes(jwks(SIGNER))
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        write_side, read_side, feed = await enter(
            both_sides(write_settings, ReadSettings(view="memory"), keep_history=True)
        )

        async def sides(scope: Any, receive: Any, send: Any) -> None:
            written = scope["method"] in ("PUT", "PATCH", "POST") and scope["path"].startswith("/v1/")
            if AWAY and not written:
                await send_answer(send, problem("upstream_unavailable"))
                return
            await (write_side.app if written else read_side.app)(scope, receive, send)

        asked = {"auth": "tokens", "auth_issuer": ISSUER, "auth_audience": AUDIENCE}
        keys: Any = {"auth_keys": f"file:{tmp_path / 'keys.json'}"} | asked
        found = Wallet(await enter(serving(sides, feed, PARTITIONS, **keys)), await enter(aiohttp.ClientSession()))
        for name in (ALICE, BOB, CAROL, DORA):
            terms = {"asset": USD} | ({"owner": OWNERS[name]} if name in OWNERS else {})
            assert (await found.admin.ask("PUT", f"/v1/accounts/{name}", terms)).status == 201
            assert (await found.admin.pay("@world", name, 1_000)).status == 201
        yield found
        AWAY.clear()


async def test_a_command_that_names_allow_is_done_while_nobody_can_say_whose_accounts_are(wallet: Wallet) -> None:
    anna = wallet.caller("anna", of("anna", "read", "debit"), some(CAROL, "debit"), some("*", "credit"))
    assert (await anna.get(f"/v1/accounts/{ALICE}")).status == 200  # from now on it is known whose it is
    AWAY.add("reads")
    done = await anna.pay(CAROL, BOB, 1)
    assert (done.status, done.document["result"], done.document["accounts"]) == (201, "done", [])
    done = await anna.pay(ALICE, BOB, 1)
    assert (done.status, [each["account"] for each in done.document["accounts"]]) == (201, [ALICE])
    for name in (DORA, BOB, GHOST_BESIDE):
        assert (await anna.pay(name, CAROL, 1)).status == 503, "of these nobody knows"
    lines = [{"id": new_id(), "from": CAROL, "to": to, "amount": "1", "asset": USD} for to in (BOB, DORA)]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    reply = await anna.ask("POST", "/v1/transfers:batch", body, content_type="application/x-ndjson", prefer="wait=20")
    assert (reply.status, [json.loads(line)["result"] for line in reply.body.splitlines()]) == (200, ["done", "done"])


async def test_a_batch_of_more_accounts_than_are_looked_up_is_refused_and_says_what_to_do(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "LOOKED_UP_MAX", 1)
    anna = wallet.caller("anna", of("anna", "debit"), some("*", "credit"))
    lines = [{"id": new_id(), "from": name, "to": CAROL, "amount": "1", "asset": USD} for name in (ALICE, DORA)]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    reply = await anna.ask("POST", "/v1/transfers:batch", body, content_type="application/x-ndjson")
    assert (reply.status, reply.code) == (413, "body_too_large")
    assert "smaller parts" in reply.document["detail"]


async def test_what_is_an_owners_is_read_and_all_else_is_told_byte_for_byte_as_what_is_not_there(
    wallet: Wallet,
) -> None:
    anna = wallet.caller("anna", of("anna", "read"))
    for question in (
        "",
        "?min_version=1&wait_ms=20",
        "?as_of=0:1",
        "/entries",
        "/holds",
        "?after_version=0&wait_ms=50",
    ):
        assert (await anna.get(f"/v1/accounts/{ALICE}{question}")).status == 200
        absent = await anna.get(f"/v1/accounts/{GHOST_BESIDE}{question}")
        for name in (BOB, CAROL):
            assert await anna.get(f"/v1/accounts/{name}{question}") == absent
        assert absent.status == 404
    found = (await anna.get(f"/v1/accounts?ids={ALICE},{BOB},{GHOST_BESIDE},{DORA}")).document
    assert [each["account"] for each in found["accounts"]] == sorted([ALICE, DORA])
    assert [each["account"] for each in found["absent"]] == sorted([BOB, GHOST_BESIDE])
    mine = await anna.get("/v1/accounts?owner=anna")
    assert [each["account"] for each in mine.document["accounts"]] == sorted([ALICE, DORA])
    for query in ("", "?owner=ben", f"?prefix={ALICE}"):
        assert (await anna.get(f"/v1/accounts{query}")).status == 403, query


async def _told(reply: Awaitable[Reply]) -> tuple[int, Any]:
    found = await reply
    return found.status, {name: value for name, value in found.document.items() if name != "id"}


async def test_what_is_an_owners_pays_and_of_all_else_nothing_is_told(wallet: Wallet) -> None:
    anna = wallet.caller("anna", of("anna", "read", "debit"), some("*", "credit"))
    done = await anna.pay(ALICE, BOB, 10)
    assert done.status == 201
    assert [each["account"] for each in done.document["accounts"]] == [ALICE]
    assert (await anna.pay(DORA, ALICE, 10)).status == 201
    absent = await _told(anna.pay(GHOST_BESIDE, ALICE, 10))
    assert absent[0] == 403
    for name in (BOB, CAROL):
        assert await _told(anna.pay(name, ALICE, 10)) == absent
        assert await _told(anna.pay(name, ALICE, 10, dry_run=True)) == absent
    assert (await anna.pay(ALICE, BOB, 1, dry_run=True)).document["dry_run"]
    ids = {name: await wallet.admin.hold(name, CAROL, 5) for name in (ALICE, BOB)}
    capture = {name: {"id": new_id()} for name in ids}
    assert (await anna.ask("POST", f"/v1/holds/{ids[BOB]}/capture", capture[BOB])).status == 403
    assert (await anna.ask("POST", f"/v1/holds/{ids[ALICE]}/capture", capture[ALICE])).status == 201
    assert (await anna.get(f"/v1/transfers/{ids[ALICE]}")).status == 200
    assert (await anna.get(f"/v1/transfers/{ids[BOB]}")).status == 404


async def test_lines_of_a_batch_are_judged_by_owners_each(wallet: Wallet) -> None:
    anna = wallet.caller("anna", of("anna", "debit"), some("*", "credit"))
    lines = [
        {"id": new_id(), "from": name, "to": CAROL, "amount": "1", "asset": USD}
        for name in (ALICE, BOB, DORA, GHOST_BESIDE)
    ]
    body = "".join(json.dumps(line) + "\n" for line in lines).encode()
    reply = await anna.ask("POST", "/v1/transfers:batch", body, content_type="application/x-ndjson", prefer="wait=20")
    assert [json.loads(line)["status"] for line in reply.body.splitlines()] in (
        [201, 403, 201, 403],
        [201, 403, 202, 403],
    )


async def test_the_lines_of_a_batch_share_what_is_known_of_all_of_them(wallet: Wallet) -> None:
    checked = wallet.served.gateway._front._checked
    assert checked is not None
    anna = Principal("anna", grants_of([of("anna", "debit", "read"), some("*", "credit")]))
    holds = [await wallet.admin.hold(ALICE, CAROL, 1) for _ in range(2)]
    transfers = [{"id": new_id(), "from": ALICE, "to": CAROL, "amount": "1", "asset": USD} for _ in range(3)]
    lines = [*transfers, *({"capture": {"id": new_id(), "hold": hold}} for hold in holds)]
    judged = await checked.batch.judge(anna, [json.dumps(line).encode() for line in lines])
    assert [line.refused for line in judged] == [None] * 5
    assert len({id(line.principal) for line in judged[:3]}) == 1
    assert all(len(line.principal.owned) == 2 for line in judged)


async def test_an_account_is_opened_for_an_owner_by_whom_that_is_granted_to_and_counts_from_then_on(
    wallet: Wallet,
) -> None:
    anna = wallet.caller("anna", of("anna", "open", "read", "debit") | {"accounts": "*"}, some("anna-*", "open"))
    new = f"/v1/accounts/{GHOST_BESIDE}"
    assert (await anna.get(new)).status == 404
    for owner in ("ben", "Anna", "*"):
        assert (await anna.ask("PUT", new, {"asset": USD, "owner": owner})).status == 403
        assert (await anna.ask("PUT", "/v1/accounts/anna-1", {"asset": USD, "owner": owner})).status == 403
    assert (await anna.ask("PUT", new, {"asset": USD})).status == 403
    assert (await anna.ask("PUT", "/v1/accounts/anna-1", {"asset": USD})).status == 201
    assert (await anna.ask("PUT", new, {"asset": USD, "owner": "anna"})).status == 201
    assert (await anna.get(new)).document["posted"] == "0"
    assert (await anna.get("/v1/accounts/anna-1")).status == 404, "to open is not to read"
    taken = await anna.ask("PUT", f"/v1/accounts/{BOB}", {"asset": USD, "owner": "anna"})
    assert (taken.status, taken.code) == (409, "account_exists_with_other_terms")
    assert (await anna.get(f"/v1/accounts/{BOB}")).status == 404


async def test_a_stream_watches_what_is_an_owners_and_submits_from_it(wallet: Wallet) -> None:
    anna = wallet.caller("anna", of("anna", "read", "debit"), some("*", "credit"))
    headers = {"authorization": f"Bearer {anna.token}"}
    async with connect(wallet.served.stream_url, additional_headers=headers, proxy=None) as stream:

        async def subscribe(id: int, *names: str) -> Any:
            await stream.send(
                json.dumps({"op": "subscribe", "id": id, "accounts": [{"account": name} for name in names]})
            )
            while (frame := await next_frame(stream))["op"] != "ack" or frame["id"] != id:
                pass
            return [(each["account"], each.get("code")) for each in frame["accounts"]]

        hidden = "account_not_found"
        told = await subscribe(1, ALICE, BOB, CAROL, GHOST_BESIDE)
        assert told == [(ALICE, None), (BOB, hidden), (CAROL, hidden), (GHOST_BESIDE, hidden)]
        terms = {"asset": USD, "owner": "anna"}
        assert (await wallet.admin.ask("PUT", f"/v1/accounts/{GHOST_BESIDE}", terms)).status == 201
        await stream.send('{"op":"unsubscribe","id":2,"subs":[4]}')
        # All in one: what comes behind a subscribe that waits is heard in its order.
        assert await subscribe(3, GHOST_BESIDE) == [(GHOST_BESIDE, None)]
        command = {"id": new_id(), "from": ALICE, "to": BOB, "amount": "1", "asset": USD}
        forbidden = command | {"id": new_id(), "from": BOB, "to": ALICE}
        await stream.send(json.dumps({"op": "submit", "id": 4, "commands": [command, forbidden]}))
        while (frame := await next_frame(stream))["op"] != "answers":
            assert frame["op"] == "balances"
        assert [each["status"] for each in frame["answers"]] == [201, 403]
    query = f"accounts={ALICE},{BOB}"
    async with wallet.session.get(f"{wallet.served.url}/v1/stream/sse?{query}", headers=headers) as answer:
        async for line in answer.content:
            if b'"op":"ack"' in line:
                frame = json.loads(line.removeprefix(b"data: "))
                assert [each.get("code") for each in frame["accounts"]] == [None, hidden]
                break
