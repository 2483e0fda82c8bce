"""The proxy where it is asked who asks: nothing reaches a side that its principal has no right to, and nothing that is not
theirs to see comes back.

What may not be read is asked for under a name that nobody has (`identity/hidden.py`), so that it is told as what is not
there. What may not be done is refused in words that are the same whatever is there.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import structlog

from fanfold.api.answer_headers import PRINCIPAL
from fanfold.api.malformed import Malformed
from fanfold.api.problems import PROBLEMS
from fanfold.doors.answer import CHALLENGE, INVALID_TOKEN, Response, malformed, problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.incoming import TooMuchAtOnce
from fanfold.doors.request import ClientGone
from gateway.arrivals.arrival import SCOPE as ARRIVAL
from gateway.arrivals.arrival import request_id_of
from gateway.identity.grants import Principal
from gateway.identity.identity import Identity, NobodySaid
from gateway.identity.owners import NotLookedUp, Owners
from gateway.identity.requests_allowed import Asked, Rule, asked_of
from gateway.identity.tokens import TokenRefused
from gateway.limits.addresses import address_key
from gateway.metrics import Metrics
from gateway.proxy.asgi import App, Receive, Scope, Send
from gateway.proxy.checked_batch import CheckedBatch
from gateway.proxy.checked_commands import NOT_LOOKED_UP, CheckedCommands, Forbidden, OutcomeCut
from gateway.proxy.checked_reads import CheckedReads
from gateway.proxy.owners_of import owners_of
from gateway.proxy.rated import RequestRates
from gateway.proxy.reverse_proxy import ONLY_READ, STILL, ReverseProxy, discard
from gateway.proxy.whole_answer import CutShort
from read_side.contract.kept_once import NotKept

_log = structlog.get_logger(__name__)


class LetIn(NamedTuple):
    """receive, send: in the place of the request's own."""

    principal: Principal
    receive: Receive
    send: Send


ByTicket = Callable[[], Awaitable[Principal]]
"""Raises TokenRefused, NotKept."""

NO_TICKETS_NOW: Final = (
    "What keeps tickets does not answer. No stream was opened, and no money is affected. Ask for a ticket again soon."
)

Serve = Callable[[Principal, Asked, Scope, Receive, Send], Awaitable[None]]


