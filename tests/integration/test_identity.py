"""A gateway that asks who asks, before the real sides: what each may, what each sees, and that what is not theirs is not
there."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from fanfold import BalanceChange, Client, Moved, Refusal
from fanfold.api.close_codes import CloseCode
from fanfold.api.ids import new_id
from fanfold.stream_connection import StreamEnded
from gateway.identity.grants import Principal
from gateway.identity.identity import Identity
from gateway.proxy import checked_commands
from gateway.proxy.checked_commands import CheckedCommands
from read_side.settings import ReadSettings
from tests.both_sides import both_sides
from tests.gateway_server import Served, serving
from tests.listening import connected
from tests.tokens import AUDIENCE, ISSUER, Signer, claims, jwks, some
from write_side.contract.words.atoms import partition_of
from write_side.settings import WriteSettings

USD = "USD/2"
PARTITIONS = 2
COUNTED = ("date", "ratelimit", "x-request-id")
"""Headers that tell which request it was, whatever it was about."""
SIGNER = Signer("EdDSA", "k1")
LIMIT_S = 60.0


def _names(partition: int, *beginnings: str) -> list[str]:
    return [
        next(name for n in range(99) if partition_of(name := f"{each}{n}", PARTITIONS) == partition)
        for each in beginnings
    ]


ALICE, BOB, CAROL = _names(0, "alice", "bob", "carol")
DORA, GHOST = _names(1, "dora", "ghost")
"""Dora lives in the other partition; nobody opens GHOST."""
GHOST_BESIDE = _names(0, "ghost")[0]


class Reply(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.document.get("code")


class Caller:
    """Somebody with a token of these grants."""

    def __init__(self, served: Served, session: aiohttp.ClientSession, name: str, grants: list[dict[str, Any]]) -> None:
        self.served, self._session = served, session
        self.token = SIGNER.token(claims(name, grants, now_s=time.time()))

    async def ask(self, method: str, path: str, document: Any = None, **headers: str) -> Reply:
        more = {"authorization": f"Bearer {self.token}"} | {k.replace("_", "-"): v for k, v in headers.items()}
        data = document if isinstance(document, bytes) else None
        as_json = None if isinstance(document, bytes) else document
        async with self._session.request(
            method, self.served.url + path, json=as_json, data=data, headers=more
        ) as answer:
            return Reply(
                answer.status,
                await answer.read(),
                {k.lower(): v for k, v in answer.headers.items() if k.lower() not in COUNTED},
            )

    async def get(self, path: str) -> Reply:
        return await self.ask("GET", path)

    async def pay(self, source: str, target: str, amount: int, **more: Any) -> Reply:
        body = {"id": new_id(), "from": source, "to": target, "amount": str(amount), "asset": USD} | more
        return await self.ask("POST", "/v1/transfers", body, prefer="wait=20")

    async def hold(self, source: str, target: str, amount: int) -> str:
        body = {"id": new_id(), "from": source, "to": target, "amount": str(amount), "asset": USD}
        made = await self.ask("POST", "/v1/holds", body)
        assert made.status == 201, made.body
        return str(made.document["id"])


class Wallet:
    def __init__(self, served: Served, session: aiohttp.ClientSession) -> None:
        self.served, self.session = served, session
        everything = some("*", "read", "debit", "credit", "open", "freeze", "system")
        self.admin = self.caller("admin", everything)

    def caller(self, name: str, *grants: dict[str, Any]) -> Caller:
        return Caller(self.served, self.session, name, list(grants))


@pytest.fixture
async def wallet(tmp_path: Path) -> AsyncIterator[Wallet]:
    write_settings = WriteSettings(data=str(tmp_path), log="", partitions=PARTITIONS)
    read_settings = ReadSettings(view="memory")
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(SIGNER))
    async with AsyncExitStack() as stack:
        write_side, read_side, feed = await stack.enter_async_context(
            both_sides(write_settings, read_settings, keep_history=True)
        )

        async def sides(scope: Any, receive: Any, send: Any) -> None:
            written = scope["method"] in ("PUT", "PATCH", "POST") and scope["path"].startswith("/v1/")
            await (write_side.app if written else read_side.app)(scope, receive, send)

        served = await stack.enter_async_context(
            serving(
                sides,
                feed,
                PARTITIONS,
                auth="tokens",
                auth_keys=f"file:{keys}",
                auth_issuer=ISSUER,
                auth_audience=AUDIENCE,
            )
        )
        found = Wallet(served, await stack.enter_async_context(aiohttp.ClientSession()))
        for name in (ALICE, BOB, CAROL, DORA):
            assert (await found.admin.ask("PUT", f"/v1/accounts/{name}", {"asset": USD})).status == 201
            assert (await found.admin.pay("@world", name, 1_000)).status == 201
        yield found


async def test_without_a_token_or_with_a_wrong_one_nothing_is_told_but_how_to_ask(wallet: Wallet) -> None:
    for headers, code, challenge in (
        ({}, "unauthenticated", 'Bearer realm="fanfold"'),
        ({"authorization": "Basic YTpi"}, "unauthenticated", 'Bearer realm="fanfold"'),
        ({"authorization": "Bearer x.y.z"}, "token_invalid", 'Bearer realm="fanfold", error="invalid_token"'),
        ({"authorization": "Bearer"}, "token_invalid", 'Bearer realm="fanfold", error="invalid_token"'),
    ):
        for method, path in (
            ("GET", f"/v1/accounts/{ALICE}"),
            ("POST", "/v1/transfers"),
            ("GET", "/v1/system"),
        ):
            async with wallet.session.request(method, wallet.served.url + path, headers=headers) as answer:
                assert (answer.status, (await answer.json())["code"]) == (401, code)
                assert answer.headers["www-authenticate"] == challenge
                assert "x.y.z" not in await answer.text()
    for path in ("/healthz", "/readyz", "/", "/docs", "/openapi.json"):
        async with wallet.session.get(wallet.served.url + path) as answer:
            assert answer.status == 200, path
    async with wallet.session.get(wallet.served.url + "/readyz") as answer:
        assert (await answer.json())["auth"] == "tokens"


QUESTIONS = (
    "",
    "?after_version=0&wait_ms=50",
    "?after_version=x",
    "?min_version=1&wait_ms=20",
    "?as_of=0:1",
    "?as_of=2",
    "?min_version=99999&wait_ms=20",
    "?nonsense=1",
    "/entries",
    "/entries?limit=0",
    "/entries?format=csv",
    "/entries?format=ndjson",
    "/holds",
)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_an_account_that_may_not_be_read_is_told_byte_for_byte_as_one_that_is_not_there(
    wallet: Wallet, question: str
) -> None:
    anna = wallet.caller("anna", some(ALICE, "read"))
    for method in ("GET", "HEAD"):
        hidden = await anna.ask(method, f"/v1/accounts/{BOB}{question}")
        absent = await anna.ask(method, f"/v1/accounts/{GHOST_BESIDE}{question}")
        seen_by_admin = await wallet.admin.ask(method, f"/v1/accounts/{GHOST_BESIDE}{question}")
        assert hidden == absent == seen_by_admin
        assert hidden.status >= 400
    assert (await anna.get(f"/v1/accounts/{ALICE}")).document["posted"] == "1000"


async def test_of_many_accounts_those_that_may_not_be_read_are_absent_as_what_is_not_there(wallet: Wallet) -> None:
    anna = wallet.caller("anna", some(ALICE, "read"))
    found = (await anna.get(f"/v1/accounts?ids={ALICE},{BOB},{GHOST_BESIDE},{DORA},{GHOST}")).document
    assert [each["account"] for each in found["accounts"]] == [ALICE]
    assert [each["account"] for each in found["absent"]] == sorted([BOB, GHOST_BESIDE, DORA, GHOST])
    by_name = {each["account"]: {**each, "account": ""} for each in found["absent"]}
    assert by_name[BOB] == by_name[GHOST_BESIDE]
    assert by_name[DORA] == by_name[GHOST]
    twice = await anna.get(f"/v1/accounts?ids={BOB},{BOB}")
    assert (twice.status, twice.code) == (400, "parameter_malformed")


async def test_a_list_by_name_needs_a_beginning_that_may_be_read_whole(wallet: Wallet) -> None:
    team = wallet.caller("team", some("alice*", "read"))
    found = await team.get("/v1/accounts?prefix=alice")
    assert [each["account"] for each in found.document["accounts"]] == [ALICE]
    for query in ("", "?prefix=a", "?prefix=bob", "?asset=USD/2"):
        refused = await team.get("/v1/accounts" + query)
        assert (refused.status, refused.code) == (403, "forbidden")
    only = wallet.caller("only", some(ALICE, "read"))
    assert (await only.get(f"/v1/accounts?prefix={ALICE}")).code == "forbidden", "there may be a longer name"


@pytest.mark.parametrize(
    "path", ["/v1/system?asset=USD/2", "/v1/positions", "/v1/transfers", "/v1/transfers:find?reference=r"]
)
async def test_what_is_of_the_whole_service_is_not_for_who_may_read_some(wallet: Wallet, path: str) -> None:
    refused = await wallet.caller("anna", some("a*", "read", "debit", "credit")).get(path)
    assert (refused.status, refused.code) == (403, "forbidden")
    assert (await wallet.admin.get(path)).status == 200


async def test_money_moves_only_for_who_may_debit_who_gives_and_credit_who_receives(wallet: Wallet) -> None:
    payer = wallet.caller("payer", some(ALICE, "read", "debit"), some("*", "credit"))
    paid = await payer.pay(ALICE, BOB, 10)
    assert paid.status == 201
    assert [each["account"] for each in paid.document["accounts"]] == [ALICE], "what Bob has is Bob's to see"
    refusals = [
        await payer.pay(BOB, ALICE, 10),
        await payer.pay(GHOST, ALICE, 10),
        await payer.pay("@world", ALICE, 10),
        await payer.pay(ALICE, "@world", 10),
        await payer.pay(ALICE, BOB, 10, dry_run=True, id=new_id()),
        await payer.ask("PUT", f"/v1/accounts/{BOB}", {"asset": USD}),
        await payer.ask("PUT", f"/v1/accounts/{GHOST}", {"asset": USD}),
        await payer.ask("PATCH", f"/v1/accounts/{ALICE}", {"id": new_id(), "debit": "frozen"}),
    ]
    allowed = refusals.pop(4)
    assert allowed.status == 201
    assert [each["account"] for each in allowed.document["accounts"]] == [ALICE]
    assert {(each.status, each.body) for each in refusals} == {(403, refusals[0].body)}
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == "1010"


async def test_a_condition_is_a_question_and_needs_the_right_to_read(wallet: Wallet) -> None:
    """Else whoever may pay somebody could find out, by halving, what they have."""
    payer = wallet.caller("payer", some(ALICE, "debit"), some("*", "credit"))
    legs = [{"account": ALICE, "amount": "-5"}, {"account": BOB, "amount": "5", "if_available_at_least": "1"}]
    body = {"id": new_id(), "asset": USD, "legs": legs, "dry_run": True}
    assert (await payer.ask("POST", "/v1/transfers", body)).code == "forbidden"
    del legs[1]["if_available_at_least"]
    assert (await payer.ask("POST", "/v1/transfers", body)).status == 201


async def test_a_refusal_names_no_account_and_no_amount_that_may_not_be_read(wallet: Wallet) -> None:
    payer = wallet.caller("payer", some(ALICE, "debit"), some("*", "credit"))
    poor = await payer.pay(ALICE, BOB, 5_000)
    assert poor.code == "insufficient_available"
    assert not {"available", "account"} & poor.document.keys()
    assert ALICE not in poor.document["detail"]
    told = await wallet.admin.pay(ALICE, BOB, 5_000)
    assert (told.document["available"], told.document["account"]) == ("1000", ALICE)


async def test_holds_are_captured_and_voided_by_who_may_debit_who_gives(wallet: Wallet) -> None:
    anna = wallet.caller("anna", some(ALICE, "debit", "read"), some("*", "credit"))
    bert = wallet.caller("bert", some(BOB, "debit", "read"), some("*", "credit"))
    for source, target in ((ALICE, BOB), (ALICE, DORA)):
        hold = await wallet.admin.hold(source, target, 100)
        unknown = await bert.ask("POST", f"/v1/holds/{new_id()}/capture", {"id": new_id()})
        refused = await bert.ask("POST", f"/v1/holds/{hold}/capture", {"id": new_id()})
        assert (refused.status, refused.code, refused.body) == (403, "forbidden", unknown.body)
        assert (await bert.ask("POST", f"/v1/holds/{hold}/void", {"id": new_id()})).body == unknown.body
        taken = await anna.ask("POST", f"/v1/holds/{hold}/capture", {"id": new_id(), "amount": "40"}, prefer="wait=20")
        assert taken.status == 201, taken.body
        assert {each["account"] for each in taken.document["accounts"]} == {ALICE}
        assert (await anna.ask("POST", f"/v1/holds/{hold}/void", {"id": new_id()})).status == 201
        again = await bert.ask("POST", f"/v1/holds/{hold}/void", {"id": new_id()})
        assert again.body == unknown.body, "also when it is over"


@pytest.mark.parametrize("form", ["two accounts", "legs", "across"])
async def test_a_transfer_is_reversed_by_who_may_debit_who_received(wallet: Wallet, form: str) -> None:
    seller = wallet.caller("seller", some(BOB, "debit", "read"), some(DORA, "debit"), some("*", "credit"))
    buyer = wallet.caller("buyer", some(ALICE, "debit", "read"), some("*", "credit"))
    target = DORA if form == "across" else BOB
    if form == "legs":
        legs = [{"account": ALICE, "amount": "-9"}, {"account": BOB, "amount": "4"}, {"account": DORA, "amount": "5"}]
        body = {"id": new_id(), "asset": USD, "legs": legs}
        paid = await wallet.admin.ask("POST", "/v1/transfers", body, prefer="wait=20")
    else:
        paid = await wallet.admin.pay(ALICE, target, 9, reference="r1")
    assert paid.status == 201, paid.body
    path = f"/v1/transfers/{paid.document['id']}/reverse"
    assert (await buyer.ask("POST", path, {"id": new_id()})).code == "forbidden"
    back = await seller.ask("POST", path, {"id": new_id()}, prefer="wait=20")
    assert back.status == 201, back.body
    assert (await wallet.admin.get(f"/v1/accounts/{ALICE}")).document["posted"] == "1000"


async def test_a_deposit_is_reversed_only_by_who_may_the_system(wallet: Wallet) -> None:
    anna = wallet.caller("anna", some(ALICE, "debit", "read", "credit"))
    deposit = (await wallet.admin.pay("@world", ALICE, 5)).document["id"]
    assert (await anna.ask("POST", f"/v1/transfers/{deposit}/reverse", {"id": new_id()})).code == "forbidden"


async def test_a_transfer_is_told_to_its_parties_each_what_is_theirs(wallet: Wallet) -> None:
    anna, bert = wallet.caller("anna", some(ALICE, "read")), wallet.caller("bert", some(BOB, "read"))
    carl = wallet.caller("carl", some(CAROL, "read", "debit", "credit"))
    across = {"id": new_id(), "from": ALICE, "to": DORA, "amount": "9", "asset": USD}
    paid = [
        (await wallet.admin.pay(ALICE, BOB, 9)).document["id"],
        (await wallet.admin.ask("POST", "/v1/transfers", across, prefer="wait=20")).document["id"],
        await wallet.admin.hold(ALICE, BOB, 9),
        (await wallet.admin.pay(ALICE, BOB, 90_000)).document["id"],
    ]
    for id in paid:
        whole = (await wallet.admin.get(f"/v1/transfers/{id}")).document
        told = await anna.get(f"/v1/transfers/{id}")
        assert told.status == 200
        for name in (BOB, DORA, CAROL):
            assert name not in told.body.decode()
        assert told.document["result"] == whole["result"]
        assert {each["account"] for each in told.document.get("accounts", ())} <= {ALICE}
        for method in ("GET", "HEAD"):
            absent = await carl.ask(method, f"/v1/transfers/{new_id()}")
            assert await carl.ask(method, f"/v1/transfers/{id}") == absent
            assert absent.status == 404
    told = await bert.get(f"/v1/transfers/{paid[0]}")
    assert {each["account"] for each in told.document["accounts"]} == {BOB}
    malformed = await anna.get("/v1/transfers/nonsense")
    assert malformed == await wallet.admin.get("/v1/transfers/nonsense")


async def test_a_statement_names_no_other_party_that_may_not_be_read(wallet: Wallet) -> None:
    await wallet.admin.pay(ALICE, BOB, 9)
    await wallet.admin.pay(ALICE, CAROL, 9)
    anna = wallet.caller("anna", some(ALICE, "read"), some(CAROL, "read"))
    for format in ("json", "ndjson", "csv"):
        path = f"/v1/accounts/{ALICE}/entries?format={format}"
        async with asyncio.timeout(LIMIT_S):
            while CAROL not in (told := await anna.get(path)).body.decode():  # noqa: ASYNC110 - until history has it
                await asyncio.sleep(0.01)
        assert BOB not in told.body.decode()
        assert "@world:USD/2" in told.body.decode()
        whole = await wallet.admin.get(path)
        assert BOB in whole.body.decode()
        assert whole.body.decode().replace(BOB, "").count(",") == told.body.decode().count(",")


def _lines(*commands: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in commands)


def _transfer(source: str, target: str, amount: int = 1) -> dict[str, Any]:
    return {"id": new_id(), "from": source, "to": target, "amount": str(amount), "asset": USD}


async def _batch(caller: Caller, body: bytes, mode: str = "continue") -> list[Any]:
    answer = await caller.ask(
        "POST", f"/v1/transfers:batch?mode={mode}", body, content_type="application/x-ndjson", prefer="wait=20"
    )
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


@pytest.mark.parametrize(
    ("mode", "statuses"),
    [("continue", [201, 403, 400, 201]), ("stop", [201, 403, 400, 422]), ("atomic", [422, 403, 400, 422])],
)
async def test_a_line_that_may_not_be_done_is_one_that_cannot_be_read(
    wallet: Wallet, mode: str, statuses: list[int]
) -> None:
    payer = wallet.caller("payer", some(ALICE, "debit", "read"), some("*", "credit"))
    body = _lines(_transfer(ALICE, BOB), _transfer(BOB, ALICE), {"id": "x"}, _transfer(ALICE, CAROL))
    told = await _batch(payer, body, mode)
    assert [each["status"] for each in told] == statuses
    assert told[1]["code"] == "forbidden"
    assert told[2]["code"] == "field_missing"
    assert BOB not in json.dumps(told)
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == (
        "1000" if mode == "atomic" else "1001"
    )


async def test_what_nothing_has_yet_is_nobodys_to_capture_void_or_reverse_whatever_stands_before_it(
    wallet: Wallet,
) -> None:
    """A line that makes a hold under an id makes it nobody's: by the time it is run the id may be another's."""
    anna = wallet.caller(
        "anna", some(ALICE, "debit", "credit", "read"), some(CAROL, "debit", "read"), some("*", "credit")
    )
    hold = _transfer(ALICE, CAROL, 50)
    done = await _batch(anna, _lines({"hold": hold}, {"capture": {"hold": hold["id"], "id": new_id()}}))
    assert [each["status"] for each in done] == [201, 403]
    later = await _batch(anna, _lines({"void": {"hold": hold["id"], "id": new_id()}}))
    assert [each["status"] for each in later] == [201], "behind the hold's answer it is"
    paid = _transfer(ALICE, BOB, 50)
    own = _transfer(ALICE, CAROL, 1) | {"id": paid["id"]}
    back = {"reverse": {"transfer": paid["id"], "id": new_id()}}
    assert [each["status"] for each in await _batch(anna, _lines(paid, {"hold": own}, back))] == [201, 422, 403]
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == "1050", (
        "what was paid is not taken back"
    )
    assert [each["status"] for each in await _batch(anna, _lines(back))] == [403]
    theirs = await wallet.admin.hold(CAROL, BOB, 50)
    bert = wallet.caller("bert", some(ALICE, "debit", "read"), some("*", "credit"))
    held = {"hold": _transfer(ALICE, BOB, 50) | {"id": theirs}}
    taken = await _batch(bert, _lines(held, {"capture": {"hold": theirs, "id": new_id()}}))
    assert [each["status"] for each in taken] == [422, 403]


async def test_who_may_let_nobody_give_has_nobody_looked_up(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    parties = CheckedCommands._parties

    async def counted(commands: CheckedCommands, ids: Sequence[str], *, at_once: bool) -> Any:
        looked_up.extend(ids)
        return await parties(commands, ids, at_once=at_once)

    monkeypatch.setattr(CheckedCommands, "_parties", counted)
    opener = wallet.caller("opener", some("*", "open"))
    lines = [{"void": {"hold": new_id(), "id": new_id()}} for _ in range(50)]
    assert {each["code"] for each in await _batch(opener, _lines(*lines))} == {"forbidden"}
    assert looked_up == []


async def test_a_request_that_takes_long_to_look_at_is_told_that_nothing_was_done(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: CheckedCommands, __: Sequence[str], *, at_once: bool) -> Any:
        await asyncio.Future()

    monkeypatch.setattr(checked_commands, "JUDGED_WITHIN_S", 0.05)
    monkeypatch.setattr(CheckedCommands, "_parties", never)
    anna = wallet.caller("anna", some(ALICE, "debit"))
    for path, body in (
        ("/v1/transfers:batch", _lines({"void": {"hold": new_id(), "id": new_id()}})),
        (f"/v1/holds/{new_id()}/void", json.dumps({"id": new_id()}).encode()),
    ):
        kind = "application/x-ndjson" if path.endswith("batch") else "application/json"
        told = await anna.ask("POST", path, body, content_type=kind)
        assert (told.status, told.code) == (503, "upstream_unavailable")
        assert "no money was moved" in told.document["detail"]


@pytest.mark.parametrize("everything", [True, False])
async def test_who_is_shut_out_while_a_body_comes_has_nothing_done(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch, everything: bool
) -> None:
    some_rights = [some(ALICE, "debit", "read"), some("*", "credit")]
    caller = wallet.admin if everything else wallet.caller("anna", *some_rights)
    body = json.dumps(_transfer(ALICE, BOB, 5)).encode()
    host, port = wallet.served.url.removeprefix("http://").split(":")
    async with connected(host, int(port)) as (reader, writer):
        head = (
            f"POST /v1/transfers HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {caller.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        began = asyncio.Event()
        who = Identity.who

        async def noted(identity: Identity, credential: str) -> Principal:
            found = await who(identity, credential)
            began.set()
            return found

        with monkeypatch.context() as patched:
            patched.setattr(Identity, "who", noted)
            writer.write(head.encode() + body[:10])
            async with asyncio.timeout(LIMIT_S):
                await began.wait()
                patched.setattr(Identity, "still", lambda *_: None)
                writer.write(body[10:])
                answer = await reader.read()
    assert b" 201 " not in answer
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == "1000"


async def test_columns_are_for_who_may_everything(wallet: Wallet) -> None:
    payer = wallet.caller("payer", some("*", "debit", "credit", "read"))
    refused = await payer.ask(
        "POST", "/v1/transfers:batch", b"ARROW1", content_type="application/vnd.apache.arrow.stream"
    )
    assert (refused.status, refused.code) == (415, "content_type_unsupported")


async def test_the_same_key_of_two_principals_is_two_payments_and_of_one_is_one(wallet: Wallet) -> None:
    grants = (some(ALICE, "debit", "read"), some("*", "credit"))
    anna, bert = wallet.caller("anna", *grants), wallet.caller("bert", *grants)
    body = {"from": ALICE, "to": BOB, "amount": "3", "asset": USD}
    ids = [
        (await each.ask("POST", "/v1/transfers", body, idempotency_key="order-1")).document["id"]
        for each in (anna, bert, anna)
    ]
    assert ids[0] == ids[2] != ids[1]
    forged = await anna.ask("POST", "/v1/transfers", body, idempotency_key="order-1", fanfold_principal="bert")
    assert forged.document["id"] == ids[0], "what a client says of itself does not count"
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == "1006"
    named = str(uuid.uuid4())
    told = await anna.ask("POST", "/v1/transfers", body, idempotency_key=named)
    assert told.document["id"] == named


async def test_an_address_without_a_rule_is_refused(wallet: Wallet, monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.identity import requests_allowed

    monkeypatch.setattr(requests_allowed, "RULES", {})
    refused = await wallet.admin.get(f"/v1/accounts/{ALICE}")
    assert (refused.status, refused.code) == (403, "forbidden")


async def test_a_program_says_who_asks_by_its_token_in_requests_and_streams(
    wallet: Wallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = wallet.caller("anna", some(ALICE, "read", "debit"), some("*", "credit"))
    monkeypatch.setenv("FANFOLD_TOKEN", anna.token + "\n")
    async with Client(wallet.served.url) as client:
        assert isinstance(await client.transfer(ALICE, BOB, 5, USD), Moved)
        hidden = await client.balance(BOB)
        assert isinstance(hidden, Refusal)
        assert (hidden.code, hidden.status) == ("account_not_found", 404)
        async with aclosing(client.watch([ALICE, BOB])) as changes, asyncio.timeout(LIMIT_S):
            async for change in changes:
                if isinstance(change, BalanceChange):
                    assert (change.account, change.posted) == (ALICE, 995)
                    break
    async with Client(wallet.served.url, token="x.y.z") as client:
        refused = await client.balance(ALICE)
        assert isinstance(refused, Refusal)
        assert refused.code == "token_invalid"
        with pytest.raises(StreamEnded, match="FANFOLD_TOKEN"):
            async for _ in client.watch([ALICE]):
                pass


async def test_what_is_submitted_is_judged_command_by_command_and_answered_as_far_as_it_may_be_read(
    wallet: Wallet,
) -> None:
    payer = wallet.caller("payer", some(ALICE, "debit", "read"), some("*", "credit"))
    hold, theirs = _transfer(ALICE, BOB, 5), await wallet.admin.hold(CAROL, BOB, 50)
    commands = [
        _transfer(ALICE, BOB),
        _transfer(BOB, ALICE),
        {"id": "x"},
        {"hold": hold},
        {"capture": {"hold": hold["id"], "id": new_id()}},
        {"capture": {"hold": theirs, "id": new_id()}},
        {"open": {"account": GHOST_BESIDE, "asset": USD}},
        _transfer(ALICE, BOB, 50_000),
    ]
    headers = {"authorization": f"Bearer {payer.token}"}
    async with wallet.session.ws_connect(wallet.served.stream_url, headers=headers) as stream:
        await stream.send_json({"op": "submit", "id": 1, "commands": commands})
        await stream.send_json(
            {"op": "submit", "id": 2, "commands": [_transfer(ALICE, CAROL), _transfer(CAROL, ALICE)]}
        )
        assert (await stream.receive_json(timeout=LIMIT_S))["op"] == "hello"
        heard = [await stream.receive_json(timeout=LIMIT_S) for _ in range(2)]
    assert [(each["op"], each["id"]) for each in heard] == [("answers", 1), ("answers", 2)]
    told = heard[0]["answers"]
    assert [each["status"] for each in told] == [201, 403, 400, 201, 403, 403, 403, 422]
    assert [each["status"] for each in heard[1]["answers"]] == [201, 403]
    assert not any(name in json.dumps(heard) for name in (BOB, CAROL, GHOST_BESIDE))
    assert "available" not in told[-1] or BOB not in json.dumps(told[-1])
    assert (await wallet.admin.get(f"/v1/accounts/{BOB}")).document["posted"] == "1001"
    async with wallet.session.ws_connect(wallet.served.stream_url) as stream:
        await stream.send_json({"op": "submit", "id": 1, "commands": [_transfer("@world", ALICE)]})
        assert (await stream.receive_json(timeout=LIMIT_S))["op"] == "hello"
        assert (await stream.receive(timeout=LIMIT_S)).data == CloseCode.UNAUTHENTICATED
    assert (await wallet.admin.get(f"/v1/accounts/{ALICE}")).document["posted"] == "998"
