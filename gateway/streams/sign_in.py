"""Who is at a stream: found out at the handshake or by the first message, looked after until the stream ends.

Without somebody a stream may say nothing, does not stay, and is one of a bounded number. With somebody it ends when their
token does, and within a second of their being shut out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import structlog

from fanfold.api.close_codes import CloseCode
from fanfold.api.problems import PROBLEMS
from fanfold.doors.shared_room import SharedRoom
from gateway.identity.grants import Principal
from gateway.identity.identity import LOOK_S, Identity, NobodySaid
from gateway.identity.owners import NotLookedUp, Owners
from gateway.identity.tickets import Tickets
from gateway.identity.tokens import KeyUnknown, TokenRefused
from gateway.limits.addresses import NOBODY
from gateway.protocol.session import Session
from gateway.protocol.wishes import Close, Whose, Wish
from gateway.protocol.wishes import SignIn as Presented
from gateway.streams.handshake import Refusal
from gateway.streams.lifetimes import GivesUp, given_up
from gateway.streams.stream_rates import StreamRates
from read_side.contract.kept_once import NotKept

_DAY_S: Final = 86_400.0
"""Timers are not set further ahead: whoever's token lasts for years is looked at once a day."""

Who = Callable[[], Awaitable[Principal]]
"""Raises TokenRefused, NotKept."""
OF_HANDSHAKE: Final = -1
"""In the place of the id of the message that says who is there."""

_log = structlog.get_logger(__name__)


class Stream(GivesUp, Protocol):
    """The connection that somebody is at."""

    session: Session

    def take_later(self) -> None:
        """Go on with what was said meanwhile."""
        ...

    def has_place_for(self, principal: str) -> bool:
        """Whether who is found to be there may have one more stream."""
        ...

    def end_with(self, code: CloseCode) -> None:
        """Say what is to be said, and close."""
        ...


class DoorTerms(NamedTuple):
    """sign_in_ms: how long a stream may stay without somebody; unauthenticated_max: how many may; address_percent: how many of
    them an address, of what it has and what is free."""

    sign_in_ms: int
    unauthenticated_max: int
    address_percent: int = 100


