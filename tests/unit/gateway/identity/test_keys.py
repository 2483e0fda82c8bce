"""The issuer is asked seldom, whoever sends what; and what was known stays while it is away."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from gateway.identity.access import BadFile, MachineKey, MachineKeys, digest_of, new_key
from gateway.identity.grants import grants_of
from gateway.identity.identity import Files, Identity, NobodySaid
from gateway.identity.jwks_http import KeysOverHttp
from gateway.identity.key_set import BadKeys
from gateway.identity.keys import Keys
from gateway.identity.tokens import TokenRefused, TokenTerms
from gateway.identity.watched import WatchedFile
from tests.tokens import AUDIENCE, ISSUER, NOW_S, Signer, claims, jwks, some

OLD, NEW, FORGED = Signer("EdDSA", "old"), Signer("EdDSA", "new"), Signer("EdDSA", "made-up")
ALGORITHMS = frozenset({"EdDSA"})
TERMS = TokenTerms(ISSUER, AUDIENCE, ALGORITHMS, 0, 8192, "fanfold_grants")


class Issuer:
    """An issuer's address, in memory."""

    place = "https://issuer.example/keys"
    is_remote = True

    def __init__(self, *signers: Signer) -> None:
        self.document = jwks(*signers)
        self.away = False
        self.asked = 0

    async def read(self) -> bytes:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise OSError("it did not answer")
        return self.document


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        return NOW_S + self.now


class Place:
    def __init__(self, issuer: Issuer | KeysOverHttp, files: Files = Files()) -> None:  # noqa: B008 - a value
        self.clock = Clock()
        self.keys = Keys(issuer, ALGORITHMS, self.clock, 10, 300)
        self.identity = Identity(TERMS, self.keys, files, self.clock.wall, self.clock)

    def token(self, signer: Signer, name: str = "alice") -> str:
        return signer.token(claims(name, [some("a", "read")], now_s=self.clock.wall()))


async def test_made_up_keys_ask_the_issuer_once_in_ten_seconds_however_many_come() -> None:
    issuer = Issuer(OLD)
    place = Place(issuer)
    await place.identity.open()
    place.clock.now = 60
    tokens = [place.token(FORGED, f"n{n}") for n in range(50)]
    refused = await asyncio.gather(*(place.identity.who(token) for token in tokens), return_exceptions=True)
    assert all(isinstance(each, TokenRefused) for each in refused)
    assert issuer.asked == 2, "at the start, and once"
    place.clock.now = 69.9
    with pytest.raises(TokenRefused):
        await place.identity.who(place.token(FORGED))
    assert issuer.asked == 2
    place.clock.now = 70
    with pytest.raises(TokenRefused):
        await place.identity.who(place.token(FORGED))
    assert issuer.asked == 3


async def test_a_new_key_is_found_and_one_that_is_gone_counts_no_more() -> None:
    issuer = Issuer(OLD)
    place = Place(issuer)
    await place.identity.open()
    old = place.token(OLD)
    assert (await place.identity.who(old)).name == "alice"
    issuer.document, place.clock.now = jwks(NEW), 60
    assert (await place.identity.who(place.token(NEW))).name == "alice"
    with pytest.raises(TokenRefused):
        place.identity.who_now(old)


async def test_while_the_issuer_is_away_or_says_nonsense_its_known_keys_count() -> None:
    issuer = Issuer(OLD)
    place = Place(issuer)
    await place.identity.open()
    for document, away in ((issuer.document, True), (b"<html>", False), (json.dumps({"keys": []}).encode(), False)):
        issuer.document, issuer.away = document, away
        place.clock.now += 301
        assert place.keys.are_old
        assert await place.keys.read_again()
        assert (await place.identity.who(place.token(OLD))).name == "alice"


async def test_the_same_keys_read_again_change_nothing_and_who_is_known_stays_known() -> None:
    """Each re-read forgot all tokens: while their address was not listened to, whoever was known was kept out with it."""
    issuer = Issuer(OLD, NEW)
    place = Place(issuer)
    await place.identity.open()
    token = place.token(OLD)
    alice, changes = place.identity.who_now(token), place.identity.changes
    issuer.document, place.clock.now = jwks(NEW, OLD), 11
    assert await place.keys.read_again()
    place.identity.look()
    assert place.identity.knows(token)
    assert place.identity.changes == changes
    assert place.identity.who_now(token) is alice


async def test_whose_key_is_withdrawn_is_nobody_any_more_also_where_they_are_already() -> None:
    issuer = Issuer(OLD, NEW)
    place = Place(issuer)
    await place.identity.open()
    old, new = place.identity.who_now(place.token(OLD)), place.identity.who_now(place.token(NEW))
    changes = place.identity.changes
    issuer.document, place.clock.now = jwks(NEW), 11
    assert await place.keys.read_again()
    place.identity.look()
    assert place.identity.changes > changes, "who is there is looked at again"
    assert place.identity.still(old) is None
    assert place.identity.still(new) == new


