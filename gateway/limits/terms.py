"""What is allowed to one who asks, as numbers; `gateway/settings.py` says what each means. 0: any number."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """requests: units within requests_window_s of a principal, or of an address where nobody is asked who asks."""

    requests: int = 0
    requests_window_s: int = 1
    principal_streams: int = 0
    address_streams: int = 0
    messages_a_second: int = 0


UNLIMITED = Limits()
