"""What every client of the stream does alike: the Python client and the JavaScript one, in Node and in Chromium, before a gateway
that plays the shared cases (`tests/data/stream_cases.json`)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.async_api import async_playwright
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from fanfold.answers import BalanceChange
from fanfold.api.close_codes import is_final
from fanfold.api.problems import PASSING
from fanfold.api.routes import SUBPROTOCOL
from fanfold.stream import watch, watch_prefix
from fanfold.stream_connection import StreamEnded
from tests.end_to_end.console_page import ARGUMENTS

WAIT_S = 30
ROOT = Path(__file__).parents[2]
MODULE = ROOT / "clients" / "javascript" / "wallet-stream.js"
PLAYER = Path(__file__).with_name("stream_case.js")
CASES: list[dict[str, Any]] = json.loads((ROOT / "tests" / "data" / "stream_cases.json").read_text())
SENTINEL = "sentinel"
"""Watched beside the accounts of a case, and told last: who has heard of it has heard all."""
SENTINEL_SUB = 99
ITEM = {"held": "0", "available": "0", "at": "2026-01-01T00:00:00.000000Z"}
"""What an item has besides what a case says of it."""


class Told(NamedTuple):
    """told: balances that were passed on: account, version, posted. how: `told`, `refused` or `ended`. lives: how many had been
    passed on whenever the JavaScript client said that it is live."""

    told: list[list[Any]]
    how: str
    lives: Sequence[int] = ()


class Gateway:
    """Plays one case, over as many connections as it takes. `wrong`: what a client said that it should not have."""

    def __init__(self, case: dict[str, Any]) -> None:
        self._steps = [dict(step) for step in case["script"]]
        self._sentinel, self._prefix = _sentinel(case), case.get("prefix")
        self._ends = case.get("refused") or case.get("ended")
        self._lock = asyncio.Lock()
        self.over = asyncio.Event()
        self.wrong: list[str] = []

    async def serve(self, connection: ServerConnection) -> None:
        async with self._lock:  # a client that reconnects may come before the end of the connection before is seen
            with suppress(ConnectionClosed):
                await self._play(connection)

    async def _play(self, connection: ServerConnection) -> None:
        last: dict[str, Any] = {}
        while self._steps:
            step = self._steps[0]
            if "expect" in step:
                last = await self._hear(connection)
                self._compare(step["expect"], last)
                del self._steps[0]
                continue
            del self._steps[0]
            if "say" in step:
                await connection.send(json.dumps(_said(step["say"], last)))
            elif "close" in step:
                return await connection.close(step["close"])
            else:
                connection.transport.abort()
                return None
        if self._ends:
            self.over.set()
        else:
            await self._tell_sentinel(connection, last)
        async for text in connection:
            self.wrong += [] if json.loads(text)["op"] == "ping" else [text if isinstance(text, str) else ""]
        return None

    async def _hear(self, connection: ServerConnection) -> dict[str, Any]:
        """The next message that is no ping."""
        while True:
            message: dict[str, Any] = json.loads(await connection.recv())
            if message["op"] != "ping":
                return message

    def _compare(self, expected: dict[str, Any], message: dict[str, Any]) -> None:
        found = {name: value for name, value in message.items() if name not in ("id", "transfers")}
        if "accounts" in found:
            found["accounts"] = [each for each in found["accounts"] if each["account"] != SENTINEL]
        if found != expected:
            self.wrong.append(f"{found}, and not {expected}")

    async def _tell_sentinel(self, connection: ServerConnection, last: dict[str, Any]) -> None:
        acknowledged = {"account": self._sentinel, "sub": SENTINEL_SUB, "version": 0}
        prefix = {"prefix": self._prefix, "complete": True} if self._prefix else {}
        await connection.send(json.dumps({"op": "ack", "id": last["id"], "accounts": [acknowledged], **prefix}))
        item = {"sub": SENTINEL_SUB, "snapshot": True, "asset": "USD/2", "v": 0, "posted": "0", **ITEM}
        await connection.send(json.dumps({"op": "balances", "items": [item]}))


def _said(frame: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    if frame["op"] in ("ack", "error"):
        return {**frame, "id": last["id"]}
    return (
        {**frame, "items": [{**ITEM, **item} if isinstance(item, dict) else item for item in frame["items"]]}
        if ("items" in frame)
        else frame
    )


Client = Callable[[str, dict[str, Any]], Awaitable[Told]]


async def python_client(url: str, case: dict[str, Any]) -> Told:
    told: list[list[Any]] = []
    watching: AsyncGenerator[Any, None] = watch(url, [*case["watch"], SENTINEL], max_rate_hz=case.get("max_rate_hz"))
    if "prefix" in case:
        watching = watch_prefix(url, case["prefix"])
    try:
        async with aclosing(watching) as updates:
            async for update in updates:
                if isinstance(update, BalanceChange):
                    if update.account == _sentinel(case):
                        return Told(told, "told")
                    told.append([update.account, update.version, str(update.posted)])
    except StreamEnded as ended:
        return Told(told, "refused" if "refused" in str(ended) else "ended")
    raise AssertionError("a watch that ends says why")


async def node_client(url: str, case: dict[str, Any]) -> Told:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node here; Chromium runs the same module")
    script = (
        f"import * as module from {json.dumps(MODULE.as_uri())};\n"
        f"import {{ played }} from {json.dumps(PLAYER.as_uri())};\n"
        f"console.log(JSON.stringify(await played(module, {json.dumps(_stream(url))}, {json.dumps(_question(case))})));\n"
        "process.exit(0);\n"
    )
    flags = ["--input-type=module", "--no-warnings", "--experimental-websocket"]
    running = await asyncio.create_subprocess_exec(
        node, *flags, "-e", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WAIT_S):
            found, errors = await running.communicate()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()
    assert running.returncode == 0, errors.decode()
    return Told(**json.loads(found))


@pytest.fixture
async def page_client(chromium_path: str) -> AsyncIterator[Client]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        page = await browser.new_page()

        async def play(url: str, case: dict[str, Any]) -> Told:
            script = """async ([module, player, url, question]) => {
                const of = (text) => import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
                const { played } = await of(player);
                return played(await of(module), url, question);
            }"""
            files = [MODULE.read_text(), PLAYER.read_text()]
            return Told(**await page.evaluate(script, [*files, _stream(url), _question(case)]))

        yield play
        await browser.close()


def _stream(url: str) -> str:
    return "ws" + url.removeprefix("http") + "/v1/stream"


def _question(case: dict[str, Any]) -> dict[str, Any]:
    """What a client is made with."""
    options = {"maxRateHz": case["max_rate_hz"]} if "max_rate_hz" in case else {}
    prefix = {"prefix": case["prefix"]} if "prefix" in case else {}
    return {"watch": case["watch"], "sentinel": _sentinel(case), "options": options, **prefix}


def _sentinel(case: dict[str, Any]) -> str:
    """Of a prefix it is one more account that begins so."""
    return str(case.get("prefix", "")) + SENTINEL


@asynccontextmanager
async def gateway(case: dict[str, Any]) -> AsyncIterator[tuple[Gateway, str]]:
    playing = Gateway(case)
    async with serve(playing.serve, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        [listening] = server.sockets
        yield playing, f"http://127.0.0.1:{listening.getsockname()[1]}"


async def play(case: dict[str, Any], client: Client) -> None:
    async with gateway(case) as (playing, url), asyncio.timeout(WAIT_S):
        told = await client(url, case)
        how = next((word for word in ("refused", "ended") if case.get(word)), "told")
        assert playing.wrong == []
        assert told[:2] == (case["told"], how)


each_case = pytest.mark.parametrize("case", CASES, ids=[case["rule"].replace(" ", "-") for case in CASES])


@each_case
async def test_the_python_client_does(case: dict[str, Any]) -> None:
    await play(case, python_client)


@each_case
async def test_the_javascript_client_does_in_node(case: dict[str, Any]) -> None:
    await play(case, node_client)


async def test_the_javascript_client_is_live_when_it_has_told_what_was_acknowledged() -> None:
    """Not before, for what is shown until then is of before the outage; and to watch one more takes nothing back."""
    first = {"sub": 1, "snapshot": True, "asset": "USD/2", "v": 4, "posted": "900"}
    case = {
        "watch": ["alice"],
        "script": [
            {"expect": {"op": "subscribe", "accounts": [{"account": "alice"}]}},
            {"say": {"op": "ack", "accounts": [{"account": "alice", "sub": 1, "version": 4}]}},
            {"say": {"op": "balances", "items": [first]}},
            {"close": 1012},
            {"expect": {"op": "subscribe", "accounts": [{"account": "alice", "since": 4}]}},
            {"say": {"op": "ack", "accounts": [{"account": "alice", "sub": 8, "version": 7}]}},
            {"say": {"op": "balances", "items": [{"sub": 8, "v": 6, "posted": "800"}]}},
            {"say": {"op": "balances", "items": [{"sub": 8, "v": 7, "posted": "700"}]}},
            {"close": 1012},
            {"expect": {"op": "subscribe", "accounts": [{"account": "alice", "since": 7}]}},
            {"say": {"op": "ack", "accounts": [{"account": "alice", "sub": 9, "version": 7}]}},
        ],
    }
    async with gateway(case | {"rule": ""}) as (playing, url), asyncio.timeout(WAIT_S):
        told = await node_client(url, case)
    assert playing.wrong == []
    assert told.lives[:3] == [1, 3, 3]


@pytest.mark.browser
@each_case
async def test_the_javascript_client_does_in_chromium(case: dict[str, Any], page_client: Client) -> None:
    await play(case, page_client)


@pytest.mark.browser
async def test_both_clients_know_the_same_final_codes_and_passing_refusals(chromium_path: str) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path, args=ARGUMENTS)
        page = await browser.new_page()
        found = await page.evaluate(
            """async (text) => {
                const { isFinal, PASSING } = await import(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
                return [Array.from({ length: 4000 }, (_, n) => n + 1000).filter(isFinal), PASSING];
            }""",
            MODULE.read_text(),
        )
        await browser.close()
    assert found[0] == [code for code in range(1000, 5000) if is_final(code)]
    assert set(found[1]) == PASSING