async def test_an_issuer_that_is_away_at_the_start_is_asked_when_a_token_comes() -> None:
    issuer = Issuer(OLD)
    issuer.away = True
    place = Place(issuer)
    await place.identity.open()
    issuer.away, place.clock.now = False, 11
    assert (await place.identity.who(place.token(OLD))).name == "alice"


async def test_a_token_that_was_verified_ends_all_the_same() -> None:
    place = Place(Issuer(OLD))
    await place.identity.open()
    token = place.token(OLD)
    for now, counts in ((0, True), (299, True), (300, False)):
        place.clock.now = now
        if counts:
            assert place.identity.who_now(token).name == "alice"
        else:
            with pytest.raises(TokenRefused, match="expired"):
                place.identity.who_now(token)


async def test_files_are_looked_at_once_a_second_and_what_they_take_away_counts_then(tmp_path: Path) -> None:
    access, machines = tmp_path / "access.json", tmp_path / "keys.json"
    key = new_key(lambda n: b"k" * n)
    entry = MachineKeys((MachineKey("shop", digest_of(key), grants_of([some("a", "read")]), ""),))
    access.write_text("{}")
    machines.write_bytes(entry.encode())
    place = Place(Issuer(OLD), Files(WatchedFile(access), WatchedFile(machines)))
    await place.identity.open()
    token = place.token(OLD)
    anna, shop = place.identity.who_now(token), place.identity.who_now(key)
    access.write_text('{"revoked": {"names": ["alice"]}}')
    machines.write_bytes(entry.without("shop", "now").encode())
    assert place.identity.who_now(token) == anna, "not within the same second"
    place.clock.now = 1
    for credential, principal in ((token, anna), (key, shop)):
        with pytest.raises(TokenRefused):
            place.identity.who_now(credential)
        assert place.identity.still(principal) is None
    access.write_text("nonsense, and longer")
    machines.unlink()
    place.clock.now = 2
    with pytest.raises(TokenRefused, match="revoked"):
        place.identity.who_now(token)
    access.write_text('{"grants": {"alice": [{"accounts": "b", "rights": ["read"]}]}}')
    place.clock.now = 3
    assert [grant.accounts for grant in place.identity.who_now(token).grants] == ["b"]
    now = place.identity.still(anna)
    assert now is not None
    assert [grant.accounts for grant in now.grants] == ["b"]


async def test_a_file_that_is_not_understood_at_the_start_keeps_the_door_shut(tmp_path: Path) -> None:
    access = tmp_path / "access.json"
    with pytest.raises(
        BadFile, match=r"access\.json cannot be read \(No such file or directory\); .* Nothing was started"
    ):
        await Place(Issuer(OLD), Files(WatchedFile(access))).identity.open()
    keys = tmp_path / "keys.json"
    with pytest.raises(BadFile, match=r"keys\.json cannot be read .*; fanfold key add makes one\. Nothing was started"):
        await Place(Issuer(OLD), Files(None, WatchedFile(keys))).identity.open()
    access.write_text("{")
    with pytest.raises(ValueError, match=r"access\.json is no JSON"):
        await Place(Issuer(OLD), Files(WatchedFile(access))).identity.open()
    bad = Issuer(OLD)
    bad.document = b"<html>"
    with pytest.raises(BadKeys, match=r"issuer\.example"):
        await Place(bad).identity.open()


@pytest.mark.parametrize("values", [[], [b""], [b"Basic YTpi"], [b"Bearerx y"], [b"\xff"]])
def test_what_is_no_bearer_token_says_nobody(values: list[bytes]) -> None:
    with pytest.raises(NobodySaid):
        Place(Issuer()).identity.credential(values)


def test_a_bearer_token_is_read_as_the_header_has_it() -> None:
    identity = Place(Issuer()).identity
    assert identity.credential([b"Bearer abc"]) == identity.credential([b" bearer  abc "]) == "abc"
    with pytest.raises(TokenRefused):
        identity.credential([b"Bearer abc", b"Bearer def"])


async def test_keys_come_over_http_within_their_bounds_and_nothing_is_followed() -> None:
    async def good(_: web.Request) -> web.Response:
        return web.Response(body=jwks(OLD))

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b" " * 300_000)

    async def moved(_: web.Request) -> web.Response:
        raise web.HTTPFound("/good")

    app = web.Application()
    app.add_routes([web.get("/good", good), web.get("/large", large), web.get("/moved", moved)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        place = Place(KeysOverHttp(f"{address}/good"))
        await place.identity.open()
        assert place.identity.who_now(place.token(OLD)).name == "alice"
        for path in ("/large", "/moved", "/nothing"):
            with pytest.raises(OSError, match="it answered"):
                await KeysOverHttp(address + path).read()
    finally:
        await runner.cleanup()
    with pytest.raises(OSError, match="did not answer"):
        await KeysOverHttp(f"{address}/good").read()
