"""What the head of a write's answer tells: its position, and whether its id ran before."""

from __future__ import annotations

from typing import Final

from fanfold.api.answer_headers import POSITION, POSITION_BYTES_MAX, REPLAYED
from fanfold.doors.answer import Headers
from write_side.contract.tell.answers import Answer

_NAME: Final = POSITION.lower().encode()
_REPLAYED: Final = ((REPLAYED.lower().encode(), b"true"),)


def answer_headers(answer: Answer) -> Headers:
    """Of the answer to one command."""
    return (*position_headers(answer.document.get("position")), *replayed_header(answer))


def replayed_header(answer: Answer) -> Headers:
    """Of an answer that wrote nothing, as to a dry run, all that there is."""
    return _REPLAYED if answer.is_repeat else ()


def position_headers(positions: object) -> Headers:
    """positions: a token, such as `0:17,3:9`; empty or None for an answer that the log was not asked for.

    What is longer than a line of a head may be goes in several, as a list of values may (RFC 9110, 5.3).
    """
    if not positions:
        return ()
    value = str(positions).encode()
    if len(value) <= POSITION_BYTES_MAX:
        return ((_NAME, value),)
    lines: list[tuple[bytes, bytes]] = []
    while len(value) > POSITION_BYTES_MAX:
        end = value.rindex(b",", 0, POSITION_BYTES_MAX + 1)
        lines.append((_NAME, value[:end]))
        value = value[end + 1 :]
    return (*lines, (_NAME, value))
