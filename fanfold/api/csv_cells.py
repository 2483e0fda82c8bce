"""How a text stands in a CSV of ours, for a door and for the command line alike."""

from __future__ import annotations

from collections.abc import Sequence


def flags_cell(flags: Sequence[str] | None) -> str:
    """What an account may not do after a change of flags: `none` where nothing is left, empty of any other line."""
    return "" if flags is None else " ".join(flags) or "none"


def cell(text: str) -> str:
    """A text that a spreadsheet would take for a formula is told as a text. (Numbers may begin with a minus.)"""
    is_number = text.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") and not is_number else text
