"""Who writes and then reads through one gateway sees the write, whatever he says and however far the projector is behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import pytest
import uvicorn

from read_side.contract.rows import AccountRows
from read_side.contract.view import Checkpoint, Owner
from tests.gateway_server import Served, serving
from tests.unit.write_side.two_partitions import PARTITIONS, TwoPartitions, account, transfer_id

TIMES = 300
LIMIT_S = 60.0
USD = "USD/2"
NAMES = (account(0, "a"), account(1, "b"))


class Wallet:
    """Both sides, with a view that may lag: what is folded while `lag` is not set is shown when it is."""

    def __init__(self, two: TwoPartitions) -> None:
        self.two = two
        self.lag = asyncio.Event()
        self.lag.set()
        self.asked: list[str] = []
        self._read = two.reading.app()
        view = two.reading.view
        apply = view.apply

        async def held_up(
            owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
        ) -> int:
            await self.lag.wait()
            return await apply(owner, expected, rows, checkpoint, loaded)

        view.apply = held_up  # type: ignore[method-assign]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Both sides in one: the gateway asks each for its own addresses only."""
        reads = scope["method"] == "GET" or scope["path"].startswith("/internal/")
        if reads:
            self.asked.append(scope["path"])
        await (self._read if reads else self.two.app)(scope, receive, send)


class Door:
    """A client of one gateway."""

    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        self.served, self._session = served, session

    async def ask(self, method: str, path: str, document: Any = None, **more: Any) -> tuple[int, Any, Any]:
        async with self._session.request(method, self.served.url + path, json=document, **more) as answer:
            return answer.status, await answer.json(), answer.headers

    async def pay(self, source: str, target: str, number: int, amount: int = 1) -> Any:
        body = {"id": transfer_id(number), "from": source, "to": target, "amount": str(amount), "asset": USD}
        status, document, headers = await self.ask("POST", "/v1/transfers", body, headers={"prefer": "wait=20"})
        assert status == 201, document
        assert headers["fanfold-position"] == document["position"]
        return document


@asynccontextmanager
async def answering(app: Any) -> AsyncIterator[str]:
    """The address of a server of this application."""
    with socket.socket(proto=socket.IPPROTO_TCP) as bound:  # asyncio sets TCP_NODELAY where it is named
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning"))
        serve = asyncio.create_task(server._serve([bound]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        await serve


@pytest.fixture
async def wallet() -> AsyncIterator[Wallet]:
    async with TwoPartitions() as two:
        found = Wallet(two)
        yield found
        found.lag.set()


@pytest.fixture(params=["in process", "over HTTP"])
async def open_door(request: pytest.FixtureRequest, wallet: Wallet) -> AsyncIterator[Callable[[], Any]]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        sides: Any = wallet
        if request.param == "over HTTP":
            sides = await stack.enter_async_context(answering(wallet))

        async def opened() -> Door:
            served = await stack.enter_async_context(serving(sides, wallet.two.reading.feed, PARTITIONS))
            return Door(served, session)

        yield opened


@pytest.fixture
async def door(open_door: Callable[[], Any]) -> Door:
    found: Door = await open_door()
    for name in NAMES:
        assert (await found.ask("PUT", f"/v1/accounts/{name}", {"asset": USD, "floor": None}))[0] == 201
    return found


async def in_time(work: Any) -> Any:
    return await asyncio.wait_for(work, LIMIT_S)


async def test_a_balance_is_never_less_than_what_was_answered(wallet: Wallet, door: Door) -> None:
    for number in range(1, TIMES + 1):
        wallet.lag.clear()
        await in_time(door.pay("@world", NAMES[0], number))
        asked = len(wallet.asked)
        reading = asyncio.ensure_future(door.ask("GET", f"/v1/accounts/{NAMES[0]}"))
        while len(wallet.asked) == asked and not reading.done():  # noqa: ASYNC110 - until the side has it
            await asyncio.sleep(0)
        wallet.lag.set()
        status, document, _ = await in_time(reading)
        assert (status, document["posted"]) == (200, str(number))


async def test_both_ends_of_a_transfer_across_partitions_are_read_and_its_outcome(wallet: Wallet, door: Door) -> None:
    for number in range(1, 21):
        written = await in_time(door.pay(NAMES[0], NAMES[1], number))
        assert written["position"].count(":") == PARTITIONS
        read = [(await in_time(door.ask("GET", f"/v1/accounts/{name}")))[1]["posted"] for name in NAMES]
        assert read == [str(-number), str(number)]
        _, outcome, _ = await in_time(door.ask("GET", f"/v1/transfers/{written['id']}"))
        assert (outcome["result"], outcome["position"]) == ("done", written["position"])
        _, system, _ = await in_time(door.ask("GET", f"/v1/system?asset={USD}"))
        assert (system["world"], system["transit"]) == ("0", "0")


async def test_a_batch_over_many_partitions_is_read_wherever_it_went(wallet: Wallet, door: Door) -> None:
    lines = "".join(
        f'{{"id": "{transfer_id(n)}", "from": "@world", "to": "{NAMES[n % 2]}", "amount": "1", "asset": "{USD}"}}\n'
        for n in range(1, 41)
    )
    wallet.lag.clear()
    headers = {"content-type": "application/x-ndjson"}
    url = f"{door.served.url}/v1/transfers:batch"
    async with aiohttp.ClientSession() as session, session.post(url, data=lines, headers=headers) as answer:
        assert {int(each.partition(":")[0]) for each in answer.headers["fanfold-position"].split(",")} == {0, 1}
    reading = [asyncio.ensure_future(door.ask("GET", f"/v1/accounts/{name}")) for name in NAMES]
    await asyncio.sleep(0)
    wallet.lag.set()
    assert [document["posted"] for _, document, _ in await in_time(asyncio.gather(*reading))] == ["20", "20"]


async def test_a_projector_that_does_not_move_is_told_and_no_old_balance(wallet: Wallet, door: Door) -> None:
    await in_time(door.pay("@world", NAMES[0], 1))
    assert (await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}")))[0] == 200
    wallet.lag.clear()
    await in_time(door.pay("@world", NAMES[0], 2))
    status, refused, headers = await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}?wait_ms=1"))
    assert (status, refused["code"], headers["retry-after"]) == (503, "view_rebuilding", "1")
    held = await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}?min_position={refused['position']}"))
    assert (held[0], held[1]["posted"]) == (200, "1")
    assert (await in_time(door.ask("GET", f"/v1/accounts/{NAMES[1]}")))[0] == 200, "the other partition is as it was"


