"""How the words of the public contract are written: regular expressions of whole texts, and the bounds beside them.

Each is written without anchors, for whoever reads texts to anchor in the way of its own tool, and means the same to Python's `re`
(with re.ASCII), to Rust's `regex` and to ECMA 262, which JSON Schema names.
"""

from __future__ import annotations

import re
from typing import Final

ACCOUNT: Final = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
WORLD: Final = "@world"
"""Source of deposits, sink of withdrawals: a party of a transfer, and no account that anybody opens."""
PARTY: Final = f"(?:{ACCOUNT}|{WORLD})"
ACCOUNTS: Final = f"{ACCOUNT}(?:,{ACCOUNT})*"

ASSET: Final = "[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}"
ASSET_EXPONENT_MAX: Final = 15
"""Decimals of a new asset: with one more, a thousand units would pass `UNITS_MAX`."""
NEW_ASSET: Final = "[A-Z][A-Z0-9]{0,15}/(?:[0-9]|1[0-5])"
"""Written in one way only, and of a unit of which there is room for a thousand."""

TICKET_PREFIX: Final = "ticket_"
"""So that one that was left somewhere is known for what it is."""
TICKET: Final = f"{TICKET_PREFIX}[A-Za-z0-9_-]{{43}}"

UUID: Final = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
NIL_AND_MAX: Final = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")
"""UUIDs that stand for none and for all (RFC 9562, 5.9 and 5.10): never an id."""

UNITS_MAX: Final = 10**18
"""No amount and no balance is further from zero, in minor units: the sum of any two fits an int64, so that nothing wraps."""
INTEGER: Final = "(?:0|-?[1-9][0-9]{0,18})"
POSITIVE: Final = "(?:[1-9][0-9]{0,17}|10{18})"
NOT_ZERO: Final = f"-?{POSITIVE}"
ANY_UNITS: Final = f"(?:0|{NOT_ZERO})"
VERSION_DIGITS_MAX: Final = 18
"""Of the fields that are JSON numbers: more than the version of any account will ever have."""

KEY: Final = "[!-~](?:[ -~]{0,253}[!-~])?"
"""An Idempotency-Key without the blanks around it."""
OWNER: Final = KEY
PRINCIPAL_BYTES_MAX: Final = 255
PRINCIPAL: Final = f"[!-~]{{1,{PRINCIPAL_BYTES_MAX}}}"
"""The name of who asks: visible ASCII, so that it can stand in a header and in a line of a log as it is."""
REQUEST_ID_BYTES_MAX: Final = 128
REQUEST_ID: Final = f"[A-Za-z0-9._:@=/+-]{{1,{REQUEST_ID_BYTES_MAX}}}"
"""Of `X-Request-Id`: nothing in it means anything to a log, a terminal, JSON or HTTP."""
REFERENCE: Final = "[ -~]{1,128}"
METADATA_MEMBERS_MAX: Final = 16
METADATA_NAME_MAX: Final = 64
METADATA_TEXT_MAX: Final = 256
"""Characters. Metadata is kept in the log with its outcome: room for keys into other systems, not for documents."""

MOMENT: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"

LEGS_MAX: Final = 32
"""Of one transfer or hold."""

_PLACE: Final = "(?:0|[1-9][0-9]{0,4}):(?:0|[1-9][0-9]{0,17})"
TOPIC: Final = "[a-z][a-z0-9_]{0,39}"
"""The name of a projection, and of the topic that its question is answered under."""

POSITIONS: Final = f"{_PLACE}(?:,{_PLACE})*"


CURSOR: Final = "[A-Za-z0-9_-]{1,128}"
"""Where a page ends, for whoever asks for the next one."""
VERSION: Final = "(?:0|[1-9][0-9]{0,17})"
MOMENT_OF_ALL: Final = f"(?:{POSITIONS}|{MOMENT})"
AS_OF: Final = f"(?:{VERSION}|{MOMENT_OF_ALL})"
"""A moment of the past: a version, a position, or a time; no text is two of them."""


def whole(pattern: str) -> str:
    """Anchored for Rust's `regex` and for JSON Schema; Python's `$` would let a line break at the end pass."""
    return f"^{pattern}$"


def units_of(text: object) -> int:
    """Minor units of a string of digits, without sign +, spaces, underscores or leading zeros.

    Raises ValueError with what it must be, as what follows the field's name in a sentence.
    """
    if not isinstance(text, str) or not _INTEGER.match(text):
        raise ValueError(
            'must be a string of ASCII digits such as "1000", in minor units: without a leading zero, and not past 10^18'
        )
    if abs(units := int(text)) > UNITS_MAX:
        raise ValueError("must not pass 10^18 minor units")
    return units


_INTEGER: Final = re.compile(rf"{INTEGER}\Z", re.ASCII)
