"""What the public door says with every answer, what it knows of who asks, and what it writes down."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from deploy.key_file import add_key
from fanfold.api.route_names import RouteNames
from fanfold.api.routes import ROUTES
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import SCOPE, Arrivals
from gateway.arrivals.forwarded import TrustedProxies
from gateway.doors.public_door import PublicDoor
from gateway.proxy.asgi import Message, Receive, Scope, Send
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.feed.feed_memory import MemoryFeed
from read_side.feed.kept_once_memory import MemoryKeptOnce

SECRET = "s3cr3t-token"
OWN = (
    "/",
    "/docs",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/v1/stream",
    "/console/main.js",
)
REQUESTS = sorted(
    {("GET", path) for path in OWN}
    | {("DELETE", "/v1/transfers"), ("GET", "/nowhere"), ("POST", "/readyz"), ("GET", "/readyz?a=1")}
    | {("GET", "/internal/balances")}
    | {
        (route.method, route.path.format(account="alice", transfer="0197", hold="0197"))
        for route in ROUTES
        if route.public and route.path != "/v1/stream/sse"
    }
)  # fmt: skip


class Written(list[str]):
    """Access lines."""

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for text in self for line in text.splitlines()]


def one_app(
    scope_seen: list[Scope], headers: list[tuple[bytes, bytes]], body: bytes = b"{}", *, ends: bool = True
) -> Any:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scope_seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": not ends})

    return app


async def _asked(door: Any, scope: dict[str, Any]) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    usual = {"type": "http", "method": "GET", "path": "/readyz", "query_string": b"", "headers": []}
    usual["raw_path"] = str(scope.get("path", "/readyz")).encode()
    await door(usual | {"scheme": "http", "client": ("10.0.0.1", 5)} | scope, receive, send)
    return sent


@pytest.mark.parametrize("auth", ["off", "tokens"])
async def test_every_answer_of_every_address_is_nobodys_frame_and_no_script(auth: Any, tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.write_text('{"keys": []}')
    settings = GatewaySettings(auth=auth, api_keys=str(keys) if auth == "tokens" else "", access_log="off")
    side = one_app([], [(b"content-type", b"application/json")])
    gateway = build_gateway(settings, side, side, MemoryFeed(), CollectorRegistry(), 1, kept_once=MemoryKeptOnce())
    await gateway.open()
    for method, target in REQUESTS:
        path, _, query = target.partition("?")
        sent = await _asked(gateway.app, {"method": method, "path": path, "query_string": query.encode()})
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert len(told) == len(sent[0]["headers"]), "nothing is said twice"
        assert told["x-content-type-options"] == "nosniff", target
        assert told["referrer-policy"] == "no-referrer"
        assert told["cross-origin-opener-policy"] == "same-origin"
        assert "camera=()" in told["permissions-policy"]
        policy = told["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src" not in policy or "script-src 'self';" in policy
        assert "strict-transport-security" not in told
        assert re.fullmatch("[0-9a-f]{32}", told["x-request-id"])
    await gateway.close()


async def test_a_browser_is_told_to_stay_with_tls_only_where_a_listed_proxy_says_that_it_came_by_it() -> None:
    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    for listed, told in (("10.0.0.0/8", True), ("", False)):
        door = PublicDoor(one_app([], []), Arrivals(TrustedProxies(listed)))
        sent = await _asked(door, {"headers": headers})
        assert ((b"strict-transport-security", b"max-age=31536000") in sent[0]["headers"]) == told


async def test_behind_a_listed_proxy_client_and_scheme_are_the_clients() -> None:
    seen: list[Scope] = []
    door = PublicDoor(one_app(seen, []), Arrivals(TrustedProxies("10.0.0.1")))
    headers = [(b"x-forwarded-for", b"203.0.113.9"), (b"x-forwarded-proto", b"https")]
    await _asked(door, {"headers": headers})
    await _asked(door, {"headers": headers, "client": ("10.0.0.2", 5)})
    await _asked(door, {"headers": headers, "client": None})
    assert [(scope["client"], scope["scheme"]) for scope in seen] == [
        (("203.0.113.9", 0), "https"), (("10.0.0.2", 5), "http"), (None, "http")
    ]  # fmt: skip


async def test_a_page_keeps_its_own_policy() -> None:
    sent = await _asked(PublicDoor(one_app([], [(b"content-security-policy", b"x")]), Arrivals()), {})
    assert [value for name, value in sent[0]["headers"] if name == b"content-security-policy"] == [b"x"]


def logged(app: Any) -> tuple[PublicDoor, Written, AccessLog]:
    written = Written()
    log = AccessLog(RouteNames(["/readyz"]), written.append)
    return PublicDoor(app, Arrivals(), log), written, log


async def test_what_a_request_was_is_written_down_without_anything_secret_in_it() -> None:
    door, written, log = logged(one_app([], [], b"12345"))
    headers = [
        (b"authorization", f"Bearer {SECRET}".encode()),
        (b"cookie", SECRET.encode()),
        (b"x-request-id", b"mine"),
    ]
    path = f"/v1/accounts/{SECRET}"
    await _asked(door, {"path": path, "headers": headers, "query_string": f"token={SECRET}".encode(), "method": "PUT"})
    log.flush()
    [told] = written.documents
    assert SECRET not in "".join(written)
    assert told["request_id"] == "mine"
    assert (told["event"], told["method"], told["route"]) == ("request", "PUT", "/v1/accounts/{account}")
    assert (told["client"], told["status"], told["bytes"]) == ("10.0.0.1", 200, 5)


async def _silent(_: Scope, __: Receive, ___: Send) -> None:
    """The client has left."""


async def _fails(_: Scope, __: Receive, ___: Send) -> None:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("app", "status", "cut"), [(_silent, 0, False), (_fails, 500, False), (one_app([], [], ends=False), 200, True)]
)
async def test_no_answer_a_failure_and_a_cut_one_are_told(app: Any, status: int, cut: bool) -> None:
    door, written, log = logged(app)
    await _asked(door, {})
    log.flush()
    [told] = written.documents
    assert (told["status"], "cut" in told) == (status, cut)


async def test_what_fails_is_answered_in_the_words_of_the_api_unless_an_answer_has_begun() -> None:
    sent = await _asked(PublicDoor(_fails, Arrivals()), {})
    assert (sent[0]["status"], json.loads(sent[1]["body"])["code"]) == (500, "internal")
    assert (b"x-content-type-options", b"nosniff") in sent[0]["headers"]

    async def fails_late(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await _asked(PublicDoor(fails_late, Arrivals()), {})


async def test_a_page_of_a_listed_origin_may_read_that_something_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw a network error, and could not tell its reader what it means for their money."""
    shop = "https://shop.example"
    settings = GatewaySettings(allowed_origins=shop, access_log="off")
    side = one_app([], [])
    gateway = build_gateway(settings, side, side, MemoryFeed(), CollectorRegistry(), 1, kept_once=MemoryKeptOnce())
    monkeypatch.setattr(gateway._front, "_proxy", _fails)
    for origin, allowed in ((shop, [shop.encode()]), ("https://evil.example", [])):
        sent = await _asked(gateway.app, {"path": "/v1/accounts/a", "headers": [(b"origin", origin.encode())]})
        assert sent[0]["status"] == 500
        told = sent[0]["headers"]
        assert [value for name, value in told if name == b"access-control-allow-origin"] == allowed
        assert (b"vary", b"Origin") in told
    await gateway.close()


