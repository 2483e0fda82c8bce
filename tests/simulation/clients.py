"""What the clients of a story ask: few accounts, so that their transfers, holds and reversals meet each other."""

from __future__ import annotations

import asyncio
import random

from tests.simulation.faults import NOON_US
from tests.unit.write_side.ledger.rich_streams import ACCOUNTS, DOLLARS, EUROS, FLOORS, RichStream
from write_side.contract.atoms import NO_FLOOR
from write_side.ledger.commands import Command, Leg, LegsTransfer, OpenAccount, Protocol, Rich, Transfer

DAY_US = 86_400_000_000
ACROSS = 0.25
"""How much of what is asked is a transfer that may well go across partitions: by chance alone they would be few."""


class Asked(RichStream):
    """Commands of now. done: ids of transfers that a client has been told are done."""

    def __init__(self, chance: random.Random, partitions: int) -> None:
        super().__init__(chance)
        self.partitions = partitions
        self.done: list[bytes] = []

    def first(self) -> Command:
        """Accounts have to be there before anything can be asked of them."""
        self.at_us = _now_us()
        name, asset = self.chance.choice(tuple(ACCOUNTS.items()))
        if self.chance.random() < 0.5:
            return Transfer(self.id(), "@world", name, self.chance.randint(20, 60), asset)
        floor = FLOORS.get(name, 0)
        other_terms = self.chance.random() < 0.05 and floor != NO_FLOOR
        return OpenAccount(name, asset, floor - other_terms, "")

    def next(self) -> Command:
        self.at_us = _now_us()
        if self.partitions > 1 and self.chance.random() < ACROSS:
            across = LegsTransfer(self.id(), self._legs_across(), self.protocol())
            self.sent = [*self.sent[-40:], across]
            return across
        return self.command()

    def _legs_across(self) -> tuple[Leg, ...]:
        """Two to four accounts, mostly of several partitions: nothing but the state of the accounts is in the way."""
        chance = self.chance
        asset = chance.choice((DOLLARS, DOLLARS, EUROS))
        names = [name for name, its in ACCOUNTS.items() if its == asset]
        chosen = chance.sample(names, min(len(names), chance.choice((2, 3, 3, 4))))
        amounts = [chance.choice((-1, 1)) * self._amount() for _ in chosen[1:]]
        if sum(amounts) == 0:
            amounts[0] += 1 if amounts[0] > 0 else -1
        legs = [Leg(name, amount, asset) for name, amount in zip(chosen, (-sum(amounts), *amounts), strict=True)]
        return tuple(sorted(legs))

    def protocol(self) -> Protocol:
        return self.chance.choice(tuple(Protocol))

    def id(self) -> bytes:
        """A UUIDv7 of now, mostly; sometimes one without a time, too old, or too far ahead."""
        tail = bytearray(self.chance.randbytes(16))
        at_us = self.at_us + self.chance.choice((*[0] * 30, -8 * DAY_US, 600_000_000))
        version = 4 if self.chance.random() < 0.1 else 7
        tail[:6] = (at_us // 1000).to_bytes(6, "big")
        tail[6] = version << 4 | tail[6] & 0x0F
        tail[8] = 0x80 | tail[8] & 0x3F
        return bytes(tail)

    def _one_of(self, *kinds: type[Transfer | Rich]) -> bytes:
        if LegsTransfer in kinds and self.done:
            return self.chance.choice(self.done[-6:])
        return super()._one_of(*kinds)

    def _amount(self) -> int:
        """Far from any limit: one in the way of a confirmation stops it until somebody moves money away."""
        return self.chance.randint(1, 12)

    def _deadline_us(self) -> int:
        return self.chance.choice((0, 0, 0, self.at_us + self.chance.randint(1_000_000, 20_000_000)))


def _now_us() -> int:
    return NOON_US + round(asyncio.get_running_loop().time() * 1e6)
