"""What a browser is told about pages of other origins."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fanfold.api.answer_headers import HISTORY, POSITION, REPLAYED, STALE_SINCE
from gateway.doors.cross_origin import CrossOrigin
from gateway.proxy.asgi import Message, own_request
from gateway.settings import GatewaySettings

SHOP = "https://shop.example"
PREFLIGHT = (b"access-control-request-method", b"POST")


async def answered(origins: set[str], method: str, *headers: tuple[bytes, bytes]) -> tuple[int, dict[str, list[str]]]:
    """0 for what is no preflight; the head."""
    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    cross, scope = CrossOrigin(frozenset(origins)), own_request(method, "/v1/transfers", headers)
    preflight = await cross.answers_preflight(scope, send)
    if not preflight:
        await cross.telling(scope, send)(
            {"type": "http.response.start", "status": 200, "headers": [(b"vary", b"Accept")]}
        )
    told: dict[str, list[str]] = {}
    for name, value in sent[0]["headers"]:
        told.setdefault(name.decode(), []).append(value.decode())
    return sent[0]["status"] if preflight else 0, told


async def test_a_listed_page_may_ask_what_every_client_may_and_never_with_cookies() -> None:
    status, told = await answered({SHOP}, "OPTIONS", (b"origin", SHOP.encode()), PREFLIGHT)
    assert status == 204
    assert told["access-control-allow-origin"] == [SHOP]
    assert {"GET", "PUT", "PATCH", "POST", "HEAD"} == set(told["access-control-allow-methods"][0].split(", "))
    asked = set(told["access-control-allow-headers"][0].split(", "))
    assert asked >= {"authorization", "content-type", "idempotency-key", "prefer", "last-event-id", "x-request-id"}
    assert "Origin" in told["vary"]
    assert not any("credentials" in name for name in told)


async def test_a_listed_page_may_read_the_heads_that_it_needs() -> None:
    status, told = await answered({SHOP}, "POST", (b"origin", SHOP.encode()))
    assert (status, told["access-control-allow-origin"], told["vary"]) == (0, [SHOP], ["Accept", "Origin"])
    shown = set(told["access-control-expose-headers"][0].split(", "))
    assert shown >= {
        POSITION,
        HISTORY,
        REPLAYED,
        STALE_SINCE,
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Request-Id",
    }


@pytest.mark.parametrize(
    "said",
    [
        (),
        ((b"origin", b"https://shop.example.evil"),),
        ((b"origin", b"http://shop.example"),),
        ((b"origin", b"null"),),
        ((b"origin", SHOP.encode()), (b"origin", SHOP.encode())),
        ((b"origin", SHOP.encode()), (b"origin", b"https://evil.example")),
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
async def test_who_is_not_listed_is_told_nothing_and_caches_keep_the_answers_apart(
    method: str, said: tuple[Any, ...]
) -> None:
    status, told = await answered({SHOP}, method, *said, PREFLIGHT)
    assert (status, told) == (0, {"vary": ["Accept", "Origin"]})


async def test_with_a_star_each_is_told_its_own_name() -> None:
    _, told = await answered({"*"}, "GET", (b"origin", b"https://any.example"))
    assert told["access-control-allow-origin"] == ["https://any.example"]


async def test_an_options_that_is_no_preflight_is_a_request_like_any_other() -> None:
    assert (await answered({SHOP}, "OPTIONS", (b"origin", SHOP.encode())))[0] == 0


@pytest.mark.parametrize(
    "origin", ["https://a.example", "http://localhost:3000", "http://[::1]:80", "*", "app://wallet"]
)
def test_an_origin_is_written_as_browsers_say_it(origin: str) -> None:
    assert GatewaySettings(allowed_origins=f" {SHOP} ,{origin}").origins == {SHOP, origin}


@pytest.mark.parametrize(
    "origin",
    ["https://a.example/", "a.example", "https://A.example", "null", "https://a.example/x", "https://u@a.example"],
)
def test_what_would_never_be_an_origin_is_refused_at_the_start(origin: str) -> None:
    """It was taken, and no page of it was let in."""
    with pytest.raises(ValidationError, match="FANFOLD_ALLOWED_ORIGINS"):
        GatewaySettings(allowed_origins=f"{SHOP},{origin}")
