"""Tickets: once, soon, for as many as there is room, and worth no more than the token behind them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gateway.identity.access import KEY_PREFIX, MachineKey, MachineKeys, digest_of
from gateway.identity.grants import grants_of
from gateway.identity.identity import Files, Identity
from gateway.identity.tickets import OUT_MAX, Ticket, Tickets
from gateway.identity.tokens import TokenRefused
from gateway.identity.watched import WatchedFile
from read_side.feed.kept_once_memory import MemoryKeptOnce
from tests.tokens import some

KEYS = {name: KEY_PREFIX + letter * 43 for name, letter in (("shop", "a"), ("game", "b"))}


class Place:
    """A gateway that knows two machines, and another one beside it, with one clock."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.access = folder / "access.json"
        self.access.write_text("{}")
        machines = folder / "machines.json"
        grants = grants_of([some("alice", "read")])
        machines.write_bytes(
            MachineKeys(tuple(MachineKey(name, digest_of(key), grants, "") for name, key in KEYS.items())).encode()
        )
        self.kept = MemoryKeptOnce(self.clock)
        self.identity = Identity(
            None, None, Files(WatchedFile(self.access), WatchedFile(machines)), self.clock, self.clock
        )
        self.tickets, self.others = self._gateway(), self._gateway()

    def clock(self) -> float:
        return self.now_s

    def _gateway(self) -> Tickets:
        return Tickets(self.identity, self.kept, 30_000, self.clock, os.urandom)

    async def give(self, name: str = "shop") -> Ticket:
        given = await self.tickets.give(self.identity.who_now(KEYS[name]), KEYS[name])
        assert given is not None
        return given


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    await found.identity.open()
    return found


async def test_a_ticket_says_who_asked_for_it_at_any_gateway_and_once(place: Place) -> None:
    one, other = await place.give(), await place.give("game")
    assert one.text != other.text
    assert (await place.others.who(one.text)).name == "key:shop"
    assert (await place.tickets.who(other.text)).name == "key:game"
    for tickets in (place.tickets, place.others):
        with pytest.raises(TokenRefused, match="used once"):
            await tickets.who(one.text)


async def test_a_ticket_counts_for_a_moment_only(place: Place) -> None:
    given = await place.give()
    place.now_s += given.counts_ms / 1000
    with pytest.raises(TokenRefused, match="soon after"):
        await place.tickets.who(given.text)


async def test_who_was_shut_out_since_is_not_let_in_by_a_ticket(place: Place) -> None:
    given = await place.give()
    place.now_s += 2
    place.access.write_text(json.dumps({"revoked": {"names": ["key:shop"]}}))
    with pytest.raises(TokenRefused, match="revoked"):
        await place.tickets.who(given.text)


@pytest.mark.parametrize("said", ["", "ticket_", "ticket_" + "A" * 43, "ticket_" + "é" * 43, KEYS["shop"], "A" * 5_000])
async def test_what_is_no_ticket_lets_nobody_in(place: Place, said: str) -> None:
    with pytest.raises(TokenRefused):
        await place.tickets.who(said)


async def test_what_is_kept_tells_no_token_and_who_writes_there_lets_nobody_in(place: Place) -> None:
    given = await place.give()
    [(name, (_, sealed))] = place.kept._kept.items()
    assert KEYS["shop"].encode() not in sealed
    assert given.text.removeprefix("ticket_") not in name
    await place.kept.take(name)
    await place.kept.keep(name, KEYS["shop"].encode(), 30_000)
    with pytest.raises(TokenRefused):
        await place.tickets.who(given.text)


async def test_tickets_are_bounded_and_one_who_asks_for_all_leaves_some_for_others(place: Place) -> None:
    shop, key = place.identity.who_now(KEYS["shop"]), KEYS["shop"]
    given = [await place.tickets.give(shop, key) for _ in range(OUT_MAX)]
    assert sum(each is not None for each in given) == OUT_MAX // 2
    assert await place.give("game")
    place.now_s += 30
    assert await place.tickets.give(shop, key) is not None
    assert len(place.kept._kept) == 1
