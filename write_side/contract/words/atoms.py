"""The smallest words of the wallet: account ids, assets, amounts, and which partition an account lives in.

Every parser here takes untrusted text and either returns a checked value or raises `Malformed` with a code from
`codes.py`.  Nothing is ever echoed back: a message names the field, never its content.
"""

from __future__ import annotations

import re

from blake3 import blake3

from fanfold.api import grammar
from fanfold.api.grammar import ASSET_EXPONENT_MAX
from fanfold.api.malformed import Malformed
from fanfold.api.words.names import ACCOUNT_SAYS, ASSET_SAYS, ID_SAYS

LIMIT = grammar.UNITS_MAX
"""|amount|, |floor|, |posted| and |held| never pass this, so the sum of any two fits an int64 and nothing wraps."""

NO_FLOOR = -(2**63)
"""How `floor: null` is kept in an int64 column: outside of every allowed floor."""

WORLD = grammar.WORLD
TRANSIT = "@transit"
SYSTEM_ACCOUNTS = (WORLD, TRANSIT)

_ACCOUNT = re.compile(rf"{grammar.ACCOUNT}\Z", re.ASCII)
_ASSET = re.compile(rf"{grammar.ASSET}\Z", re.ASCII)
_NEW_ASSET = re.compile(rf"{grammar.NEW_ASSET}\Z", re.ASCII)
_UUID = re.compile(rf"{grammar.UUID}\Z", re.ASCII)


def parse_account(text: object, field: str = "account", *, system: bool = False) -> str:
    """A client's account id; with `system`, `@world` too (never `@transit`: only the service moves that)."""
    if isinstance(text, str) and (_ACCOUNT.match(text) or (system and text == WORLD)):
        return text
    raise Malformed("account_malformed", field, ACCOUNT_SAYS)


def parse_asset(text: object, field: str = "asset") -> str:
    """An asset, code and exponent, such as `USD/2`."""
    if isinstance(text, str) and _ASSET.match(text):
        return text
    raise Malformed("asset_malformed", field, ASSET_SAYS)


def parse_new_asset(text: object, field: str = "asset") -> str:
    """As `parse_asset`, of a client: written in one way only, and of a unit of which `LIMIT` holds a thousand.

    Logs may have others: doors were wider once.
    """
    if isinstance(text, str) and _NEW_ASSET.match(text):
        return text
    raise Malformed(
        "asset_malformed",
        field,
        f"{ASSET_SAYS}, the exponent 0 to {ASSET_EXPONENT_MAX} without a leading zero: it is how many "
        f"decimals the unit has, and no balance passes 10^18 minor units, which are 1,000 units at {ASSET_EXPONENT_MAX} decimals",
    )


def parse_transfer_id(text: object, field: str = "id") -> bytes:
    """The 16 bytes of a UUID in its canonical form with hyphens. Nil and max are refused."""
    if isinstance(text, str) and _UUID.match(text):
        raw = bytes.fromhex(text.replace("-", ""))
        if raw not in (bytes(16), b"\xff" * 16):
            return raw
    raise Malformed("id_malformed", field, ID_SAYS)


def format_transfer_id(raw: bytes) -> str:
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def format_floor(floor: int) -> str | None:
    return None if floor == NO_FLOOR else str(floor)


def available(posted: int, held: int, floor: int) -> int | None:
    """What can be spent: posted - held - floor (DESIGN 5). None when there is no floor, hence no bound."""
    return None if floor == NO_FLOOR else posted - held - floor


def partition_of(account: str, partitions: int) -> int:
    """Where an account lives: the first 8 bytes, little endian, of BLAKE3 of its id, modulo `partitions`."""
    if partitions == 1:
        return 0
    return int.from_bytes(blake3(account.encode()).digest(8), "little") % partitions
