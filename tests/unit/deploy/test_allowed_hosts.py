"""Which names a door answers to."""

from __future__ import annotations

import json

import pytest

from deploy.allowed_hosts import AllowedHosts, refusal


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8080", "localhost.", "wallet.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8080"],
)
def test_loopback_names_and_addresses_are_answered_with_any_port(host: str) -> None:
    assert AllowedHosts().allow(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "192.168.1.5",
        "",
        ":80",
        ".",
        "localhost@evil.example",
        "localhost/x",
        "localhost, evil.example",
        "[::1",
        "[localhost]",
        "::1",
        "0.0.0.0",
        "2130706433",
        "locaLho\u017ft",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not AllowedHosts().allow(host)


def test_the_host_that_is_listened_on_and_named_ones_are_answered() -> None:
    assert AllowedHosts("wallet.internal").allow("Wallet.Internal:8080")
    named = AllowedHosts("127.0.0.1", " a.example , B.example.")
    assert (named.allow("a.example"), named.allow("b.example"), named.allow("c.example")) == (True, True, False)
    assert AllowedHosts(named="*").allow("anything.example")


def test_a_wildcard_address_answers_to_every_address_and_to_no_name() -> None:
    for bound in ("0.0.0.0", "::", ""):
        assert AllowedHosts(bound).allow("192.168.1.5:8080")
        assert not AllowedHosts(bound).allow("evil.example")


def test_a_refusal_says_what_to_set() -> None:
    status, body = refusal("Evil.example:80")
    assert status == 421
    assert "FANFOLD_ALLOWED_HOSTS=evil.example" in json.loads(body)["detail"]
    assert refusal(None)[0] == 400
