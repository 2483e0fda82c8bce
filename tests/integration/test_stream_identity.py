"""Who is at a stream: signing in, what is heard without it, what may be watched, and how a stream ends when its right does."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from fanfold.api.close_codes import CloseCode
from gateway.identity.access import MachineKey, MachineKeys, digest_of, new_key
from gateway.identity.grants import Principal, grants_of
from gateway.protocol.session import Session
from tests.gateway_server import Served, next_frame, serving
from tests.tokens import AUDIENCE, ISSUER, Signer, claims, jwks, some
from tests.wallet_stub import WalletStub

SIGNER, LATER = Signer("EdDSA", "k1"), Signer("ES256", "k2")
LIMIT_S = 20.0
FEW: dict[str, Any] = {"stream_unauthenticated_max": 2, "stream_unauthenticated_percent": 100}
READS = some("alice", "read")


def token(name: str = "anna", *grants: dict[str, Any], signer: Signer = SIGNER, **more: Any) -> str:
    return signer.token(claims(name, list(grants) or [READS], now_s=time.time(), **more))


class Place:
    """The files of a gateway that asks who is there."""

    def __init__(self, folder: Path) -> None:
        self.keys, self.access, self.machines = folder / "jwks.json", folder / "access.json", folder / "machines.json"
        self.keys.write_bytes(jwks(SIGNER))
        self.access.write_text("{}")
        self.machines.write_text("{}")

    def settings(self, **more: Any) -> dict[str, Any]:
        return {
            "auth": "tokens",
            "auth_keys": f"file:{self.keys}",
            "auth_issuer": ISSUER,
            "auth_audience": AUDIENCE,
            "auth_grants": str(self.access),
            "api_keys": str(self.machines),
            "auth_leeway_s": 0,
        } | more


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def wallet() -> WalletStub:
    found = WalletStub()
    for name in ("alice", "bob"):
        await found.open(name)
    return found


@asynccontextmanager
async def door(wallet: WalletStub, place: Place, **more: Any) -> AsyncIterator[Served]:
    async with serving(wallet, wallet.feed, **place.settings(**more)) as served:
        yield served


@asynccontextmanager
async def stream(served: Served, bearer: str | None = None) -> AsyncIterator[ClientConnection]:
    headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
    async with connect(served.stream_url, additional_headers=headers, proxy=None) as opened:
        yield opened


async def say(stream: ClientConnection, op: str, id: int, **more: Any) -> None:
    await stream.send(json.dumps({"op": op, "id": id} | more))


async def hear(stream: ClientConnection) -> Any:
    return await next_frame(stream, LIMIT_S)


async def closed(stream: ClientConnection) -> int:
    async with asyncio.timeout(LIMIT_S):
        with suppress(websockets.ConnectionClosed):
            while True:
                await stream.recv()
        await stream.wait_closed()
    assert stream.close_code is not None
    return stream.close_code


async def watch(stream: ClientConnection, *accounts: str, id: int = 1) -> Any:
    await say(stream, "subscribe", id, accounts=[{"account": name} for name in accounts])
    return await hear(stream)


@pytest.mark.parametrize("by", ["message", "handshake"])
async def test_who_signs_in_watches_what_may_be_read(wallet: WalletStub, place: Place, by: str) -> None:
    async with door(wallet, place) as served, stream(served, token() if by == "handshake" else None) as opened:
        if by == "message":
            await say(opened, "auth", 0, token=token())
            assert await hear(opened) == {"op": "ack", "id": 0}
        ack = await watch(opened, "alice", "bob", "nobody")
        hidden, absent = ack["accounts"][1:]
        assert {**hidden, "account": "", "sub": 0} == {**absent, "account": "", "sub": 0}
        assert (hidden["account"], hidden["version"], hidden["code"]) == ("bob", None, "account_not_found")
        assert (await hear(opened))["items"][0]["snapshot"]
        await wallet.transfer("@world", "bob", 5)
        await wallet.transfer("bob", "alice", 2)
        told = await hear(opened)
        assert [item["sub"] for item in told["items"]] == [ack["accounts"][0]["sub"]], "bob never speaks"
        await say(opened, "unsubscribe", 2, subs=[hidden["sub"]])
        assert await hear(opened) == {"op": "ack", "id": 2}
        assert (await watch(opened, "bob", id=3))["accounts"][0]["code"] == "account_not_found"


async def test_topics_are_for_who_may_see_the_system(wallet: WalletStub, place: Place) -> None:
    async with door(wallet, place) as served, stream(served, token()) as opened:
        served.gateway.hub.topics.known = True
        await say(opened, "subscribe", 1, topics=["leaderboard"])
        [row] = (await hear(opened))["topics"]
        assert row == {"topic": "leaderboard", "number": None, "code": "topic_not_found"}


@pytest.mark.parametrize(
    "said",
    [
        '{"op":"ping","id":1}',
        '{"op":"subscribe","id":1,"accounts":[{"account":"alice"}]}',
        "nonsense",
        '{"op":"dance"}',
    ],
)
async def test_nobody_is_heard_before_somebody_has_signed_in(wallet: WalletStub, place: Place, said: str) -> None:
    async with door(wallet, place) as served, stream(served) as opened:
        await opened.send(said)
        assert await closed(opened) == CloseCode.UNAUTHENTICATED
    assert "POST /internal/balances" not in wallet.requests


async def test_a_token_that_is_not_accepted_ends_the_stream_and_at_the_handshake_there_is_none(
    wallet: WalletStub, place: Place
) -> None:
    async with door(wallet, place) as served:
        async with stream(served) as opened:
            await say(opened, "auth", 4, token="x.y.z")
            refused = await hear(opened)
            assert (refused["op"], refused["id"], refused["code"]) == ("error", 4, "token_invalid")
            assert await closed(opened) == CloseCode.TOKEN_REFUSED
        with pytest.raises(websockets.InvalidStatus) as answered:
            async with stream(served, token(aud="another")):
                pass
        assert answered.value.response.status_code == 401
        assert "invalid_token" in answered.value.response.headers["www-authenticate"]


async def test_streams_without_anybody_are_few_and_do_not_stay(wallet: WalletStub, place: Place) -> None:
    async with door(
        wallet, place, stream_sign_in_ms=200, stream_unauthenticated_max=2, stream_unauthenticated_percent=100
    ) as served:
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(stream(served)) for _ in range(2)]
            with pytest.raises(websockets.InvalidStatus) as refused:
                await stack.enter_async_context(stream(served))
            assert refused.value.response.status_code == 503
            await stack.enter_async_context(stream(served, token()))
            assert {await closed(each) for each in opened} == {CloseCode.NOT_SIGNED_IN}
        async with stream(served) as again:
            await say(again, "auth", 0, token=token())
            assert (await hear(again))["op"] == "ack"
            assert served.gateway._door is not None
            assert served.gateway._door.unauthenticated.used == 0


def _unsigned(kid: str) -> str:
    parts = ({"alg": "EdDSA", "kid": kid, "typ": "JWT"}, claims("anna", [READS], now_s=time.time()))
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.{'A' * 86}"


async def test_who_makes_up_the_name_of_a_key_is_one_of_the_few_without_anybody(
    wallet: WalletStub, place: Place
) -> None:
    async with door(
        wallet, place, auth_keys_ask_again_s=1, stream_unauthenticated_max=2, stream_unauthenticated_percent=100
    ) as served:
        found, may_answer = served.gateway._door, asyncio.Event()
        assert found is not None
        keys = found.identity._keys
        assert keys is not None
        keys._asked_at -= 10  # type: ignore[operator]
        read, refused = keys._source.read, list[int]()

        async def late() -> bytes:
            await may_answer.wait()
            return await read()

        keys._source.read = late  # type: ignore[method-assign]
        async with AsyncExitStack() as stack:
            opened = []
            for n in range(50):
                try:
                    opened.append(await stack.enter_async_context(stream(served, _unsigned(f"made-up-{n}"))))
                except websockets.InvalidStatus as answered:
                    refused.append(answered.response.status_code)
                assert found.unauthenticated.used <= 2
            assert refused == [503] * 48
            await stack.enter_async_context(stream(served, token()))
            may_answer.set()
            assert {await closed(each) for each in opened} == {CloseCode.TOKEN_REFUSED}


async def test_a_stream_ends_with_its_token_unless_that_is_renewed(wallet: WalletStub, place: Place) -> None:
    soon = int(time.time()) + 2
    async with door(wallet, place) as served, stream(served, token(exp=soon)) as one, stream(served) as other:
        await say(other, "auth", 0, token=token(exp=soon))
        await hear(other)
        await say(other, "auth", 1, token=token())
        assert await hear(other) == {"op": "ack", "id": 1}
        assert await closed(one) == CloseCode.SIGNED_IN_NO_MORE
        assert time.time() >= soon
        await say(other, "ping", 2)
        assert (await hear(other))["op"] == "pong"


async def test_a_stream_is_renewed_by_the_same_one_with_the_same_rights_only(wallet: WalletStub, place: Place) -> None:
    async with door(wallet, place) as served, stream(served, token()) as opened:
        for bad in (token("bert"), "x.y.z"):
            await say(opened, "auth", 1, token=bad)
            assert (await hear(opened))["code"] == "token_invalid"
        assert (await watch(opened, "alice"))["op"] == "ack", "who was there stays"
        await say(opened, "auth", 2, token=token("anna", READS, some("bob", "read")))
        assert await closed(opened) == CloseCode.RIGHTS_CHANGED


def _machine(name: str, key: str) -> MachineKeys:
    return MachineKeys((MachineKey(name, digest_of(key), grants_of([READS]), "2026-01-01"),))


async def test_what_is_taken_away_ends_the_streams_of_that_one_within_a_second_or_so(
    wallet: WalletStub, place: Place
) -> None:
    key = new_key(lambda n: b"k" * n)
    place.machines.write_bytes(_machine("shop", key).encode())
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(door(wallet, place))
        by_key, by_jti, anna, bert = [
            await stack.enter_async_context(stream(served, bearer))
            for bearer in (key, token("carl", jti="t7"), token(), token("bert"))
        ]
        place.access.write_text(json.dumps({"revoked": {"names": ["anna"], "tokens": ["t7"]}}))
        place.machines.write_bytes(_machine("shop", key).without("shop", "2026-01-02").encode())
        since = time.monotonic()
        assert {await closed(each) for each in (by_key, by_jti, anna)} == {CloseCode.REVOKED}
        assert time.monotonic() - since < LIMIT_S / 2
        await say(bert, "ping", 1)
        assert (await hear(bert))["op"] == "pong"
        for bearer in (key, token(), token("carl", jti="t7")):
            with pytest.raises(websockets.InvalidStatus):
                await stack.enter_async_context(stream(served, bearer))
        place.access.write_text(json.dumps({"grants": {"bert": []}}))
        assert await closed(bert) == CloseCode.RIGHTS_CHANGED


@pytest.mark.parametrize("by", ["message", "handshake"])
async def test_a_new_key_of_the_issuer_is_looked_for_and_what_is_said_meanwhile_is_heard_after(
    wallet: WalletStub, place: Place, by: str
) -> None:
    async with door(wallet, place, auth_keys_ask_again_s=1) as served:
        place.keys.write_bytes(jwks(SIGNER, LATER))
        await asyncio.sleep(0)
        served.gateway._identity._keys._asked_at -= 10  # type: ignore[union-attr,operator]
        new = token(signer=LATER)
        async with stream(served, new if by == "handshake" else None) as opened:
            if by == "message":
                await say(opened, "auth", 0, token=new)
            await say(opened, "subscribe", 1, accounts=[{"account": "alice"}])
            await say(opened, "ping", 2)
            heard = [await hear(opened) for _ in range(3 + (by == "message"))]
            assert sorted(each["op"] for each in heard) == sorted(
                ["ack", "balances", "pong"] + ["ack"] * (by == "message")
            )


async def test_a_gateway_that_asks_nobody_does_not_hear_who_signs_in(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed) as served, stream(served, "anything") as opened:
        await say(opened, "auth", 5, token="anything")
        refused = await hear(opened)
        assert (refused["op"], refused["id"], refused["code"]) == ("error", 5, "op_unknown")
        assert (await watch(opened, "bob"))["accounts"][0]["version"] == 0


async def events(answer: aiohttp.ClientResponse, count: int) -> list[Any]:
    """So many frames of an event stream; fewer where it ends before."""
    found: list[Any] = []
    async with asyncio.timeout(LIMIT_S):
        while len(found) < count and (line := await answer.content.readline()):
            if line.startswith(b"data: "):
                found.append(json.loads(line.removeprefix(b"data: ")))
    return found


async def test_event_streams_say_who_is_there_by_their_request_and_end_with_their_right(
    wallet: WalletStub, place: Place
) -> None:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(door(wallet, place))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        path = f"{served.url}/v1/stream/sse?accounts=alice,bob,nobody"

        async def opened(bearer: str | None) -> aiohttp.ClientResponse:
            headers = {} if bearer is None else {"authorization": f"Bearer {bearer}"}
            return await stack.enter_async_context(http.get(path, headers=headers))

        for bearer, code in ((None, "unauthenticated"), ("x.y.z", "token_invalid")):
            refused = await opened(bearer)
            assert (refused.status, (await refused.json())["code"]) == (401, code)
            assert "Bearer" in refused.headers["www-authenticate"]
        anna, soon = await opened(token()), await opened(token("soon", exp=int(time.time()) + 8))
        for each in (anna, soon):
            _, ack, snapshot = await events(each, 3)
            told = {row["account"]: {**row, "account": "", "sub": 0} for row in ack["accounts"]}
            assert told["bob"] == told["nobody"] != told["alice"]
            assert len(snapshot["items"]) == 1
        await wallet.transfer("@world", "bob", 5)
        await wallet.transfer("@world", "alice", 5)
        [change] = await events(anna, 1)
        assert [item["posted"] for item in change["items"]] == ["5"]
        assert [each["op"] for each in await events(soon, 99)][:1] == ["balances"], "and it ends with its token"
        place.access.write_text(json.dumps({"revoked": {"names": ["anna"]}}))
        assert "balances" not in [each["op"] for each in await events(anna, 99)]
        assert not served.gateway._door.signed_in  # type: ignore[union-attr]


async def test_who_is_shut_out_while_an_event_stream_begins_is_told_nothing_and_is_not_kept(
    wallet: WalletStub, place: Place
) -> None:
    async with door(wallet, place) as served:
        found, told = served.gateway._door, list[Any]()
        assert found is not None

        async def receive() -> Any:
            return await asyncio.Future()

        async def send(message: Any) -> None:
            told.append(message)
            if (
                message["type"] == "http.response.start"
            ):  # the client takes its time, and meanwhile everybody is looked at
                place.access.write_text(json.dumps({"revoked": {"names": ["anna"]}}))
                found.identity._looked_at = None
                found.look_again()

        scope = {
            "type": "http",
            "method": "GET",
            "path": "/v1/stream/sse",
            "query_string": b"accounts=alice",
            "headers": [(b"authorization", b"Bearer " + token().encode())],
        }
        async with asyncio.timeout(LIMIT_S):
            await served.gateway._events(scope, receive, send)
        written = b"".join(message.get("body", b"") for message in told)
        assert b"alice" not in written
        assert b"retry: " in written
        assert not told[-1]["more_body"]
        assert not found.signed_in


@pytest.mark.parametrize(
    ("access", "code"),
    [
        ({"revoked": {"names": ["anna"]}}, CloseCode.REVOKED),
        ({"grants": {"anna": [some("bob", "read")]}}, CloseCode.RIGHTS_CHANGED),
        ({"revoked": {"names": ["bert"]}}, None),
    ],
)
@pytest.mark.parametrize("by", ["handshake", "message"])
async def test_whoever_is_let_in_is_looked_at_by_what_counts_then(
    wallet: WalletStub, place: Place, by: str, access: Any, code: CloseCode | None
) -> None:
    class Opened:
        def __init__(self, session: Session) -> None:
            self.session = session
            self.ended: CloseCode | None = None

        def take_later(self) -> None: ...

        def has_place_for(self, principal: str) -> bool:
            return True

        def end_with(self, code: CloseCode) -> None:
            self.ended = self.ended or code

    async with door(wallet, place) as served:
        found = served.gateway._door
        assert found is not None
        opened = Opened(Session(1, served.gateway.hub.topics, hide=found.hide))
        sign_in, identity = found.sign_in(opened), found.identity

        def change() -> None:
            place.access.write_text(json.dumps(access))
            identity._looked_at = None
            found.look_again()

        if by == "handshake":
            assert sign_in.refusal([f"Bearer {token()}"]) is None
            change()
            sign_in.begin()
        else:
            sign_in.begin()

            async def then_changed(credential: str) -> Principal:
                principal = identity.who_now(credential)
                change()
                return principal

            identity.who = then_changed  # type: ignore[method-assign]
            await sign_in.find_out(partial(identity.who, token()), 0)
        assert opened.ended == code
        sign_in.end()
        assert not found.signed_in


async def test_a_read_that_waits_for_a_change_waits_for_what_may_be_read_only(wallet: WalletStub, place: Place) -> None:
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(door(wallet, place))
        http = await stack.enter_async_context(aiohttp.ClientSession())

        async def read(account: str, wait_ms: int) -> tuple[int, str, float]:
            headers, began = {"authorization": f"Bearer {token()}"}, time.monotonic()
            path = f"{served.url}/v1/accounts/{account}?after_version=0&wait_ms={wait_ms}"
            async with http.get(path, headers=headers) as answer:
                return answer.status, await answer.text(), time.monotonic() - began

        waiting = [
            asyncio.create_task(read(name, ms)) for name, ms in (("alice", 10_000), ("bob", 700), ("nobody", 700))
        ]
        while served.gateway.hub.streams < 3:  # noqa: ASYNC110 - until all of them wait
            await asyncio.sleep(0.01)
        await wallet.transfer("@world", "bob", 5)
        await wallet.transfer("@world", "alice", 5)
        alice, bob, nobody = await asyncio.gather(*waiting)
        assert alice[0] == 200
        assert alice[2] < LIMIT_S / 3
        assert bob[:2] == nobody[:2]
        assert bob[0] == 404
        assert min(bob[2], nobody[2]) >= 0.7, "a change of what may not be read ends no wait"


async def test_who_leaves_before_it_is_found_out_who_they_are_is_not_kept(wallet: WalletStub, place: Place) -> None:
    async with door(wallet, place, auth_keys_ask_again_s=1, stream_sign_in_ms=300, stream_close_ms=100) as served:
        found = served.gateway._door
        assert found is not None
        identity, may_answer = found.identity, asyncio.Event()
        keys = identity._keys
        assert keys is not None
        keys._asked_at -= 10  # type: ignore[operator]
        place.keys.write_bytes(jwks(SIGNER, LATER))
        read = keys._source.read

        async def late() -> bytes:
            await may_answer.wait()
            return await read()

        keys._source.read = late  # type: ignore[method-assign]
        async with stream(served) as opened:
            await say(opened, "auth", 0, token=token(signer=LATER))
            while not keys._asking.locked():  # noqa: ASYNC110 - until the issuer is asked
                await asyncio.sleep(0.01)
            assert await closed(opened) == CloseCode.NOT_SIGNED_IN
        while served.gateway.hub.streams:  # noqa: ASYNC110 - until the gateway has noticed
            await asyncio.sleep(0.01)
        may_answer.set()
        while found._tasks:  # noqa: ASYNC110 - until it is found out
            await asyncio.sleep(0.01)
        assert (found.unauthenticated.used, found.signed_in) == (0, set())
