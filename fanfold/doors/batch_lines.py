"""The body of a batch of JSON lines, for whoever reads it: where each line is, what it asks, and when others get a turn."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final

from fanfold.api.body_checks import batch_line, plain_transfer
from fanfold.api.malformed import Malformed
from fanfold.api.requests import BATCH_LINES_MAX, BODY_BYTES_MAX, Command, Open
from fanfold.api.strict_json import parse_object

BYTES_A_TURN: Final = 32 * 1024
"""What is read of a batch before other requests get a turn: some 1 ms of short lines and of 32 legs alike."""

LINE_BYTES: Final = 128
"""What an empty line counts for, too: it is refused, and that takes some 10 us."""


def lines_of(body: bytes) -> list[bytes]:
    """The lines of a batch; the last one may or may not end in a newline. Raises Malformed."""
    lines = body.split(b"\n", BATCH_LINES_MAX + 1)
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise Malformed("body_malformed", "body", "must have at least one line")
    if len(lines) > BATCH_LINES_MAX:
        raise Malformed("body_too_large", "body", f"must not have more than {BATCH_LINES_MAX} lines")
    return lines


async def in_turns(lines: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Each line, with a turn for others every `BYTES_A_TURN`."""
    read_bytes = 0
    for line in lines:
        read_bytes += len(line) + LINE_BYTES
        if read_bytes > BYTES_A_TURN:
            await asyncio.sleep(0)
            read_bytes = len(line) + LINE_BYTES
        yield line


def asked_by(line: bytes) -> Open | Command:
    """What a line asks. Raises Malformed."""
    if len(line) > BODY_BYTES_MAX:
        raise Malformed("body_too_large", "body", f"a line must not be larger than {BODY_BYTES_MAX} bytes")
    return plain_transfer(line) or batch_line(parse_object(line))
