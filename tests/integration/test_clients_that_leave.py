"""Whoever hangs up, sends slowly or asks for something else does not keep a payment waiting, and who is not sent is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from gateway.proxy import over_http
from gateway.proxy.over_http import LARGE_REQUESTS_MAX, PATIENT_REQUESTS_MAX, REQUESTS_MAX
from tests.gateway_server import Served, serving
from tests.listening import connected, listening
from tests.wallet_stub import WalletStub

LIMIT_S = 30
CROWD_MS = 2_000
"""How long connecting may take: long beside the stall of a busy machine, which would refuse some of the crowd."""
DONE = b'{"result": "done"}'
ANSWER = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(DONE), DONE)


class Side:
    """A side of its own process: answers what has `answer-me` in its head, and lets everything else wait for ever."""

    def __init__(self) -> None:
        self.waiting = 0
        self.came = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            self.came += 1
            if b"answer-me" not in head:
                break
            writer.write(ANSWER)
            await reader.readexactly(2)  # every body here is `{}`
        self.waiting += 1
        try:
            while await reader.read(65_536):
                pass
        finally:
            self.waiting -= 1

    @asynccontextmanager
    async def behind_a_gateway(self, **settings: Any) -> AsyncIterator[Served]:
        async with (
            listening(self.serve) as port,
            serving(f"http://127.0.0.1:{port}", WalletStub().feed, **settings) as served,
        ):
            yield served


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


@asynccontextmanager
async def asking(served: Served, request: bytes, clients: int) -> AsyncIterator[None]:
    """So many clients that have sent these bytes; at the end they hang up."""
    async with AsyncExitStack() as stack:
        for _ in range(clients):
            _, writer = await stack.enter_async_context(connected(*served.url.removeprefix("http://").split(":")))
            writer.write(request)
            await writer.drain()
        yield


async def pay(served: Served) -> tuple[int, dict[str, Any]]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(served.url + "/v1/transfers", json={}, headers={"answer-me": "1"}) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


PAYMENT = (
    b"POST /v1/transfers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
READ = b"GET /v1/accounts/a HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("request_bytes", [PAYMENT, READ], ids=["payments", "reads"])
async def test_as_many_clients_as_may_be_under_way_hang_up_and_the_next_payment_is_made(request_bytes: bytes) -> None:
    side = Side()
    async with side.behind_a_gateway() as served:
        async with asking(served, request_bytes, REQUESTS_MAX):
            await until(lambda: side.waiting == REQUESTS_MAX)
        await until(lambda: side.waiting == 0)
        assert await pay(served) == (201, {"result": "done"})


async def test_reads_that_wait_keep_no_payment_waiting() -> None:
    side = Side()
    async with side.behind_a_gateway() as served, asking(served, READ, REQUESTS_MAX):
        await until(lambda: side.waiting == REQUESTS_MAX)
        assert (await pay(served))[0] == 201


@pytest.mark.parametrize(
    "wish",
    [
        b"min_position=0:999999999999999999&wait_ms=10000",
        b"min_version=99&wait_ms=10000",
        b"wait_ms=10000&%6Din%5fposition=0:999999999999999999",
    ],
)
async def test_reads_that_say_what_they_wait_for_keep_no_other_read_waiting(wish: bytes) -> None:
    side = Side()
    async with (
        side.behind_a_gateway() as served,
        asking(served, READ.replace(b"/a ", b"/a?" + wish + b" "), REQUESTS_MAX),
    ):
        await until(lambda: side.waiting == PATIENT_REQUESTS_MAX)
        async with asking(served, READ, 1):
            await until(lambda: side.waiting == PATIENT_REQUESTS_MAX + 1)


async def test_a_payment_that_finds_no_place_is_told_that_nothing_was_done_and_never_sent() -> None:
    side = Side()
    async with side.behind_a_gateway(upstream_connect_ms=CROWD_MS) as served, asking(served, PAYMENT, REQUESTS_MAX):
        await until(lambda: side.waiting == REQUESTS_MAX)
        came = side.came
        status, problem = await pay(served)
        assert (status, problem["code"], side.came) == (503, "overloaded", came)
        assert "nothing was done" in problem["detail"]


@pytest.mark.parametrize("declared", [2, over_http.GATHERED_BYTES_MAX + 1])
async def test_bodies_that_come_slowly_keep_no_payment_waiting(declared: int) -> None:
    side = Side()
    head = PAYMENT.replace(b"Content-Length: 2\r\n\r\n{}", b"Content-Length: %d\r\n\r\n{" % declared)
    async with (
        side.behind_a_gateway(upstream_connect_ms=CROWD_MS) as served,
        asking(served, head, max(REQUESTS_MAX, LARGE_REQUESTS_MAX)),
    ):
        await until(lambda: side.waiting == (0 if declared == 2 else LARGE_REQUESTS_MAX))
        assert (await pay(served))[0] == 201


async def test_a_write_to_a_side_that_is_away_was_never_sent_and_is_told_so() -> None:
    async with serving("http://127.0.0.1:9", WalletStub().feed) as served:
        status, problem = await pay(served)
        assert (status, problem["code"]) == (503, "upstream_unavailable")
        assert "nothing was done" in problem["detail"]
