"""A small wallet in memory on a real port: the REST and WebSocket API of the service, for the client and its commands."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from write_side.contract.answers import Answer, account_document
from write_side.contract.atoms import NO_FLOOR, format_floor, format_transfer_id
from write_side.contract.codes import REFUSALS, Code, problem_document
from write_side.http_api import create_app
from write_side.ledger.commands import Command, OpenAccount, Transfer

AT = "2026-01-01T00:00:00.000000Z"
START_SECONDS_MAX = 20.0


class StubWallet:
    """State and faults. `fail_next`: so many requests are answered 503. `block`: the sequence of the newest answer."""

    def __init__(self) -> None:
        self.url = ""
        self.block = -1
        self.fail_next = 0
        self.lose_next = 0
        self.requests = 0
        self.commands: list[Command] = []
        self.sockets = 0
        self.subscribed: list[dict[str, Any]] = []
        self._terms: dict[str, OpenAccount] = {}
        self._posted: dict[str, int] = {}
        self._version: dict[str, int] = {}
        self._answers: dict[bytes, Answer] = {}
        self._changed = asyncio.Condition()
        self._drop = False
        self.stopping = False

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        self.block += 1
        self.commands += commands
        answers = [self._open(c) if isinstance(c, OpenAccount) else self._transfer(c) for c in commands]
        async with self._changed:
            self._changed.notify_all()
        return answers

    def drop_sockets(self) -> None:
        """Ends every WebSocket as a restarting gateway does."""
        self._drop = True

    def state(self, account: str) -> dict[str, Any]:
        terms = self._terms[account]
        return account_document(
            account=account,
            asset=terms.asset,
            posted=self._posted[account],
            held=0,
            floor=terms.floor,
            version=self._version[account],
            position=f"0:{self.block}",
            at=AT,
        )

    def _open(self, command: OpenAccount) -> Answer:
        existed = command.account in self._terms
        if self._terms.setdefault(command.account, command) != command:
            return _refused(Code.ACCOUNT_EXISTS)
        self._posted.setdefault(command.account, 0)
        self._version.setdefault(command.account, 0)
        document: dict[str, object] = {
            "account": command.account,
            "asset": command.asset,
            "floor": format_floor(command.floor),
            "owner": command.owner or None,
            "result": "exists" if existed else "opened",
            "position": f"0:{self.block}",
            "at": AT,
        }
        return Answer(200 if existed else 201, document)

    def _transfer(self, command: Transfer) -> Answer:
        if command.id not in self._answers:
            self._answers[command.id] = self._move(command)
        return self._answers[command.id]

    def _move(self, command: Transfer) -> Answer:
        id = format_transfer_id(command.id)
        moves = [(command.debit, -command.amount), (command.credit, command.amount)]
        clients = [(account, amount) for account, amount in moves if not account.startswith("@")]
        for account, amount in clients:
            if account not in self._terms:
                return _refused(Code.ACCOUNT_UNKNOWN, id=id)
            floor = self._terms[account].floor
            if floor != NO_FLOOR and amount < 0 and self._posted[account] + amount < floor:
                return _refused(Code.INSUFFICIENT_AVAILABLE, id=id, available=str(self._posted[account] - floor))
        for account, amount in clients:
            self._posted[account] += amount
            self._version[account] += 1
        position = f"0:{self.block}"
        states = [self.state(account) for account, _ in clients]
        return Answer(201, {"id": id, "result": "done", "position": position, "at": AT, "accounts": states})

    async def read_account(self, request: Request) -> Response:
        account = request.path_params["account"]
        if account not in self._terms:
            return JSONResponse(problem_document("account_not_found"), 404)
        return JSONResponse(self.state(account))

    async def read_transfer(self, request: Request) -> Response:
        for id, answer in self._answers.items():
            if format_transfer_id(id) == request.path_params["id"]:
                return JSONResponse(answer.document, answer.status)
        return JSONResponse(problem_document("transfer_not_found"), 404)

    async def stream(self, socket: WebSocket) -> None:
        await socket.accept("wallet.v1")
        self.sockets += 1
        sent: dict[str, int] = {}
        try:
            message = json.loads(await socket.receive_text())
            self.subscribed.append(message)
            wanted = [item["account"] for item in message["accounts"]]
            rows = [
                {"account": name, "sub": sub, "version": self._version.get(name)} for sub, name in enumerate(wanted)
            ]
            await socket.send_json({"op": "ack", "id": message["id"], "accounts": rows})
            sent = {item["account"]: item["since"] for item in message["accounts"] if "since" in item}
            first = set(wanted)
            while not (self._drop or self.stopping):
                for sub, account in enumerate(wanted):
                    version = self._version.get(account, -1)
                    if version > sent.get(account, -1):
                        sent[account] = version
                        await socket.send_json(
                            {"op": "balances", "items": [self._item(sub, account, account in first)]}
                        )
                        first.discard(account)
                async with self._changed:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), 0.02)
            self._drop = False
            await socket.close(1012, "the gateway is stopping")
        except WebSocketDisconnect:
            pass

    def _item(self, sub: int, account: str, first: bool) -> dict[str, Any]:
        state = self.state(account)
        item = {"sub": sub, "v": state["version"]} | {
            name: state[name] for name in ("posted", "held", "available", "at")
        }
        return item | {"snapshot": True, "asset": state["asset"]} if first else item

    def app(self) -> Any:
        write_side = create_app(self, registry=CollectorRegistry(), ready=list)
        routes = [
            Route("/v1/accounts/{account}", self.read_account, methods=["GET"]),
            Route("/v1/transfers/{id}", self.read_transfer, methods=["GET"]),
            WebSocketRoute("/v1/stream", self.stream),
        ]
        reads = Starlette(routes=[*routes, Mount("/", write_side)])

        async def serve(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http":
                await reads(scope, receive, send)
                return
            self.requests += 1
            if self.fail_next > 0:
                self.fail_next -= 1
                await JSONResponse(problem_document("overloaded"), 503)(scope, receive, send)
                return
            app = reads if scope["method"] == "GET" else write_side
            if self.lose_next > 0:
                self.lose_next -= 1
                await app(scope, receive, _nowhere)
                raise ConnectionResetError("the answer is lost on the way")
            await app(scope, receive, send)

        return serve


async def _nowhere(_message: Any) -> None:
    pass


def _refused(code: Code, **more: object) -> Answer:
    word, problem = REFUSALS[code]
    return Answer(problem.status, problem_document(word, **more))


@contextmanager
def running_wallet() -> Iterator[StubWallet]:
    """The stub on a free loopback port, in a thread of its own; stopped afterwards."""
    wallet = StubWallet()
    config = uvicorn.Config(
        wallet.app(), host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="websockets-sansio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not server.started:
        assert time.monotonic() < deadline, "the stub did not start"
        time.sleep(0.01)
    wallet.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield wallet
    finally:
        wallet.stopping = True
        server.should_exit = True
        thread.join(START_SECONDS_MAX)
