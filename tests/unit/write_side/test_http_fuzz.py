"""Whatever is sent: never a 5xx, never a command out of range (the intake under test checks each), never an echo."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfold.api.strict_json import BRACKETS_MAX, parse_object
from tests.unit.write_side.http_edge import (
    CAPTURE,
    DOORS,
    FREEZE,
    HOLD,
    ID,
    LEGS_TRANSFER,
    ONLY_ID,
    OTHER_ID,
    TERMS,
    TRANSFER,
    Edge,
    Reply,
)

MARK = "Zq7391"

NAMES = st.sampled_from(
    [
        "id",
        "from",
        "to",
        "amount",
        "asset",
        "legs",
        "open",
        "account",
        "floor",
        "owner",
        "protocol",
        "reference",
        "metadata",
        "deadline",
        "final",
        "dry_run",
        "hold",
        "capture",
        "void",
        "reverse",
        "transfer",
        "change",
        "debit",
        "credit",
        "state",
        "if_version",
        "if_available_at_least",
    ]
)
ACCEPTABLE = st.sampled_from(
    [
        "@world",
        "alice",
        "bob",
        "USD/2",
        "EUR/2",
        "1",
        "-1",
        "1000",
        "saga",
        "tcc",
        "frozen",
        "free",
        "closed",
        "open",
        "2027-01-01T00:00:00Z",
    ]
) | st.sampled_from([ID, OTHER_ID, str(10**18)])
HOSTILE = st.sampled_from(["0", "-1", str(2**63), "1_000", "NaN", "\ud800", "\x00", "\u0661", "", " ", "alice\n"])
WORDS = NAMES | ACCEPTABLE | HOSTILE
VALUES = st.recursive(
    WORDS | st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=6),
    max_leaves=12,
)

ITEMS: list[dict[str, Any]] = [
    {"open": TERMS | {"account": "alice"}},
    {"hold": HOLD},
    {"capture": CAPTURE | {"hold": OTHER_ID}},
    {"void": ONLY_ID | {"hold": OTHER_ID}},
    {"reverse": ONLY_ID | {"transfer": OTHER_ID}},
    {"change": FREEZE | {"account": "alice"}},
]
GOOD = st.sampled_from([TRANSFER, LEGS_TRANSFER, TERMS, HOLD, CAPTURE, ONLY_ID, FREEZE, *ITEMS])
LEG = st.fixed_dictionaries(
    {"account": ACCEPTABLE, "amount": st.sampled_from(["1", "-1", "2", "-2", str(10**18)])},
    optional={
        "asset": st.sampled_from(["USD/2", "EUR/2"]),
        "if_version": st.integers(-1, 2**70) | VALUES,
        "if_available_at_least": ACCEPTABLE | VALUES,
        "metadata": VALUES,
    },
)
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "legs": st.lists(LEG, max_size=5) | st.lists(LEG, min_size=30, max_size=34),
        "metadata": st.dictionaries(
            st.text(max_size=3), st.text(max_size=3) | st.text(min_size=255, max_size=257), max_size=18
        ),
        "reference": st.text(max_size=3) | st.text(st.characters(max_codepoint=126), max_size=130),
        "deadline": st.datetimes().map(lambda moment: moment.isoformat() + "Z") | VALUES,
        "protocol": st.sampled_from(["saga", "tcc"]) | VALUES,
        "final": st.booleans() | VALUES,
        "dry_run": st.booleans() | VALUES,
    },
)


@st.composite
def nearly_good(draw: st.DrawFn) -> dict[str, Any]:
    """A good body with some fields replaced, added or left out: gets deeper than noise does."""
    document: dict[str, Any] = dict(draw(GOOD))
    wrapped = next((word for word, inner in document.items() if isinstance(inner, dict)), None)
    if wrapped is not None and draw(st.booleans()):
        return {wrapped: _spoiled(draw, document[wrapped])}
    return _spoiled(draw, document)


def _spoiled(draw: st.DrawFn, good: dict[str, Any]) -> dict[str, Any]:
    document = good | draw(EXTRAS)
    if "legs" in document and draw(st.booleans()):
        document = {name: value for name, value in document.items() if name not in ("from", "to", "amount")}
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


@settings(max_examples=300)
@given(body=BODIES, headers=HEADERS, content_type=TYPES, account=st.text(max_size=6) | WORDS)
async def test_noise_is_never_a_failure_and_never_out_of_range(
    body: bytes, headers: dict[str, str], content_type: str | None, account: str
) -> None:
    edge = Edge()
    _check(await edge.call("POST", "/v1/transfers", body, content_type=content_type, headers=headers))
    _check(await edge.call("POST", "/v1/transfers", body))
    _check(await edge.call("POST", "/v1/transfers:batch", body, content_type="application/x-ndjson", headers=headers))
    # A server hands on paths that went through percent-decoding, so never a lone surrogate.
    name = account.encode(errors="replace").decode()
    path = "/v1/accounts/" + name
    _check(await edge.call("PUT", path, body, headers=headers))
    _check(await edge.call("PATCH", path, body))
    _check(await edge.call("PUT", "/v1/accounts/alice", body))
    for method, path, _ in DOORS:
        _check(await edge.call(method, path, body, headers=headers))
        _check(await edge.call(method, path, body))
        _check(await edge.call("POST", path.replace(OTHER_ID, name), body))


@settings(max_examples=200)
@given(
    lines=st.lists(nearly_good().map(lambda value: json.dumps(value).encode()), max_size=6),
    query=st.sampled_from(["", "mode=stop", "mode=atomic"]) | st.text(st.characters(max_codepoint=255), max_size=9),
    prefer=st.sampled_from(["wait=0", "wait=30", "wait=31"]) | st.text(st.characters(max_codepoint=255), max_size=9),
)
async def test_every_line_of_a_batch_has_one_result_in_every_mode(lines: list[bytes], query: str, prefer: str) -> None:
    edge = Edge()
    reply = await edge.batch(*lines, query=query, headers={"prefer": prefer})
    _check(reply)
    if reply.status == 200:
        assert len(reply.lines) == len(lines)
        assert len(edge.intake.commands) == sum(
            line["status"] < 400 or line["code"] == "insufficient_available" for line in reply.lines
        )


@settings(max_examples=200)
@given(turned=st.permutations(range(4)), form=st.integers(0, 3), extra=st.sampled_from([{}, {"reference": "r"}]))
async def test_the_order_of_members_and_legs_never_shows(turned: list[int], form: int, extra: dict[str, Any]) -> None:
    legs: list[dict[str, Any]] = [
        {"account": "alice", "amount": "-30", "if_version": form},
        {"account": "bob", "amount": "30"},
        {"account": "@world", "amount": "5", "asset": "PTS/0"},
        {"account": "carol", "amount": "-5", "asset": "PTS/0"},
    ]
    edge = Edge()
    body = {"id": ID, "asset": "USD/2", "metadata": {"a": "1", "b": "2"}} | extra
    await edge.transfer(body | {"legs": legs})
    other = dict(reversed(body.items())) | {"metadata": {"b": "2", "a": "1"}}
    await edge.transfer(other | {"legs": [dict(reversed(legs[place].items())) for place in turned]})
    first, second = edge.intake.commands
    assert first == second


@settings(max_examples=150)
@given(
    place=st.sampled_from(
        ["value", "name", "content-type", "content-encoding", "key", "prefer", "query", "raw", "method", "path"]
    ),
    field=st.sampled_from(
        [*TRANSFER, *TERMS, "owner", "legs", "open", "protocol", "reference", "metadata", "hold", "dry_run"]
    ),
    junk=st.sampled_from(["\x00", "\ud800", " ", "é", "<", "\n", "/"]),
)
async def test_what_was_refused_is_never_echoed(place: str, field: str, junk: str) -> None:
    edge = Edge()
    text = MARK + junk
    header = text.encode(errors="replace").decode("latin-1")
    doors: list[tuple[dict[str, Any], Callable[..., Awaitable[Reply]]]] = [
        (body, partial(edge.ask, method, path)) for method, path, body in DOORS
    ]
    for document, send in ((TERMS, edge.open), (TRANSFER, edge.batch), *doors):
        match place:
            case "prefer":
                reply = await send(document, headers={"prefer": "wait=" + header})
            case "query":
                reply = await edge.batch(TRANSFER, query=f"mode={text}&{text}")
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
                reply = await edge.ask("POST", f"/v1/holds/{text}/capture", ONLY_ID)
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
