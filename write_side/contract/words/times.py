"""Times: UTC microseconds since 1970 inside, RFC 3339 for who reads them."""

from __future__ import annotations

import datetime
from typing import Final

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def format_time(at_us: int) -> str:
    """UTC microseconds as RFC 3339."""
    moment = _EPOCH + datetime.timedelta(microseconds=at_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_us(moment: datetime.datetime) -> int:
    """UTC microseconds of a moment that has a time zone."""
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)
