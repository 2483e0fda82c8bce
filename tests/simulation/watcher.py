"""A client of the stream, over the real hub and session, and what every such client must be able to rely on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fanfold.api.close_codes import CloseCode
from gateway.protocol.lifetime import Limits
from gateway.protocol.session import Session
from gateway.protocol.wishes import Watch, WatchPrefix
from gateway.streams.hub import Hub
from tests.simulation.auditor import Auditor, Violation
from tests.simulation.processes import Gateway, World
from write_side.contract.words.position import parse_positions


class Told:
    """What one client has been told so far, over all its connections. versions: the newest of each account."""

    def __init__(self, world: World, accounts: Sequence[str]) -> None:
        self.world = world
        self.accounts = accounts
        self.versions: dict[str, int] = {}
        self._name_of: dict[int, str] = {}
        self._sent: dict[str, int] = {}
        self._waiting: list[str] = []

    def begin(self) -> None:
        """A new connection. What was told before is remembered, to go on from there."""
        self._name_of, self._sent, self._waiting = {}, {}, list(self.accounts)

    def wish(self) -> str | None:
        """A message that asks for some more of the accounts, from the versions that are known; None when all are asked for."""
        if not self._waiting:
            return None
        count = self.world.chaos.random.randint(1, len(self._waiting))
        names, self._waiting = self._waiting[:count], self._waiting[count:]
        wanted = [
            {"account": each} | ({"since": self.versions[each]} if each in self.versions else {}) for each in names
        ]
        return json.dumps({"op": "subscribe", "id": 1, "accounts": wanted})

    def take(self, frame: Any) -> bool:
        """One message of the gateway. Audited. False: it refused something, so that this connection is of no use."""
        if frame["op"] == "error":
            self.world.trace(f"stream refused {frame.get('code')}")
            return False
        if frame["op"] == "heartbeat":
            self._hear_heartbeat(frame["positions"])
        if frame["op"] == "ack":
            self._name_of |= {each["sub"]: each["account"] for each in frame["accounts"]}
        if frame["op"] != "balances":
            return True
        for each in frame["items"]:
            if each["sub"] not in self._name_of:
                raise Violation(f"an item has a number that its client was never told: {each['sub']}")
            name = self._name_of[each["sub"]]
            auditor = self.world.auditor_of(name)
            self.world.trace(f"pushed {name} {each['v']}")
            auditor.require(self._rises(each, self.versions.get(name, -1)), "a pushed version does not rise")
            auditor.pushed(name, each)
            self.versions[name] = self._sent[name] = each["v"]
        for auditor in self.world.auditors:
            auditor.require(self._is_cut(auditor), "what a client has been sent is at no one position")
        return True

    def _rises(self, each: Any, before: int) -> bool:
        return bool(each["v"] > before)

    def _hear_heartbeat(self, positions: str) -> None:
        """Nothing newer up to there: that must be so of every account that is watched on this connection."""
        told_up_to = parse_positions(positions) if positions else {}
        for name in self._watched():
            auditor = self.world.auditor_of(name)
            upto = told_up_to.get(auditor.partition, -1)
            row = auditor.rows[upto].get(name) if upto >= 0 else None
            auditor.require(
                row is None or row.version <= self.versions.get(name, -1), "a heartbeat says that nothing is newer"
            )

    def _watched(self) -> Iterable[str]:
        """The accounts that were acknowledged on this connection."""
        return self._name_of.values()

    def _is_cut(self, auditor: Auditor) -> bool:
        """Whether what this connection was sent of a partition is its state at one position. What it was not, it knows from
        `since`."""
        known = [each for each in self._sent.items() if self.world.auditor_of(each[0]) is auditor]
        return not known or any(
            all(name in rows and rows[name].version == version for name, version in known)
            for rows in reversed(auditor.rows)
        )


class ToldOfPrefixes(Told):
    """One that never says which accounts there are: it watches all, by how their names begin."""

    def begin(self) -> None:
        super().begin()
        prefixes = sorted({name[0] for name in self.accounts})
        self._asks: list[dict[str, Any]] = [{"prefix": each} for each in prefixes]
        if self.versions:  # of what it knows it says what it has, before the prefix that has it, too
            known = [{"account": name, "since": version} for name, version in self.versions.items()]
            self._asks.insert(0, {"accounts": known})

        self._acknowledged: set[str] = set()

    def wish(self) -> str | None:
        return json.dumps({"op": "subscribe", "id": 1, **self._asks.pop(0)}) if self._asks else None

    def take(self, frame: Any) -> bool:
        if frame["op"] == "ack" and "prefix" in frame:
            self._acknowledged.add(frame["prefix"])
        return super().take(frame)

    def _watched(self) -> Iterable[str]:
        """Every account with a prefix that was acknowledged, whether it was named or not."""
        return {name for name in self.accounts if name.startswith(tuple(self._acknowledged))}

    def _rises(self, each: Any, before: int) -> bool:
        """A prefix of which some accounts are watched already tells their state again."""
        return super()._rises(each, before) or (each["v"] == before and "snapshot" in each)


class Watcher:
    """One that takes everything at once, without a connection between: the hub flushes straight into it."""

    def __init__(self, world: World, accounts: Sequence[str], told: type[Told] = Told) -> None:
        self.world = world
        self.told = told(world, accounts)
        self.session = Session(100)
        self._gateway: Gateway | None = None

    def connect(self, gateway: Gateway) -> None:
        self.session = Session(100)
        self._gateway = gateway
        self.told.begin()
        gateway.hub.lifetimes.begin(self, Limits(100, 100, 100), signs_in=False)
        gateway.hub.join(self)

    def subscribe(self) -> None:
        """Ask for some more of the accounts."""
        if self._gateway is None or (text := self.told.wish()) is None:
            return
        wish = self.session.receive(text)
        assert isinstance(wish, Watch | WatchPrefix)
        self._gateway.life.start(self._watch(self._gateway.hub, wish))

    async def _watch(self, hub: Hub, wish: Watch | WatchPrefix) -> None:
        """As part of the gateway's process, so that what the hub starts for it ends with it."""
        if isinstance(wish, WatchPrefix):
            hub.watch_prefix(self.session, wish)
        else:
            hub.watch(self.session, wish)

    @property
    def lost(self) -> bool:
        return self._gateway is None or not self._gateway.life.alive

    def leave(self) -> None:
        if self._gateway is not None:
            self._gateway.hub.lifetimes.end(self)
            self._gateway.hub.leave(self)
            self._gateway = None

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        """Called where it is as old as it may be."""
        self.world.trace(f"watcher sent away {code}")
        self.leave()

    def give_up(self) -> None:
        raise AssertionError("nothing fails here")

    def flush(self) -> None:
        """Called by the hub, as a connection that can be written to."""
        frames, _ = self.session.outbox.take()
        for frame in map(json.loads, frames):
            self.world.checked(partial(self._take, frame))

    def _take(self, frame: Any) -> None:
        if not self.told.take(frame):
            self.leave()
