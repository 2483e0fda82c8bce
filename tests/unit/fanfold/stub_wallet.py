"""A small wallet in memory on a real port: the REST and WebSocket API of the service, for the client and its commands."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
from collections import defaultdict
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

from fanfold.api.problems import NOBODY_HAS_IT, PROBLEMS, problem_document
from write_side.contract.tell.answers import Answer, account_document
from write_side.contract.tell.done_lines import DoneLine
from write_side.contract.words.atoms import NO_FLOOR, format_floor, format_transfer_id
from write_side.contract.words.codes import REFUSALS, Code, Flag
from write_side.doors.http_api import create_app
from write_side.intake.refused_ahead import transfers_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Rich,
    Transfer,
    Void,
)

AT = "2026-01-01T00:00:00.000000Z"
START_SECONDS_MAX = 20.0


class _Book:
    """Accounts, what is held, and what has moved; system accounts have no terms."""

    def __init__(self) -> None:
        self.terms: dict[str, OpenAccount] = {}
        self.posted: defaultdict[str, int] = defaultdict(int)
        self.held: defaultdict[str, int] = defaultdict(int)
        self.version: defaultdict[str, int] = defaultdict(int)
        self.flags: defaultdict[str, Flag] = defaultdict(lambda: Flag(0))
        self.holds: dict[bytes, list[tuple[str, int]]] = {}
        self.moved: dict[bytes, list[tuple[str, int]]] = {}


class StubWallet:
    """State and faults. `fail_next`: so many requests are answered 503; `lose_next`: the answer is lost; `silent_next`: it never
    comes, though the connection stays. `block`: the sequence of the newest answer."""

    def __init__(self) -> None:
        self.url = ""
        self.block = -1
        self.fail_next = 0
        self.away: set[int] = set()
        """Partitions, of two, that do not tell what is under way, nor their system accounts."""
        self.unreadable: dict[str, str] = {}
        """Accounts that cannot be read, and the code that says why."""
        self.stale: set[str] = set()
        """Accounts whose partition's log is damaged."""
        self.stale_partitions: list[dict[str, Any]] = []
        """What a list says of partitions whose logs are damaged."""
        self.stale_since: str | None = None
        """What is told with outcomes that are read."""
        self.far: list[dict[str, Any]] = []
        """What is told of how far each partition is."""
        self.elsewhere: list[int] = []
        self.fail_code = "overloaded"
        self.fail_reason: str | None = None
        self.lose_next = 0
        self.silent_next = 0
        self.requests = 0
        self.commands: list[Command] = []
        self.modes: list[Mode] = []
        self.waits: list[float | None] = []
        self.pending_next = False
        """Whether the next transfer of legs is still under way when its answer is due."""
        self.sockets = 0
        self.subscribed: list[dict[str, Any]] = []
        self._book = _Book()
        self._answers: dict[bytes, Answer] = {}
        self._first: dict[bytes, Transfer | Rich] = {}
        self._changed = asyncio.Condition()
        self._drop = False
        self.stopping = False

    async def submit(
        self,
        commands: Sequence[Command],
        mode: Mode = Mode.CONTINUE,
        wait_s: float | None = None,
        runs: int | None = None,
        asked_by: str = "",
    ) -> list[Answer]:
        assert runs is None
        self.block += 1
        self.commands += commands
        self.modes.append(mode)
        self.waits.append(wait_s)
        answers = [self._open(c) if isinstance(c, OpenAccount) else self._once(c) for c in commands]
        async with self._changed:
            self._changed.notify_all()
        return answers

    async def submit_plain(
        self, batch: CommandBatch, wait_s: float | None, asked_by: str = ""
    ) -> list[Answer | DoneLine]:
        return list(await self.submit(transfers_of(batch), wait_s=wait_s))

    async def submit_batch(self, batch: CommandBatch, mode: Mode, wait_s: float | None, asked_by: str = "") -> Any:
        raise NotImplementedError

    async def dry_run(self, command: Command) -> Answer:
        assert not isinstance(command, OpenAccount)
        kept, self._book = self._book, copy.deepcopy(self._book)
        status, document = self._decide(command)
        self._book = kept
        return Answer(status, document | {"dry_run": True})

    def drop_sockets(self) -> None:
        """Ends every WebSocket as a restarting gateway does."""
        self._drop = True

    def state(self, account: str) -> dict[str, Any]:
        book = self._book
        terms = book.terms[account]
        document = account_document(
            account=account,
            asset=terms.asset,
            posted=book.posted[account],
            held=book.held[account],
            floor=terms.floor,
            version=book.version[account],
            position=f"0:{self.block}",
            at=AT,
        )
        return document | {"flags": [str(flag.name).lower() for flag in book.flags[account]]}

    def _open(self, command: OpenAccount) -> Answer:
        existed = command.account in self._book.terms
        if self._book.terms.setdefault(command.account, command) != command:
            return _refused(Code.ACCOUNT_EXISTS, position=f"0:{self.block}")
        self._book.version.setdefault(command.account, 0)
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

    def _once(self, command: Transfer | Rich) -> Answer:
        if command.id not in self._answers:
            answer = self._decide(command)
            self._answers[command.id] = Answer(answer.status, {"position": f"0:{self.block}"} | answer.document)
            self._first[command.id] = command
        elif self._first[command.id] != command:
            return _refused(Code.ID_REUSED, id=format_transfer_id(command.id), position=f"0:{self.block}")
        return self._answers[command.id]

    def _decide(self, command: Transfer | Rich) -> Answer:
        book, id = self._book, format_transfer_id(command.id)
        match command:
            case LegsTransfer() if self.pending_next:
                self.pending_next = False
                how: dict[str, object] = {"protocol": command.protocol.name.lower(), "phase": "trying"}
                return Answer(202, {"id": id, "result": "pending", "position": f"0:{self.block}", "at": AT} | how)
            case Transfer() | LegsTransfer():
                moves = _moves(command)
                book.moved[command.id] = moves
                return self._move(id, moves)
            case Hold():
                moves = _moves(command)
                if refused := self._short(id, moves):
                    return refused
                book.holds[command.id] = moves
                return self._hold(id, "held", moves, 1)
            case Capture() | Void() if command.hold not in book.holds:
                return _refused(Code.HOLD_UNKNOWN, id=id)
            case Void():
                return self._hold(id, "voided", book.holds.pop(command.hold), -1)
            case Capture():
                moves = book.holds.pop(command.hold)
                self._hold(id, "voided", moves, -1)
                if command.amount:
                    left = [(account, amount - _signed(amount, command.amount)) for account, amount in moves]
                    moves = [(account, _signed(amount, command.amount)) for account, amount in moves]
                    if not command.final and any(amount for _, amount in left):
                        book.holds[command.hold] = left
                        self._hold(id, "held", left, 1)
                return self._move(id, moves, hold=format_transfer_id(command.hold))
            case Reverse():
                moves = [(account, -amount) for account, amount in book.moved[command.transfer]]
                return self._move(id, moves, reverses=format_transfer_id(command.transfer))
            case Change():
                book.flags[command.account] = (book.flags[command.account] | command.set) & ~command.clear
                book.version[command.account] += 1
                return self._told(id, "changed", [command.account], 200)

    def _move(self, id: str, moves: list[tuple[str, int]], **more: Any) -> Answer:
        if refused := self._short(id, moves):
            return refused
        for account, amount in moves:
            self._book.posted[account] += amount
            self._book.version[account] += 1
        return self._told(id, "done", [account for account, _ in moves], **more)

    def _hold(self, id: str, result: str, moves: list[tuple[str, int]], sign: int) -> Answer:
        givers = [(account, -amount) for account, amount in moves if amount < 0]
        for account, amount in givers:
            self._book.held[account] += sign * amount
            self._book.version[account] += 1
        return self._told(id, result, [account for account, _ in givers])

    def _short(self, id: str, moves: list[tuple[str, int]]) -> Answer | None:
        for account, amount in moves:
            if account.startswith("@"):
                continue
            if account not in self._book.terms:
                return _refused(Code.ACCOUNT_UNKNOWN, id=id)
            if amount < 0 and Flag.DEBIT_FROZEN in self._book.flags[account]:
                return _refused(Code.DEBIT_FROZEN, id=id)
            floor = self._book.terms[account].floor
            spendable = self._book.posted[account] - self._book.held[account] - floor
            if floor != NO_FLOOR and spendable + amount < 0:
                return _refused(Code.INSUFFICIENT_AVAILABLE, id=id, available=str(spendable))
        return None

    def _told(self, id: str, result: str, accounts: list[str], status: int = 201, **more: Any) -> Answer:
        states = [self.state(account) for account in accounts if not account.startswith("@")]
        told = {"id": id, "result": result, "position": f"0:{self.block}", "at": AT, "accounts": states}
        return Answer(status, told | more)

    async def read_open_transfers(self, request: Request) -> Response:
        wanted = dict(request.query_params)
        asked = [int(number) for number in wanted.get("partitions", "0,1").split(",")]
        if max(asked) > 1:
            return JSONResponse(problem_document("parameter_malformed"), 400)
        if any(number in self.away for number in asked):
            return JSONResponse(problem_document("partition_unavailable", reason="it is damaged"), 503)
        waiting = [{"step": 1, "partition": 2, "action": "try"}]
        found: dict[str, Any] = {
            "id": wanted["phase"],
            "protocol": "tcc",
            "phase": "trying",
            "partition": asked[0],
            "begun": "0:7",
        }
        age_ms = int(wanted["older_than"]) * 1000
        told = {"transfers": [found | {"age_ms": age_ms, "waiting_for": waiting}], "position": "0:9"}
        return JSONResponse(told | ({"stale": self.stale_partitions} if self.stale_partitions else {}))

    async def read_account(self, request: Request) -> Response:
        account = request.path_params["account"]
        if account in self.unreadable:
            return JSONResponse(problem_document(self.unreadable[account], reason="it is damaged"), 503)
        if account not in self._book.terms:
            return JSONResponse(problem_document("account_not_found", position=f"0:{self.block}"), 404)
        return JSONResponse(self.state(account) | ({"stale_since": AT} if account in self.stale else {}))

    async def read_system(self, request: Request) -> Response:
        asset = request.query_params["asset"]
        if "/" not in asset:
            return JSONResponse(problem_document("asset_malformed"), 400)
        asked = [
            int(number) for number in request.query_params.get("partitions", "0,1" if self.away else "0").split(",")
        ]
        if max(asked) > 1:
            return JSONResponse(problem_document("parameter_malformed"), 400)
        if any(number in self.away for number in asked):
            return JSONResponse(problem_document("partition_unavailable", reason="it is damaged"), 503)
        ours = [account for account, terms in self._book.terms.items() if terms.asset == asset]
        if not ours and "partitions" not in request.query_params:
            return JSONResponse(problem_document("account_not_found", detail=NOBODY_HAS_IT), 404)
        world, position = str(-sum(self._book.posted[account] for account in ours)), f"0:{self.block}"
        state = {"posted": world, "held": "0", "version": 1, "at": AT}
        part = {"partition": 0, "position": position, "world": state if ours else None, "transit": None}
        found = {"asset": asset, "world": world, "transit": "0", "positions": position, "partitions": [part]}
        return JSONResponse(found)

    async def read_positions(self, _request: Request) -> Response:
        return JSONResponse({"partitions": self.far, "elsewhere": self.elsewhere})

    async def read_transfer(self, request: Request) -> Response:
        for id, answer in self._answers.items():
            if format_transfer_id(id) == request.path_params["id"]:
                old = {} if self.stale_since is None else {"stale_since": self.stale_since}
                return JSONResponse(answer.document | old, answer.status)
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
                {"account": name, "sub": sub, "version": self._book.version.get(name)}
                | ({} if name in self._book.version else {"code": "account_not_found"})
                | ({"version": None, "code": self.unreadable[name]} if name in self.unreadable else {})
                for sub, name in enumerate(wanted)
            ]
            await socket.send_json({"op": "ack", "id": message["id"], "accounts": rows})
            sent = {item["account"]: item["since"] for item in message["accounts"] if "since" in item}
            first = set(wanted)
            while not (self._drop or self.stopping):
                for sub, account in enumerate(wanted):
                    if account in self.unreadable:
                        continue
                    version = self._book.version.get(account, -1)
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
            Route("/v1/positions", self.read_positions, methods=["GET"]),
            Route("/v1/system", self.read_system, methods=["GET"]),
            Route("/v1/transfers", self.read_open_transfers, methods=["GET"]),
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
                reason = {} if self.fail_reason is None else {"reason": self.fail_reason}
                await JSONResponse(problem_document(self.fail_code) | reason, 503)(scope, receive, send)
                return
            app = reads if scope["method"] == "GET" else write_side
            if self.lose_next > 0:
                self.lose_next -= 1
                await app(scope, receive, _nowhere)
                raise ConnectionResetError("the answer is lost on the way")
            if self.silent_next > 0:
                self.silent_next -= 1
                await app(scope, receive, _nowhere)
                while (await receive())["type"] != "http.disconnect":
                    pass
                return
            await app(scope, receive, send)

        return serve


def _moves(command: Transfer | LegsTransfer | Hold) -> list[tuple[str, int]]:
    if isinstance(command, Transfer):
        return [(command.debit, -command.amount), (command.credit, command.amount)]
    return [(leg.account, leg.amount) for leg in command.legs]


def _signed(like: int, amount: int) -> int:
    return amount if like > 0 else -amount


async def _nowhere(_message: Any) -> None:
    pass


def _refused(code: Code, **more: object) -> Answer:
    word = REFUSALS[code]
    problem = PROBLEMS[word]
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
