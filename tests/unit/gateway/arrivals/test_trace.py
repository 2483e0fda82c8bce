"""Request ids and traces: passed on where they are well-formed, made where they are not."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api import grammar
from gateway.arrivals.trace import TRACESTATE_BYTES_MAX, Trace, trace_of

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
PARENT = b"00-%b-%b-01" % (TRACE, SPAN)
MADE_ID, MADE_PARENT = re.compile(rb"[0-9a-f]{32}\Z"), re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00\Z")


def of(*headers: tuple[bytes, bytes]) -> Trace:
    return trace_of(headers, random.getrandbits)


@pytest.mark.parametrize("given_id", [b"a", b"4bf9-x_y.z:1@2=/+", b"A" * 128])
def test_a_well_formed_request_id_is_passed_on(given_id: bytes) -> None:
    assert of((b"x-request-id", given_id)).request_id == given_id


@pytest.mark.parametrize("given_id", [b"", b"a b", b"a" * 129, b"a\n", b'"', b"\xff", b"a;b", b"a\x1b[2J", b"{}"])
def test_any_other_gets_one_of_ours(given_id: bytes) -> None:
    assert MADE_ID.match(of((b"x-request-id", given_id)).request_id)


def test_one_that_is_said_twice_is_none() -> None:
    assert MADE_ID.match(of((b"x-request-id", b"a"), (b"x-request-id", b"a")).request_id)
    assert MADE_PARENT.match(of((b"traceparent", PARENT), (b"traceparent", PARENT)).parent)


def test_a_trace_is_passed_on_as_it_came_with_its_state() -> None:
    told = of((b"traceparent", PARENT), (b"tracestate", b"a=1"), (b"tracestate", b"b=2"))
    assert told[1:] == (PARENT, b"a=1,b=2")
    assert told.headers == [(b"x-request-id", told.request_id), (b"traceparent", PARENT), (b"tracestate", b"a=1,b=2")]


@pytest.mark.parametrize(
    "parent",
    [
        b"",
        PARENT.upper(),
        PARENT + b"-",
        PARENT + b"\n",
        b"ff" + PARENT[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"01" + PARENT[2:] + b"-" + b"a" * 65,
        PARENT[:-1],
    ],
)
def test_a_malformed_trace_is_replaced_and_its_state_forgotten(parent: bytes) -> None:
    told = of((b"traceparent", parent), (b"tracestate", b"a=1"))
    assert MADE_PARENT.match(told.parent)
    assert told.state == b""


def test_a_later_version_is_understood_as_far_as_this_one_goes() -> None:
    assert of((b"traceparent", b"cc" + PARENT[2:-2] + b"03-more")).parent == PARENT


@pytest.mark.parametrize("state", [b"a=" + b"1" * TRACESTATE_BYTES_MAX, b"a=\xff", b"a=\x1b", b""])
def test_a_state_that_is_too_long_or_no_text_is_left_out(state: bytes) -> None:
    assert of((b"traceparent", PARENT), (b"tracestate", state)).state == b""


def test_made_ids_differ_and_no_part_of_a_trace_is_zero() -> None:
    told = {of().request_id for _ in range(1_000)} | {of().parent for _ in range(1_000)}
    assert len(told) == 2_000
    zeros = trace_of((), lambda bits: 0)
    assert zeros.parent == b"00-%032x-%016x-00" % (1, 1)


NAMES = st.sampled_from([b"x-request-id", b"traceparent", b"tracestate"])


@given(st.lists(st.tuples(NAMES, st.one_of(st.binary(max_size=80), st.just(PARENT)))))
def test_whatever_is_said_what_is_passed_on_is_well_formed(headers: list[tuple[bytes, bytes]]) -> None:
    told = of(*headers)
    assert re.fullmatch(rb"[!-~]{1,128}", told.request_id)
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", told.parent)
    assert re.fullmatch(rb"[ -~]{0,512}", told.state)


def test_a_submit_has_a_name_of_its_own_that_is_never_too_long() -> None:
    for length in (1, 127, 128):
        named = Trace(b"a" * length, PARENT).of_submit(2**53)
        assert re.fullmatch(grammar.REQUEST_ID, named.request_id.decode())
        assert named.request_id.endswith(b".%d" % 2**53)
        assert named.parent == PARENT
