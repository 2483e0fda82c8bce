"""Access lines: what is in them, that each is one line whatever was asked, and when they are written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.route_names import RouteNames
from fanfold.api.routes import ROUTES
from gateway.arrivals.access_line import access_line
from gateway.arrivals.access_log import FLUSH_S, GATHERED_CHARS_MAX, AccessLog
from gateway.arrivals.arrival import Arrival
from gateway.arrivals.trace import Trace

NAMES = RouteNames(["/", "/readyz"])
MEASURED: Any = {"status": 201, "sent_bytes": 312, "took_s": 0.0042134}
NOW_US = 1_795_791_790_123_456


def arrival(**more: Any) -> Arrival:
    made = Arrival(("203.0.113.7", 5), "https", Trace(b"abc", b"00-%032x-%016x-00" % (1, 1)), 0.0)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_a_line_has_these_fields_in_this_order() -> None:
    known = arrival(principal="key:shop", upstream_s=0.0040011)
    line = access_line(known, "request", "POST", "/v1/transfers", now_us=NOW_US, **MEASURED)
    assert line == (
        '{"time":"2026-11-27T15:03:10.123456Z","event":"request","request_id":"abc",'
        '"traceparent":"00-00000000000000000000000000000001-0000000000000001-00","principal":"key:shop",'
        '"client":"203.0.113.7","method":"POST","route":"/v1/transfers","status":201,"bytes":312,"ms":4.213,'
        '"upstream_ms":4.001}\n'
    )


def test_what_is_not_known_is_null_or_left_out() -> None:
    told = json.loads(
        access_line(arrival(client=None), "close", "BREW", None, now_us=0, code=1000, cut=True, **MEASURED)
    )
    assert told["time"] == "1970-01-01T00:00:00.000000Z"
    assert (told["principal"], told["client"], told["route"], told["method"]) == (None, None, None, "other")
    assert (told["code"], told["cut"]) == (1000, True)
    assert "upstream_ms" not in told


def test_of_a_path_the_address_is_told_and_nobodys_name() -> None:
    told = {
        route.path: NAMES.of(route.path.format(account="alice", transfer="0197", hold="0197"))
        for route in ROUTES
        if route.public
    }
    assert told == {path: path for path in told}
    assert NAMES.of("/v1/accounts/alice\nbob") == "/v1/accounts/{account}"
    for elsewhere in ("/v1/accounts/", "/v1/accounts/a/b", "/token=secret", "", "/v1/accounts", "//v1/transfers"):
        assert NAMES.of(elsewhere) in (None, "/v1/accounts")
    assert (NAMES.of("/"), NAMES.of("/readyz"), NAMES.of("/metrics")) == ("/", "/readyz", None)


@given(
    principal=st.text(st.characters(codec=None), max_size=40),
    client=st.text(max_size=40),
    method=st.text(max_size=10),
    path=st.text(max_size=40),
    request_id=st.binary(max_size=20),
)
def test_a_line_is_one_line_of_plain_json_whatever_is_in_it(
    principal: str, client: str, method: str, path: str, request_id: bytes
) -> None:
    made = arrival(principal=principal, client=(client, 0), trace=Trace(request_id, request_id))
    line = access_line(made, "request", method, NAMES.of(path), now_us=NOW_US, **MEASURED)
    assert line.endswith("}\n")
    assert all(" " <= character <= "~" for character in line[:-1])
    told = json.loads(line)
    assert (told["principal"], told["client"]) == (principal, client)
    assert told["method"] in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other")


def log_into(written: list[str]) -> AccessLog:
    return AccessLog(NAMES, written.append, lambda: NOW_US)


async def test_lines_are_written_together_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    log, loop = log_into(written), asyncio.get_running_loop()
    timers: list[float] = []
    call_later = loop.call_later

    def noted(after_s: float, then: Callable[[], None]) -> asyncio.TimerHandle:
        timers.append(after_s)
        return call_later(3_600, then)

    monkeypatch.setattr(loop, "call_later", noted)
    for _ in range(50):
        log.add(arrival(), "request", "GET", "/readyz", **MEASURED)
    assert (written, timers) == ([], [FLUSH_S])
    log.flush()
    assert [text.count("\n") for text in written] == [50]
    log.flush()
    assert len(written) == 1, "nothing is written when there is nothing"
    log.add(arrival(), "request", "GET", "/readyz", **MEASURED)
    assert timers == [FLUSH_S, FLUSH_S]
    log.flush()


async def test_many_lines_do_not_wait_for_the_second() -> None:
    written: list[str] = []
    log = log_into(written)
    for _ in range(2_000):
        log.add(arrival(), "request", "GET", "/readyz", **MEASURED)
    assert 2 < len(written) < 20
    assert all(len(text) < GATHERED_CHARS_MAX + 1_000 for text in written)
    log.flush()
    assert sum(text.count("\n") for text in written) == 2_000


@pytest.mark.parametrize("failure", [OSError("no space"), ValueError("closed")])
async def test_an_output_that_is_gone_ends_nothing(failure: Exception) -> None:
    def write(_: str) -> None:
        raise failure

    log = AccessLog(NAMES, write)
    log.add(arrival(), "request", "GET", "/readyz", **MEASURED)
    log.flush()
