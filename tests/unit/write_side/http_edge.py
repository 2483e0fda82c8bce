"""The write side's HTTP edge under test: an intake in memory behind it, and a client that speaks ASGI to it directly."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from write_side.contract.answers import Answer
from write_side.contract.atoms import (
    LIMIT,
    NO_FLOOR,
    WORLD,
    format_floor,
    format_transfer_id,
    parse_account,
    parse_asset,
)
from write_side.contract.codes import problem_document
from write_side.http_api import BATCH_LINES_MAX, create_app
from write_side.ledger.commands import Command, OpenAccount, Transfer

AT = "2026-01-01T00:00:00.000000Z"
ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
TRANSFER: dict[str, Any] = {"id": ID, "from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"}
TERMS: dict[str, Any] = {"asset": "USD/2", "floor": "0"}


class MemoryIntake:
    """Answers like the real one, and fails the test when anything out of range gets this far."""

    def __init__(self) -> None:
        self.submissions: list[list[Command]] = []
        self.failure: Exception | None = None
        self._terms: dict[str, OpenAccount] = {}
        self._posted: dict[str, int] = {}
        self._version: dict[str, int] = {}

    @property
    def commands(self) -> list[Command]:
        return [command for submission in self.submissions for command in submission]

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        if self.failure is not None:
            raise self.failure
        assert 0 < len(commands) <= BATCH_LINES_MAX
        for command in commands:
            check_range(command)
        self.submissions.append(list(commands))
        return [self._open(c) if isinstance(c, OpenAccount) else self._move(c) for c in commands]

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
            states.append(state | {"floor": "0", "version": self._version[account], "position": "0:1", "at": AT})
        document = {"id": format_transfer_id(command.id), "result": "done", "position": "0:1", "at": AT}
        return Answer(201, document | {"accounts": states})


def check_range(command: Command) -> None:
    """What every command promises to the writer (`write_side/ledger/commands.py`)."""
    parse_asset(command.asset)
    if isinstance(command, OpenAccount):
        parse_account(command.account)
        assert command.floor == NO_FLOOR or abs(command.floor) <= LIMIT
        assert len(command.owner) <= 255
        assert command.owner.isascii()
        assert command.owner.isprintable()
        return
    parse_account(command.debit, system=True)
    parse_account(command.credit, system=True)
    assert command.debit != command.credit
    assert 1 <= command.amount <= LIMIT
    assert len(command.id) == 16
    assert command.id not in (bytes(16), b"\xff" * 16)


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
    ) -> Reply:
        given = dict(headers or {})
        if content_type is not None:
            given["content-type"] = content_type
        if declared_bytes is not None:
            given["content-length"] = str(declared_bytes)
        return await ask(
            self.app, method, path, body, [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()]
        )

    async def transfer(self, document: object = TRANSFER, **more: Any) -> Reply:
        return await self.call("POST", "/v1/transfers", as_bytes(document), **more)

    async def open(self, document: object = TERMS, account: str = "alice", **more: Any) -> Reply:
        return await self.call("PUT", f"/v1/accounts/{account}", as_bytes(document), **more)

    async def batch(self, *documents: object, **more: Any) -> Reply:
        body = b"\n".join(as_bytes(document) for document in documents)
        return await self.call("POST", "/v1/transfers:batch", body, **({"content_type": "application/x-ndjson"} | more))


def as_bytes(document: object) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


async def ask(
    app: FastAPI, method: str, path: str, body: bytes | list[bytes], headers: list[tuple[bytes, bytes]]
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
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("127.0.0.1", 8080),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    head = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], head, b"".join(message.get("body", b"") for message in sent[1:]))