class Door:
    """Who is asked who is there: of one gateway."""

    def __init__(
        self,
        identity: Identity,
        terms: DoorTerms,
        hide: Callable[[str], str],
        tickets: Tickets,
        owners: Owners,
        rates: StreamRates | None = None,
    ) -> None:
        self.identity = identity
        self.tickets = tickets
        self.owners = owners
        self.rates = StreamRates() if rates is None else rates
        self.terms = terms
        self.hide = hide
        self.unauthenticated = SharedRoom(terms.unauthenticated_max, terms.address_percent)
        self.signed_in: set[SignIn] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changes = identity.changes

    async def run(self) -> None:
        """End the streams of whoever has no right to them any more, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S / 4)
            try:
                self.look_again()
            except Exception:  # a bug of ours must not keep a stream open for who was shut out
                _log.exception("streams_not_looked_at")

    def look_again(self) -> None:
        """Whether everybody who is there still may be, where something has changed."""
        self.identity.look()
        if self._changes != self.identity.changes:
            self._changes = self.identity.changes
            for each in list(self.signed_in):
                try:
                    each.look_again()
                except Exception:  # a bug of ours with one must keep no other open for who was shut out
                    given_up(each.stream, "stream_failed")

    def sign_in(self, stream: Stream) -> SignIn:
        return SignIn(self, stream)

    def spawn(self, finding_out: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(finding_out)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class SignIn:
    """Of one stream. waits: whether it is being found out who is there, so that nothing more is heard until it is."""

    __slots__ = ("_address", "_counted", "_door", "_early", "_gone", "_timer", "stream", "waits")

    def __init__(self, door: Door, stream: Stream) -> None:
        self.waits = False
        self._door = door
        self.stream = stream
        self._early: Who | None = None
        self._address = NOBODY
        self._counted = False
        self._gone = False
        self._timer: asyncio.TimerHandle | None = None

    def refusal(self, authorization: Sequence[str], address: str = NOBODY, ticket: str | None = None) -> Refusal | None:
        """Why a handshake with these values of `Authorization`, or with this ticket, is refused; without one somebody has to sign
        in later."""
        self._address = address
        if ticket is not None:
            return self._refusal_of_ticket(authorization, ticket)
        identity, credential = self._door.identity, ""
        try:
            credential = identity.credential([value.encode("latin-1", "replace") for value in authorization])
            if (
                not identity.knows(credential)
                and (refused := self._door.rates.refusal_of_stranger(address)) is not None
            ):
                return refused
            self.stream.session.admit(identity.who_now(credential), None)
        except KeyUnknown:
            # Anybody can make up the name of a key: until it was looked for, nobody is there.
            self._early = partial(identity.who, credential)
            return self._refused_for_many()
        except TokenRefused as why:
            self._door.rates.refused(address)
            return Refusal("token_invalid", f"It {why}. {PROBLEMS['token_invalid'].detail}")
        except NobodySaid:
            return self._refused_for_many()
        return None

    def _refusal_of_ticket(self, authorization: Sequence[str], ticket: str) -> Refusal | None:
        """It is looked for once the stream is open: others keep it."""
        if authorization:
            return Refusal("token_invalid", f"It stands beside another one. {PROBLEMS['token_invalid'].detail}")
        if (refused := self._door.rates.refusal_of_stranger(self._address)) is not None:
            return refused
        self._early = partial(self._door.tickets.who, ticket)
        return self._refused_for_many()

    @property
    def is_said(self) -> bool:
        """Whether the handshake says who is there, and it is still to be found out."""
        return self._early is not None

    def _refused_for_many(self) -> Refusal | None:
        if self._door.unauthenticated.has_room(self._address, 1):
            return None
        return Refusal("overloaded", "As many streams as may wait for somebody to sign in. Try again later.")

    def begin(self) -> None:
        """The stream is open."""
        if self.stream.session.principal is not None:
            self._admitted()
            return
        self._counted = self._door.unauthenticated.take(self._address, 1)
        self._set_timer(self._door.terms.sign_in_ms / 1000, lambda: self.stream.end_with(CloseCode.NOT_SIGNED_IN))
        if self._early is not None:
            self.waits = True
            self._door.spawn(self.find_out(self._early, OF_HANDSHAKE))
            self._early = None

    def present(self, wish: Presented) -> Close | None:
        """A message says who is there."""
        door = self._door
        if not door.identity.knows(wish.token) and door.rates.refusal_of_stranger(self._address) is not None:
            return Close(CloseCode.TOO_FAST)
        try:
            return self._admit(self._door.identity.who_now(wish.token), wish.id)
        except KeyUnknown:
            self.waits = True
            self._door.spawn(self.find_out(partial(door.identity.who, wish.token), wish.id))
            return None
        except TokenRefused as why:
            return self._refuse(wish.id, why)

    async def find_out(self, who: Who, id: int) -> None:
        """As `present`, of a token whose key may be a new one, or of a ticket. id: of the message, or OF_HANDSHAKE."""
        try:
            found = self._admit(await who(), id)
        except TokenRefused as why:
            found = self._refuse(id, why)
        except NotKept:
            found = Close(CloseCode.NOT_SIGNED_IN)
        except Exception:
            _log.exception("sign_in_failed")
            found = Close(CloseCode.INTERNAL)
        self.waits = False
        if found is not None:
            self.stream.end_with(found.code)
        else:
            self.stream.take_later()

    def find_owners(self, whose: Whose, take: Callable[[Wish | None], None]) -> None:
        """Nothing more is heard until it is known whose accounts these are; then `take` has what is to be done."""
        self.waits = True
        self._door.spawn(self._find_owners(whose, take))

    async def _find_owners(self, whose: Whose, take: Callable[[Wish | None], None]) -> None:
        session, found = self.stream.session, None
        try:
            principal = session.principal
            assert principal is not None, "without somebody nothing is asked"
            known = await self._door.owners.knowing_soon(principal, whose.names)
            if self._gone:  # what it would watch from now on nobody would end
                return
            session.principal = known
            found = session.ask(whose.message, whose_is_known=True)
            session.principal = principal  # what is not there now may be theirs when they ask again
        except NotLookedUp:
            session.whose_is_not_known(whose.message)
        except Exception:
            _log.exception("owners_not_found")
            found = Close(CloseCode.INTERNAL)
        self.waits = False
        if not self._gone:
            try:
                take(found)
            except Exception:  # or nothing more would be heard of it
                given_up(self.stream, "stream_failed")
            self.stream.take_later()

    def look_again(self) -> None:
        """Whether who is there still may be."""
        session = self.stream.session
        if session.principal is None:
            return
        now = self._door.identity.still(session.principal)
        if now is None:
            self.stream.end_with(CloseCode.REVOKED)
        elif now.grants != session.principal.grants:
            self.stream.end_with(CloseCode.RIGHTS_CHANGED)

    def end(self) -> None:
        """The stream is gone. Twice is once."""
        self._gone = True
        self._set_timer(None)
        self._count_no_more()
        self._door.signed_in.discard(self)

    def _admit(self, principal: Principal, id: int) -> Close | None:
        if not self.stream.has_place_for(principal.name):
            return Close(CloseCode.TOO_MANY_STREAMS)
        self._door.rates.signed_in(principal.name)
        found = self.stream.session.admit(principal, None if id == OF_HANDSHAKE else id)
        if found is None:
            self._admitted()
        return found

    def _refuse(self, id: int, why: TokenRefused) -> Close | None:
        self._door.rates.refused(self._address)
        if id == OF_HANDSHAKE:  # there is no message to answer
            return Close(CloseCode.TOKEN_REFUSED)
        return self.stream.session.refuse_sign_in(id, f"It {why}. {PROBLEMS['token_invalid'].detail}")

    def _admitted(self) -> None:
        self._count_no_more()
        if self._gone:  # while it was found out who is there
            return
        self._door.signed_in.add(self)
        self._set_end()
        # Who was shut out between being found out and now was not among those who were looked at then.
        self.look_again()

    def _set_end(self) -> None:
        principal = self.stream.session.principal
        left_s = None if principal is None else self._door.identity.expires_in_s(principal)
        if left_s is None:
            self._set_timer(None)
        elif left_s > _DAY_S:
            self._set_timer(_DAY_S, self._set_end)
        else:
            self._set_timer(left_s, lambda: self.stream.end_with(CloseCode.SIGNED_IN_NO_MORE))

    def _count_no_more(self) -> None:
        if self._counted:
            self._counted = False
            self._door.unauthenticated.give_back(self._address, 1)

    def _set_timer(self, delay_s: float | None, then: Callable[[], None] | None = None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if delay_s is not None and then is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, then)
