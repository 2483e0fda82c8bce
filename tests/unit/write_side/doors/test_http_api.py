"""The HTTP edge: what reaches the intake, and how its answers and failures are told."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from typing import Any

import pytest
from fastapi import FastAPI

from fanfold.api.body_checks import KEY_NAMESPACE
from fanfold.api.problems import problem_document
from fanfold.api.requests import BATCH_BYTES_MAX, BATCH_LINES_MAX, BODY_BYTES_MAX
from fanfold.doors import request as request_body
from fanfold.doors.answer import json_response, send
from fanfold.doors.batch_lines import BYTES_A_TURN
from fanfold.doors.incoming import Budget
from tests.unit.write_side.http_edge import ID, TERMS, TRANSFER, Edge, ask
from write_side.contract.log.log import LogFailed
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.intake.intake import Overloaded, Stopping
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.owner.outcomes import OutcomeUnknown

DIGITS = ID.replace("-", "")


@pytest.fixture
def edge() -> Edge:
    return Edge()


async def test_transfer_in_short_form_reaches_the_intake(edge: Edge) -> None:
    reply = await edge.transfer()
    assert reply.status == 201
    assert reply.headers["content-type"] == "application/json"
    assert reply.document["id"] == ID
    assert edge.intake.commands == [Transfer(uuid.UUID(ID).bytes, "@world", "alice", 1000, "USD/2")]


@pytest.mark.parametrize("turn", [1, -1])
async def test_two_legs_mean_the_same_as_the_short_form(edge: Edge, turn: int) -> None:
    legs = [{"account": "@world", "amount": "-1000"}, {"account": "alice", "amount": "1000"}][::turn]
    reply = await edge.transfer({"id": ID, "legs": legs, "asset": "USD/2"})
    assert reply.status == 201
    assert edge.intake.commands == [Transfer(uuid.UUID(ID).bytes, "@world", "alice", 1000, "USD/2")]


@pytest.mark.parametrize(
    ("terms", "floor", "owner"),
    [
        ({"asset": "USD/2"}, 0, ""),
        ({"asset": "USD/2", "floor": "-500"}, -500, ""),
        ({"asset": "USD/2", "floor": None}, NO_FLOOR, ""),
        ({"asset": "USD/2", "floor": str(LIMIT), "owner": "user 7"}, LIMIT, "user 7"),
    ],
)
async def test_account_is_opened_with_its_terms(edge: Edge, terms: dict[str, Any], floor: int, owner: str) -> None:
    reply = await edge.open(terms, "a.b:c_d-1")
    assert reply.status == 201
    assert edge.intake.commands == [OpenAccount("a.b:c_d-1", "USD/2", floor, owner)]


async def test_account_with_other_terms_is_a_conflict(edge: Edge) -> None:
    await edge.open()
    reply = await edge.open(TERMS | {"asset": "EUR/2"})
    assert (reply.status, reply.code) == (409, "account_exists_with_other_terms")


async def test_refusal_of_the_ledger_is_a_problem_document(edge: Edge) -> None:
    reply = await edge.transfer(TRANSFER | {"amount": str(LIMIT)})
    assert (reply.status, reply.code) == (422, "insufficient_available")
    assert reply.document["id"] == ID


async def test_idempotency_key_stands_for_the_id(edge: Edge) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    first = await edge.transfer(without, headers={"Idempotency-Key": "order 7"})
    again = await edge.transfer(without, headers={"Idempotency-Key": "order 7"})
    other = await edge.transfer(without, headers={"Idempotency-Key": "order 8"})
    assert first.document["id"] == again.document["id"] != other.document["id"]
    assert first.document["id"] == str(uuid.uuid5(KEY_NAMESPACE, "anonymous\norder 7"))


@pytest.mark.parametrize("spelling", ["{}", " {}", "{} ", "\t{} \t"])
async def test_blanks_around_an_idempotency_key_are_no_part_of_it(edge: Edge, spelling: str) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    reply = await edge.transfer(without, headers={"Idempotency-Key": spelling.format("order 7")})
    assert reply.document["id"] == str(uuid.uuid5(KEY_NAMESPACE, "anonymous\norder 7"))


@pytest.mark.parametrize(
    "spelled",
    [
        *(ID, ID.upper(), f"{{{ID}}}", f"urn:uuid:{ID}", f"URN:UUID:{ID.upper()}", f" {ID} "),
        *(DIGITS, DIGITS.upper(), f"{{{DIGITS}}}", f"urn:uuid:{DIGITS}", f" {DIGITS} "),
    ],
)
async def test_a_key_that_is_a_uuid_is_that_id(edge: Edge, spelled: str) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    assert (await edge.transfer(without, headers={"Idempotency-Key": spelled})).document["id"] == ID
    assert (await edge.transfer(headers={"Idempotency-Key": spelled})).status == 201


@pytest.mark.parametrize("uuid_key", [str(uuid.UUID(int=0)), str(uuid.UUID(int=2**128 - 1)), "0" * 32, "F" * 32])
async def test_a_key_that_is_the_nil_or_max_uuid_is_refused_as_it_is_as_an_id(edge: Edge, uuid_key: str) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    reply = await edge.transfer(without, headers={"Idempotency-Key": uuid_key})
    assert (reply.status, reply.code) == (400, "idempotency_key_malformed")


async def test_a_key_with_one_brace_is_no_uuid(edge: Edge) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    reply = await edge.transfer(without, headers={"Idempotency-Key": f"{{{ID}"})
    assert reply.document["id"] == str(uuid.uuid5(KEY_NAMESPACE, f"anonymous\n{{{ID}"))


@pytest.mark.parametrize("key", [DIGITS[1:], f"{DIGITS}0", f"h{DIGITS}", f"{ID[:8]}-{DIGITS[8:]}", f"{{{DIGITS}"])
async def test_a_key_of_other_digits_is_no_uuid(edge: Edge, key: str) -> None:
    without = {name: value for name, value in TRANSFER.items() if name != "id"}
    reply = await edge.transfer(without, headers={"Idempotency-Key": key})
    assert reply.document["id"] == str(uuid.uuid5(KEY_NAMESPACE, f"anonymous\n{key}"))


async def test_the_api_says_that_hyphens_make_no_other_key(edge: Edge) -> None:
    described = (await edge.ask("GET", "/openapi.json", None)).document["paths"]["/v1/transfers"]["post"]["parameters"]
    [key] = [each for each in described if each["name"] == "Idempotency-Key"]
    assert "with or without hyphens" in key["description"]


@pytest.mark.parametrize("query", ["dry_run=true", "dry_run", "mode=atomic", "&x=1", "="])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/transfers", TRANSFER),
        ("PUT", "/v1/accounts/alice", TERMS),
        ("PATCH", "/v1/accounts/alice", {"id": ID, "debit": "frozen"}),
        ("POST", "/v1/holds", TRANSFER),
        ("POST", f"/v1/holds/{ID}/capture", {"id": ID}),
        ("POST", f"/v1/holds/{ID}/void", {"id": ID}),
        ("POST", f"/v1/transfers/{ID}/reverse", {"id": ID}),
    ],
)
async def test_a_parameter_in_the_address_of_a_command_is_refused_and_nothing_runs(
    edge: Edge, method: str, path: str, body: dict[str, Any], query: str
) -> None:
    reply = await edge.ask(method, path, body, query=query)
    assert (reply.status, reply.code, reply.document["field"]) == (400, "parameter_malformed", "query")
    assert edge.intake.submissions == []


@pytest.mark.parametrize(("word", "seconds"), [("id_memory_full", b"60"), ("overloaded", b"1"), ("stopping", b"1")])
async def test_a_503_says_when_to_come_back(word: str, seconds: bytes) -> None:
    sent: list[Any] = []

    async def send_message(message: Any) -> None:
        sent.append(message)

    await send(send_message, json_response(503, problem_document(word)))
    assert dict(sent[0]["headers"])[b"retry-after"] == seconds


async def test_id_and_key_that_mean_the_same_are_taken(edge: Edge) -> None:
    derived = str(uuid.uuid5(KEY_NAMESPACE, "anonymous\norder 7"))
    assert (await edge.transfer(TRANSFER | {"id": derived}, headers={"Idempotency-Key": "order 7"})).status == 201
    assert (await edge.transfer(headers={"Idempotency-Key": ID.upper()})).status == 201


async def test_id_and_key_that_differ_are_refused(edge: Edge) -> None:
    reply = await edge.transfer(headers={"Idempotency-Key": "order 7"})
    assert (reply.status, reply.code) == (400, "ids_differ")
    assert edge.intake.submissions == []


async def test_transfer_without_id_and_key_is_refused(edge: Edge) -> None:
    reply = await edge.transfer({name: value for name, value in TRANSFER.items() if name != "id"})
    assert (reply.status, reply.code, reply.document["field"]) == (400, "field_missing", "id")


@pytest.mark.parametrize("key", ["", "x" * 256, "caf\xe9", "a\tb", "\x7f"])
async def test_key_that_is_not_printable_ascii_is_refused(edge: Edge, key: str) -> None:
    reply = await edge.transfer(headers={"Idempotency-Key": key})
    assert (reply.status, reply.code) == (400, "idempotency_key_malformed")


async def test_header_given_twice_is_refused(edge: Edge) -> None:
    body = json.dumps(TRANSFER).encode()
    for name in (b"idempotency-key", b"content-type", b"content-encoding", b"content-length"):
        headers = [(b"content-type", b"application/json"), (name, b"1"), (name, b"1")]
        reply = await ask(edge.app, "POST", "/v1/transfers", body, headers)
        assert (reply.status, reply.code) == (400, "parameter_malformed")


async def test_batch_is_one_submission_in_order(edge: Edge) -> None:
    opening = {"open": {"account": "alice", "asset": "USD/2", "floor": None}}
    second = TRANSFER | {"id": str(uuid.UUID(int=7))}
    reply = await edge.batch(opening, TRANSFER, second)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert [line["status"] for line in reply.lines] == [201, 201, 201]
    assert [line.get("id") for line in reply.lines] == [None, ID, second["id"]]
    (submission,) = edge.intake.submissions
    assert submission[0] == OpenAccount("alice", "USD/2", NO_FLOOR, "")


async def test_invalid_line_gets_its_own_result_and_does_not_stop_the_others(edge: Edge) -> None:
    reply = await edge.batch(TRANSFER, b"{", TRANSFER | {"amount": "0"}, b"", b"x" * (BODY_BYTES_MAX + 1), TRANSFER)
    assert [line["status"] for line in reply.lines] == [201, 400, 400, 400, 413, 201]
    codes = [line.get("code") for line in reply.lines]
    assert codes == [None, "body_malformed", "amount_malformed", "body_malformed", "body_too_large", None]
    assert len(edge.intake.submissions[0]) == 2


async def test_batch_of_invalid_lines_never_reaches_the_intake(edge: Edge) -> None:
    reply = await edge.batch(b"1", b"[]\r")
    assert [line["status"] for line in reply.lines] == [400, 400]
    assert edge.intake.submissions == []


async def test_last_newline_of_a_batch_is_no_line(edge: Edge) -> None:
    line = json.dumps(TRANSFER).encode()
    assert len((await edge.batch(line + b"\r\n" + line + b"\n")).lines) == 2


async def test_batch_as_large_as_allowed_is_taken_and_one_line_more_is_not(edge: Edge) -> None:
    line = json.dumps(TRANSFER).encode()
    assert len((await edge.batch(*[line] * BATCH_LINES_MAX)).lines) == BATCH_LINES_MAX
    reply = await edge.batch(*[line] * (BATCH_LINES_MAX + 1))
    assert (reply.status, reply.code) == (413, "body_too_large")
    assert len(edge.intake.submissions) == 1


async def test_body_in_pieces_is_one_body(edge: Edge) -> None:
    body = json.dumps(TRANSFER).encode()
    assert (await edge.call("POST", "/v1/transfers", [body[i : i + 1] for i in range(len(body))])).status == 201


@pytest.mark.parametrize(
    ("path", "content_type", "bytes_max"),
    [
        ("/v1/transfers", "application/json", BODY_BYTES_MAX),
        ("/v1/transfers:batch", "application/x-ndjson", BATCH_BYTES_MAX),
    ],
)
async def test_body_too_large_is_refused_with_and_without_content_length(
    edge: Edge, path: str, content_type: str, bytes_max: int
) -> None:
    pieces = [b" " * 65_536] * (bytes_max // 65_536 + 1)
    for body, declared in (([*pieces, b" "], None), ([b"{}"], bytes_max + 1), (pieces, bytes_max + 1), (pieces, 1)):
        reply = await edge.call("POST", path, body, content_type=content_type, declared_bytes=declared)
        assert (reply.status, reply.code) == (413, "body_too_large")
        assert reply.headers["connection"] == "close"
    assert edge.intake.submissions == []


async def test_endless_body_is_not_read_for_ever(edge: Edge) -> None:
    reply = await edge.call("POST", "/v1/transfers", [b" " * 1_048_576] * 200)
    assert (reply.status, reply.code) == (413, "body_too_large")


async def test_body_that_never_ends_arriving_is_a_timeout(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_SECONDS_MAX", 0)
    pieces = [b"{"]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not pieces:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": pieces.pop(), "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/transfers", "headers": headers}
    await edge.app(scope, receive, send)
    assert sent[0]["status"] == 408


async def test_client_that_hangs_up_gets_no_answer_and_changes_nothing(edge: Edge) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    await edge.app({"type": "http", "method": "POST", "path": "/v1/transfers", "headers": headers}, receive, send)
    assert sent == []
    assert edge.intake.submissions == []


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Overloaded(), "overloaded"),
        (Stopping(), "stopping"),
        (OutcomeUnknown(), "outcome_unknown"),
        (LogFailed("the brokers are away"), "outcome_unknown"),
    ],
)
async def test_what_was_not_answered_can_be_sent_again(edge: Edge, failure: Exception, code: str) -> None:
    edge.intake.failure = failure
    for reply in (await edge.transfer(), await edge.open(), await edge.batch(TRANSFER)):
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, code, "1")


async def test_unknown_outcome_names_the_id_to_ask_for(edge: Edge) -> None:
    edge.intake.failure = OutcomeUnknown()
    assert (await edge.transfer()).document["id"] == ID
    assert (await edge.open()).document["account"] == "alice"


async def test_unforeseen_failure_is_a_problem_and_its_text_is_not_logged(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    edge.intake.failure = KeyError("marker-7391")
    with caplog.at_level(logging.DEBUG):
        reply = await edge.transfer()
    assert (reply.status, reply.code) == (500, "internal")
    assert b"marker-7391" not in reply.body
    assert "marker-7391" not in caplog.text
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/transfers/", "/v2/transfers", "/v1/accounts", "/docs"])
async def test_unknown_address_is_a_problem(edge: Edge, path: str) -> None:
    reply = await edge.call("POST", path)
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/transfers", "POST"),
        ("POST", "/v1/accounts/alice", "PATCH, PUT"),
        ("GET", "/v1/holds", "POST"),
        ("PUT", "/v1/holds/x/capture", "POST"),
        ("DELETE", "/v1/transfers:batch", "POST"),
    ],
)
async def test_wrong_method_is_a_problem_that_names_the_right_one(
    edge: Edge, method: str, path: str, allowed: str
) -> None:
    reply = await edge.call(method, path)
    assert (reply.status, reply.code, reply.headers["allow"]) == (405, "method_not_allowed", allowed)


async def test_ready_only_when_there_is_no_reason_against_it() -> None:
    reasons = ["partition 0 is still being replayed"]
    edge = Edge(lambda: reasons)
    assert (await edge.call("GET", "/healthz")).status == 200
    reply = await edge.call("GET", "/readyz")
    assert (reply.status, reply.code, reply.document["reasons"]) == (503, "not_ready", reasons)
    reasons.clear()
    assert (await edge.call("GET", "/readyz")).status == 200


async def test_requests_and_batches_are_counted(edge: Edge) -> None:
    await edge.transfer()
    await edge.transfer(b"{")
    await edge.batch(TRANSFER, TRANSFER)
    await edge.call("GET", "/no/such/path")
    text = (await edge.call("GET", "/metrics")).body.decode()
    assert 'fanfold_write_http_requests_total{route="/v1/transfers",status="201"} 1.0' in text
    assert 'fanfold_write_http_requests_total{route="/v1/transfers",status="400"} 1.0' in text
    assert 'fanfold_write_http_requests_total{route="other",status="404"} 1.0' in text
    assert "fanfold_write_http_batch_items_sum 2.0" in text
    assert "no/such" not in text


async def test_two_applications_share_nothing() -> None:
    first, second = Edge(), Edge()
    await first.transfer()
    assert second.intake.submissions == []
    assert isinstance(first.app, FastAPI)


async def test_others_have_turns_by_what_a_batch_weighs_and_not_by_its_lines(edge: Edge) -> None:
    legs = [{"account": f"{'a' * 50}{n}", "amount": "-31" if n == 0 else "1"} for n in range(32)]
    lines = [{"id": str(uuid.UUID(int=n)), "legs": legs, "asset": "USD/2"} for n in range(1, 201)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    reply = await edge.batch(*lines)
    counting.cancel()
    assert [line["status"] for line in reply.lines] == [201] * 200
    assert turns >= sum(len(json.dumps(line)) for line in lines) // BYTES_A_TURN


async def test_a_key_for_a_whole_batch_is_refused_for_no_line_would_have_it(edge: Edge) -> None:
    reply = await edge.batch(TRANSFER, headers={"Idempotency-Key": "order 7"})
    assert (reply.status, reply.code, reply.document["field"]) == (400, "parameter_malformed", "Idempotency-Key")
    assert edge.intake.submissions == []


async def test_who_asks_goes_with_every_command_as_the_gateway_says_it(edge: Edge) -> None:
    named = {"fanfold-principal": "auth0|eve"}
    await edge.transfer(headers=named)
    await edge.open(headers=named)
    await edge.batch(TRANSFER, headers=named)
    await edge.batch({"hold": TRANSFER}, headers=named)
    await edge.transfer()
    assert edge.intake.askers == ["auth0|eve"] * 4 + [""]


@pytest.mark.parametrize("name", ["eve smith", "\xe9ve", "e" * 256, "eve\x7f"])
async def test_who_asks_in_words_that_no_log_takes_has_nothing_taken(edge: Edge, name: str) -> None:
    said = {"fanfold-principal": name}
    for reply in (
        await edge.transfer(headers=said),
        await edge.open(headers=said),
        await edge.batch(TRANSFER, headers=said),
    ):
        assert (reply.status, reply.document["field"]) == (400, "Fanfold-Principal")
    assert edge.intake.commands == []


async def test_whose_a_share_of_the_room_is_and_who_goes_into_the_log_is_one_name(edge: Edge, monkeypatch: Any) -> None:
    whose = list[str | None]()
    plain = Budget.move

    def move(self: Budget, before: int, after: int, name: str | None = None) -> bool:
        whose.append(name)
        return plain(self, before, after, name)

    monkeypatch.setattr(Budget, "move", move)
    await edge.transfer(headers={"fanfold-principal": " auth0|eve\t"})
    assert (edge.intake.askers, {*whose}) == (["auth0|eve"], {"auth0|eve"})
    whose.clear()
    for headers in ({"fanfold-principal": "eve smith"}, {"fanfold-principal": "a", "Fanfold-Principal": "eve"}):
        assert (await edge.transfer(headers=headers)).document["field"] == "Fanfold-Principal"
    assert {*whose} == {None}, "nothing of it was kept"


async def test_who_asks_is_said_once(edge: Edge) -> None:
    reply = await edge.transfer(headers={"fanfold-principal": "eve", "Fanfold-Principal": "eve"})
    assert (reply.status, edge.intake.commands) == (400, [])
