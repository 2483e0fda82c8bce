"""Which parameters a query names, for who passes it on unread: in whatever spelling, as whoever reads it will read it."""

from __future__ import annotations

import re
from collections.abc import Callable


def naming(*names: str) -> Callable[[bytes], bool]:
    """Whether a query, as it came, has one of these parameters. names: of ASCII. Any byte may be escaped (RFC 3986, 2.1):
    `min%5Fposition` is `min_position`. One look in time that grows with the query alone: clients write it."""
    any_of = b"|".join(b"".join(_spellings(byte) for byte in name.encode("ascii")) for name in names)
    looked_for = re.compile(rb"(?:\A|&)(?:" + any_of + rb")(?:[=&]|\Z)").search

    def names_one(query: bytes) -> bool:
        return bool(query) and looked_for(query) is not None

    return names_one


def _spellings(byte: int) -> bytes:
    return rb"(?:%b|%%(?i:%02x))" % (re.escape(bytes([byte])), byte)
