"""Holds, transfers of many legs, flags, dry runs and waiting: from the body to the command, and what is refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from fanfold.api.problems import PROBLEMS
from tests.unit.write_side.http_edge import (
    CAPTURE,
    DOORS,
    FREEZE,
    HOLD,
    ID,
    LEGS,
    LEGS_TRANSFER,
    ONLY_ID,
    OTHER_ID,
    TRANSFER,
    Edge,
    ask,
)
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    Protocol,
    Reverse,
    Transfer,
    Void,
)
from write_side.owner.outcomes import OutcomeUnknown

RAW = uuid.UUID(ID).bytes
OTHER = uuid.UUID(OTHER_ID).bytes
MARK = "marker7391"


@pytest.fixture
def edge() -> Edge:
    return Edge()


def _legs(*legs: tuple[str, int]) -> tuple[Leg, ...]:
    return tuple(Leg(account, amount, "USD/2") for account, amount in legs)


# Transfers


async def test_many_legs_reach_the_intake_sorted_by_account_and_asset(edge: Edge) -> None:
    legs = [
        {"account": "carol", "amount": "7", "asset": "PTS/0"},
        {"account": "bob", "amount": "5"},
        {"account": "@world", "amount": "-7", "asset": "PTS/0"},
        {"account": "@world", "amount": "-5"},
    ]
    reply = await edge.transfer({"id": ID, "legs": legs, "asset": "USD/2"})
    assert reply.status == 201
    world = (Leg("@world", -7, "PTS/0"), Leg("@world", -5, "USD/2"))
    assert edge.intake.commands == [LegsTransfer(RAW, (*world, Leg("bob", 5, "USD/2"), Leg("carol", 7, "PTS/0")))]


@pytest.mark.parametrize("extra", [{"protocol": "saga"}, {"metadata": {}}, {"dry_run": False}])
async def test_saying_what_goes_without_saying_leaves_a_plain_transfer(edge: Edge, extra: dict[str, Any]) -> None:
    """The same transfer is the same command, so that its id is no other content the second time."""
    await edge.transfer(TRANSFER | extra)
    legs = [{"account": "alice", "amount": "1000", "asset": "USD/2"}, {"account": "@world", "amount": "-1000"}]
    await edge.transfer({"id": ID, "legs": legs, "asset": "USD/2"} | extra)
    assert edge.intake.commands == [Transfer(RAW, "@world", "alice", 1000, "USD/2")] * 2


@pytest.mark.parametrize(
    ("extra", "protocol", "note"),
    [
        ({"protocol": "tcc"}, Protocol.TCC, Note()),
        ({"reference": "order 7"}, Protocol.SAGA, Note("order 7")),
        ({"metadata": {"b": "é", "a": ""}}, Protocol.SAGA, Note("", '{"a":"","b":"é"}')),
    ],
)
async def test_protocol_reference_and_metadata_make_a_transfer_of_legs(
    edge: Edge, extra: dict[str, Any], protocol: Protocol, note: Note
) -> None:
    await edge.transfer(TRANSFER | extra)
    assert edge.intake.commands == [LegsTransfer(RAW, _legs(("@world", -1000), ("alice", 1000)), protocol, note)]


async def test_conditions_stay_with_their_leg(edge: Edge) -> None:
    legs = [
        {"account": "bob", "amount": "-5", "if_version": 7},
        {"account": "alice", "amount": "5", "if_available_at_least": "-10"},
    ]
    await edge.transfer({"id": ID, "legs": legs, "asset": "USD/2"})
    (command,) = edge.intake.commands
    assert command == LegsTransfer(RAW, (Leg("alice", 5, "USD/2", if_available=-10), Leg("bob", -5, "USD/2", 7)))


# Holds, reversals, flags


async def test_hold_has_the_body_of_a_transfer_and_a_deadline(edge: Edge) -> None:
    reply = await edge.ask("POST", "/v1/holds", HOLD | {"reference": "r"})
    assert (reply.status, reply.document["result"]) == (201, "held")
    legs = _legs(("@world", -1000), ("alice", 1000))
    assert edge.intake.commands == [Hold(RAW, legs, 1_798_761_600_000_000, Note("r"))]


async def test_hold_of_two_plain_legs_is_a_hold_without_end(edge: Edge) -> None:
    await edge.ask("POST", "/v1/holds", {"id": ID, "legs": LEGS, "asset": "USD/2"})
    assert edge.intake.commands == [Hold(RAW, _legs(("alice", -30), ("bob", 20), ("carol", 10)))]


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("1970-01-01T00:00:00.000001Z", 1),
        ("2026-01-01T00:00:00Z", 1_767_225_600_000_000),
        ("2026-01-01T00:00:00.5Z", 1_767_225_600_500_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ],
)
async def test_deadline_is_exact_to_the_microsecond(edge: Edge, text: str, at_us: int) -> None:
    await edge.ask("POST", "/v1/holds", HOLD | {"deadline": text})
    (command,) = edge.intake.commands
    assert isinstance(command, Hold)
    assert command.deadline_us == at_us


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (ONLY_ID, Capture(RAW, OTHER)),
        (CAPTURE | {"final": True, "protocol": "tcc"}, Capture(RAW, OTHER, 5, (), True, Protocol.TCC)),
        (
            {"id": ID, "legs": LEGS, "asset": "USD/2", "metadata": {"a": "b"}},
            Capture(RAW, OTHER, 0, _legs(("alice", -30), ("bob", 20), ("carol", 10)), note=Note("", '{"a":"b"}')),
        ),
    ],
)
async def test_capture_of_everything_of_an_amount_and_of_legs(
    edge: Edge, body: dict[str, Any], command: Capture
) -> None:
    reply = await edge.ask("POST", f"/v1/holds/{OTHER_ID}/capture", body)
    assert (reply.status, reply.document["hold"]) == (201, OTHER_ID)
    assert edge.intake.commands == [command]


async def test_void_names_its_hold(edge: Edge) -> None:
    reply = await edge.ask("POST", f"/v1/holds/{OTHER_ID.upper()}/void", ONLY_ID)
    assert (reply.status, reply.document["result"]) == (201, "voided")
    assert edge.intake.commands == [Void(RAW, OTHER)]


async def test_reversal_names_its_transfer_and_leaves_the_legs_to_the_log(edge: Edge) -> None:
    reply = await edge.ask("POST", f"/v1/transfers/{OTHER_ID}/reverse", ONLY_ID | {"protocol": "tcc"})
    assert (reply.status, reply.document["reverses"]) == (201, OTHER_ID)
    assert edge.intake.commands == [Reverse(RAW, OTHER, (), Protocol.TCC)]


@pytest.mark.parametrize(
    ("words", "sets", "clears"),
    [
        ({"debit": "frozen"}, Flag.DEBIT_FROZEN, Flag(0)),
        ({"debit": "free", "credit": "frozen"}, Flag.CREDIT_FROZEN, Flag.DEBIT_FROZEN),
        ({"state": "closed"}, Flag.CLOSED, Flag(0)),
        ({"state": "open", "credit": "free"}, Flag(0), Flag.CLOSED | Flag.CREDIT_FROZEN),
    ],
)
async def test_change_sets_and_clears_flags(edge: Edge, words: dict[str, str], sets: Flag, clears: Flag) -> None:
    reply = await edge.ask("PATCH", "/v1/accounts/alice", {"id": ID} | words)
    assert (reply.status, reply.document["result"]) == (200, "changed")
    assert edge.intake.commands == [Change(RAW, "alice", sets, clears)]


# Every address of one command


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
async def test_dry_run_is_asked_of_the_intake_and_submits_nothing(
    edge: Edge, method: str, path: str, body: dict[str, Any]
) -> None:
    real = await edge.ask(method, path, body)
    dry = await edge.ask(method, path, body | {"dry_run": True})
    assert dry.status == real.status
    assert dry.document["dry_run"] is True
    assert edge.intake.dry_runs == edge.intake.commands


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
async def test_idempotency_key_stands_for_the_id_everywhere(
    edge: Edge, method: str, path: str, body: dict[str, Any]
) -> None:
    without = {name: value for name, value in body.items() if name != "id"}
    first = await edge.ask(method, path, without, headers={"Idempotency-Key": "order 7"})
    again = await edge.ask(method, path, without, headers={"Idempotency-Key": "order 7"})
    assert first.document["id"] == again.document["id"]
    quoted = await edge.ask(method, path, without, headers={"Idempotency-Key": '"order 7"'})
    assert quoted.document["id"] == first.document["id"], "a string of a structured field is what is in its quotes"
    missing = await edge.ask(method, path, without)
    assert (missing.code, missing.document["field"]) == ("field_missing", "id")


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
async def test_unknown_outcome_names_the_id_everywhere(
    edge: Edge, method: str, path: str, body: dict[str, Any]
) -> None:
    edge.intake.failure = OutcomeUnknown()
    reply = await edge.ask(method, path, body)
    assert (reply.status, reply.code, reply.document["id"]) == (503, "outcome_unknown", ID)


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
@pytest.mark.parametrize("field", [MARK, "from_", "position"])
async def test_unknown_field_is_refused_everywhere(
    edge: Edge, method: str, path: str, body: dict[str, Any], field: str
) -> None:
    reply = await edge.ask(method, path, body | {field: MARK})
    assert (reply.status, reply.code) == (400, "field_unknown")
    assert MARK.encode() not in reply.body


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("wait=0", 0.0),
        ("wait=30", 30.0),
        ("WAIT = 7", 7.0),
        ('wait="2"', 2.0),
        ("respond-async, wait=10", 10.0),
        ("wait=5;x=y, handling=lenient", 5.0),
        ("wait=1, wait=2", 1.0),
        ("respond-async", None),
        ("waiting=1", None),
        ("", None),
    ],
)
async def test_preference_to_wait_reaches_the_intake(edge: Edge, header: str, wait_s: float | None) -> None:
    await edge.transfer(LEGS_TRANSFER, headers={"Prefer": header})
    await edge.batch(TRANSFER, headers={"Prefer": header})
    assert edge.intake.waits == [wait_s, wait_s]


async def test_preferences_may_come_in_several_headers(edge: Edge) -> None:
    headers = [(b"content-type", b"application/json"), (b"prefer", b"respond-async"), (b"prefer", b"wait=3")]
    await ask(edge.app, "POST", "/v1/transfers", json.dumps(TRANSFER).encode(), headers)
    assert edge.intake.waits == [3.0]


@pytest.mark.parametrize("header", ["wait", "wait=", "wait=31", "wait=-1", "wait=1.5", f"wait={MARK}", "wait=1e9"])
async def test_preference_to_wait_that_makes_no_sense_is_refused(edge: Edge, header: str) -> None:
    for reply in (
        await edge.transfer(headers={"Prefer": header}),
        await edge.batch(TRANSFER, headers={"Prefer": header}),
    ):
        assert (reply.status, reply.code, reply.document["field"]) == (400, "parameter_malformed", "Prefer")
        assert MARK.encode() not in reply.body
    assert edge.intake.submissions == []


async def test_transfer_under_way_is_accepted_and_told_its_phase(edge: Edge) -> None:
    edge.intake.pending = True
    reply = await edge.transfer(LEGS_TRANSFER, headers={"Prefer": "wait=0"})
    assert (reply.status, reply.document["result"], reply.document["phase"]) == (202, "pending", "debiting")


# Bad input

_TEXTS = [b"null", b"7", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b'"' + b"x" * 300 + b'"', b'"\\n"']
_NOT_PROTOCOLS = [*_TEXTS, b'"Saga"', b'"saga "']
_NOT_REFERENCES = [*_TEXTS, '"é"'.encode(), b'"' + b"r" * 129 + b'"', b'"r\\n"', b'"\\u0000"', b'"\\u007f"']
_NOT_METADATA = [
    b"null",
    b"7",
    b'"a"',
    b"[]",
    b'{"a": 1}',
    b'{"a": null}',
    b'{"a": {"b": "c"}}',
    b'{"": "b"}',
    b'{"a": "\\ud800"}',
    b'{"\\udfff": "b"}',
    b'{"' + b"a" * 65 + b'": "b"}',
    b'{"a": "' + b"b" * 257 + b'"}',
    json.dumps({str(number): "" for number in range(17)}).encode(),
]
_NOT_DEADLINES = [
    *_TEXTS,
    b'"2026-01-01"',
    b'"2026-01-01T00:00:00"',
    b'"2026-01-01T00:00:00+00:00"',
    b'"2026-01-01t00:00:00z"',
    b'"2026-02-30T00:00:00Z"',
    b'"2026-01-01T24:00:00Z"',
    b'"2026-01-01T00:00:60Z"',
    b'"2026-01-01T00:00:00.1234567Z"',
    b'"2026-01-01T00:00:00.Z"',
    b'"2026-01-01T00:00:00Z\\n"',
    b'"1970-01-01T00:00:00Z"',
    b'"1969-12-31T23:59:59Z"',
    b'"0000-01-01T00:00:00Z"',
    '"\u0662026-01-01T00:00:00Z"'.encode(),
]
_NOT_CHOICES = [b"null", b"0", b"1", b'"true"', b"[]", b"{}"]
_NOT_VERSIONS = [b"null", b"-1", b"1.0", b"1e0", b"true", b'"1"', b"[]", b"1" * 19, b"9" * 5_000]
_NOT_LEAST = [b"null", b"1", b"1.5", b'""', b'"+1"', b'"01"', b'"1_0"', b'"1000000000000000001"', b'"-0"', b"{}"]
_NOT_IDS = [b"null", b"7", b'""', b'"01970f3e7b1a7c3e8a2b1234567890ab"', b'"00000000-0000-0000-0000-000000000000"']


def _with(body: dict[str, Any], name: str, value: bytes) -> bytes:
    return json.dumps(body | {name: "@@"}).encode().replace(b'"@@"', value)


def _with_in_leg(name: str, value: bytes) -> bytes:
    legs = [LEGS[0] | {name: "@@"}, *LEGS[1:]]
    return json.dumps(LEGS_TRANSFER | {"legs": legs}).encode().replace(b'"@@"', value)


def _bad() -> list[Any]:
    rules: list[tuple[str, str, list[bytes], set[str]]] = [
        ("protocol", "protocol_malformed", _NOT_PROTOCOLS, {"/v1/transfers", "capture", "reverse"}),
        ("reference", "reference_malformed", _NOT_REFERENCES, {"/v1/transfers", "/v1/holds", "capture", "reverse"}),
        ("metadata", "metadata_malformed", _NOT_METADATA, {"/v1/transfers", "/v1/holds", "capture", "reverse"}),
        ("deadline", "deadline_malformed", _NOT_DEADLINES, {"/v1/holds"}),
        ("final", "body_malformed", _NOT_CHOICES, {"capture"}),
        ("debit", "flags_malformed", [*_TEXTS, b'"closed"'], {"alice"}),
        ("credit", "flags_malformed", [*_TEXTS, b'"Frozen"'], {"alice"}),
        ("state", "flags_malformed", [*_TEXTS, b'"frozen"'], {"alice"}),
        ("dry_run", "body_malformed", _NOT_CHOICES, {path.rpartition("/")[2] for _, path, _ in DOORS} | {"/v1/holds"}),
        ("id", "id_malformed", _NOT_IDS, {path.rpartition("/")[2] for _, path, _ in DOORS}),
    ]
    cases = []
    for field, code, values, where in rules:
        for method, path, body in DOORS:
            if path in where or path.rpartition("/")[2] in where:
                cases += [(method, path, _with(body, field, value), code, field) for value in values]
    for field, code, values in (
        ("if_version", "condition_malformed", _NOT_VERSIONS),
        ("if_available_at_least", "condition_malformed", _NOT_LEAST),
        ("asset", "asset_malformed", _TEXTS),
    ):
        cases += [("POST", "/v1/transfers", _with_in_leg(field, value), code, f"legs.{field}") for value in values]
    return [pytest.param(*case, id=f"{case[1]}-{case[4]}-{number}") for number, case in enumerate(cases)]


@pytest.mark.parametrize(("method", "path", "body", "code", "field"), _bad())
async def test_bad_field_is_refused_by_its_name(
    edge: Edge, method: str, path: str, body: bytes, code: str, field: str
) -> None:
    reply = await edge.call(method, path, body)
    assert (reply.code, reply.document["field"]) == (code, field)
    assert reply.status == PROBLEMS[code].status
    assert (edge.intake.submissions, edge.intake.dry_runs) == ([], [])


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/transfers", TRANSFER | {"deadline": "2027-01-01T00:00:00Z"}, "field_unknown"),
        ("/v1/transfers", TRANSFER | {"if_version": 1}, "field_unknown"),
        ("/v1/transfers", LEGS_TRANSFER | {"amount": "5"}, "field_unknown"),
        ("/v1/transfers", LEGS_TRANSFER | {"legs": LEGS, "asset": "EUR"}, "asset_malformed"),
        ("/v1/transfers", {"id": ID, "legs": LEGS}, "field_missing"),
        ("/v1/transfers", LEGS_TRANSFER | {"legs": [*LEGS, LEGS[0]]}, "legs_malformed"),
        ("/v1/transfers", LEGS_TRANSFER | {"legs": [LEGS[0], LEGS[1], LEGS[2], *LEGS]}, "same_account_twice"),
        ("/v1/transfers", LEGS_TRANSFER | {"legs": [LEGS[0] | {"memo": "x"}, *LEGS[1:]]}, "field_unknown"),
        (
            "/v1/transfers",
            LEGS_TRANSFER | {"legs": [LEGS[0] | {"asset": "EUR/2"}, *LEGS[1:]]},
            "legs_malformed",
        ),
        (
            "/v1/transfers",
            LEGS_TRANSFER | {"legs": [{"account": "@world", "amount": "-30", "if_version": 1}, *LEGS[1:]]},
            "condition_malformed",
        ),
        ("/v1/holds", HOLD | {"protocol": "tcc"}, "field_unknown"),
        ("/v1/holds", HOLD | {"to": "@world"}, "same_account_twice"),
        (f"/v1/holds/{OTHER_ID}/capture", CAPTURE | {"legs": LEGS}, "field_unknown"),
        (f"/v1/holds/{OTHER_ID}/capture", CAPTURE | {"asset": "USD/2"}, "field_unknown"),
        (f"/v1/holds/{OTHER_ID}/capture", CAPTURE | {"amount": "0"}, "amount_malformed"),
        (f"/v1/holds/{OTHER_ID}/capture", {"id": ID, "legs": LEGS}, "field_missing"),
        (f"/v1/holds/{OTHER_ID}/capture", {"id": ID, "legs": [], "asset": "USD/2"}, "legs_malformed"),
        (
            f"/v1/holds/{OTHER_ID}/capture",
            {"id": ID, "legs": [LEGS[0] | {"if_version": 1}, *LEGS[1:]], "asset": "USD/2"},
            "field_unknown",
        ),
        (f"/v1/holds/{OTHER_ID}/void", ONLY_ID | {"reference": "r"}, "field_unknown"),
        (f"/v1/transfers/{OTHER_ID}/reverse", ONLY_ID | {"amount": "1"}, "field_unknown"),
    ],
)
async def test_fields_that_do_not_fit_together_are_refused(
    edge: Edge, path: str, body: dict[str, Any], code: str
) -> None:
    reply = await edge.ask("POST", path, body)
    assert (reply.status, reply.code) == (PROBLEMS[code].status, code)
    assert edge.intake.submissions == []


async def test_change_of_nothing_is_refused(edge: Edge) -> None:
    reply = await edge.ask("PATCH", "/v1/accounts/alice", ONLY_ID)
    assert (reply.status, reply.code) == (400, "field_missing")


@pytest.mark.parametrize("id", ["", "x", f"{OTHER_ID}/{OTHER_ID}", "00000000-0000-0000-0000-000000000000", MARK])
@pytest.mark.parametrize(
    ("before", "behind", "field"),
    [("/v1/holds/", "/capture", "hold"), ("/v1/holds/", "/void", "hold"), ("/v1/transfers/", "/reverse", "transfer")],
)
async def test_malformed_id_in_the_path_is_refused(edge: Edge, before: str, behind: str, field: str, id: str) -> None:
    reply = await edge.ask("POST", before + id + behind, ONLY_ID)
    assert (reply.status, reply.code, reply.document["field"]) == (400, "id_malformed", field)
    assert MARK.encode() not in reply.body
    assert edge.intake.submissions == []


@pytest.mark.parametrize("behind", ["/capture\n", "\n/capture", "/capture/", "/Capture", "/captures"])
async def test_other_words_behind_an_id_are_no_door(edge: Edge, behind: str) -> None:
    reply = await edge.ask("POST", f"/v1/holds/{OTHER_ID}{behind}", ONLY_ID)
    assert reply.status in (400, 404)
    assert edge.intake.submissions == []


@pytest.mark.parametrize("path", ["/v1/accounts/@world", "/v1/accounts/@transit", "/v1/accounts/", "/v1/accounts/a/b"])
async def test_only_accounts_of_clients_change(edge: Edge, path: str) -> None:
    reply = await edge.ask("PATCH", path, FREEZE)
    assert (reply.status, reply.code) == (400, "account_malformed")