class CheckedProxy:
    """An ASGI application in the place of the proxy. partitions: how many the log has, 0 while that is not known; chance: a
    number of so many bits that nobody guesses."""

    def __init__(
        self,
        proxy: ReverseProxy,
        passed_on: App,
        identity: Identity,
        partitions: Callable[[], int],
        chance: Callable[[int], int],
        metrics: Metrics,
        rates: RequestRates | None = None,
        refused_rates: RequestRates | None = None,
    ) -> None:
        """passed_on: the proxy, or what is before it for requests that wait. rates: of principals; refused_rates: of addresses,
        whose requests were refused for who asks."""
        self._metrics = metrics
        self._rates = rates
        self._refused_rates = refused_rates
        self._passed_on = passed_on
        self._proxy = proxy
        self._identity = identity
        self.owners = Owners(partial(owners_of, proxy), partitions, chance, time.monotonic)
        reads = CheckedReads(proxy, passed_on, self.owners, partitions, chance)
        commands = CheckedCommands(proxy, self.owners, chance)
        self.batch = CheckedBatch(proxy, commands)
        self._serve: dict[Rule, Serve] = {
            Rule.READS_ACCOUNT: reads.account,
            Rule.LISTS_ACCOUNTS: reads.accounts,
            Rule.READS_OUTCOME: reads.outcome,
            Rule.READS_EVERY_ACCOUNT: reads.everything,
            Rule.OF_THE_SYSTEM: reads.system,
            Rule.COMMANDS: commands.one,
            Rule.COMMANDS_IN_LINES: self.batch.lines,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = asked_of(scope["method"], scope["path"])
        if asked is None:
            await self._proxy(scope, receive, send)  # which says that there is nothing, or that it takes no such method
            return
        let_in = await self.let_in(scope, receive, send)
        if let_in is not None:
            principal, receive, send = let_in
            # From here on nothing knows the token, not even a log of what failed.
            headers = [each for each in scope["headers"] if each[0] != b"authorization"]
            inner = dict(scope) | {
                PRINCIPAL: principal.name.encode(),
                "headers": headers,
                STILL: lambda: self.may_still(principal),
            }
            refused = await self._refusal(self._served(principal, asked), principal, asked, inner, receive, send)
            if refused is not None:
                await send_answer(send, refused)

    def may_still(self, principal: Principal) -> bool:
        """Whether somebody who was let in may do what they could then."""
        self._identity.look()
        now = self._identity.still(principal)
        return now is not None and now.grants == principal.grants

    async def let_in(
        self, scope: Scope, receive: Receive, send: Send, by_ticket: ByTicket | None = None
    ) -> LetIn | None:
        """Who asks, and no more than is granted; None when the request was refused, and is answered."""
        principal = await self.admitted(scope, receive, send, by_ticket)
        if principal is None:
            return None
        if self._rates is None:
            return LetIn(principal, receive, send)
        granted = await self._rates.let_in(principal.name, scope, receive, send)
        return None if granted is None else LetIn(principal, *granted)

    async def admitted(
        self, scope: Scope, receive: Receive, send: Send, by_ticket: ByTicket | None = None
    ) -> Principal | None:
        """Who asks; None when the request was refused for it, and is answered. by_ticket: where a ticket says it."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        try:
            if by_ticket is not None and values:
                raise TokenRefused("stands beside another one")
            credential = self._identity.credential(values) if by_ticket is None else ""
            if await self._refuses_strangers(credential, scope, receive, send):
                return None
            principal = await (self._identity.who(credential) if by_ticket is None else by_ticket())
            if (arrival := scope.get(ARRIVAL)) is not None:
                arrival.principal = principal.name
            return principal
        except NotKept:
            await discard(receive)
            self._metrics.refused_with("upstream_unavailable")
            await send_answer(send, problem("upstream_unavailable", detail=NO_TICKETS_NOW))
            return None
        except NobodySaid:
            refused, challenge = problem("unauthenticated"), CHALLENGE
        except TokenRefused as why:
            refused, challenge = token_refused(why), INVALID_TOKEN
        if self._refused_rates is not None and challenge is INVALID_TOKEN:
            self._refused_rates.owe(address_key(scope.get("client")), 1)
        await discard(receive)
        self._metrics.refused_with("unauthenticated" if challenge is CHALLENGE else "token_invalid")
        await send_answer(send, refused, more=[(b"www-authenticate", challenge.encode())])
        return None

    async def _refuses_strangers(self, credential: str, scope: Scope, receive: Receive, send: Send) -> bool:
        """An address that was refused again and again is not listened to for what would have to be verified first."""
        rates, key = self._refused_rates, address_key(scope.get("client"))
        if rates is None or self._identity.knows(credential) or not rates.is_used_up(key):
            return False
        # A unit may have come back since: then it is granted, nothing was answered, and the request goes on.
        return await rates.let_in(key, scope, receive, send) is None

    def _served(self, principal: Principal, asked: Asked) -> Serve:
        if asked.rule is None:
            return _nobody_may
        return self._pass_on if principal.may_everything else self._serve[asked.rule]

    async def _pass_on(self, _: Principal, __: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        await self._passed_on(scope, receive, send)

    async def _refusal(
        self, serve: Serve, principal: Principal, asked: Asked, scope: Scope, receive: Receive, send: Send
    ) -> Response | None:
        """What is answered instead; None when it was served, or there is nobody to answer."""
        try:
            await serve(principal, asked, scope, receive, send)
        except Forbidden as forbidden:
            if not forbidden.body_is_read:
                await discard(receive)
            self._metrics.refused_with("forbidden")
            return problem("forbidden")
        except Malformed as refusal:
            return malformed(refusal)
        except TooMuchAtOnce:
            return problem("overloaded")
        except NotLookedUp:
            self._metrics.refused_with("upstream_unavailable")
            return problem("upstream_unavailable", detail=NOT_LOOKED_UP)
        except CutShort:  # of a read: commands say it in their own words
            self._metrics.refused_with("upstream_failed")
            return problem("upstream_failed", detail=ONLY_READ)
        except OutcomeCut as cut:
            self._metrics.refused_with("upstream_failed")
            return problem("upstream_failed", **cut.about)
        except ClientGone:
            return None
        except Exception:
            _log.exception("request_not_checked", operation=asked.route.operation, request_id=request_id_of(scope))
            return problem("internal")
        return None


async def _nobody_may(_: Principal, __: Asked, ___: Scope, ____: Receive, _____: Send) -> None:
    raise Forbidden(body_is_read=False)


def token_refused(why: TokenRefused) -> Response:
    return problem("token_invalid", detail=f"It {why}. {PROBLEMS['token_invalid'].detail}")
