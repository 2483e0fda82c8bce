"""Which names a door answers to. A page on a name of somebody else may not use a service that its browser can reach.

A browser that has loaded `http://evil.example` asks `evil.example` for more, and whoever owns that name can have it mean
127.0.0.1 a second later (DNS rebinding): the page and the service then have one origin, and the page moves money. Only the name
in `Host` (RFC 9110 section 7.2) tells. Pure: no look-up is made.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

import msgspec

from fanfold.api.problems import PROBLEMS, problem_document

VARIABLE: Final = "FANFOLD_ALLOWED_HOSTS"

_AUTHORITY: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]*)?\Z")


class AllowedHosts:
    """Loopback names and addresses, the host that is listened on, and what is named besides.

    bound: what the service listens on; a wildcard (`0.0.0.0`, `::`) allows every address, since an address cannot be rebound.
    named: comma-separated names; `*` allows all, for a door behind something that checks them.
    """

    def __init__(self, bound: str = "127.0.0.1", named: str = "") -> None:
        names = {name.strip().lower().rstrip(".") for name in named.split(",") if name.strip()}
        self._all = "*" in names
        self._names = names | {bound.lower(), "localhost"}
        self._addresses = _is_wildcard(bound)
        self._last_allowed: str | None = None

    def allow(self, authority: str) -> bool:
        """`authority`: the value of Host, with or without a port."""
        if authority == self._last_allowed:  # mostly all clients use one name
            return True
        allowed = self._allows(authority)
        if allowed:
            self._last_allowed = authority
        return allowed

    def _allows(self, authority: str) -> bool:
        name = host_of(authority)
        if name is None:
            return False
        if self._all or name in self._names or name.endswith(".localhost"):  # RFC 6761: always loopback
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or self._addresses


def host_of(authority: str) -> str | None:
    """The name or address in a Host value, lower case, without port and brackets; None when it is none."""
    found = _AUTHORITY.match(authority)
    return None if found is None else (found["six"] or found["name"]).lower().rstrip(".") or None


def _is_wildcard(bound: str) -> bool:
    try:
        return ip_address(bound).is_unspecified
    except ValueError:
        return bound == ""


def refusal(authority: str | None) -> tuple[int, bytes]:
    """Status and problem document (RFC 9457) for a request whose host is not ours; None: it has none, or several."""
    name = None if authority is None else host_of(authority)
    if name is None:
        return refused_with("host_malformed")
    detail = (
        f"Nothing was done. If {name} is a name of this service, start it with {VARIABLE}={name} (several with commas); "
        "without it only loopback names and the address it listens on are answered, so that no other page can use it."
    )
    return refused_with("host_refused", detail=detail)


def refused_with(word: str, **more: object) -> tuple[int, bytes]:
    """Status and problem document of a request that goes no further than HTTP itself."""
    return PROBLEMS[word].status, msgspec.json.encode(problem_document(word, **more))
