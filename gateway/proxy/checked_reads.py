"""Reads by who has a right to some of what there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from fanfold.api import questions, routes
from fanfold.api.values import document_of
from fanfold.doors.answer import JSON, NDJSON
from fanfold.doors.request import read_query
from gateway.identity.commands_allowed import Party
from gateway.identity.grants import Principal, Right
from gateway.identity.hidden import absent_account, absent_transfer
from gateway.identity.owners import Owners
from gateway.identity.requests_allowed import Asked
from gateway.identity.shown import (
    entries_shown_to,
    entry_lines_shown_to,
    entry_rows_shown_to,
    outcome_shown_to,
    reads_one,
)
from gateway.proxy.asgi import App, Receive, Scope, Send
from gateway.proxy.checked_commands import Forbidden, at, names_of
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.whole_answer import WholeAnswer, whole_answer
from write_side.contract.words.atoms import format_transfer_id, parse_account, parse_transfer_id

QUERY_BYTES_MAX: Final = 64 * 1024
"""More is no head of HTTP here; what the question may be long, the read side says."""

CSV: Final = routes.CSV.encode()


class CheckedReads:
    """passed_on, partitions, chance: as of `CheckedProxy`."""

    def __init__(
        self,
        proxy: ReverseProxy,
        passed_on: App,
        owners: Owners,
        partitions: Callable[[], int],
        chance: Callable[[int], int],
    ) -> None:
        self._owners = owners
        self._proxy = proxy
        self._passed_on = passed_on
        self._partitions = partitions
        self._chance = chance

    async def account(self, principal: Principal, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Of one account: its balance, its holds, its statement."""
        account = parse_account(asked.named)
        if principal.unclear(Right.READ, account):
            principal = await self._owners.knowing_soon(principal, (account,))
        readable = principal.may(Right.READ, account)
        inner = at(scope, asked.path(account if readable else self._absent(account)))
        if asked.route is not routes.ENTRIES or not readable or principal.reads_everything:
            await self._passed_on(inner, receive, send)
            return
        page = await whole_answer(lambda send: self._proxy(inner, receive, send))
        await _entries(principal, page).send(send)

    async def accounts(self, principal: Principal, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Of many. What may not be read of `ids` is absent as what is not there; a list by name must have a beginning."""
        wanted = read_query(questions.OfAccounts, scope["query_string"], bytes_max=QUERY_BYTES_MAX)
        if wanted.ids is None:
            if not principal.may_all_with(Right.READ, wanted.prefix, wanted.owner):
                raise Forbidden(body_is_read=False)
            await self._proxy(scope, receive, send)
            return
        names = {name: name for name in wanted.ids.split(",")}
        if len(names) <= questions.ACCOUNTS_MAX:  # more are refused, whoever's they are
            asked_about = [name for name in names if principal.unclear(Right.READ, name)]
            principal = await self._owners.knowing_soon(principal, asked_about)
        for name in names:
            if not principal.may(Right.READ, name):
                names[name] = self._absent(name)
        if all(name == other for name, other in names.items()):
            await self._proxy(scope, receive, send)
            return
        ids = ",".join(names[name] for name in wanted.ids.split(","))
        inner = dict(scope) | {"query_string": _query(replace(wanted, ids=ids))}
        answer = await whole_answer(lambda send: self._proxy(inner, receive, send))
        if answer.status == 200:
            answer = answer.with_document(
                _named_back(answer.document(), {other: name for name, other in names.items()})
            )
        await answer.send(send)

    async def outcome(self, principal: Principal, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Of a transfer or hold, as far as its accounts may be read."""
        id = format_transfer_id(parse_transfer_id(asked.named))
        if principal.reads_everything:
            await self._proxy(scope, receive, send)
            return
        inner = at(scope, routes.PARTIES.path.format(transfer=id)) | {"method": "GET"}
        found = await whole_answer(lambda send: self._proxy.inquire(inner, receive, send))
        if found.status != 200:
            if found.status == 404:
                await self._owners.knowing_soon(principal, [self._owners.nobodys()])
            await found.send(send)  # in the words of the public address
            return
        document = found.document()
        parties = [Party(each["account"], each["gives"]) for each in document["parties"]]
        principal = await self._owners.knowing_soon(principal, names_of(parties))
        if reads_one(principal, parties):
            await found.with_document(outcome_shown_to(principal, document["outcome"], parties)).send(send)
        else:
            await self._proxy(at(scope, asked.path(absent_transfer(id, self._chance))), receive, send)

    async def everything(self, principal: Principal, _: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """What does not say whose it is."""
        if not principal.may_all_with(Right.READ, ""):
            raise Forbidden(body_is_read=False)
        await self._proxy(scope, receive, send)

    async def system(self, principal: Principal, _: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        if not principal.is_of_the_system:
            raise Forbidden(body_is_read=False)
        await self._proxy(scope, receive, send)

    def _absent(self, account: str) -> str:
        return absent_account(account, self._partitions() or 1, self._chance)


def _query(wanted: questions.OfAccounts) -> bytes:
    return urlencode({name: str(value) for name, value in document_of(wanted).items() if value != ""}).encode()


def _named_back(document: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """With the names that were asked for, in the order of names."""
    absent = [{**each, "account": names[each["account"]]} for each in document.get("absent", ())]
    return document | {"absent": sorted(absent, key=lambda each: each["account"])}


def _entries(principal: Principal, page: WholeAnswer) -> WholeAnswer:
    if page.status != 200:
        return page
    match page.content_type():
        case content if content == JSON:
            return page.with_document(entries_shown_to(principal, msgspec.json.decode(page.body)))
        case content if content == NDJSON:
            return page._replace(body=entry_lines_shown_to(principal, page.body))
        case content if content == CSV:
            return page._replace(body=entry_rows_shown_to(principal, page.body))
        case _:
            raise AssertionError("a statement in a form that nobody looked through")
