"""What the cases have shown, as text."""

from __future__ import annotations

from collections.abc import Sequence

from tests.outages.trial import Row

HEAD = "| away | how | s | writes | reads | stream | write side | read side | gateway | transfers | said otherwise than was so |"


def line(row: Row) -> str:
    """One case as one line, and what is wrong on lines of its own."""
    return "\n".join([_cells(row), *(f"  WRONG: {each}" for each in row.wrong)])


def table(rows: Sequence[Row]) -> str:
    """A Markdown table. Seconds from being back: until every write (read) is answered, the stream is live, a side says ready."""
    return "\n".join([HEAD, "|" + "---|" * (HEAD.count("|") - 1), *map(line, rows)])


def _cells(row: Row) -> str:
    said = ", ".join(f"{count} {what}" for what, count in sorted(row.said.items()))
    untrue = "; ".join(f"{what}: {seconds}" for what, seconds in row.untrue.items())
    times = [row.writes_s, row.reads_s, row.stream_s, *row.ready_s.values()]
    cells = [row.case.what, row.case.how, str(row.case.seconds), *map(_seconds, times), said, untrue or "-"]
    return f"| {' | '.join(cells)} |"


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f}"
