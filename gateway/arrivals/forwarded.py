"""Whose request it is, where proxies stand in front: RFC 7239's `Forwarded`, or `X-Forwarded-For` and `-Proto`. Pure.

Anybody can write these headers. They count only where the connection comes from a network that is listed, and then from the
right: each proxy adds whom it heard from, so the last address is what the nearest proxy saw. The first one from the right that is
no listed proxy is the client; what stands to the left of it is the client's own word. What cannot be read ends the walk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal, NamedTuple

Headers = Iterable[tuple[bytes, bytes]]
"""Names in lower case, as ASGI has them."""
Address = tuple[str, int]
"""Host and port, as ASGI's `client`; port 0 where it is not known."""
Family = Literal["x-forwarded-for", "forwarded"]

HOPS_MAX: Final = 16
"""So many proxies in a row are looked through; who has more is told as the last one of them."""
BYTES_MAX: Final = 2_048
"""Of all lines of the header together, its end: `HOPS_MAX` addresses and their parameters. What is before is not looked at."""

COMMAS_MAX: Final = 8
"""In the quoted strings of one element of `Forwarded`: addresses have none, hosts and names have hardly any."""

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'({_TOKEN})=(?:"((?:[^"\\]|\\.)*)"|({_TOKEN}))')
_ELEMENT: Final = re.compile(
    rf"\s*{_PAIR.pattern}(?:\s*;\s*{_PAIR.pattern})*\s*\Z".replace("(" + _TOKEN, "(?:" + _TOKEN)
)
_V4_WITH_PORT: Final = re.compile(r"([0-9.]+):[0-9]{1,5}\Z")
_V6: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]{1,5})?\Z")
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Some proxies name the scheme of a WebSocket."""


class Hop(NamedTuple):
    """What one proxy says: whom it heard from and how; "" for what it does not say."""

    address: str
    scheme: str


class Origin(NamedTuple):
    """Where a request comes from. client: None where that is not known (a socket file)."""

    client: Address | None
    scheme: str


class TrustedProxies:
    """networks: `10.0.0.0/8,2001:db8::/32`, or single addresses; "" trusts nobody. Raises ValueError."""

    def __init__(self, networks: str = "", family: Family = "x-forwarded-for") -> None:
        self._networks = tuple(_network(each.strip()) for each in networks.split(",") if each.strip())
        self._family = family.encode()
        self._trusts = lru_cache(maxsize=256)(self._looked_up)  # mostly it is one proxy

    def __bool__(self) -> bool:
        return bool(self._networks)

    def origin(self, peer: Address | None, scheme: str, headers: Headers) -> Origin:
        """peer, scheme: of the connection itself. headers: of the request. Never raises."""
        if not self._networks or peer is None or not self._trusts(peer[0]):
            return Origin(peer, scheme)
        found: Address = peer
        for hop in self._hops(headers):
            address = _address(hop.address)
            if address is None:
                break
            found, scheme = (str(address), 0), hop.scheme or scheme
            if not self._is_listed(address):
                break
        return Origin(found, scheme)

    def _looked_up(self, address: str) -> bool:
        found = _address(address.partition("%")[0])
        return found is not None and self._is_listed(found)

    def _is_listed(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks)

    def _hops(self, headers: Headers) -> Iterable[Hop]:
        """The nearest first."""
        headers = list(headers)
        text = _whole(headers, self._family)
        if self._family == b"forwarded":
            return _of_forwarded(text)
        return _of_x_forwarded(text, _whole(headers, b"x-forwarded-proto"))


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"FANFOLD_TRUSTED_PROXIES: {error}; say 10.0.0.0/8, or one address") from None


def _whole(headers: Headers, wanted: bytes) -> str:
    """All lines of a header as one, which is what several mean (RFC 9110 section 5.3); of a long one the end."""
    text = b",".join(value for name, value in headers if name == wanted).decode("latin-1")
    return text[-BYTES_MAX:].partition(",")[2] if len(text) > BYTES_MAX else text


def _of_x_forwarded(addresses: str, schemes: str) -> list[Hop]:
    """A proxy that overwrites says one scheme for all; those that add say one each."""
    hops = addresses.split(",")[-HOPS_MAX:][::-1]
    told = [_SCHEMES.get(each.strip().lower(), "") for each in schemes.split(",")[-HOPS_MAX:][::-1]]
    if len(told) != len(hops):
        told = told * len(hops) if len(told) == 1 else [""] * len(hops)
    return [Hop(address.strip(), scheme) for address, scheme in zip(hops, told, strict=True)]


def _of_forwarded(text: str) -> Iterator[Hop]:
    """Elements from the right, each the shortest end of what is left that is one. Before a good one may stand what a client made
    up, such as a quote that is never closed: read from the left that would hide what the proxies say."""
    for _ in range(HOPS_MAX):
        at = len(text)
        for _ in range(COMMAS_MAX):
            at = text.rfind(",", 0, at)
            if _ELEMENT.match(text, at + 1):
                yield _hop(text[at + 1 :])
                break
            if at < 0:
                return
        else:
            return
        if at < 0:
            return
        text = text[:at]


def _hop(element: str) -> Hop:
    pairs: dict[str, str] = {}
    for name, quoted, token in _PAIR.findall(element):
        if name.lower() in pairs:
            return Hop("", "")  # each once (RFC 7239 section 4)
        pairs[name.lower()] = token or re.sub(r"\\(.)", r"\1", quoted)
    return Hop(pairs.get("for", ""), _SCHEMES.get(pairs.get("proto", "").lower(), ""))


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """None for what is no address: `unknown`, a name that hides one, a zone, and whatever a client makes up."""
    found = _V4_WITH_PORT.match(text) or _V6.match(text)
    try:
        address = ip_address(found[1] if found else text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return None if address.scope_id else address.ipv4_mapped or address
    return address


def forwarded_by_us(client: Address | None, scheme: str, host: bytes | None) -> str | None:
    """The header that tells a side where a request came from; None where there is nothing to tell.

    scheme: as the scope has it. host: the Host header of the client's request; left out where it is no plain text.
    """
    if client is None:
        return None
    node = f'"[{client[0]}]"' if ":" in client[0] else client[0]
    told = f"for={node};proto={scheme}"
    if host is not None and re.fullmatch(rb"[A-Za-z0-9.:\[\]_-]{1,255}", host):
        told += f';host="{host.decode()}"'
    return told
