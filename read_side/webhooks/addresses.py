"""Where a webhook may go. Whoever may add one must not reach through it what only this machine and its network reach: its
metadata service, its databases, its own admin port.

The name in a URL says nothing: it is resolved anew at each connection, so what is judged is the address that is connected to.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

URL_CHARACTERS_MAX: Final = 2_048

_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")
_TRANSLATED_LOCALLY: Final = ipaddress.ip_network("64:ff9b:1::/48")
_METADATA: Final = tuple(map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200")))
"""Of clouds that have it elsewhere than at a link-local address (EC2, Compute Engine, Alibaba)."""
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


class BadUrl(ValueError):
    """No webhook goes there. The message says why."""


def check_url(url: str, *, private: bool) -> str:
    """The URL, once it may be one of a webhook. private: this webhook may go to networks that are not public, and without TLS.

    Raises BadUrl; what it says never holds the URL, which may have a token in it.
    """
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or any(c <= " " or c == "\x7f" for c in url):
        raise BadUrl(f"the URL has blanks, letters beyond ASCII, or more than {URL_CHARACTERS_MAX:,} characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadUrl("that is no URL: such as https://example.com/hooks/fanfold") from None
    if not host or parts.scheme not in ("https", "http"):
        raise BadUrl("a webhook goes to an address such as https://example.com/hooks/fanfold")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise BadUrl("a URL of a webhook has no user, password or fragment: the signature says who sends it")
    if parts.scheme == "http" and not private:
        raise BadUrl(
            "balances go over https only, so that nobody on the way reads them. --allow-private lets this webhook go over http, "
            "for a receiver on this machine or in your own network"
        )
    if port == 0:
        raise BadUrl("port 0 is none")
    if not private and (literal := _address(host)) is not None and not is_public(literal):
        raise BadUrl(f"{host} {_WHY}")
    return url


_WHY: Final = (
    "is no public address: through it a webhook would reach what only this machine or its network reaches. --allow-private lets "
    "this webhook go there"
)


def refusal(address: str, *, private: bool) -> str | None:
    """Why nothing is sent to this address, which is about to be connected to; None where it may be."""
    found = _address(address)
    if found is None:
        return f"{address} is no address"
    if private:
        # Link-local ones too: no receiver lives there, and the metadata service of every cloud does.
        real = _real(found)
        never = found.is_multicast or found.is_unspecified or real.is_link_local or real in _METADATA
        return f"{address} is no address of a receiver, whatever this webhook is allowed" if never else None
    return None if is_public(found) else f"{address} {_WHY}"


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is of the Internet at large; also the one that is inside an address of IPv6 that stands for one of IPv4."""
    if isinstance(address, ipaddress.IPv6Address) and (
        address.teredo is not None or address in _TRANSLATED_LOCALLY or address.is_site_local
    ):
        return False
    real = _real(address)
    return real.is_global and not (real.is_multicast or real.is_reserved or real.is_unspecified)


def _real(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address of IPv4 that one of IPv6 stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if (inside := address.ipv4_mapped or address.sixtofour) is not None:
            return inside
        if address in _TRANSLATED or address in _COMPATIBLE:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
