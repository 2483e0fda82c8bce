"""Single commands by who has a right to some of what there is; and who the parties of an id are, which the read side says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

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
from gateway.proxy.asgi import Receive, Scope, Send, said_again
from gateway.proxy.named_command import command_of, named
from gateway.proxy.parties_of import parties_of
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


class Known(NamedTuple):
    """Of the commands of a request. principal: who asks, and whose accounts these are. parties: by id, of those that a right may
    depend on."""

    principal: Principal
    parties: Mapping[str, Sequence[Party]]


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
        """Raises NotLookedUp, TooManyNames."""
        return judged(await self.known_of(principal, (command,)), command)

    async def known_of(self, principal: Principal, commands: Sequence[Open | Command]) -> Known:
        """What `judged` has to know of the commands of one request, asked in questions of many. Raises NotLookedUp, TooManyNames.

        Of an id that nothing has yet nothing may be done, also where a line of the same request is about to make a hold under it:
        by the time the request is run the id may be another's, and that hold refused.
        """
        outcomes = dict.fromkeys(each for each in map(partial(_of_an_id, principal), commands) if each is not None)
        parties = await self._parties([*dict.fromkeys(each.id for each in outcomes)], at_once=True)
        principal = await self._knowing(principal, commands, outcomes, parties)
        refused = _refused(principal, outcomes, parties)
        if refused:
            # All of the log is looked at for what is not known, and for an id of nothing in the place of each that is: so what is
            # hidden takes as long as what is not there.
            stands_for = {id: absent_transfer(id, self._chance) if parties[id] else id for id in refused}
            found = await self._parties([*stands_for.values()], at_once=False)
            late = {id: found[id] for id in refused if not parties[id]}
            parties = {**parties, **late}
            principal = await self._knowing(principal, (), (each for each in outcomes if late.get(each.id)), parties)
        return Known(principal, parties)

    async def _knowing(
        self,
        principal: Principal,
        commands: Iterable[Open | Command],
        outcomes: Iterable[OfOutcome],
        parties: Mapping[str, Sequence[Party]],
    ) -> Principal:
        """Whose those accounts are on which it depends what may be done, and as far as somebody says so, what may be shown."""
        if not principal.owners:
            return principal
        needed, wished = list[str](), list[str]()
        for command in commands:
            of_it, more = unclear(principal, command)
            needed += of_it
            wished += more
        for outcome in outcomes:
            names = names_of(parties[outcome.id])
            if of_outcome(principal, outcome, parties[outcome.id]):
                wished += names
            else:
                needed += names or [self.owners.nobodys()]
        return await self.owners.knowing(principal, needed, wished)

    async def _parties(self, ids: Sequence[str], *, at_once: bool) -> Mapping[str, Sequence[Party]]:
        return await parties_of(self._proxy, ids, at_once=at_once)


def judged(known: Known, command: Open | Command) -> Judged:
    """Of one of the commands that are known."""
    principal, verdict = known.principal, allowed(known.principal, command)
    if not isinstance(verdict, OfOutcome):
        names = accounts_named(command) or ()
        return Judged(verdict, all(principal.may(Right.READ, name) for name in names), principal)
    parties = known.parties.get(verdict.id, ())
    may = of_outcome(principal, verdict, parties)
    reads_all = may and all(each.account is not None and principal.may(Right.READ, each.account) for each in parties)
    return Judged(may, reads_all, principal)


def _of_an_id(principal: Principal, command: Open | Command) -> OfOutcome | None:
    """What has to be asked about a command that names an id. Of who may let nobody give, nobody has to be looked for."""
    if accounts_named(command) is not None:
        return None
    verdict = allowed(principal, command)
    return verdict if isinstance(verdict, OfOutcome) and principal.may_somewhere(verdict.given) else None


def _refused(
    principal: Principal, outcomes: Iterable[OfOutcome], parties: Mapping[str, Sequence[Party]]
) -> dict[str, None]:
    """The ids of which something that is asked may not be done, as far as is known."""
    return {each.id: None for each in outcomes if not of_outcome(principal, each, parties[each.id])}


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
