"""What listed proxies say of a client is believed, and what anybody else says is not."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.arrivals.forwarded import BYTES_MAX, HOPS_MAX, Family, TrustedProxies, forwarded_by_us

PROXY = ("10.0.0.1", 4711)
LISTED = "10.0.0.0/8,2001:db8:1::/48,192.0.2.7"


def client(family: Family, *values: str, peer: tuple[str, int] | None = PROXY, listed: str = LISTED) -> str:
    headers = [(family.encode(), value.encode("latin-1")) for value in values]
    found = TrustedProxies(listed, family).origin(peer, "http", headers).client
    return "" if found is None else found[0]


X_FORWARDED = [
    (["203.0.113.9"], "203.0.113.9"),
    (["6.6.6.6, 203.0.113.9"], "203.0.113.9"),  # what stands before is the client's own word
    (["203.0.113.9, 10.0.0.2, 10.9.9.9"], "203.0.113.9"),
    (["203.0.113.9", "10.0.0.2"], "203.0.113.9"),
    (["203.0.113.9:55555"], "203.0.113.9"),
    (["2001:db8:2::5"], "2001:db8:2::5"),
    (["[2001:db8:2::5]:443"], "2001:db8:2::5"),
    (["2001:DB8:2:0::5, 2001:db8:1::1"], "2001:db8:2::5"),
    (["::ffff:203.0.113.9"], "203.0.113.9"),
    (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # a request of one of ours
    ([], "10.0.0.1"),
    ([""], "10.0.0.1"),
    (["unknown"], "10.0.0.1"),
    (["203.0.113.9, nonsense, 10.0.0.2"], "10.0.0.2"),  # who said nonsense is the last that is known
    (["203.0.113.9, "], "10.0.0.1"),
    (["fe80::1%eth0"], "10.0.0.1"),
    (["203.0.113.9\t"], "203.0.113.9"),
    (["203.0.113.09"], "10.0.0.1"),
    (["203.0.113.9:"], "10.0.0.1"),
    (["203.0.113.999"], "10.0.0.1"),
    (["3405803785"], "10.0.0.1"),
    (["\u00b9.1.1.1"], "10.0.0.1"),
]


@pytest.mark.parametrize(("values", "found"), X_FORWARDED)
def test_the_client_is_the_first_address_from_the_right_that_is_no_listed_proxy(values: list[str], found: str) -> None:
    assert client("x-forwarded-for", *values) == found


FORWARDED = [
    (["for=203.0.113.9"], "203.0.113.9"),
    (["For=203.0.113.9; proto=https;by=10.0.0.1"], "203.0.113.9"),
    (['for="[2001:db8:2::5]:4711";proto=http'], "2001:db8:2::5"),
    (["for=6.6.6.6, for=203.0.113.9, for=10.0.0.2"], "203.0.113.9"),
    (["for=203.0.113.9", "for=10.0.0.2"], "203.0.113.9"),
    (['for=203.0.113.9;host="a,for=6.6.6.6"'], "203.0.113.9"),
    (['for=203.0.113.9;host="a,for=\\"6.6.6.6\\""'], "203.0.113.9"),
    (['host="a,for=";for=203.0.113.9'], "203.0.113.9"),
    (['for=6.6.6.6;host="never closed, for=203.0.113.9'], "203.0.113.9"),  # a quote of the client hides no proxy's word
    (['", for=203.0.113.9;proto=https'], "203.0.113.9"),
    (["for=_hidden"], "10.0.0.1"),
    (["for=unknown, for=10.0.0.2"], "10.0.0.2"),
    (["proto=https"], "10.0.0.1"),
    (["for=203.0.113.9;for=6.6.6.6"], "10.0.0.1"),
    (["203.0.113.9"], "10.0.0.1"),
    (["for = 203.0.113.9"], "10.0.0.1"),
    ([""], "10.0.0.1"),
]


@pytest.mark.parametrize(("values", "found"), FORWARDED)
def test_forwarded_is_read_in_the_same_way(values: list[str], found: str) -> None:
    assert client("forwarded", *values) == found


def test_nobody_else_is_believed() -> None:
    for peer in (("203.0.113.9", 1), ("192.0.2.8", 1), ("2001:db8:2::1", 1), ("", 0), None):
        assert client("x-forwarded-for", "6.6.6.6", peer=peer) == ("" if peer is None else peer[0])
    assert client("x-forwarded-for", "6.6.6.6", listed="") == "10.0.0.1"


def test_only_the_header_that_the_proxies_write_is_read() -> None:
    headers = [(b"forwarded", b"for=6.6.6.6"), (b"x-forwarded-for", b"203.0.113.9")]
    for family, found in (("x-forwarded-for", "203.0.113.9"), ("forwarded", "6.6.6.6")):
        assert TrustedProxies(LISTED, family).origin(PROXY, "http", headers).client == (found, 0)  # type: ignore[arg-type]


SCHEMES = [
    ("203.0.113.9", "https", "https"),
    ("203.0.113.9", "HTTPS", "https"),
    ("203.0.113.9", "wss", "https"),
    ("203.0.113.9", "http", "http"),
    ("203.0.113.9", "gopher", "http"),
    ("203.0.113.9", "https, http", "http"),  # not one for each hop
    ("203.0.113.9, 10.0.0.2", "https, http", "https"),
    ("203.0.113.9, 10.0.0.2", "https", "https"),
    ("unknown", "https", "http"),
]


@pytest.mark.parametrize(("addresses", "schemes", "found"), SCHEMES)
def test_the_scheme_is_the_one_that_the_client_used(addresses: str, schemes: str, found: str) -> None:
    headers = [(b"x-forwarded-for", addresses.encode()), (b"x-forwarded-proto", schemes.encode())]
    assert TrustedProxies(LISTED).origin(PROXY, "http", headers).scheme == found
    assert TrustedProxies("").origin(PROXY, "http", headers).scheme == "http"


def test_a_scheme_in_forwarded_is_the_clients_hop() -> None:
    headers = [(b"forwarded", b"for=203.0.113.9;proto=https, for=10.0.0.2;proto=http")]
    assert TrustedProxies(LISTED, "forwarded").origin(PROXY, "http", headers) == (("203.0.113.9", 0), "https")


@pytest.mark.parametrize("networks", ["10.0.0.0/33", "nonsense", "10.0.0.1/8", "10.0.0.0/8;", "*"])
def test_what_is_no_network_is_said_at_the_start(networks: str) -> None:
    with pytest.raises(ValueError, match="FANFOLD_TRUSTED_PROXIES"):
        TrustedProxies(networks)


def test_a_row_of_proxies_without_end_is_not_walked() -> None:
    hops = [f"10.0.1.{number}" for number in range(HOPS_MAX + 3)]
    assert client("x-forwarded-for", ", ".join(["203.0.113.9", *hops])) == hops[3]
    assert client("forwarded", ", ".join(f"for={each}" for each in ["203.0.113.9", *hops])) == hops[3]


def test_of_a_long_header_the_end_counts_and_no_piece_of_an_address() -> None:
    padded = "203.0.113.9" + " " * (BYTES_MAX - 5)
    assert client("x-forwarded-for", "1" + padded) == "10.0.0.1"
    assert client("x-forwarded-for", f"{'6.6.6.6, ' * 10_000}203.0.113.9") == "203.0.113.9"
    assert client("forwarded", f"{'for=6.6.6.6, ' * 10_000}for=203.0.113.9") == "203.0.113.9"


HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b'for="', b"for=10.0.0.2", b"10.0.0.2", b'\\"', b'";', b",", b"[::1]:1", b"%"]),
    ),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([b"forwarded", b"x-forwarded-for", b"x-forwarded-proto"]), HOSTILE)))
def test_whatever_is_said_the_client_is_an_address_and_the_scheme_one_of_two(
    headers: list[tuple[bytes, bytes]],
) -> None:
    for family in ("forwarded", "x-forwarded-for"):
        found = TrustedProxies(LISTED, family).origin(PROXY, "http", headers)
        assert found.client is not None
        ip_address(found.client[0])
        assert found.scheme in ("http", "https")


@given(HOSTILE)
def test_what_a_client_says_never_hides_what_the_proxy_adds(said: bytes) -> None:
    for family, added in (("forwarded", b"for=203.0.113.9;proto=https"), ("x-forwarded-for", b"203.0.113.9")):
        headers = [(family.encode(), said + b", " + added)]
        assert TrustedProxies(LISTED, family).origin(PROXY, "http", headers).client == ("203.0.113.9", 0)  # type: ignore[arg-type]


def test_what_a_side_is_told_is_what_is_known() -> None:
    assert forwarded_by_us(None, "http", b"a") is None
    assert (
        forwarded_by_us(("203.0.113.9", 5), "https", b"a.example:8") == 'for=203.0.113.9;proto=https;host="a.example:8"'
    )
    assert forwarded_by_us(("2001:db8::1", 5), "http", None) == 'for="[2001:db8::1]";proto=http'
    for host in (b'a"; for=6.6.6.6', b"a\r\nb", b"", b"a" * 300):
        assert forwarded_by_us(("203.0.113.9", 5), "http", host) == "for=203.0.113.9;proto=http"
