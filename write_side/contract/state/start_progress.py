"""How far the fold of a start is: what `/readyz` of every side tells before anything else can be answered."""

from __future__ import annotations


class StartProgress:
    """`end`: the offset behind the last record that there was to fold; `blocks`: how many the log has at least, where somebody
    knows. None while nobody does."""

    def __init__(self, began_at_us: int) -> None:
        self.began_at_us = began_at_us
        self.end: int | None = None
        self.blocks: int | None = None

    def document(self, folded: int, offset: int, now_us: int, begun: int = 0) -> dict[str, int | float | None]:
        """folded: blocks; offset: of the last record folded, -1 for none; begun: how many of the blocks were there at once, in a
        snapshot: they say nothing about the pace.

        blocks: all of them, by what is known or else by the places of records (in a file those are bytes, so it is about);
        seconds_left: at the pace so far.
        """
        share = None if self.end is None or offset < 0 else min(1.0, (offset + 1) / max(1, self.end))
        blocks = self.blocks if share is None else round(folded / share)
        if blocks is None or folded <= begun:
            return {"blocks_folded": folded, "blocks": blocks, "seconds_left": None}
        blocks, passed_s = max(blocks, folded), max(0, now_us - self.began_at_us) / 1_000_000
        return {
            "blocks_folded": folded,
            "blocks": blocks,
            "seconds_left": round((blocks - folded) * passed_s / (folded - begun), 1),
        }
