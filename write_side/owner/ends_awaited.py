"""Who waits for the ends of transfers across partitions: by their ids, in the order they came, first come, first told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

End = TypeVar("End")


class Ends(Generic[End]):
    """Those that one who waits was told, and those not."""

    def __init__(self, ids: Iterable[bytes]) -> None:
        self.told: dict[bytes, End] = {}
        self.untold = set(ids)
        self.all_told: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(self, id16: bytes, end: End) -> None:
        """The first time counts."""
        if id16 in self.untold:
            self.untold.discard(id16)
            self.told[id16] = end
            if not self.untold and not self.all_told.done():
                self.all_told.set_result(None)


class EndsAwaited(Generic[End]):
    """Of one partition. Empty: nobody waits."""

    def __init__(self) -> None:
        self._by_id: dict[bytes, dict[Ends[End], None]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_id)

    @contextmanager
    def of(self, ids: Iterable[bytes]) -> Iterator[Ends[End]]:
        """Waited for from here on, and no more behind."""
        ends = Ends[End](ids)
        waited = list(ends.untold)
        for id16 in waited:
            self._by_id.setdefault(id16, {})[ends] = None
        try:
            yield ends
        finally:
            for id16 in waited:
                if (waiting := self._by_id.get(id16)) is not None:
                    waiting.pop(ends, None)
                    if not waiting:
                        del self._by_id[id16]

    def tell(self, id16: bytes, end: End) -> None:
        """To all who wait for this one."""
        for ends in self._by_id.pop(id16, ()):
            ends.tell(id16, end)

    def let_go(self) -> list[asyncio.Future[None]]:
        """Nobody is told by us any more; what each of them waits for, some of it often."""
        waiting = [ends.all_told for each in self._by_id.values() for ends in each]
        self._by_id = {}
        return waiting
