"""Blocks of format version 2, whose sections are Arrow batches: what no encoder wrote is refused, whatever its hash says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.unit.write_side.contract.blocks import with_body
from write_side.contract.block.block import HEADER_BYTES, Undecodable, decode

GOLDEN = Path(__file__).resolve().parents[4] / "data" / "golden" / "version-2-counted-partition-1-block-01.bin"
WHOLE = GOLDEN.read_bytes()
BODY = WHOLE[HEADER_BYTES:]


def _section_starts() -> list[int]:
    starts, at = [], 0
    while at < len(BODY):
        starts.append(at)
        codes, size = BODY[at + 1], int.from_bytes(BODY[at + 4 : at + 8], "little")
        at += 8 + codes + -codes % 8 + size + -size % 8
    return starts


STARTS = _section_starts()


def _patched(at: int, new: bytes) -> bytes:
    return BODY[:at] + new + BODY[at + len(new) :]


HOSTILE_BODIES = {
    "sections out of order": BODY[STARTS[1] : STARTS[2]] + BODY[: STARTS[1]] + BODY[STARTS[2] :],
    "a section twice": BODY[: STARTS[1]] + BODY,
    "section number 0": _patched(0, b"\0"),
    "section number 14": _patched(STARTS[3], b"\x0e"),
    "section number 255": _patched(0, b"\xff"),
    "a column more": _patched(1, b"\7"),
    "a column less": _patched(1, b"\5"),
    "no columns": _patched(1, b"\0"),
    "255 columns": _patched(1, b"\xff"),
    "reserved bytes used": _patched(2, b"\1"),
    "message longer than the body": _patched(4, (len(BODY)).to_bytes(4, "little")),
    "message of 4 GiB": _patched(4, b"\xff\xff\xff\xff"),
    "message of no bytes": _patched(4, b"\0\0\0\0"),
    "width code 4": _patched(8, b"\4"),
    "width code 255": _patched(8, b"\xff"),
    "a text with a width": _patched(9, b"\1"),
    "a kind of eight bytes": _patched(STARTS[1] + 9, b"\3"),
    "wider codes than values": _patched(8, b"\3"),
    "cut in a section's head": BODY + b"\5\5\0",
    "a section behind the last": BODY + BODY[: STARTS[1]],
    "garbage for a message": BODY[:16] + random.Random(1).randbytes(STARTS[1] - 16) + BODY[STARTS[1] :],
    "one message in another's place": BODY[:16] + BODY[STARTS[1] + 16 : STARTS[2]] + BODY[STARTS[2] :],
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_a_body_that_no_encoder_wrote_is_undecodable(name: str) -> None:
    with pytest.raises(Undecodable):
        decode(with_body(WHOLE, HOSTILE_BODIES[name]))
