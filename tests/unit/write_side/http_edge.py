"""The write side's HTTP edge under test: an intake in memory behind it, and a client that speaks ASGI to it directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from fanfold.api.problems import problem_document
from fanfold.api.questions import WAIT_SECONDS_MAX
from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.routes import NDJSON
from tests.documented import check_documented, route_of
from write_side.contract.tell.answers import Answer
from write_side.contract.tell.done_lines import DoneLine
from write_side.contract.words.atoms import (
    LIMIT,
    NO_FLOOR,
    WORLD,
    format_floor,
    format_transfer_id,
    parse_account,
    parse_asset,
)
from write_side.contract.words.codes import Flag
from write_side.doors.http_api import create_app
from write_side.intake.outcome_columns import BatchOutcome
from write_side.intake.refused_ahead import transfers_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    ANY_AVAILABLE,
    ANY_VERSION,
    LEGS_MAX,
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    Note,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.ledger.commands.commands import Protocol as HowAcross

AT = "2026-01-01T00:00:00.000000Z"
ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
TRANSFER: dict[str, Any] = {"id": ID, "from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"}
TERMS: dict[str, Any] = {"asset": "USD/2", "floor": "0"}
OTHER_ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ac"
LEGS: list[dict[str, Any]] = [
    {"account": "alice", "amount": "-30"},
    {"account": "bob", "amount": "20"},
    {"account": "carol", "amount": "10"},
]
LEGS_TRANSFER: dict[str, Any] = {"id": ID, "legs": LEGS, "asset": "USD/2"}
HOLD: dict[str, Any] = TRANSFER | {"deadline": "2027-01-01T00:00:00Z"}
CAPTURE: dict[str, Any] = {"id": ID, "amount": "5"}
ONLY_ID: dict[str, Any] = {"id": ID}
FREEZE: dict[str, Any] = {"id": ID, "debit": "frozen"}
DOORS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/transfers", TRANSFER),
    ("POST", "/v1/transfers", LEGS_TRANSFER),
    ("POST", f"/v1/transfers/{OTHER_ID}/reverse", ONLY_ID),
    ("POST", "/v1/holds", HOLD),
    ("POST", f"/v1/holds/{OTHER_ID}/capture", CAPTURE),
    ("POST", f"/v1/holds/{OTHER_ID}/void", ONLY_ID),
    ("PATCH", "/v1/accounts/alice", FREEZE),
]
"""Method, path and a good body of every address that takes one command with an id."""


class MemoryIntake:
    """Answers like the real one, and fails the test when anything out of range gets this far."""

    def __init__(self) -> None:
        self.submissions: list[list[Command]] = []
        self.batches: list[CommandBatch] = []
        self.dry_runs: list[Command] = []
        self.modes: list[Mode] = []
        self.waits: list[float | None] = []
        self.failure: Exception | None = None
        self.pending = False
        """Whether transfers of legs are under way when their answer is due."""
        self.askers: list[str] = []
        self._terms: dict[str, OpenAccount] = {}
        self._posted: dict[str, int] = {}
        self._version: dict[str, int] = {}

    @property
    def commands(self) -> list[Command]:
        return [command for submission in self.submissions for command in submission]

    async def submit(
        self,
        commands: Sequence[Command],
        mode: Mode = Mode.CONTINUE,
        wait_s: float | None = None,
        runs: int | None = None,
        asked_by: str = "",
    ) -> list[Answer]:
        if self.failure is not None:
            raise self.failure
        assert 0 < len(commands) <= BATCH_LINES_MAX
        assert wait_s is None or 0 <= wait_s <= WAIT_SECONDS_MAX
        for command in commands:
            check_command(command)
        taken = list(commands[:runs])
        if taken:
            self.submissions.append(taken)
        self.modes.append(mode)
        self.waits.append(wait_s)
        self.askers.append(asked_by)
        return [self._answer(command) for command in taken] + [
            _not_run(command, mode) for command in commands[len(taken) :]
        ]

    async def submit_plain(
        self, batch: CommandBatch, wait_s: float | None, asked_by: str = ""
    ) -> list[Answer | DoneLine]:
        # What a queue's other end would refuse must not get into one.
        CommandBatch.decode(batch.encode())
        return list(await self.submit(transfers_of(batch), wait_s=wait_s, asked_by=asked_by))

    async def submit_batch(
        self, batch: CommandBatch, mode: Mode, wait_s: float | None, asked_by: str = ""
    ) -> BatchOutcome:
        if self.failure is not None:
            raise self.failure
        # What a queue's other end would refuse must not get into one.
        CommandBatch.decode(batch.encode())
        self.batches.append(batch)
        self.modes.append(mode)
        self.waits.append(wait_s)
        self.askers.append(asked_by)
        n = len(batch)
        return BatchOutcome(
            np.full(n, 201, np.uint16), np.full(n, "done", object), np.full(n, "0:1", object), np.zeros(n, np.bool_)
        )

    async def dry_run(self, command: Command) -> Answer:
        if self.failure is not None:
            raise self.failure
        check_command(command)
        self.dry_runs.append(command)
        status, document = self._answer(command)
        return Answer(status, document | {"dry_run": True})

    def _answer(self, command: Command) -> Answer:
        match command:
            case OpenAccount():
                return self._open(command)
            case Transfer():
                return self._move(command)
            case Change():
                return _told(command.id, "changed", 200, accounts=[])
            case Void():
                return _told(command.id, "voided", hold=format_transfer_id(command.hold))
            case Hold():
                return _told(command.id, "held", accounts=[])
            case Capture():
                return _told(command.id, "done", hold=format_transfer_id(command.hold), accounts=[])
            case Reverse():
                return _told(command.id, "done", reverses=format_transfer_id(command.transfer), accounts=[])
            case LegsTransfer() if self.pending:
                return _told(command.id, "pending", 202, protocol="saga", phase="debiting")
            case LegsTransfer():
                step = {"step": 0, "action": "try", "partition": 0, "code": "done", "position": "0:1", "at": AT}
                across: dict[str, Any] = {"protocol": "saga", "phase": "done", "position": "0:1,3:9", "steps": [step]}
                return _told(command.id, "done", accounts=[], **across)

    def _open(self, command: OpenAccount) -> Answer:
        held = self._terms.setdefault(command.account, command)
        if held != command:
            return Answer(409, problem_document("account_exists_with_other_terms"))
        document: dict[str, object] = {
            "account": command.account,
            "asset": command.asset,
            "floor": format_floor(command.floor),
        }
        return Answer(201, document | {"result": "opened", "position": "0:1", "at": AT})

    def _move(self, command: Transfer) -> Answer:
        if command.amount == LIMIT:
            return Answer(
                422, problem_document("insufficient_available", id=format_transfer_id(command.id), available="3")
            )
        states = []
        for account, amount in ((command.debit, -command.amount), (command.credit, command.amount)):
            if account == WORLD:
                continue
            self._posted[account] = self._posted.get(account, 0) + amount
            self._version[account] = self._version.get(account, 0) + 1
            posted = str(self._posted[account])
            state = {"account": account, "asset": command.asset, "posted": posted, "held": "0", "available": posted}
            states.append(
                state | {"floor": "0", "version": self._version[account], "flags": [], "position": "0:1", "at": AT}
            )
        return _told(command.id, "done", accounts=states)


def _told(id: bytes, result: str, status: int = 201, **more: object) -> Answer:
    return Answer(status, {"id": format_transfer_id(id), "result": result, "position": "0:1", "at": AT} | more)


def _not_run(command: Command, mode: Mode) -> Answer:
    word = "not_run" if mode is Mode.STOP else "batch_refused"
    if isinstance(command, OpenAccount):
        return Answer(422, problem_document(word, account=command.account))
    return Answer(422, problem_document(word, id=format_transfer_id(command.id)))


def check_command(command: Command) -> None:
    """What every command promises to whoever is behind the doors (`write_side/ledger/commands/commands.py`)."""
    if isinstance(command, OpenAccount):
        parse_account(command.account)
        parse_asset(command.asset)
        assert command.floor == NO_FLOOR or abs(command.floor) <= LIMIT
        assert len(command.owner) <= 255
        assert command.owner.isascii()
        assert command.owner.isprintable()
        return
    _check_id(command.id)
    match command:
        case Transfer():
            parse_account(command.debit, system=True)
            parse_account(command.credit, system=True)
            parse_asset(command.asset)
            assert command.debit != command.credit
            assert 1 <= command.amount <= LIMIT
        case LegsTransfer():
            _check_legs(command.legs)
            assert isinstance(command.protocol, HowAcross)
            _check_note(command.note)
        case Hold():
            _check_legs(command.legs)
            assert 0 <= command.deadline_us < 2**63
            _check_note(command.note)
        case Capture():
            _check_id(command.hold)
            assert 0 <= command.amount <= LIMIT
            assert not (command.amount and command.legs)
            if command.legs:
                _check_legs(command.legs)
                assert all((leg.if_version, leg.if_available) == (ANY_VERSION, ANY_AVAILABLE) for leg in command.legs)
            assert isinstance(command.final, bool)
            assert isinstance(command.protocol, HowAcross)
            _check_note(command.note)
        case Void():
            _check_id(command.hold)
        case Reverse():
            _check_id(command.transfer)
            assert command.legs == ()
            assert isinstance(command.protocol, HowAcross)
            _check_note(command.note)
        case Change():
            parse_account(command.account)
            assert command.set | command.clear
            assert not command.set & command.clear
            assert (command.set | command.clear) in Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN | Flag.CLOSED


def _check_id(id: bytes) -> None:
    assert len(id) == 16
    assert id not in (bytes(16), b"\xff" * 16)


def _check_legs(legs: tuple[Leg, ...]) -> None:
    assert 2 <= len(legs) <= LEGS_MAX
    places = [(leg.account, leg.asset) for leg in legs]
    assert places == sorted(set(places))
    for asset in {leg.asset for leg in legs}:
        amounts = [leg.amount for leg in legs if leg.asset == asset]
        assert sum(amounts) == 0
        assert sum(amount for amount in amounts if amount > 0) <= LIMIT
    for leg in legs:
        parse_account(leg.account, system=True)
        parse_asset(leg.asset)
        assert 1 <= abs(leg.amount) <= LIMIT
        assert type(leg.if_version) is int
        assert ANY_VERSION <= leg.if_version < 10**18
        assert leg.if_available == ANY_AVAILABLE or abs(leg.if_available) <= LIMIT
        if leg.account == WORLD:
            assert (leg.if_version, leg.if_available) == (ANY_VERSION, ANY_AVAILABLE)


def _check_note(note: Note) -> None:
    assert len(note.reference) <= 128
    assert note.reference.isascii()
    assert not note.reference or note.reference.isprintable()
    if note.metadata:
        note.metadata.encode()  # no lone surrogates: it becomes a column of UTF-8
        members = json.loads(note.metadata)
        assert 1 <= len(members) <= 16
        assert all(1 <= len(name) <= 64 and len(text) <= 256 for name, text in members.items())
        assert note.metadata == json.dumps(members, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def code(self) -> str:
        """The code of a refusal, once it is sure that it is a whole problem document."""
        assert self.headers["content-type"] == "application/problem+json"
        document = self.document
        assert document["status"] == self.status
        assert document["type"] == f"urn:fanfold:problem:{document['code']}"
        assert document["title"]
        assert document["detail"]
        return str(document["code"])


def _check_documented(method: str, path: str, reply: Reply) -> None:
    route = route_of("write", method, path)
    if route is not None and reply.status >= 400:
        assert reply.code == reply.document["code"]
        check_documented("write", method, path, reply.status, reply.document)
    elif route is not None and reply.headers.get("content-type") == "application/json":
        check_documented("write", method, path, reply.status, reply.document)
    elif route is not None and route.of_lines and reply.headers["content-type"] == NDJSON:
        codes = {line["code"] for line in reply.lines if line["status"] >= 400}
        assert codes <= {*route.of_lines}, codes - {*route.of_lines}


class Edge:
    """The application and its intake; `call` is one request, its body in as many pieces as given."""

    def __init__(self, ready: Callable[[], list[str]] = list) -> None:
        self.intake = MemoryIntake()
        self.registry = CollectorRegistry()
        self.app: FastAPI = create_app(self.intake, registry=self.registry, ready=ready)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | list[bytes] = b"",
        *,
        content_type: str | None = "application/json",
        headers: dict[str, str] | None = None,
        declared_bytes: int | None = None,
        query: str = "",
    ) -> Reply:
        given = dict(headers or {})
        if content_type is not None:
            given["content-type"] = content_type
        if declared_bytes is not None:
            given["content-length"] = str(declared_bytes)
        reply = await ask(
            self.app, method, path, body, [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()], query
        )
        _check_documented(method, path, reply)
        return reply

    async def transfer(self, document: object = TRANSFER, **more: Any) -> Reply:
        return await self.call("POST", "/v1/transfers", as_bytes(document), **more)

    async def open(self, document: object = TERMS, account: str = "alice", **more: Any) -> Reply:
        return await self.call("PUT", f"/v1/accounts/{account}", as_bytes(document), **more)

    async def ask(self, method: str, path: str, document: object, **more: Any) -> Reply:
        return await self.call(method, path, as_bytes(document), **more)

    async def batch(self, *documents: object, **more: Any) -> Reply:
        body = b"\n".join(as_bytes(document) for document in documents)
        return await self.call("POST", "/v1/transfers:batch", body, **({"content_type": "application/x-ndjson"} | more))


def as_bytes(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


async def ask(
    app: FastAPI,
    method: str,
    path: str,
    body: bytes | list[bytes],
    headers: list[tuple[bytes, bytes]],
    query: str = "",
) -> Reply:
    pieces = [body] if isinstance(body, bytes) else list(body)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="replace"),
        "query_string": query.encode(errors="replace"),
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    head = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))
