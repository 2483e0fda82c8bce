"""Single commands by who has a right to some of what there is; and who the parties of an id are, which the read side says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from fanfold.api import routes
from fanfold.api.requests import BODY_BYTES_MAX, Command, Open
from fanfold.doors.answer import JSON
from fanfold.doors.incoming import Budget, Incoming
from fanfold.doors.request import media_type, read_body, read_headers
from gateway.identity.commands_allowed import OfOutcome, Party, accounts_named, allowed, of_outcome, unclear
from gateway.identity.grants import Principal, Right
from gateway.identity.hidden import absent_transfer
from gateway.identity.owners import NotLookedUp, Owners
from gateway.identity.requests_allowed import Asked
from gateway.identity.shown import shown_to
from gateway.proxy.asgi import Receive, Scope, Send, nothing_more, own_request, said_again
from gateway.proxy.named_command import command_of, named
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.whole_answer import CutShort, whole_answer

NOT_LOOKED_UP: Final = (
    "Whether who asks has a right to this could not be looked up, so it was not done, and no money was moved by this "
    "request. Send "
    "it again soon with the same id."
)


T = TypeVar("T")


class Forbidden(Exception):
    """Who asks has no right to it. body_is_read: whether the request's body was taken already."""

    def __init__(self, *, body_is_read: bool) -> None:
        super().__init__()
        self.body_is_read = body_is_read


class OutcomeCut(Exception):
    """The write side began to say what became of it, and nobody heard the end: it may have been done. about: `id` or `account` of
    the command, as the problem document has it; nothing for a batch."""

    def __init__(self, **about: str) -> None:
        super().__init__()
        self.about = about


JUDGED_WITHIN_S: Final = 10.0
"""So long it may take to look up who the parties of a request's ids are; meanwhile its body counts against everybody's room."""


async def in_time(judging: Awaitable[T]) -> T:
    """Raises NotLookedUp."""
    try:
        async with asyncio.timeout(JUDGED_WITHIN_S):
            return await judging
    except TimeoutError:
        raise NotLookedUp from None


class Judged(NamedTuple):
    """may: whether it may be done. reads_all: whether who asks may read every account that it is about. principal: who asks, and
    whose accounts these are."""

    may: bool
    reads_all: bool
    principal: Principal


class CheckedCommands:
    """budget: of all bodies that are looked at here; chance: as of `CheckedProxy`."""

    def __init__(self, proxy: ReverseProxy, owners: Owners, chance: Callable[[int], int]) -> None:
        self.budget = Budget()
        self.owners = owners
        self._proxy = proxy
        self._chance = chance

    async def one(self, principal: Principal, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises Forbidden, NotLookedUp, OutcomeCut, Malformed (in the words of the write side), TooMuchAtOnce, ClientGone."""
        incoming = Incoming(receive, self.budget, principal.name)
        try:
            headers = read_headers(scope["headers"])
            media_type(headers, JSON)
            body = await read_body(headers, incoming, bytes_max=BODY_BYTES_MAX)
            key = headers.get(b"idempotency-key")
            command = command_of(asked, body, None if key is None else key.decode("latin-1"), principal.name)
            judged = await in_time(self.judge(principal, command))
            if not judged.may:
                raise Forbidden(body_is_read=True)
            inner = with_body(at(scope, asked.path(asked.named)), body)
            try:
                answer = await whole_answer(lambda send: self._proxy(inner, said_again(body, receive), send))
            except CutShort:
                raise OutcomeCut(**named(command)) from None
            if answer.status and not principal.reads_everything:
                answer = answer.with_document(shown_to(judged.principal, answer.document(), reads_all=judged.reads_all))
            await answer.send(send)
        finally:
            incoming.give_back()

    async def judge(self, principal: Principal, command: Open | Command) -> Judged:
        """Raises NotLookedUp, TooManyNames.

        Of an id that nothing has yet nothing may be done, also where a line of the same request is about to make a hold under it:
        by the time the request is run the id may be another's, and that hold refused.
        """
        names = accounts_named(command)
        if names is not None:
            principal = await self.owners.knowing(principal, *unclear(principal, command))
        verdict = allowed(principal, command)
        if not isinstance(verdict, OfOutcome):
            return Judged(verdict, all(principal.may(Right.READ, name) for name in names or ()), principal)
        if not principal.may_somewhere(verdict.given):
            return Judged(False, False, principal)  # whoever is named, so nobody has to be looked for
        parties = await self._parties(verdict.id)
        if principal.owned:  # of what else the request names: each of its lines would keep all of it
            principal = replace(principal, owned={})
        of_parties, by_names = names_of(parties), of_outcome(principal, verdict, parties)
        needed, wished = ([], of_parties) if by_names else (of_parties or [self.owners.nobodys()], [])
        principal = await self.owners.knowing(principal, needed, wished)
        if of_outcome(principal, verdict, parties):
            reads_all = all(each.account is not None and principal.may(Right.READ, each.account) for each in parties)
            return Judged(True, reads_all, principal)
        if parties:
            # So that it takes as long as for an id that nothing has.
            await self._parties(absent_transfer(verdict.id, self._chance))
        return Judged(False, False, principal)

    async def _parties(self, id: str) -> Sequence[Party]:
        """None of an id that nothing has, or of which nobody knows who they are."""
        question = own_request(routes.PARTIES.method, routes.PARTIES.path.format(transfer=id))
        try:
            found = await whole_answer(lambda send: self._proxy.inquire(question, said_again(b"", nothing_more), send))
        except CutShort:
            raise NotLookedUp from None
        match found.status:
            case 200:
                return [Party(each["account"], each["gives"]) for each in found.document()["parties"]]
            case 404 | 409:  # of two commands with one id nobody knows which is meant
                return ()
            case _:
                raise NotLookedUp


def names_of(parties: Iterable[Party]) -> list[str]:
    return [each.account for each in parties if each.account is not None]


def at(scope: Scope, path: str) -> dict[str, Any]:
    """The same request at this address: what was looked at is what is asked, whatever spelling it came in."""
    return dict(scope) | {"path": path, "raw_path": path.encode()}


def with_body(scope: Scope, body: bytes) -> Scope:
    """The same request with this body, whose length it says."""
    headers = [
        (name, value) for name, value in scope["headers"] if name not in (b"content-length", b"transfer-encoding")
    ]
    return dict(scope) | {"headers": [*headers, (b"content-length", b"%d" % len(body))]}
