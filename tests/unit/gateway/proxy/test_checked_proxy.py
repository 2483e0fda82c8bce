"""Whoever asks is answered: as somebody, or with why not."""

from __future__ import annotations

from typing import Any, cast

from prometheus_client import CollectorRegistry

from gateway.limits.addresses import address_key
from gateway.limits.rates import SECOND_NS, Quota
from gateway.metrics import Metrics
from gateway.proxy.asgi import Message, Receive, Scope, Send, own_request
from gateway.proxy.checked_proxy import CheckedProxy
from gateway.proxy.rated import RequestRates
from tests.tokens import claims, some
from tests.unit.gateway.identity.test_keys import OLD, Issuer, Place

CLIENT = ("10.0.0.1", 4000)


async def answer_200(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def test_a_unit_that_comes_back_between_two_looks_at_the_clock_leaves_nobody_unanswered() -> None:
    place, metrics = Place(Issuer(OLD)), Metrics(CollectorRegistry())
    await place.identity.open()
    looks = [0, 0, SECOND_NS // 2, SECOND_NS]
    strangers = RequestRates(Quota(2, 2), metrics, lambda: looks.pop(0))
    key = address_key(CLIENT)
    strangers.owe(key, 1)
    strangers.owe(key, 1)
    nothing = cast("Any", answer_200)
    checked = CheckedProxy(
        nothing, answer_200, place.identity, lambda: 1, lambda bits: 0, metrics, refused_rates=strangers
    )
    token = OLD.token(claims("anna", [some("*", "system", "read", "debit", "credit")], now_s=place.clock.wall()))
    sent = list[Message]()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {**own_request("GET", "/v1/positions", [(b"authorization", b"Bearer " + token.encode())]), "client": CLIENT}
    await checked(scope, receive, send)
    assert [message.get("status") for message in sent] == [200, None]
