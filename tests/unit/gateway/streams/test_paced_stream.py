"""A stream that wants to be told at most so often, on virtual time over the real connection and hub."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from gateway.protocol.messages import item
from gateway.streams.balance_source import Found
from read_side.contract.feed import FeedBatch
from read_side.contract.rows import AccountRow, AccountRows
from tests.simulation import virtual_time
from tests.simulation.processes import LIFE_TERMS, STREAM_TERMS
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway


class _Balances:
    async def read(self, partition: int, accounts: Any, min_position: int, wait_ms: int) -> Found:
        state = item(0, "USD/2", "0", "0", "0", "2026-01-01T00:00:00.000000Z")
        return Found(dict.fromkeys(accounts, state), max(0, min_position))


class _Gateway(VirtualGateway):
    def __init__(self) -> None:
        super().__init__(
            STREAM_TERMS._replace(ping_ms=60_000),
            balances=_Balances(),
            life_terms=LIFE_TERMS._replace(heartbeat_ms=60_000),
            now_ms=lambda: round(asyncio.get_running_loop().time() * 1_000),
        )
        self._sequence = 0

    async def change(self, *accounts: str) -> None:
        before, self._sequence = self._sequence, self._sequence + 1
        rows = [AccountRow(name, "USD/2", 1, 0, 0, self._sequence, 0) for name in accounts]
        await self.feed.publish(FeedBatch(0, 1, "boot", before, self._sequence, AccountRows.of(rows)))


def _items(wire: Wire) -> list[list[tuple[int, int]]]:
    frames = map(json.loads, wire.take(1_000_000))
    return [[(each["sub"], each["v"]) for each in frame["items"]] for frame in frames if frame["op"] == "balances"]


def test_a_paced_stream_is_told_both_legs_together_at_most_so_often_and_the_newest() -> None:
    async def story() -> list[tuple[float, list[list[tuple[int, int]]]]]:
        gateway = _Gateway()
        running = asyncio.create_task(gateway.hub.run())
        await asyncio.sleep(0.01)
        await gateway.change()
        wire = Wire(gateway)
        wire.take(10_000)
        asked = {"op": "subscribe", "id": 1, "accounts": [{"account": "a"}, {"account": "b"}], "max_rate_hz": 2}
        wire.say(json.dumps(asked))
        await asyncio.sleep(0.01)
        told = [(0.0, _items(wire))]
        for tenth in range(1, 13):
            if tenth <= 7:
                await gateway.change("a", "b")
            await asyncio.sleep(0.1)
            told += [(tenth / 10, found)] if (found := _items(wire)) else []
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return told

    told = virtual_time.run(story, lambda: 0.0)
    assert [at for at, _ in told] == [0.0, 0.5, 1.0]
    assert [frames for _, frames in told] == [[[(1, 0), (2, 0)]], [[(1, 6), (2, 6)]], [[(1, 8), (2, 8)]]]
