"""Random streams of everything a client may ask: few accounts, few ids, small amounts, so that commands meet each other.

`chance` decides: `random.Random(seed)`, or hypothesis's `st.randoms()`, which makes a failing stream small.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.unit.write_side.deciding import NOON_US, id_at, timeless_id
from tests.unit.write_side.ledger.wallet_model import Chain
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import (
    ANY_AVAILABLE,
    ANY_VERSION,
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Rich,
    Transfer,
    Void,
)

DOLLARS, EUROS = "USD/2", "EUR/2"
ACCOUNTS = {"ann": DOLLARS, "bob": DOLLARS, "cat": DOLLARS, "dan": DOLLARS, "eve": EUROS, "fay": EUROS, "gus": EUROS}
FLOORS = {"bob": -10, "cat": NO_FLOOR, "fay": NO_FLOOR}
FLAG_CHANGES = (
    (Flag.DEBIT_FROZEN, Flag(0)),
    (Flag.CREDIT_FROZEN, Flag(0)),
    (Flag.CLOSED, Flag(0)),
    *((Flag(0), Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN | Flag.CLOSED),) * 8,
    (Flag(0), Flag.DEBIT_FROZEN),
    (Flag(0), Flag.CREDIT_FROZEN | Flag.CLOSED),
    (Flag.CREDIT_FROZEN, Flag.CLOSED),
)
HOUR_US = 3_600_000_000


class RichSegment(NamedTuple):
    """What meets the same time, however it is cut into blocks (each a microsecond after the one before)."""

    at_us: int
    items: list[Command | Chain]


def rich_stream(chance: random.Random, *, segments: int, items: int, timeless: bool = True) -> list[RichSegment]:
    """The first segment opens the accounts and brings money in. `timeless`: some ids have no time in them."""
    return RichStream(chance, timeless).segments(segments, items)


def cut_rich(stream: list[RichSegment], chance: random.Random) -> list[RichSegment]:
    """The same, every segment in blocks of random sizes. A chain is never cut."""
    blocks = []
    for segment in stream:
        at, block_at_us = 0, segment.at_us
        while at < len(segment.items):
            end = min(len(segment.items), at + chance.choice((1, 1, 2, 3, 10)))
            blocks.append(RichSegment(block_at_us, segment.items[at:end]))
            at, block_at_us = end, block_at_us + 1
    return blocks


class RichStream:
    """Makes commands one after the other, most of them about what was asked before."""

    def __init__(self, chance: random.Random, timeless: bool = True) -> None:
        self.chance = chance
        self.timeless = timeless
        self.at_us = NOON_US
        self.sent: list[Transfer | Rich] = []
        self._ids = 0

    def segments(self, segments: int, items: int) -> list[RichSegment]:
        opening: list[Command | Chain] = [
            OpenAccount(name, asset, FLOORS.get(name, 0), "") for name, asset in ACCOUNTS.items()
        ]
        opening += [Transfer(self.id(), "@world", name, 60, asset) for name, asset in ACCOUNTS.items() if name != "gus"]
        stream = [RichSegment(self.at_us, opening)]
        for _ in range(segments):
            # Whole milliseconds, at the half one: no deadline lies between the blocks of a segment.
            self.at_us += self.chance.choice((7_000, 7_000, 1_000_000, HOUR_US))
            stream.append(RichSegment(self.at_us, [self.item() for _ in range(items)]))
        return stream

    def item(self) -> Command | Chain:
        dice = self.chance.random()
        if dice < 0.06:
            return self._chain()
        return self.command()

    def command(self, *, reverses: bool = True) -> Command:
        command = self._command(reverses)
        if not isinstance(command, OpenAccount):
            self.sent = [*self.sent[-40:], command]
        return command

    def _command(self, reverses: bool) -> Command:
        chance, dice = self.chance, self.chance.random()
        if dice < 0.02:
            name = chance.choice((*ACCOUNTS, "nobody-yet"))
            return OpenAccount(name, ACCOUNTS.get(name, DOLLARS), FLOORS.get(name, 0), chance.choice(("", "", "ann")))
        if dice < 0.10 and self.sent:
            return self._again(reverses)
        if dice < 0.28:
            return self._plain()
        if dice < 0.42:
            return LegsTransfer(self.id(), self.legs(), self.protocol(), self._note())
        if dice < 0.58:
            return Hold(self.id(), self.legs(), self._deadline_us(), self._note())
        if dice < 0.78:
            return self._capture()
        if dice < 0.83:
            return Void(self.id(), self._one_of(Hold))
        if dice < 0.92 and reverses:
            return Reverse(self.id(), self._one_of(Transfer, LegsTransfer, Capture), (), self.protocol(), self._note())
        to_set, to_clear = chance.choice(FLAG_CHANGES)
        return Change(self.id(), chance.choice((*ACCOUNTS, *ACCOUNTS, "gus", "nobody")), to_set, to_clear)

    def protocol(self) -> Protocol:
        return Protocol.SAGA

    def id(self) -> bytes:
        self._ids += 1
        if self.timeless and self.chance.random() < 0.1:
            return timeless_id(self._ids)
        return id_at(self.at_us - self.chance.choice((*[0] * 50, HOUR_US, 200 * HOUR_US, -400_000_000)), self._ids)

    def legs(self) -> tuple[Leg, ...]:
        """Balanced in each asset, sorted."""
        chance = self.chance
        found: list[Leg] = []
        for asset in chance.choice(((DOLLARS,), (DOLLARS,), (DOLLARS,), (DOLLARS, EUROS))):
            names = [name for name, its in ACCOUNTS.items() if its == asset or chance.random() < 0.03]
            names += ["@world"] * (chance.random() < 0.5) + ["nobody"] * (chance.random() < 0.03)
            taken = {leg.account for leg in found} - {"@world"}
            names = [name for name in names if name not in taken] + ["@world"] * ("@world" not in names)
            chosen = chance.sample(names, min(len(names), chance.choice((2, 2, 2, 3, 4))))
            amounts = [chance.choice((-1, 1)) * self._amount() for _ in chosen[1:]]
            if sum(amounts) == 0 or abs(sum(amounts)) > LIMIT:
                amounts = [-1 for _ in amounts]
            amounts.append(-sum(amounts))
            found += [self._leg(name, amount, asset) for name, amount in zip(chosen, amounts, strict=True)]
        return tuple(sorted(found, key=lambda leg: (leg.account, leg.asset)))

    def _leg(self, name: str, amount: int, asset: str) -> Leg:
        chance = self.chance
        version = chance.randint(0, 12) if chance.random() < 0.06 else ANY_VERSION
        available = chance.randint(-5, 25) if chance.random() < 0.08 else ANY_AVAILABLE
        return Leg(name, amount, asset, version, available)

    def _amount(self) -> int:
        return self.chance.choice((1, 2, 3, 5, 8, 13, 21)) if self.chance.random() < 0.98 else LIMIT - 3

    def _note(self) -> Note:
        return self.chance.choice((Note(), Note(), Note(), Note("order 7", '{"a":"b"}')))

    def _plain(self) -> Transfer:
        asset = self.chance.choice((DOLLARS, DOLLARS, EUROS))
        names = [*(name for name, its in ACCOUNTS.items() if its == asset), "@world"]
        debit, credit = self.chance.sample(names, 2)
        return Transfer(self.id(), debit, credit, self._amount(), asset)

    def _deadline_us(self) -> int:
        now_us = self.at_us // 1000 * 1000
        return self.chance.choice(
            (*[0] * 4, now_us, now_us + 3_000, now_us + 7_000, now_us + 1_000_000, now_us + HOUR_US)
        )

    def _one_of(self, *kinds: type[Transfer | Rich]) -> bytes:
        """An id of what was asked before, mostly of one of these kinds."""
        fitting = [command.id for command in self.sent if isinstance(command, kinds)]
        if fitting and self.chance.random() < 0.9:
            return self.chance.choice(fitting[-4:])
        if self.sent and self.chance.random() < 0.6:
            return self.chance.choice(self.sent).id
        return timeless_id(999_999)

    def _capture(self) -> Capture:
        chance, hold = self.chance, self._one_of(Hold)
        of = next((command.legs for command in self.sent if isinstance(command, Hold) and command.id == hold), ())
        amount, legs = 0, tuple[Leg, ...]()
        dice = chance.random()
        if dice < 0.4:
            amount = chance.randint(1, 4)
        elif dice < 0.85 and of:
            legs = self._part_of(of)
        final = chance.random() < 0.2
        return Capture(self.id(), hold, amount, legs, final, self.protocol(), self._note())

    def _part_of(self, of: tuple[Leg, ...]) -> tuple[Leg, ...]:
        """A giver and a receiver of each asset, or something near; without conditions, balanced."""
        chance = self.chance
        part = []
        for asset in sorted({leg.asset for leg in of}):
            givers = [leg.account for leg in of if leg.asset == asset and leg.amount < 0]
            receivers = [leg.account for leg in of if leg.asset == asset and leg.amount > 0]
            if not givers or not receivers:
                continue  # of a hold that did not balance
            giver, receiver = chance.choice(givers), chance.choice(receivers)
            if chance.random() < 0.06:
                giver, receiver = receiver, giver
            if chance.random() < 0.06 and "nobody" not in (giver, receiver):
                receiver = "nobody"
            amount = chance.randint(1, 4)
            part += [Leg(giver, -amount, asset), Leg(receiver, amount, asset)]
        return tuple(sorted(part, key=lambda leg: (leg.account, leg.asset)))

    def _again(self, reverses: bool) -> Command:
        """The same command, or another one under its id."""
        chance = self.chance
        old = chance.choice(
            [each for each in self.sent if reverses or not isinstance(each, Reverse)] or [self._plain()]
        )
        if chance.random() < 0.7:
            return old
        match old:
            case Transfer():
                return old._replace(amount=old.amount % 50 + 1)
            case LegsTransfer() | Hold():
                first = old.legs[0]
                return chance.choice(
                    (
                        old._replace(note=Note("another")),
                        old._replace(legs=(first._replace(if_version=3), *old.legs[1:])),
                        LegsTransfer(old.id, old.legs) if isinstance(old, Hold) else Hold(old.id, old.legs),
                    )
                )
            case Capture():
                return chance.choice((old._replace(final=not old.final), Void(old.id, old.hold)))
            case Void():
                return Change(old.id, "ann", Flag(0), Flag.CLOSED)
            case Reverse():
                return old._replace(note=Note("another"))
            case Change():
                return old._replace(account="bob" if old.account == "ann" else "ann")

    def _chain(self) -> Chain:
        chance = self.chance
        mode = chance.choice((Mode.STOP, Mode.ATOMIC))
        length = chance.choice((1, 2, 2, 3, 5))
        if mode is Mode.STOP:
            return Chain(mode, tuple(self.command(reverses=False) for _ in range(length)))
        before = [each for each in self.sent if isinstance(each, Transfer | LegsTransfer)]
        lines: list[Command] = []
        for _ in range(length):
            if before and chance.random() < 0.12:
                lines.append(chance.choice(before))
                continue
            line = self._plain() if chance.random() < 0.6 else LegsTransfer(self.id(), self.legs())
            self.sent = [*self.sent[-30:], line]
            lines.append(line)
        return Chain(mode, tuple(lines))
