"""The write side's HTTP edge: bodies to commands, one submission a request, answers and refusals to JSON.

What is accepted `fanfold/api` says, how a request is read and answered `fanfold/doors`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from fanfold.api import routes
from fanfold.api.body_checks import (
    PRINCIPAL,
    Members,
    body_about,
    hold_body,
    open_body,
    plain_transfer,
    transfer_body,
)
from fanfold.api.openapi import side_document
from fanfold.api.problems import PROBLEMS
from fanfold.api.requests import BODY_BYTES_MAX, Capture, Change, Reverse, Void
from fanfold.api.requests import Command as Asked
from fanfold.api.strict_json import parse_object
from fanfold.doors.answer import JSON, Response, json_response, problem
from fanfold.doors.application import Door, Handle, application, probes
from fanfold.doors.incoming import Incoming
from fanfold.doors.metrics import HttpMetrics
from fanfold.doors.request import (
    COMMANDS_TAKE_NONE,
    Headers,
    Scope,
    media_type,
    named_by_path,
    read_body,
    read_headers,
    refuse_query,
)
from write_side.contract.log.log import LogFailed
from write_side.contract.tell.answers import Answer
from write_side.contract.words.atoms import parse_account
from write_side.doors.answer_headers import answer_headers, replayed_header
from write_side.doors.asked_commands import command_of
from write_side.doors.batch_door import BatchDoor, BatchIntake, BatchMetrics
from write_side.doors.prefer_header import wait_preference
from write_side.intake.intake import Overloaded, Stopping
from write_side.ledger.commands.commands import Command
from write_side.owner.outcomes import OutcomeUnknown, PartitionUnavailable

Standing = Callable[[], dict[str, dict[str, object]]]
"""By partition: `reason` is why it does not serve, None while it does."""


class Intake(BatchIntake, Protocol):
    """What this edge needs of `write_side/intake/intake.py`."""

    async def dry_run(self, command: Command) -> Answer:
        """What `submit` would answer now, marked `dry_run`; nothing reaches the log. Raises Overloaded and Stopping."""
        ...


def create_app(
    intake: Intake,
    *,
    registry: CollectorRegistry,
    ready: Callable[[], list[str]],
    standing: Standing = dict,
    told_ready: Callable[[], dict[str, object]] = dict,
) -> FastAPI:
    """The application. `ready` gives the reasons why no request would be answered, none when one would; `standing` how each
    partition does; `told_ready` what else it says when it is ready."""
    metrics = HttpMetrics(registry, "write")
    commands = _Doors(intake)
    handles: dict[str, Handle] = {
        routes.TRANSFER.path: commands.transfer,
        routes.BATCH.path: BatchDoor(intake, BatchMetrics(registry)),
        routes.REVERSE.path: commands.reverse,
        routes.HOLD.path: commands.hold,
        routes.CAPTURE.path: commands.capture,
        routes.VOID.path: commands.void,
        routes.OPEN_ACCOUNT.path: commands.account,
    }
    methods: dict[str, tuple[str, ...]] = {}
    for route in routes.ROUTES:
        if route.side == "write":
            methods[route.path] = (*methods.get(route.path, ()), route.method)
    doors = [Door(methods[path], path, handles[path]) for path in methods]
    told = probes(registry, lambda: _readiness(ready(), standing(), told_ready()), partial(side_document, "write"))
    return application("fanfold write side", [*doors, *told], metrics, _refusal)


def _refusal(failure: Exception) -> Response | None:
    match failure:
        case Overloaded():
            return problem("overloaded")
        case Stopping():
            return problem("stopping")
        case PartitionUnavailable():
            return partition_stopped(failure)
        case OutcomeUnknown() | LogFailed():  # a log that does not answer may have what was asked
            return problem("outcome_unknown")
        case _:
            return None


class _Doors:
    """The addresses where single commands come in."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def account(self, scope: Scope, incoming: Incoming) -> Response:
        refuse_query(scope.get("query_string", b""), COMMANDS_TAKE_NONE)
        account = parse_account(named_by_path(scope, routes.OPEN_ACCOUNT))
        if scope["method"] == "PATCH":
            return await self._command(scope, incoming, partial(body_about, Change, account))
        headers = read_headers(scope["headers"])
        asked_by = incoming.whose or ""
        command = command_of(open_body(account, parse_object(await _body(headers, incoming))))
        try:
            (answer,) = await self._intake.submit((command,), asked_by=asked_by)
        except OutcomeUnknown:
            return problem("outcome_unknown", account=account)
        return _written(answer)

    async def transfer(self, scope: Scope, incoming: Incoming) -> Response:
        return await self._command(scope, incoming, transfer_body)

    async def hold(self, scope: Scope, incoming: Incoming) -> Response:
        return await self._command(scope, incoming, hold_body)

    async def capture(self, scope: Scope, incoming: Incoming) -> Response:
        return await self._command(scope, incoming, partial(body_about, Capture, named_by_path(scope, routes.CAPTURE)))

    async def void(self, scope: Scope, incoming: Incoming) -> Response:
        return await self._command(scope, incoming, partial(body_about, Void, named_by_path(scope, routes.VOID)))

    async def reverse(self, scope: Scope, incoming: Incoming) -> Response:
        return await self._command(scope, incoming, partial(body_about, Reverse, named_by_path(scope, routes.REVERSE)))

    async def _command(
        self, scope: Scope, incoming: Incoming, read: Callable[[Members, str | None, str], tuple[Asked, bool]]
    ) -> Response:
        refuse_query(scope.get("query_string", b""), COMMANDS_TAKE_NONE)
        headers = read_headers(scope["headers"])
        wait_s, asked_by = wait_preference(scope["headers"]), incoming.whose or ""
        body = await _body(headers, incoming)
        key = headers.get(b"idempotency-key")
        asked: Asked | None = plain_transfer(body) if read is transfer_body and key is None else None
        dry_run = False
        if asked is None:
            key_text = None if key is None else key.decode("latin-1")
            asked, dry_run = read(parse_object(body), key_text, asked_by or PRINCIPAL)
        command = command_of(asked)
        try:
            if dry_run:
                answer = await self._intake.dry_run(command)
                return json_response(answer.status, answer.document, replayed_header(answer))
            (answer,) = await self._intake.submit((command,), wait_s=wait_s, asked_by=asked_by)
        except OutcomeUnknown:
            return problem("outcome_unknown", id=asked.id)
        return _written(answer)


