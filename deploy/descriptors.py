"""How many connections a process may have open: files of the log come first.

A log opens a file to read back each block that it appends. When clients have taken the last descriptor, that fails, and then
writers and readers end: somebody who only opens connections would stop everybody's money.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final

DESCRIPTORS_MAX: Final = 1_048_576
"""What is asked for where the system sets no limit of its own; Linux allows a process no more by default."""
KEPT_SHARE: Final = 4
"""One in so many descriptors is kept for files and for connections to other services: 256 of 1,024."""
KEPT_MIN: Final = 64
"""But no fewer than these."""


def connections_max() -> int:
    """Raise this process's limit of open files as far as it may, and tell how many connections of clients leave enough of it.

    Counted from what is open now: call it when the logs are open.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else hard
    with suppress(OSError, ValueError):  # as it was then
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return room_for_connections(soft, _open_now())


def room_for_connections(limit: int, open_now: int) -> int:
    """Of `limit` descriptors with `open_now` in use; one at least, or nobody could ask what the matter is."""
    return max(1, limit - open_now - max(KEPT_MIN, limit // KEPT_SHARE))


def _open_now() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())
