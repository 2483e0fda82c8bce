"""What came to each account and what left it, by month of UTC: an event at a time."""

from __future__ import annotations

from fanfold.api.events import EntryEvent, OpenedEvent
from read_side.projections.projection import Rows


class MonthlyTotals:
    name, version = "monthly_totals", 1
    key = {"account": str, "month": str}
    row = {"came": int, "went": int}

    def evolve_one(self, rows: Rows, event: OpenedEvent | EntryEvent) -> None:
        if isinstance(event, EntryEvent):
            month = event.data.account, event.time[:7]
            came, went = rows.get(month, (0, 0))
            amount = event.data.amount
            rows[month] = came + max(amount, 0), went + max(-amount, 0)