async def test_no_client_can_make_others_wait(wallet: Wallet, door: Door) -> None:
    far = f"0:{10**17},1:{10**17}"
    forged = dict.fromkeys(("Fanfold-Written", "Fanfold-Position", "Fanfold-Lost"), far)
    for headers in (forged, forged | {"Connection": "Fanfold-Written"}, {}):
        status, document, told = await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}", headers=headers))
        assert (status, "fanfold-lost" in told) == (200, False), document
    status, document, _ = await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}?min_position={far}&wait_ms=1"))
    assert (status, document["code"]) == (409, "position_not_reached")
    assert (await in_time(door.ask("GET", f"/v1/accounts/{NAMES[0]}")))[0] == 200


async def test_another_gateway_is_told_by_the_token(wallet: Wallet, door: Door, open_door: Callable[[], Any]) -> None:
    other: Door = await open_door()
    assert (await in_time(other.ask("GET", f"/v1/accounts/{NAMES[0]}?min_position=0:1")))[0] == 200
    wallet.lag.clear()
    written = await in_time(door.pay("@world", NAMES[0], 1))
    assert (await in_time(other.ask("GET", f"/v1/accounts/{NAMES[0]}")))[1]["posted"] == "0", "it has not heard of it"
    target = f"/v1/accounts/{NAMES[0]}?min_position={written['position']}"
    reading = asyncio.ensure_future(other.ask("GET", target))
    await asyncio.sleep(0)
    wallet.lag.set()
    assert (await in_time(reading))[1]["posted"] == "1"


async def test_a_subscribe_is_acknowledged_with_what_was_written(wallet: Wallet, door: Door) -> None:
    for number in range(1, 31):
        wallet.lag.clear()
        written = await in_time(door.pay("@world", NAMES[0], number))
        async with aiohttp.ClientSession() as session, session.ws_connect(door.served.stream_url) as stream:
            asked = len(wallet.asked)
            await stream.send_json({"op": "subscribe", "id": 1, "accounts": [{"account": NAMES[0]}]})
            while len(wallet.asked) == asked:  # noqa: ASYNC110 - until the side has it
                await asyncio.sleep(0)
            wallet.lag.set()
            assert (await in_time(stream.receive_json()))["op"] == "hello"
            [acked] = (await in_time(stream.receive_json()))["accounts"]
            assert acked["version"] >= written["accounts"][0]["version"]
