"""What the doors say while there is no log to read: the first start of an installation, where the write side makes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from fanfold.api import routes
from fanfold.api.openapi import side_document
from fanfold.api.problems import problem_document
from fanfold.doors.answer import Response, json_response, problem
from fanfold.doors.application import Door, application, probes
from fanfold.doors.incoming import Incoming
from fanfold.doors.metrics import HttpMetrics
from fanfold.doors.request import Scope

OPENING: Final = "the log is being opened"
_DETAIL: Final = "There is no log to read yet, so nothing is known and nothing is said. Try again soon."


def create_app(reason: Callable[[], str]) -> FastAPI:
    """The application. reason: why there is no log, as `/readyz` tells it."""
    registry = CollectorRegistry()

    async def nothing(_scope: Scope, _incoming: Incoming) -> Response:
        return problem("not_ready", detail=_DETAIL, reasons=[reason()])

    def ready() -> Response:
        document = problem_document("not_ready", reasons=[reason()])
        return json_response(503, document | {"ready": False, "degraded": [], "partitions": []})

    reads = [Door((route.method,), route.path, nothing) for route in routes.ROUTES if route.side == "read"]
    told = probes(registry, ready, partial(side_document, "read"))
    return application("fanfold read side", [*reads, *told], HttpMetrics(registry, "read"), lambda _: None)
