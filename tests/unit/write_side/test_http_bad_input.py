"""Bad input at every door of the write side: a 4xx with a code, nothing changed, nothing echoed."""

from __future__ import annotations

import json
import logging
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fanfold.api.problems import PROBLEMS
from fanfold.api.requests import BODY_BYTES_MAX
from tests.unit.write_side.http_edge import TERMS, TRANSFER, Edge, Reply, as_bytes

MARK = "marker7391"

NOT_AN_AMOUNT: list[tuple[str, bytes]] = [
    ("integer", b"1000"),
    ("float", b"10.5"),
    ("boolean", b"true"),
    ("null", b"null"),
    ("list", b'["1000"]'),
    ("object", b'{"value": "1000"}'),
    ("too large a number for a float", b"1e400"),
    ("number of 5,000 digits", b"9" * 5_000),
    ("empty", b'""'),
    ("negative", b'"-1000"'),
    ("zero", b'"0"'),
    ("negative zero", b'"-0"'),
    ("sign", b'"+1000"'),
    ("leading zero", b'"01000"'),
    ("underscore", b'"1_000"'),
    ("space", b'" 1000"'),
    ("newline at the end", b'"1000\\n"'),
    ("fraction", b'"10.00"'),
    ("exponent", b'"1e3"'),
    ("hexadecimal", b'"0x10"'),
    ("infinite", b'"Infinity"'),
    ("not a number", b'"NaN"'),
    ("2^63", b'"9223372036854775808"'),
    ("10^18 + 1", b'"1000000000000000001"'),
    ("5,000 digits", b'"' + b"9" * 5_000 + b'"'),
    ("Arabic digits", '"\u0661\u0660\u0660\u0660"'.encode()),
    ("full-width digits", '"\uff11\uff10\uff10\uff10"'.encode()),
    ("superscript", '"10²"'.encode()),
    ("lone surrogate", b'"\\ud800"'),
    ("zero byte", b'"1000\\u0000"'),
]

NOT_AN_ACCOUNT: list[tuple[str, bytes]] = [
    ("empty", b'""'),
    ("integer", b"7"),
    ("null", b"null"),
    ("boolean", b"false"),
    ("object", b"{}"),
    ("too long", b'"' + b"a" * 65 + b'"'),
    ("space", b'"al ice"'),
    ("newline at the end", b'"alice\\n"'),
    ("control character", b'"al\\u0007ice"'),
    ("zero byte", b'"alice\\u0000"'),
    ("delete character", b'"alice\\u007f"'),
    ("lone surrogate", b'"alice\\udfff"'),
    ("not ASCII", '"älice"'.encode()),
    ("slash", b'"al/ice"'),
    ("percent", b'"al%69ce"'),
    ("transit", b'"@transit"'),
    ("system account with asset", b'"@world:USD/2"'),
    ("begins with a dot", b'".alice"'),
    ("markup", b'"<script>"'),
]

NOT_AN_ASSET: list[tuple[str, bytes]] = [
    ("empty", b'""'),
    ("integer", b"2"),
    ("null", b"null"),
    ("lower case", b'"usd/2"'),
    ("no exponent", b'"USD"'),
    ("exponent of three digits", b'"USD/200"'),
    ("not ASCII digits", '"USD/\uff12"'.encode()),
    ("newline at the end", b'"USD/2\\n"'),
    ("too long", b'"' + b"A" * 17 + b'/2"'),
    ("lone surrogate", b'"USD/2\\ud83d"'),
]

NOT_AN_ID: list[tuple[str, bytes]] = [
    ("empty", b'""'),
    ("null", b"null"),
    ("integer", b"7"),
    ("no hyphens", b'"01970f3e7b1a7c3e8a2b1234567890ab"'),
    ("braces", b'"{01970f3e-7b1a-7c3e-8a2b-1234567890ab}"'),
    ("urn", b'"urn:uuid:01970f3e-7b1a-7c3e-8a2b-1234567890ab"'),
    ("nil", b'"00000000-0000-0000-0000-000000000000"'),
    ("max", b'"FFFFFFFF-ffff-ffff-ffff-ffffffffffff"'),
    ("control character", b'"01970f3e-7b1a-7c3e-8a2b-1234567890a\\u0001"'),
    ("newline at the end", b'"01970f3e-7b1a-7c3e-8a2b-1234567890ab\\n"'),
    ("full-width digits", '"\uff101970f3e-7b1a-7c3e-8a2b-1234567890ab"'.encode()),
    ("lone surrogate", b'"\\udc00"'),
]

