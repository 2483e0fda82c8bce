"""A failure is logged with the id of its request, by which the gateway's access log has it, and with nothing else of it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from fanfold.doors.answer import Response
from fanfold.doors.application import Door, application
from fanfold.doors.incoming import Incoming
from fanfold.doors.metrics import HttpMetrics
from fanfold.doors.request import Scope
from tests.unit.read_side.asgi_client import ask


async def _fail(_: Scope, __: Incoming) -> Response:
    raise RuntimeError("marker-7391")


@pytest.mark.parametrize(
    ("said", "told"),
    [([b"abc-1"], "abc-1"), ([], "-"), ([b"a", b"b"], "-"), ([b"abc\n"], "-"), ([b"a\x1b[2J"], "-"), ([b"a" * 129], "-")],
)  # fmt: skip
async def test_a_failure_is_logged_with_its_requests_id(
    said: list[bytes], told: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(
        "test", [Door(("GET",), "/fail", _fail)], HttpMetrics(CollectorRegistry(), "test"), lambda _: None
    )
    reply = await ask(app, "GET", "/fail", more=[(b"x-request-id", each) for each in said])
    assert reply.status == 500
    [record] = caplog.records
    assert record.getMessage().startswith(f"request {told} to /fail failed: RuntimeError at ")
    assert "marker-7391" not in record.getMessage()
