"""How many requests are granted to one who asks, and how he is told: RateLimit, RateLimit-Policy and 429.

A request is one unit, and one more for each 16 KiB of its body: a batch of 8,192 lines is some 70, about what it costs beside
single requests, and nothing has to be read for it. A body that does not say its length pays as it comes: what is not paid for
waits, and so does its client.

Source of the headers: draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from fanfold.doors.answer import problem
from fanfold.doors.answer import send as send_answer
from gateway.limits.addresses import address_key
from gateway.limits.rates import SECOND_NS, Quota, Rates, Taken
from gateway.metrics import Metrics
from gateway.proxy.asgi import App, Message, Receive, Scope, Send, with_headers
from gateway.proxy.reverse_proxy import discard

UNIT_BYTES: Final = 16 * 1024
"""Of a body: what they cost here and at the write side is about what a single request does."""

STRANGERS_LEAST: Final = Quota(500, 5)
"""Refused tokens of one address, however few requests a principal may send: many are behind one, and each costs 0.1 ms."""

_POLICY: Final = b"requests"
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Granted(NamedTuple):
    """In the place of the request's own: what comes in is counted, and the answer says what is left."""

    receive: Receive
    send: Send


def quota_of_strangers(quota: Quota) -> Quota:
    """How many tokens of an address may be refused before it is not listened to, where a principal has `quota`."""
    return min(quota, STRANGERS_LEAST, key=lambda each: each.unit_ns)


class RequestRates:
    """Of one gateway. by_key: of principals, or of addresses. now_ns: only rises; sleep: seconds of it."""

    def __init__(
        self,
        quota: Quota,
        metrics: Metrics,
        now_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.by_key = Rates(quota)
        self._metrics = metrics
        self._now_ns = now_ns
        self._sleep = sleep
        self._policy = (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (_POLICY, quota.units, quota.window_s))

    async def let_in(self, key: str, scope: Scope, receive: Receive, send: Send) -> Granted | None:
        """None when it was refused, and is answered."""
        units, counts_later = _units_of(scope)
        taken = self.by_key.take(key, units, self._now_ns())
        told = [self._policy, (b"ratelimit", b'"%b";r=%d;t=%d' % (_POLICY, taken.left, _seconds(taken.next_ns)))]
        if taken.wait_ns:
            await self._refuse(taken, told, receive, send)
            return None
        return Granted(self._counted(key, receive) if counts_later else receive, with_headers(send, told))

    def wait_s(self, key: str) -> int:
        """Take one; seconds until it would be granted, 0 when it was."""
        return _seconds(self.by_key.take(key, 1, self._now_ns()).wait_ns)

    def is_used_up(self, key: str) -> bool:
        return not self.by_key.left(key, self._now_ns())

    def owe(self, key: str, units: int) -> None:
        self.by_key.owe(key, units, self._now_ns())

    async def _refuse(self, taken: Taken, told: list[tuple[bytes, bytes]], receive: Receive, send: Send) -> None:
        await discard(receive)
        self._metrics.refused_with("rate_limited")
        refused = problem("rate_limited")._replace(retry_after_s=_seconds(taken.wait_ns))
        await send_answer(send, refused, more=told)

    def _counted(self, key: str, receive: Receive) -> Receive:
        """It costs what it would if it said its length, the whole quota at most. How long it may take is bounded by who reads."""
        held, left = 0, self.by_key.quota.units - 1

        async def count() -> Message:
            nonlocal held, left
            message = await receive()
            held += len(message.get("body", b""))
            units = min(held // UNIT_BYTES, left)
            if units:
                await self._pay(key, units)
                held -= units * UNIT_BYTES
                left -= units
            return message

        return count

    async def _pay(self, key: str, units: int) -> None:
        while wait_ns := self.by_key.take(key, units, self._now_ns()).wait_ns:
            await self._sleep(wait_ns / SECOND_NS)


class RatedByAddress:
    """An application where nobody is asked who asks: each address has its quota."""

    def __init__(self, app: App, rates: RequestRates) -> None:
        self._app = app
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        granted = await self._rates.let_in(address_key(scope.get("client")), scope, receive, send)
        if granted is not None:
            await self._app(scope, granted.receive, granted.send)


def _units_of(scope: Scope) -> tuple[int, bool]:
    """What its head says that it costs, and whether its body is still to be counted."""
    if scope["method"] in _BODILESS:
        return 1, False
    for name, value in scope["headers"]:
        if name == b"content-length":
            # What is no number, or a longer one than any body has, is refused by who reads it.
            return 1 + (int(value) // UNIT_BYTES if value.isdigit() and len(value) <= 18 else 0), False
        if name == b"transfer-encoding":
            return 1, True
    return 1, False


def _seconds(wait_ns: int) -> int:
    return -(-wait_ns // SECOND_NS)
