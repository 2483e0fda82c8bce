"""Sockets count in the quotas of requests, and tokens that are refused there as those of requests do."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from functools import partial

from prometheus_client import CollectorRegistry

from fanfold.api.close_codes import CloseCode
from gateway.identity.owners import Owners
from gateway.identity.tickets import Tickets
from gateway.limits.rates import Quota
from gateway.metrics import Metrics
from gateway.protocol.session import Session
from gateway.protocol.wishes import SignIn as Wish
from gateway.proxy.rated import RequestRates
from gateway.streams.handshake import Refusal
from gateway.streams.sign_in import Door, DoorTerms, SignIn
from gateway.streams.stream_rates import StreamRates
from read_side.feed.kept_once_memory import MemoryKeptOnce
from tests.simulation import virtual_time
from tests.simulation.wire import Wire
from tests.unit.gateway.identity.test_keys import FORGED, OLD, Issuer, Place
from tests.virtual_gateway import VirtualGateway

ADDRESS = "10.0.0.1"
QUOTA = Quota(2, 20)


def rates_of(quota: Quota = QUOTA) -> RequestRates:
    return RequestRates(quota, Metrics(CollectorRegistry()), lambda: 0)


def head_of(wire: Wire) -> str:
    return bytes(wire._buffer).partition(b"\r\n\r\n")[0].decode()


def test_a_handshake_is_a_request_of_its_address_where_nobody_is_asked() -> None:
    async def story() -> list[str]:
        gateway = VirtualGateway(rates=StreamRates(rates_of()))
        return [head_of(Wire(gateway)) for _ in range(3)]

    heads = virtual_time.run(story, lambda: 0.0)
    assert [head.split(" ")[1] for head in heads] == ["101", "101", "429"]
    assert "Retry-After: 10" in heads[-1]


class Stream:
    def __init__(self) -> None:
        self.session = Session(1, hide=lambda account: account)
        self.ended: CloseCode | None = None

    def take_later(self) -> None: ...

    def has_place_for(self, principal: str) -> bool:
        return True

    def end_with(self, code: CloseCode) -> None:
        self.ended = code

    def give_up(self) -> None:
        raise AssertionError("nothing fails here")


async def nobody_owns(_: Sequence[str]) -> dict[str, str]:
    return {}


class At:
    """A door of a gateway that asks who asks."""

    def __init__(self) -> None:
        self.place = Place(Issuer(OLD))
        self.requests, self.strangers = rates_of(), rates_of()
        rates = StreamRates(self.requests, self.strangers)
        identity = self.place.identity
        tickets = Tickets(identity, MemoryKeptOnce(), 30_000, time.monotonic, os.urandom)
        owners = Owners(nobody_owns, lambda: 1, lambda _: 0, time.monotonic)
        self.door = Door(identity, DoorTerms(1_000, 100), lambda account: account, tickets, owners, rates)

    def shake_hands(self, *authorization: str, ticket: str | None = None) -> tuple[SignIn, Refusal | None]:
        sign_in = self.door.sign_in(Stream())
        return sign_in, sign_in.refusal(authorization, ADDRESS, ticket)


async def test_a_token_that_is_refused_at_a_handshake_counts_for_its_address_and_who_is_known_comes_in() -> None:
    at = At()
    await at.place.identity.open()
    known, newcomer = (f"Bearer {at.place.token(OLD, name)}" for name in ("alice", "bob"))
    assert at.shake_hands(known)[1] is None
    refused = [at.shake_hands("Bearer nonsense")[1] for _ in range(3)]
    assert [each and each.word for each in refused] == ["token_invalid", "token_invalid", "rate_limited"]
    told = at.shake_hands(newcomer)[1]
    assert told is not None
    assert (told.word, told.retry_after_s) == ("rate_limited", 10)
    assert at.shake_hands(known)[1] is None


async def test_a_token_that_is_refused_by_a_message_counts_for_its_address() -> None:
    at = At()
    await at.place.identity.open()
    codes = []
    for signer in (None, None, OLD):
        sign_in, refused = at.shake_hands()
        assert refused is None
        found = sign_in.present(Wish(1, "nonsense" if signer is None else at.place.token(signer)))
        codes.append(found and found.code)
    assert codes == [CloseCode.TOKEN_REFUSED, CloseCode.TOKEN_REFUSED, CloseCode.TOO_FAST]


async def test_a_token_with_a_made_up_key_counts_for_its_address_once_it_was_looked_for() -> None:
    at = At()
    await at.place.identity.open()
    for _ in range(2):
        await at.shake_hands()[0].find_out(partial(at.place.identity.who, at.place.token(FORGED)), 1)
    assert at.strangers.is_used_up(ADDRESS)


async def test_a_ticket_that_counts_not_counts_for_its_address_and_then_none_is_looked_for() -> None:
    at = At()
    await at.place.identity.open()
    for _ in range(2):
        sign_in, refused = at.shake_hands(ticket="ticket_made_up")
        assert (refused, sign_in.is_said) == (None, True)
        sign_in.begin()
        await asyncio.gather(*at.door._tasks)
    assert at.strangers.is_used_up(ADDRESS)
    told = at.shake_hands(ticket="ticket_made_up")[1]
    assert told is not None
    assert told.word == "rate_limited"


async def test_who_signs_in_by_a_message_has_asked_once() -> None:
    at = At()
    await at.place.identity.open()
    for _ in range(2):
        sign_in, _refused = at.shake_hands()
        assert sign_in.present(Wish(1, at.place.token(OLD))) is None
        sign_in.end()
    await asyncio.sleep(0)
    assert at.requests.is_used_up("alice")