def _written(answer: Answer) -> Response:
    """What a write is answered, with its position."""
    return json_response(answer.status, answer.document, answer_headers(answer))


async def _body(headers: Headers, incoming: Incoming) -> bytes:
    media_type(headers, JSON)
    return await read_body(headers, incoming, bytes_max=BODY_BYTES_MAX)


def _readiness(not_ready: list[str], standing: dict[str, dict[str, object]], told: dict[str, object]) -> Response:
    if not_ready:
        progress = {number: said["progress"] for number, said in standing.items() if "progress" in said}
        starting = {"partitions": progress} if progress else None
        return problem("not_ready", ready=False, reasons=not_ready, partitions=standing or None, starting=starting)
    away = [f"partition {number}: {said['reason']}" for number, said in standing.items() if said["reason"] is not None]
    status = "degraded" if away else "ready"
    partitions = {"degraded": away, "partitions": standing} if standing else {}
    return json_response(200, {"status": status} | partitions | told)


def partition_stopped(unavailable: PartitionUnavailable) -> Response:
    """The refusal of a partition that does not serve: which one, why, and that nothing was done."""
    if unavailable.is_starting:
        return problem("starting", detail=f"This request was not taken. {PROBLEMS['starting'].detail}")
    return problem("partition_stopped", partition=unavailable.partition, reason=unavailable.reason)
