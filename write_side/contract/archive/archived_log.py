"""A log that goes on backwards in its archive: the log port over both, so that nobody needs to know what was trimmed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

from write_side.contract.archive.log_archive import LogArchive
from write_side.contract.log.log import START, Log, Record, Trimmed, Unit

_Reading = Callable[[int, int], AsyncGenerator[Sequence[Record]]]


class ArchivedLog:
    """As the port says, but for `Trimmed`: what the log has forgotten comes from the archive. log, archive: the two.

    `read` goes on to the end that the log has when it is reached.
    """

    def __init__(self, log: Log, archive: LogArchive) -> None:
        self.log = log
        self.archive = archive
        self._begins: dict[int, int] = {}

    @property
    def partitions(self) -> int:
        return self.log.partitions

    @property
    def unit(self) -> Unit:
        return self.log.unit

    async def append(self, partition: int, block: bytes) -> int:
        return await self.log.append(partition, block)

    def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        return self._through(self.log.read, partition, after)

    def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        return self._through(self.log.tail, partition, after)

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        if not 0 <= offset < self._begins.get(partition, 0):
            try:
                return await self.log.fetch(partition, offset)
            except Trimmed as trimmed:
                self._begins[partition] = trimmed.begin
        return await self.archive.fetch(partition, offset)

    async def resume(self, partition: int) -> None:
        await self.log.resume(partition)

    async def end(self, partition: int) -> int:
        return await self.log.end(partition)

    async def begin(self, partition: int) -> int:
        return await self.log.begin(partition)

    async def trim(self, partition: int, before: int) -> int:
        return await self.log.trim(partition, before)

    async def troubles(self) -> Mapping[int, str]:
        return await self.log.troubles()

    async def close(self) -> None:
        await self.log.close()

    async def _through(self, reading: _Reading, partition: int, after: int) -> AsyncGenerator[Sequence[Record]]:
        """What the log has behind an offset, and before that what the archive has. A trim may come while it is read."""
        while True:
            try:
                async with aclosing(reading(partition, after)) as runs:
                    async for run in runs:
                        after = run[-1].offset
                        yield run
                return
            except Trimmed as trimmed:
                begin = trimmed.begin
            async with aclosing(self.archive.read(partition, after, begin)) as runs:
                async for run in runs:
                    after = run[-1].offset
                    yield run
