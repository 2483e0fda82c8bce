"""The application of a side: its addresses as plain ASGI endpoints, and everything that fails as a problem document.

Plain, because a request then costs one read, one strict parse and one write (fanfold/api/DECISIONS.md: what FastAPI's way costs);
the framework says what it does not know. What a client sent is never echoed and never logged.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from time import perf_counter
from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from fanfold.api import grammar
from fanfold.api.malformed import Malformed
from fanfold.doors.answer import Response, Send, json_response, malformed, problem, send
from fanfold.doors.incoming import Budget, Incoming, Receive, TooMuchAtOnce
from fanfold.doors.metrics import OTHER, HttpMetrics
from fanfold.doors.request import ClientGone, Scope, principal_of, refuse_query

Handle = Callable[[Scope, Incoming], Awaitable[Response]]
Refusals = Callable[[Exception], Response | None]
"""How a side tells an exception of its own; None for one that should not have come."""

_LOGGER = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(grammar.REQUEST_ID.encode())


class Door(NamedTuple):
    """path: with `{name}` where a client's text stands, whatever is in it; the handler says what it may be."""

    methods: tuple[str, ...]
    path: str
    handle: Handle


def application(
    title: str, doors: Iterable[Door], metrics: HttpMetrics, refusals: Refusals, budget: Budget | None = None
) -> FastAPI:
    """The application with these addresses and no other. budget: of all their bodies."""
    budget = budget or Budget()
    app = _Application(
        title=title,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It looks into the environment at every request, 12 us, and would report paths, which hold account ids.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            HTTPException: _refuse_request,
            RequestValidationError: _refuse_request,
            Exception: _fail_request,
        },
    )
    app.state.metrics = metrics
    for door in doors:
        path = door.path.replace("}", ":path}")
        endpoint = _Endpoint(door, metrics, refusals, budget)
        route = Route(path, endpoint, methods=[*door.methods])
        # A line break is a malformed id, not another address.
        route.path_regex = re.compile(route.path_regex.pattern, re.DOTALL)
        app.router.routes.append(route)
        app.answered.append(_Answered(route.path_regex, frozenset(route.methods or ()), endpoint))
    return app


class _Answered(NamedTuple):
    """A route of the framework, as far as a request needs it that has one."""

    path: re.Pattern[str]
    methods: frozenset[str]
    endpoint: _Endpoint


class _Application(FastAPI):
    """Requests that have a route go straight to its endpoint, which answers whatever it raises; the framework has the others.

    Between the two lie seven layers of it that only look for what an endpoint here never does, a third of the way in and out.
    """

    answered: list[_Answered]

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.answered = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"]
            for route in self.answered:
                if method in route.methods and route.path.match(path):
                    await route.endpoint(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


def telling(make: Callable[[], Response | Awaitable[Response]]) -> Handle:
    """An address that takes no parameters and tells something."""

    async def handle(scope: Scope, _incoming: Incoming) -> Response:
        refuse_query(scope.get("query_string", b""), "takes no parameters")
        made = make()
        return made if isinstance(made, Response) else await made

    return handle


def probes(
    registry: CollectorRegistry,
    ready: Callable[[], Response | Awaitable[Response]],
    describe: Callable[[], dict[str, object]],
) -> list[Door]:
    """What every process answers. Its description is made when first asked for, in some 0.1 s: a start does not wait for it."""
    described = cache(lambda: json_response(200, describe()))
    alive = json_response(200, {"status": "alive"})
    return [
        Door(("GET",), "/healthz", telling(lambda: alive)),
        Door(("GET",), "/readyz", telling(ready)),
        Door(
            ("GET",),
            "/metrics",
            telling(lambda: Response(200, CONTENT_TYPE_LATEST.encode(), generate_latest(registry))),
        ),
        Door(("GET",), "/openapi.json", telling(described)),
    ]


class _Endpoint:
    """One address: runs its handler and turns whatever it raises into a problem document."""

    def __init__(self, door: Door, metrics: HttpMetrics, refusals: Refusals, budget: Budget) -> None:
        self._route = door.path
        self._handle = door.handle
        self._metrics = metrics
        self._refusals = refusals
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send_message: Send) -> None:
        started = perf_counter()
        incoming = Incoming(receive, self._budget)
        try:
            incoming.whose = principal_of(scope)
            response = await self._handle(scope, incoming)
        except ClientGone:
            return
        except TooMuchAtOnce:
            response = problem("overloaded")
        except Malformed as refusal:
            response = malformed(refusal)
        except Exception as failure:
            told = self._refusals(failure)
            if told is None:
                _log_failure(self._route, scope["headers"], failure)
            response = told or problem("internal")
        finally:
            incoming.give_back()
        self._metrics.answered(self._route, response.status, perf_counter() - started)
        await send(send_message, response, head=scope["method"] == "HEAD")


async def _refuse_request(request: Request, refusal: Exception) -> StarletteResponse:
    """What the framework itself refuses: an address or a method that is not there."""
    status = refusal.status_code if isinstance(refusal, HTTPException) else 400
    word = {404: "not_found", 405: "method_not_allowed"}.get(status, "body_malformed")
    response = problem(word)
    request.app.state.metrics.answered(OTHER, response.status, 0.0)
    # The router keeps methods as a set, whose order is another one in each process.
    headers: dict[str, str] = getattr(refusal, "headers", None) or {}
    allowed = {name: ", ".join(sorted(value.split(", "))) for name, value in headers.items()}
    return StarletteResponse(response.body, response.status, allowed, response.content_type.decode())


async def _fail_request(request: Request, failure: Exception) -> StarletteResponse:
    _log_failure(OTHER, request.scope["headers"], failure)
    response = problem("internal")
    return StarletteResponse(response.body, response.status, None, response.content_type.decode())


def _log_failure(route: str, headers: Iterable[tuple[bytes, bytes]], failure: Exception) -> None:
    """Where it failed and with what kind of exception; its message is left out, for it may hold what the client sent. Of the
    headers the request id, by which the gateway's access log has the same request."""
    places = ", ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(failure.__traceback__))
    kind = type(failure).__name__
    _LOGGER.error("request %s to %s failed: %s at %s", _request_id(headers), route, kind, places)


def _request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """`-` where there is none, or not one that is well-formed."""
    said = [value for name, value in headers if name == b"x-request-id"]
    return said[0].decode() if len(said) == 1 and _REQUEST_ID.fullmatch(said[0]) else "-"