NOT_A_FLOOR = [(name, value) for name, value in NOT_AN_AMOUNT if name not in ("null", "negative", "zero")]

NOT_AN_OWNER: list[tuple[str, bytes]] = [
    ("empty", b'""'),
    ("null", b"null"),
    ("integer", b"7"),
    ("control character", b'"a\\u001bb"'),
    ("newline at the end", b'"a\\n"'),
    ("space at the end", b'"a "'),
    ("not ASCII", '"é"'.encode()),
    ("lone surrogate", b'"\\ud800"'),
    ("too long", b'"' + b"a" * 256 + b'"'),
]

BROKEN_BODIES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "body_malformed"),
    ("spaces", b"  ", "body_malformed"),
    ("not JSON", b"from=alice", "body_malformed"),
    ("cut off", b'{"asset": "USD', "body_malformed"),
    ("text behind", b'{"asset": "USD/2"} {}', "body_malformed"),
    ("comma at the end", b'{"asset": "USD/2",}', "body_malformed"),
    ("comment", b'{"asset": "USD/2" /* dollars */}', "body_malformed"),
    ("single quotes", b"{'asset': 'USD/2'}", "body_malformed"),
    ("list", b"[]", "body_malformed"),
    ("string", b'"USD/2"', "body_malformed"),
    ("number", b"7", "body_malformed"),
    ("null", b"null", "body_malformed"),
    ("byte order mark", b'\xef\xbb\xbf{"asset": "USD/2"}', "body_malformed"),
    ("UTF-16", '{"asset": "USD/2"}'.encode("utf-16"), "body_malformed"),
    ("UTF-16 without a mark", '{"asset": "USD/2"}'.encode("utf-16-le"), "body_malformed"),
    ("not UTF-8", b'{"asset": "USD/2\xff"}', "body_malformed"),
    ("surrogate in UTF-8", b'{"asset": "USD/2\xed\xa0\x80"}', "body_malformed"),
    ("overlong UTF-8", b'{"asset": "USD\xc0\xaf2"}', "body_malformed"),
    ("raw control character", b'{"asset": "USD/2\x01"}', "body_malformed"),
    ("zero byte", b'{"asset": "USD/2"}\x00', "body_malformed"),
    ("NaN", b'{"asset": NaN}', "body_malformed"),
    ("Infinity", b'{"asset": -Infinity}', "body_malformed"),
    ("name twice", b'{"asset": "USD/2", "asset": "USD/2"}', "body_malformed"),
    ("name twice, once escaped", b'{"asset": "USD/2", "\\u0061sset": "USD/2"}', "body_malformed"),
    ("name twice inside", b'{"asset": {"a": 1, "a": 2}}', "body_malformed"),
    ("10,000 lists deep", b"[" * 8_000 + b"]" * 8_000, "body_malformed"),
    ("1,000 objects deep", b'{"a":' * 1_000 + b"1" + b"}" * 1_000, "body_malformed"),
    ("200 objects deep", b'{"a":' * 200 + b"1" + b"}" * 200, "field_unknown"),
    ("unknown field", b'{"asset": "USD/2", "' + MARK.encode() + b'": "' + MARK.encode() + b'"}', "field_unknown"),
    ("unknown field, lone surrogate", b'{"asset": "USD/2", "\\ud800": 1}', "field_unknown"),
    ("nothing in it", b"{}", "field_missing"),
    ("10 MB", b'{"asset": "' + b"A" * 10_000_000 + b'"}', "body_too_large"),
    ("a little too large", b" " * BODY_BYTES_MAX + b"{}", "body_too_large"),
]

Ask = Callable[[Edge, bytes], Awaitable[tuple[int, str, Reply]]]


async def _ask_transfer(edge: Edge, body: bytes) -> tuple[int, str, Reply]:
    reply = await edge.transfer(body)
    return reply.status, reply.code, reply


