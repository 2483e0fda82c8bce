"""The topic of events in memory, for tests: durable as long as the lists live."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from write_side.contract.log.log import LogFailed


class MemoryEventTopic:
    """records: by partition key and value of each."""

    def __init__(self, partitions: int) -> None:
        self.records: list[list[tuple[bytes, bytes]]] = [[] for _ in range(partitions)]
        self.lands: dict[int, int] = {}

    def fail_next_append(self, partition: int, lands: int) -> None:
        """The next append of this partition raises LogFailed; its first `lands` records are there all the same."""
        self.lands[partition] = lands

    async def last(self, partition: int) -> bytes | None:
        await asyncio.sleep(0)
        records = self.records[partition]
        return records[-1][1] if records else None

    async def append(self, partition: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        await asyncio.sleep(0)
        lands = self.lands.pop(partition, None)
        records = list(zip(keys, values, strict=True))
        self.records[partition] += records[:lands]
        if lands is not None:
            raise LogFailed("An append failed as it was told to.")

    async def close(self) -> None:
        pass
