"""Whether loops are being compiled right now. That happens once a version, takes a minute or more, and folds nothing meanwhile.

numba says when it begins and ends a function (`numba.core.event`); what is loaded from its cache it does not mention.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from write_side.contract.compiled import compiled  # noqa: F401 -- sets the cache's folder before numba is imported

from numba.core import event  # isort: skip


class Compiling(event.Listener):
    """Of this process. functions: how many were compiled since it began; how many there will be, nobody knows before. elsewhere:
    the same of another process that compiles for this one; None where none does."""

    def __init__(self) -> None:
        self.functions = 0
        self.elsewhere: int | None = None
        self._under_way = 0

    @property
    def why(self) -> str | None:
        """What a start waits for now, where that is this; None otherwise."""
        if not self._under_way and self.elsewhere is None:
            return None
        functions = self.functions + (self.elsewhere or 0)
        return f"the code is being compiled, once a version, which takes a minute or two ({functions} functions so far)"

    def on_start(self, _event: Any) -> None:
        self._under_way += 1

    def on_end(self, _event: Any) -> None:
        self._under_way -= 1
        self.functions += 1


@cache
def compiling() -> Compiling:
    """The one of this process: it listens from the first call on."""
    listener = Compiling()
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    return listener