async def test_of_a_head_no_byte_of_a_body_is_counted() -> None:
    door, written, log = logged(one_app([], [], b"12345"))
    await _asked(door, {"method": "HEAD"})
    log.flush()
    assert written.documents[0]["bytes"] == 0


async def test_an_event_stream_has_a_line_when_it_opens_and_one_when_it_closes() -> None:
    door, written, log = logged(one_app([], [(b"content-type", b"text/event-stream")], b"data: 1\n\n", ends=False))
    await _asked(door, {"path": "/v1/stream/sse"})
    log.flush()
    assert [(told["event"], told["bytes"], "cut" in told) for told in written.documents] == [
        ("open", 0, False), ("close", 9, False)
    ]  # fmt: skip


async def test_who_asked_is_written_down_and_what_they_showed_for_it_never(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = tmp_path / "keys"
    key = add_key(keys, "shop", ["*=read"])
    settings = GatewaySettings(auth="tokens", api_keys=str(keys))
    side = one_app([], [(b"content-type", b"application/json")])
    gateway = build_gateway(settings, side, side, MemoryFeed(), CollectorRegistry(), 1, kept_once=MemoryKeptOnce())
    await gateway.open()
    path = "/v1/accounts/alice"
    query = f"access_token={key}".encode()
    for shown in (key, key + "x", ""):
        headers = [(b"authorization", f"Bearer {shown}".encode())] if shown else []
        await _asked(gateway.app, {"path": path, "raw_path": path.encode(), "query_string": query, "headers": headers})
    await gateway.close()
    written = capsys.readouterr().out
    told = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert [(each["principal"], each["status"]) for each in told] == [("key:shop", 200), (None, 401), (None, 401)]
    assert key not in written


TEXT = st.text(max_size=30)
BYTES = st.binary(max_size=60)


@given(
    principal=TEXT,
    method=TEXT,
    path=TEXT,
    query=BYTES,
    headers=st.lists(st.tuples(st.sampled_from([b"x-request-id", b"traceparent", b"x-forwarded-for", b"user-agent"]), BYTES)),
)  # fmt: skip
async def test_nobody_writes_a_line_of_the_access_log_but_the_gateway(
    principal: str, method: str, path: str, query: bytes, headers: list[tuple[bytes, bytes]]
) -> None:
    async def app(scope: Scope, _: Receive, send: Send) -> None:
        scope[SCOPE].principal = principal
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    written = Written()
    log = AccessLog(RouteNames([]), written.append)
    door = PublicDoor(app, Arrivals(TrustedProxies("10.0.0.0/8")), log)
    await _asked(door, {"method": method, "path": path, "query_string": query, "headers": headers})
    log.flush()
    [text] = written
    assert text.count("\n") == 1
    assert all(" " <= character <= "~" for character in text[:-1])
    assert json.loads(text)["principal"] == principal
