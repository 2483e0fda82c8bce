"""What one who asks is granted, and how the answer says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway.limits.rates import SECOND_NS, Quota
from gateway.metrics import Metrics
from gateway.proxy.asgi import Message, Receive, Scope, Send, own_request
from gateway.proxy.rated import UNIT_BYTES, RatedByAddress, RequestRates, quota_of_strangers


class Door:
    """An application that answers 200 to whatever is granted, behind its address's quota of 3 requests within 6 s."""

    def __init__(self) -> None:
        self.now_ns = 10**15
        self.rates = RequestRates(Quota(3, 6), Metrics(CollectorRegistry()), lambda: self.now_ns, self._sleep)
        self.app = RatedByAddress(self._answer, self.rates)
        self.served = 0
        self.left_unread = 0

    async def _sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)

    async def _answer(self, _: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.served += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b"1")]})
        await send({"type": "http.response.body", "body": b"{}"})

    async def ask(
        self, address: str = "10.0.0.1", method: str = "POST", headers: Any = (), body: tuple[bytes, ...] = (b"",)
    ) -> tuple[int, dict[str, str], Any]:
        parts, sent = [*body], list[Message]()

        async def receive() -> Message:
            part = parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {**own_request(method, "/v1/transfers", headers), "client": (address, 4000)}
        await self.app(scope, receive, send)
        self.left_unread = len(parts)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], told, json.loads(sent[1]["body"])


async def test_an_answer_says_what_is_granted_and_what_is_left() -> None:
    door = Door()
    status, told, _ = await door.ask()
    assert status == 200
    assert (told["ratelimit-policy"], told["ratelimit"]) == ('"requests";q=3;w=6', '"requests";r=2;t=2')
    assert told["etag"] == "1"


async def test_one_too_many_is_told_when_to_come_back_and_that_nothing_was_done() -> None:
    door = Door()
    for _ in range(3):
        assert (await door.ask())[0] == 200
    door.now_ns += SECOND_NS // 2
    status, told, document = await door.ask(body=(b"x", b"y"))
    assert (status, document["code"], told["content-type"]) == (429, "rate_limited", "application/problem+json")
    assert (told["retry-after"], told["ratelimit"]) == ("2", '"requests";r=0;t=2')
    assert "Nothing was done" in document["detail"]
    assert "same id" in document["detail"]
    assert (door.served, door.left_unread) == (3, 0), "its body is read, so that its client reads the answer"
    assert (await door.ask("10.0.0.2"))[0] == 200, "others go on"
    door.now_ns += 2 * SECOND_NS
    assert (await door.ask())[0] == 200


@pytest.mark.parametrize(
    ("length", "units"),
    [(b"0", 1), (b"%d" % (UNIT_BYTES - 1), 1), (b"%d" % UNIT_BYTES, 2), (b"+1", 1), (b"9" * 400, 1), (b"9" * 18, 3)],
)
async def test_a_body_counts_by_what_it_says_that_it_is(length: bytes, units: int) -> None:
    door = Door()
    _, told, _ = await door.ask(headers=[(b"content-length", length)])
    assert told["ratelimit"].startswith(f'"requests";r={3 - units};')


async def test_a_body_that_does_not_say_its_length_counts_when_it_has_come() -> None:
    door = Door()
    half = b"x" * (UNIT_BYTES // 2)
    assert (await door.ask(headers=[(b"transfer-encoding", b"chunked")], body=(half, half, half, half)))[0] == 200
    assert (await door.ask())[0] == 429, "its own unit, and two of its body"


async def test_a_body_that_does_not_say_its_length_waits_until_it_is_paid_for() -> None:
    """It cost what was left, once: then a unit that came back let in another one, of 8 MiB."""
    door = Door()
    began_ns, units = door.now_ns, 0
    for _ in range(4):
        status, *_ = await door.ask(headers=[(b"transfer-encoding", b"chunked")], body=(b"x" * UNIT_BYTES,))
        units += 2 if status == 200 else 0
        door.now_ns += 2 * SECOND_NS
    assert units == 8
    assert door.now_ns - began_ns >= (units - 3) * 2 * SECOND_NS


async def test_no_body_costs_more_than_the_quota_however_it_says_its_length() -> None:
    door = Door()
    began_ns = door.now_ns
    pieces = (b"x" * UNIT_BYTES,) * 100
    assert (await door.ask(headers=[(b"transfer-encoding", b"chunked")], body=pieces))[0] == 200
    assert door.now_ns == began_ns
    assert (await door.ask())[0] == 429


async def test_a_read_is_one_whatever_its_head_says() -> None:
    door = Door()
    _, told, _ = await door.ask(method="GET", headers=[(b"content-length", b"9" * 18)])
    assert told["ratelimit"].startswith('"requests";r=2;')


@pytest.mark.parametrize(("quota", "strangers"), [(Quota(3, 3_600), Quota(500, 5)), (Quota(5_000, 5), Quota(5_000, 5))])
def test_few_requests_for_each_make_no_address_deaf_after_as_few_bad_tokens(quota: Quota, strangers: Quota) -> None:
    assert quota_of_strangers(quota) == strangers
