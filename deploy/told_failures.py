"""What a service writes of a failure: where it was, never the values that were at hand there.

structlog's own way shows the local variables of every frame where rich is installed: requests with their tokens, bodies,
accounts."""

from __future__ import annotations

import structlog


def tell_places_only() -> None:
    """From now on, in this process."""
    *before, last = structlog.get_config()["processors"]
    if isinstance(last, structlog.dev.ConsoleRenderer):
        plain = structlog.dev.ConsoleRenderer(
            colors=last.colors,  # for a terminal alone: whoever looks for `partition=0` in a file finds it
            exception_formatter=structlog.dev.plain_traceback,
        )
        structlog.configure(processors=[*before, plain])
