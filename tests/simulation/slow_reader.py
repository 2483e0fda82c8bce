"""A client of the stream that takes what it is sent a few bytes at a time, over the real connection, and one that just goes away.

However slowly: while it takes some between two pings it is not cut off, what it is told is true, and in the end it knows all.
Whoever leaves, in whatever state, leaves nothing behind in the gateway.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from functools import partial

from fanfold.api.close_codes import CloseCode
from gateway.streams.websocket_server import StreamConnection
from tests.simulation.processes import World
from tests.simulation.watcher import Told
from tests.simulation.wire import Serving, Wire

TAKES_BYTES = (10, 120)
"""At a time, at least and at most: a balance is some 130 bytes, and the gateway stops writing at `STREAM_TERMS.buffer_bytes`."""
PAUSE_S = (0.1, 1.5)
"""Between two times: far less than from one ping to the next."""
CUT_OFF = (CloseCode.NOT_READING, CloseCode.PONG_MISSED)
LEAVES = 0.02
"""How often it hangs up instead of taking more."""
MALFORMED = 0.2
"""How many connections begin with a handshake that is refused, and must leave nothing either."""


class SlowReader:
    """`run` it for ever. told: what it knows."""

    def __init__(self, world: World, accounts: Sequence[str]) -> None:
        self.world = world
        self.told = Told(world, accounts)
        self._wire: Wire | None = None

    async def run(self) -> None:
        random, chaos = self.world.chaos.random, self.world.chaos
        while True:
            await asyncio.sleep(random.uniform(*PAUSE_S))
            wire = self._wire
            if wire is None:
                self._connect()
                continue
            for text in wire.take(random.randint(*TAKES_BYTES)):
                self.world.checked(partial(self._take, wire, json.loads(text)))
            if wire.open and (wish := self.told.wish()) is not None:
                wire.say(wish)
            if chaos.strikes("a slow reader leaves", LEAVES):
                wire.drop()
            if wire.lost or wire.closed_with is not None:
                self.world.checked(partial(self._ended, wire))
                self._wire = None

    def _connect(self) -> None:
        alive = [each for each in self.world.gateways if each.life.alive]
        if not alive:
            return
        gateway, chaos = self.world.chaos.random.choice(alive), self.world.chaos
        if chaos.strikes("malformed handshake", MALFORMED):
            refused = Wire(gateway, {"Origin": "http://["})
            refused.take(10_000)
            self.world.checked(partial(self._ended, refused))
        self._wire = Wire(gateway)
        self.told.begin()

    def _take(self, wire: Wire, frame: dict[str, object]) -> None:
        if not self.told.take(frame):
            wire.drop()

    def _ended(self, wire: Wire) -> None:
        wire.drop()
        auditor = self.world.auditors[0]
        auditor.require(wire.closed_with not in CUT_OFF, f"who reads slowly was cut off: {wire.closed_with}")
        leaks = leaks_of(wire.gateway) if wire.gateway.life.alive else None
        auditor.require(leaks is None, f"a client that left is still there: {leaks}")


def leaks_of(gateway: Serving) -> str | None:
    """What a gateway keeps of connections that are gone."""
    hub = gateway.hub
    joined = set(hub._streams)
    for partition in hub.partitions:
        for account, watchers in partition._watched.items():
            if any(each.session not in joined for each in watchers):
                return f"{account} is watched for nobody"
    if not set(hub._touched) <= joined:
        return "somebody is to be flushed who is gone"
    connections = [
        *gateway.connections,
        *(each for each in hub._streams.values() if isinstance(each, StreamConnection)),
    ]
    if not set(hub.lifetimes._ends_at_ms) <= set(hub._streams.values()):
        return "somebody is to be told heartbeats who is gone"
    if any(each._transport.lost for each in connections):
        return "a connection that is lost"
    return None
