"""Whatever is sent: never a 5xx, never a command out of range (the intake under test checks each), never an echo."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.http_edge import ID, TERMS, TRANSFER, Edge, Reply
from write_side.strict_json import BRACKETS_MAX, parse_object

MARK = "Zq7391"

NAMES = st.sampled_from(["id", "from", "to", "amount", "asset", "legs", "open", "account", "floor", "owner"])
ACCEPTABLE = st.sampled_from(["@world", "alice", "bob", "USD/2", ID, "1", "1000", str(10**18)])
HOSTILE = st.sampled_from(["0", "-1", str(2**63), "1_000", "NaN", "\ud800", "\x00", "\u0661", "", " ", "alice\n"])
WORDS = NAMES | ACCEPTABLE | HOSTILE
VALUES = st.recursive(
    WORDS | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=12,
)
GOOD = st.sampled_from([TRANSFER, TERMS, {"open": TERMS | {"account": "alice"}}])


@st.composite
def nearly_good(draw: st.DrawFn) -> dict[str, Any]:
    """A good body with some fields replaced, added or left out: gets deeper than noise does."""
    document: dict[str, Any] = dict(draw(GOOD))
    for name, value in draw(st.dictionaries(WORDS, VALUES, max_size=2)).items():
        document[name] = value
    for name in draw(st.lists(st.sampled_from(sorted(document)), max_size=1)):
        document.pop(name)
    return document


BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode()),
    nearly_good().map(lambda value: json.dumps(value).encode()),
    nearly_good().map(lambda value: json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass")),
    st.lists(nearly_good().map(lambda value: json.dumps(value).encode()) | st.binary(max_size=20)).map(b"\n".join),
)
HEADERS = st.dictionaries(
    st.sampled_from(["idempotency-key", "content-encoding", "content-length", "prefer", "x-other"]),
    st.text(st.characters(max_codepoint=255), max_size=20),
    max_size=2,
)
TYPES = (
    st.sampled_from(["application/json", "application/x-ndjson"])
    | st.none()
    | st.text(st.characters(max_codepoint=255), max_size=9)
)


def _check(reply: Reply) -> None:
    assert reply.status < 500
    if reply.status >= 400:
        assert reply.code
    elif reply.headers["content-type"] == "application/x-ndjson":
        assert all(line["status"] < 500 for line in reply.lines)


@settings(max_examples=300, deadline=None)
@given(body=BODIES, headers=HEADERS, content_type=TYPES, account=st.text(max_size=6) | WORDS)
async def test_noise_is_never_a_failure_and_never_out_of_range(
    body: bytes, headers: dict[str, str], content_type: str | None, account: str
) -> None:
    edge = Edge()
    _check(await edge.call("POST", "/v1/transfers", body, content_type=content_type, headers=headers))
    _check(await edge.call("POST", "/v1/transfers", body))
    _check(await edge.call("POST", "/v1/transfers:batch", body, content_type="application/x-ndjson", headers=headers))
    # A server hands on paths that went through percent-decoding, so never a lone surrogate.
    path = "/v1/accounts/" + account.encode(errors="replace").decode()
    _check(await edge.call("PUT", path, body, headers=headers))
    _check(await edge.call("PUT", "/v1/accounts/alice", body))


@settings(max_examples=150, deadline=None)
@given(
    place=st.sampled_from(["value", "name", "content-type", "content-encoding", "key", "raw", "method", "path"]),
    field=st.sampled_from([*TRANSFER, *TERMS, "owner", "legs", "open"]),
    junk=st.sampled_from(["\x00", "\ud800", " ", "é", "<", "\n", "/"]),
)
async def test_what_was_refused_is_never_echoed(place: str, field: str, junk: str) -> None:
    edge = Edge()
    text = MARK + junk
    header = text.encode(errors="replace").decode("latin-1")
    for document, send in ((TRANSFER, edge.transfer), (TERMS, edge.open), (TRANSFER, edge.batch)):
        match place:
            case "value":
                reply = await send(document | {field: text})
            case "name":
                reply = await send(document | {text: "1"})
            case "raw":
                reply = await send(text.encode(errors="replace"))
            case "content-type":
                reply = await send(document, content_type=header)
            case "content-encoding":
                reply = await send(document, headers={"content-encoding": header})
            case "key":
                reply = await send(document, headers={"idempotency-key": header + "\x00"})
            case "method":
                reply = await edge.call(MARK, "/v1/transfers")
            case _:
                reply = await edge.call("PUT", f"/v1/accounts/{text}")
        _check(reply)
        assert MARK.encode() not in reply.body
        assert all(MARK not in value for value in reply.headers.values())


@given(value=st.dictionaries(st.text(), st.text() | st.lists(st.text(), max_size=3), max_size=5))
def test_strict_parser_reads_what_json_writes(value: dict[str, Any]) -> None:
    """Lone surrogates included: they come through as they are, for the field's own rule to refuse."""
    encoded = json.dumps(value).encode()
    if encoded.count(b"[") + encoded.count(b"{") <= BRACKETS_MAX:
        assert parse_object(encoded) == value


@pytest.mark.parametrize("depth", [BRACKETS_MAX - 1, BRACKETS_MAX])
def test_depth_up_to_the_bound_is_parsed_without_reaching_the_end_of_the_stack(depth: int) -> None:
    assert parse_object(b'{"a":' * depth + b'"1"' + b"}" * depth)
