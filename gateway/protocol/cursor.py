"""How far a partition's feed was heard, and whether a batch goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from read_side.contract.feed import FeedBatch


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far the feed was heard without a gap."""

    generation: int
    boot: str
    heard: int


class Verdict(Enum):
    NEXT = "next"
    SEEN = "seen"
    BROKEN = "broken"


def judge(cursor: Cursor | None, batch: FeedBatch) -> Verdict:
    """Whether a batch continues what was seen. Overlap is fine: rows are states at `upto`, not changes."""
    if (
        cursor is None
        or (cursor.generation, cursor.boot) != (batch.generation, batch.boot)
        or batch.after > cursor.heard
    ):
        return Verdict.BROKEN
    return Verdict.SEEN if batch.upto <= cursor.heard else Verdict.NEXT