async def _ask_open(edge: Edge, body: bytes) -> tuple[int, str, Reply]:
    reply = await edge.open(body)
    return reply.status, reply.code, reply


async def _ask_batch(edge: Edge, body: bytes) -> tuple[int, str, Reply]:
    """Between two good lines, so that it shows that they are not stopped."""
    good = as_bytes(TRANSFER)
    reply = await edge.call(
        "POST", "/v1/transfers:batch", b"\n".join((good, body, good)), content_type="application/x-ndjson"
    )
    if reply.status != 200:
        return reply.status, reply.code, reply
    assert (reply.lines[0]["status"], reply.lines[-1]["status"]) == (201, 201)
    assert len(edge.intake.commands) == 2
    edge.intake.submissions.clear()
    (line,) = reply.lines[1:-1]
    return line["status"], line["code"], reply


async def _ask_opening_in_batch(edge: Edge, body: bytes) -> tuple[int, str, Reply]:
    return await _ask_batch(edge, b'{"open": ' + body.replace(b'{"asset"', b'{"account": "alice", "asset"', 1) + b"}")


def _with(document: dict[str, Any], name: str, value: bytes) -> bytes:
    """The document with one field replaced by raw JSON."""
    return json.dumps(document | {name: "@@"}).encode().replace(b'"@@"', value)


def _legs(name: str, value: bytes) -> bytes:
    legs = [{"account": "@world", "amount": "-1000"}, {"account": "alice", "amount": "1000"} | {name: "@@"}]
    document = {"id": TRANSFER["id"], "legs": legs, "asset": "USD/2"}
    return json.dumps(document).encode().replace(b'"@@"', value)


def _cases() -> list[Any]:
    cases: list[tuple[str, Ask, bytes, str]] = []
    for ask in (_ask_transfer, _ask_batch):
        for field, values, code in (
            ("id", NOT_AN_ID, "id_malformed"),
            ("from", NOT_AN_ACCOUNT, "account_malformed"),
            ("to", NOT_AN_ACCOUNT, "account_malformed"),
            ("amount", NOT_AN_AMOUNT, "amount_malformed"),
            ("asset", NOT_AN_ASSET, "asset_malformed"),
        ):
            cases += [(f"{field}: {name}", ask, _with(TRANSFER, field, value), code) for name, value in values]
        cases += [(f"leg account: {n}", ask, _legs("account", v), "account_malformed") for n, v in NOT_AN_ACCOUNT]
        cases += [
            (f"leg amount: {n}", ask, _legs("amount", v), "amount_malformed") for n, v in NOT_A_FLOOR if n != "negative"
        ]
    for ask in (_ask_open, _ask_opening_in_batch):
        for field, values, code in (
            ("floor", NOT_A_FLOOR, "floor_malformed"),
            ("asset", NOT_AN_ASSET, "asset_malformed"),
            ("owner", NOT_AN_OWNER, "owner_malformed"),
        ):
            without = {name: value for name, value in TERMS.items() if name == "asset"}
            cases += [(f"{field}: {name}", ask, _with(without, field, value), code) for name, value in values]
    for ask in (_ask_transfer, _ask_open):
        cases += [(f"body: {name}", ask, body, code) for name, body, code in BROKEN_BODIES]
    cases += [(f"body: {name}", _ask_batch, body, code) for name, body, code in BROKEN_BODIES]
    return [pytest.param(ask, body, code, id=f"{ask.__name__[5:]}-{name}") for name, ask, body, code in cases]


@pytest.mark.parametrize(("ask", "body", "code"), _cases())
async def test_bad_input_is_refused_with_its_code(
    ask: Ask, body: bytes, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    edge = Edge()
    with caplog.at_level(logging.DEBUG):
        status, told, reply = await ask(edge, body)
    assert told == code
    assert status == PROBLEMS[code].status
    assert 400 <= status < 500
    assert edge.intake.submissions == []
    assert MARK.encode() not in reply.body
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("document", "status", "code"),
    [
        (TRANSFER | {"to": "@world"}, 422, "same_account_twice"),
        (TRANSFER | {"legs": []}, 400, "field_unknown"),
        ({"id": TRANSFER["id"], "legs": [], "asset": "USD/2"}, 400, "legs_malformed"),
        ({"id": TRANSFER["id"], "legs": {"account": "a"}, "asset": "USD/2"}, 400, "legs_malformed"),
        ({"id": TRANSFER["id"], "legs": ["a", "b"], "asset": "USD/2"}, 400, "legs_malformed"),
    ],
)
async def test_parts_that_do_not_fit_together_are_refused(document: object, status: int, code: str) -> None:
    edge = Edge()
    reply = await edge.transfer(document)
    assert (reply.status, reply.code) == (status, code)
    assert edge.intake.submissions == []


