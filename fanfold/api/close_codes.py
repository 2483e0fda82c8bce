"""Why a stream ends, in one table, and what the client should do then.

Source: RFC 6455 section 7.4 for 1000-1015. Our own codes follow the split of Centrifugo's `disconnect.go`, so that a client
needs only the number: 4000-4499 mean reconnect (and resume by version), 4500-4999 mean that trying again changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class CloseCode(IntEnum):
    """Sent in the close frame."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NOT_TEXT = 1003
    NOT_UTF8 = 1007
    MESSAGE_TOO_BIG = 1009
    INTERNAL = 1011
    RESTARTING = 1012
    PONG_MISSED = 4000
    NOT_READING = 4001
    SIGNED_IN_NO_MORE = 4002
    RIGHTS_CHANGED = 4003
    NOT_SIGNED_IN = 4004
    TOO_OLD = 4005
    TOO_MANY_STREAMS = 4006
    TOO_FAST = 4007
    TOO_MANY_ERRORS = 4500
    UNAUTHENTICATED = 4501
    TOKEN_REFUSED = 4502
    REVOKED = 4503


class Meaning(NamedTuple):
    """`reconnect`: the client connects again, with growing waits, and resumes by version. `reason` is in the frame."""

    reconnect: bool
    reason: str


MEANINGS: Final = {
    CloseCode.NORMAL: Meaning(False, "the client said goodbye"),
    CloseCode.GOING_AWAY: Meaning(True, "the connection is closing"),
    CloseCode.PROTOCOL_ERROR: Meaning(False, "the bytes are not RFC 6455"),
    CloseCode.NOT_TEXT: Meaning(False, "messages must be text"),
    CloseCode.NOT_UTF8: Meaning(False, "text must be UTF-8"),
    CloseCode.MESSAGE_TOO_BIG: Meaning(False, "a message was too big"),
    CloseCode.INTERNAL: Meaning(True, "something failed that should not"),
    CloseCode.RESTARTING: Meaning(True, "the gateway is stopping"),
    CloseCode.PONG_MISSED: Meaning(True, "no pong in time"),
    CloseCode.NOT_READING: Meaning(True, "nothing was read for too long"),
    CloseCode.SIGNED_IN_NO_MORE: Meaning(True, "the token has expired: connect again with a new one"),
    CloseCode.RIGHTS_CHANGED: Meaning(True, "the rights of who is signed in have changed: subscribe again"),
    CloseCode.NOT_SIGNED_IN: Meaning(True, "nobody signed in in time"),
    CloseCode.TOO_OLD: Meaning(True, "the connection is as old as it may be: connect again"),
    CloseCode.TOO_MANY_STREAMS: Meaning(True, "who signed in has as many streams as one may"),
    CloseCode.TOO_FAST: Meaning(True, "messages, or tokens that are refused, came faster than they may"),
    CloseCode.TOO_MANY_ERRORS: Meaning(False, "too many messages were refused"),
    CloseCode.UNAUTHENTICATED: Meaning(False, "the first message must be auth"),
    CloseCode.TOKEN_REFUSED: Meaning(False, "the token or key is not accepted"),
    CloseCode.REVOKED: Meaning(False, "the token or key was revoked"),
}


_EXTENSION_MISSING: Final = 1010
"""Said by clients only; one that hears it has met something that is no gateway."""


def is_final(code: int) -> bool:
    """Whether a client that connects again would meet the same. Not 1000: clients never say goodbye, so a proxy did; nor a code
    that nobody knows, nor 1006, which is no close frame at all."""
    if code in MEANINGS:
        return code != CloseCode.NORMAL and not MEANINGS[CloseCode(code)].reconnect
    return code == _EXTENSION_MISSING or 4500 <= code <= 4999
