"""Whose an address is, as far as an address tells: pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

NOBODY: Final = "?"
"""Where a server does not say who is at the other end (a socket file): all of them are one."""

_PREFIX_BITS: Final = 64


def address_key(client: object) -> str:
    """client: `scope["client"]`. Of IPv6 the network of 64 bits: who has one address of it has all (RFC 6177)."""
    if not isinstance(client, tuple | list) or not client:
        return NOBODY
    address = str(client[0])
    return _network(address) if ":" in address else address or NOBODY


@lru_cache(maxsize=4_096)
def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    host_bits = 128 - _PREFIX_BITS
    return f"{IPv6Address(int(found) >> host_bits << host_bits)}/{_PREFIX_BITS}"
