"""Times as a person types them: a day, which begins at midnight UTC, or a time with its zone. One spelling for every option that
cuts at a time; what is asked *as of* a time is never a day, for a day has two ends."""

from __future__ import annotations

import datetime
from typing import Final

from fanfold.api.malformed import Malformed

TIME_HELP: Final = "2026-01-31, or 2026-01-31T12:00:00Z (UTC)"


def time_of(text: str | None, option: str) -> datetime.datetime | None:
    """In UTC; None where nothing was typed. Raises Malformed."""
    if not text:
        return None
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(datetime.UTC)
    except (ValueError, OverflowError):
        raise Malformed(
            "parameter_malformed", option, "must be a day or a time, 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    if "T" in text or " " in text:
        raise Malformed("parameter_malformed", option, "needs a time zone, such as 2026-01-31T12:00:00Z")
    return moment.replace(tzinfo=datetime.UTC)