@pytest.mark.parametrize(
    ("amounts", "status", "code"),
    [
        (["-5"], 400, "legs_malformed"),
        (["-5", "4"], 400, "legs_malformed"),
        (["5", "5"], 400, "legs_malformed"),
        (["-5", "5", "-5"], 400, "legs_malformed"),
        (["-1"] * 16 + ["1"] * 17, 400, "legs_malformed"),
        (["-1"] * 300, 400, "body_malformed"),
        ([str(-(10**18)), str(-(10**18)), str(10**18), str(10**18)], 400, "amount_malformed"),
    ],
)
async def test_legs_that_cannot_move_together_are_refused(amounts: list[str], status: int, code: str) -> None:
    edge = Edge()
    legs = [{"account": f"a{number}", "amount": amount} for number, amount in enumerate(amounts)]
    reply = await edge.transfer({"id": TRANSFER["id"], "legs": legs, "asset": "USD/2"})
    assert (reply.status, reply.code) == (status, code)
    assert edge.intake.submissions == []


@pytest.mark.parametrize("field", ["from", "to", "amount", "asset"])
async def test_every_field_of_a_transfer_is_needed(field: str) -> None:
    edge = Edge()
    reply = await edge.transfer({name: value for name, value in TRANSFER.items() if name != field})
    assert (reply.status, reply.code, reply.document["field"]) == (400, "field_missing", field)


@pytest.mark.parametrize(
    "raw",
    [
        "%",
        "%zz",
        "%ff",
        "a%00b",
        "alice%0a",
        "%0aalice",
        "a%20b",
        "a%2Fb",
        "a/b",
        "%C3%A4",
        "@world",
        "@transit",
        "..",
        "a" * 65,
        "",
        "a%",
    ],
)
async def test_malformed_account_in_the_path_is_refused(raw: str) -> None:
    edge = Edge()
    # What the server in front does to a path: percent-decoding with replacement.
    reply = await edge.call("PUT", "/v1/accounts/" + urllib.parse.unquote(raw), as_bytes(TERMS))
    assert (reply.status, reply.code) == (400, "account_malformed")
    assert edge.intake.submissions == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=utf-16",
        "application/json, application/json",
        "multipart/form-data; boundary=x",
        MARK,
    ],
)
async def test_other_content_types_are_refused(content_type: str | None) -> None:
    edge = Edge()
    for reply in (
        await edge.transfer(content_type=content_type),
        await edge.open(content_type=content_type),
        await edge.batch(TRANSFER, content_type=content_type),
    ):
        assert (reply.status, reply.code) == (415, "content_type_unsupported")
        assert MARK.encode() not in reply.body
    assert edge.intake.submissions == []


async def test_batch_and_single_do_not_take_each_others_content_type() -> None:
    edge = Edge()
    assert (await edge.transfer(content_type="application/x-ndjson")).status == 415
    assert (await edge.batch(TRANSFER, content_type="application/json")).status == 415


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json;charset=UTF-8", 'application/json ; charset="utf-8"'],
)
async def test_json_in_utf_8_may_be_said_in_several_ways(content_type: str) -> None:
    assert (await Edge().transfer(content_type=content_type)).status == 201


async def test_compressed_bodies_are_refused() -> None:
    edge = Edge()
    reply = await edge.transfer(headers={"content-encoding": "gzip"})
    assert (reply.status, reply.code) == (415, "content_type_unsupported")


async def test_empty_batch_is_refused() -> None:
    edge = Edge()
    reply = await edge.batch()
    assert (reply.status, reply.code) == (400, "body_malformed")
