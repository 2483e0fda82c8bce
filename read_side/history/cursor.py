"""Where a page of entries ends, as a text for whoever asks for the next one.

A version of an account is a place that never moves, whatever is sealed or joined meanwhile, so a cursor is the version and, in
eight bytes, which question it belongs to.
"""

from __future__ import annotations

import base64
import struct
from typing import Final

from blake3 import blake3

from fanfold.api.malformed import Malformed
from fanfold.api.questions import CURSOR_SAYS

_FORMAT: Final = struct.Struct("<BQ8s")
_KIND: Final = 1


def cursor_of(version: int, question: str) -> str:
    """The page behind the entry of this version. question: whatever must be the same for the next page."""
    return text_of(_FORMAT.pack(_KIND, version, _mark(question)))


def version_of(cursor: str, question: str) -> int:
    """The version behind which the page begins. Raises Malformed for a text that was not made for this question."""
    try:
        kind, version, mark = _FORMAT.unpack(bytes_of(cursor))
    except (ValueError, struct.error):
        kind, version, mark = 0, 0, b""
    if kind != _KIND or mark != _mark(question) or version > 2**62:
        raise Malformed("cursor_malformed", "cursor", CURSOR_SAYS)
    return int(version)


def text_of(place: bytes) -> str:
    """A place as a text that an address can carry as it is (RFC 4648, 5, without padding)."""
    return base64.urlsafe_b64encode(place).rstrip(b"=").decode()


def bytes_of(text: str) -> bytes:
    """The same back. Raises ValueError for what is none."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _mark(question: str) -> bytes:
    return blake3(question.encode()).digest(8)
