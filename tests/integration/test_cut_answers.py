"""An answer of a side that ends in the middle, where it is held to be looked through: no part of it is told as if it were all."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fanfold.api.problems import PROBLEMS
from gateway.proxy.checked_commands import NOT_LOOKED_UP
from gateway.proxy.reverse_proxy import ONLY_READ
from tests.gateway_server import Served, serving
from tests.tokens import AUDIENCE, ISSUER, Signer, claims, jwks, some
from tests.wallet_stub import WalletStub

SIGNER = Signer("EdDSA", "k1")
ID, HOLD = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
LINE = b'{"result":"done","accounts":[]}\n'
TRANSFER = {"id": ID, "from": "alice", "to": "bob", "amount": "1", "asset": "USD/2"}
BOTH_RIGHTS = [some("alice", "read", "debit", "credit", "open"), some("bob", "credit")]
READS_ALL = [some("*", "read"), some("alice", "debit", "open"), some("bob", "credit")]


class CutSides:
    """Answers what clients ask with whole lines, and never with the end; the rest as the stub does."""

    def __init__(self, wallet: WalletStub) -> None:
        self._wallet = wallet
        self.content_type = b"application/json"
        self.asked: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, tells_parties = scope["path"], scope["path"].startswith(("/internal/transfers", "/internal/parties"))
        if scope["method"] != "POST" and not (path.startswith("/v1/") or tells_parties):
            return await self._wallet(scope, receive, send)
        if path.startswith("/internal/") and not tells_parties:
            return await self._wallet(scope, receive, send)
        self.asked.append(f"{scope['method']} {path}")
        while (await receive()).get("more_body", False):
            pass
        status = 200 if scope["method"] == "GET" or "batch" in path or tells_parties else 201
        headers = [(b"content-type", self.content_type)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": LINE, "more_body": True})
        return None


@pytest.fixture
async def sides() -> CutSides:
    wallet = WalletStub()
    await wallet.open("alice")
    return CutSides(wallet)


@pytest.fixture
async def served(sides: CutSides, tmp_path: Path) -> AsyncIterator[Served]:
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(SIGNER))
    said: dict[str, Any] = {
        "auth": "tokens",
        "auth_keys": f"file:{keys}",
        "auth_issuer": ISSUER,
        "auth_audience": AUDIENCE,
    }
    async with serving(sides, sides._wallet.feed, **said) as served:
        yield served


async def ask(
    served: Served, grants: list[dict[str, Any]], method: str, path: str, body: bytes | None = None, kind: str = ""
) -> tuple[int, Any]:
    token = SIGNER.token(claims("anna", grants, now_s=time.time()))
    headers = {"authorization": f"Bearer {token}", "content-type": kind or "application/json"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, served.url + path, data=body, headers=headers) as answer,
    ):
        return answer.status, json.loads(await answer.read())


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/v1/accounts/alice/entries", b"application/json"),
        ("/v1/accounts/alice/entries?format=ndjson", b"application/x-ndjson"),
        ("/v1/accounts/alice/entries?format=csv", b"text/csv; charset=utf-8"),
        ("/v1/accounts?ids=alice,bob", b"application/json"),
        (f"/v1/transfers/{ID}", b"application/json"),
    ],
)
async def test_a_read_is_told_as_not_answered(served: Served, sides: CutSides, path: str, content_type: bytes) -> None:
    sides.content_type = content_type
    status, told = await ask(served, BOTH_RIGHTS, "GET", path)
    assert (status, told["code"], told["detail"]) == (502, "upstream_failed", ONLY_READ)
    assert sides.asked


@pytest.mark.parametrize("grants", [BOTH_RIGHTS, READS_ALL], ids=["looked through", "passed on"])
@pytest.mark.parametrize(
    ("method", "path", "body", "about"),
    [
        ("POST", "/v1/transfers", TRANSFER, {"id": ID}),
        ("POST", "/v1/holds", TRANSFER, {"id": ID}),
        ("PUT", "/v1/accounts/alice", {"asset": "USD/2"}, {"account": "alice"}),
    ],
)
async def test_of_a_command_nobody_knows_what_became_and_its_id_is_told(
    served: Served,
    sides: CutSides,
    grants: list[dict[str, Any]],
    method: str,
    path: str,
    body: dict[str, Any],
    about: dict[str, str],
) -> None:
    status, told = await ask(served, grants, method, path, json.dumps(body).encode())
    assert (status, told["code"], told["detail"]) == (502, "upstream_failed", PROBLEMS["upstream_failed"].detail)
    assert {name: told[name] for name in ("id", "account") if name in told} == about
    assert sides.asked == [f"{method} {path}"]


async def test_of_a_batch_too(served: Served, sides: CutSides) -> None:
    line = json.dumps(TRANSFER).encode() + b"\n"
    status, told = await ask(served, BOTH_RIGHTS, "POST", "/v1/transfers:batch", line, "application/x-ndjson")
    assert (status, told["code"]) == (502, "upstream_failed")
    assert sides.asked == ["POST /v1/transfers:batch"]


async def test_a_command_whose_parties_were_told_in_part_is_not_passed_on(served: Served, sides: CutSides) -> None:
    body = json.dumps({"id": ID}).encode()
    status, told = await ask(served, BOTH_RIGHTS, "POST", f"/v1/holds/{HOLD}/capture", body)
    assert (status, told["code"], told["detail"]) == (503, "upstream_unavailable", NOT_LOOKED_UP)
    assert sides.asked == ["POST /internal/parties"]
