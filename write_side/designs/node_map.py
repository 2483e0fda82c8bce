"""Which node has which share of the accounts: one znode in ZooKeeper, read at the start and watched.

It holds the addresses of all nodes in their order, so the count of partitions and the addresses change together or not at all.
Whoever has read it goes on with it while ZooKeeper is away; whoever starts then cannot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from write_side.designs.design import Unanswered

START_LIMIT_S = 10.0


async def publish(hosts: str, path: str, addresses: Sequence[str]) -> None:
    """Write the map, and whoever watches it is told. hosts: of ZooKeeper. path: of the znode. Raises Unanswered where ZooKeeper
    is away."""

    def write() -> None:
        client = KazooClient(hosts=hosts)
        client.start(timeout=START_LIMIT_S)
        try:
            client.ensure_path(path)
            client.set(path, json.dumps(list(addresses)).encode())
        finally:
            client.stop()
            client.close()

    try:
        await asyncio.to_thread(write)
    except (KazooException, KazooTimeoutError) as away:
        raise Unanswered(f"ZooKeeper did not take the map: {away!r}") from away


async def expire_session(hosts: str, nodes: NodeMap) -> None:
    """End the session that these nodes are watched in, as ZooKeeper does with one that was silent for too long: whoever has its
    id and its password takes it over, and closes it."""

    def expire() -> None:
        other = KazooClient(hosts=hosts, client_id=nodes.session)
        other.start(timeout=START_LIMIT_S)
        other.stop()
        other.close()

    await asyncio.to_thread(expire)


class NodeMap:
    """The newest map that ZooKeeper has told. Its client lives in threads of its own; what it hears is taken over in the loop."""

    def __init__(self, hosts: str, path: str) -> None:
        # It looks for a server that went away at least once a second, for ever.
        again = KazooRetry(max_tries=-1, delay=0.1, max_delay=1.0)
        self._client = KazooClient(hosts=hosts, connection_retry=again)
        self._path = path
        self.addresses: tuple[str, ...] = ()
        self.changed = asyncio.Event()
        """Set at each map that is told; whoever waits clears it."""

    async def start(self) -> None:
        """Returns with a map. Raises Unanswered where ZooKeeper or the map is not there."""
        loop = asyncio.get_running_loop()

        def told(data: bytes | None, _stat: object) -> None:
            if data and not loop.is_closed():
                loop.call_soon_threadsafe(self._take, data)

        def begin() -> None:
            self._client.start(timeout=START_LIMIT_S)
            self._client.DataWatch(self._path, told)

        try:
            await asyncio.to_thread(begin)
            async with asyncio.timeout(START_LIMIT_S):
                await self.changed.wait()
        except (KazooException, KazooTimeoutError, TimeoutError) as away:
            await self.close()
            raise Unanswered(f"ZooKeeper told no map of the nodes within {START_LIMIT_S:.0f} s") from away

    @property
    def session(self) -> tuple[int, bytes] | None:
        """Id and password of the session with ZooKeeper; None while there is none."""
        found = self._client.client_id
        return None if found is None else (int(found[0]), bytes(found[1]))

    def _take(self, data: bytes) -> None:
        self.addresses = tuple(json.loads(data))
        self.changed.set()

    async def close(self) -> None:
        def end() -> None:
            self._client.stop()
            self._client.close()

        await asyncio.to_thread(end)
