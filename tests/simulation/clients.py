"""What the clients of a story ask: few accounts, so that their transfers, holds and reversals meet each other."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.simulation.batches import Request, own_ids
from tests.simulation.door import OTHERWISE_WRITTEN, Door
from tests.simulation.limits import FLOOD
from tests.unit.write_side.ledger.model.wallet import Wallet
from tests.unit.write_side.ledger.rich_streams import ACCOUNTS, DOLLARS, EUROS, FLOORS, RichStream
from write_side.contract.words.atoms import NO_FLOOR
from write_side.ledger.commands.commands import (
    Capture,
    Command,
    Leg,
    LegsTransfer,
    Mode,
    OpenAccount,
    Protocol,
    Reverse,
    Rich,
    Transfer,
    Void,
)

DAY_US = 86_400_000_000
ACROSS = 0.35
"""How much of what is asked is a transfer that may well go across partitions: by chance alone they would be few."""
TIMELESS = 0.3
"""How many of the commands about others have an id without a time, which is remembered longer than what they are about."""
FLOODS = 0.1
"""How many of the requests are floods, where there are any."""
BATCHES = 0.2
"""How much is sent as a batch that is atomic, or stops: half and half."""


class Asked(RichStream):
    """Commands of now. done: ids of transfers that a client has been told are done.

    floods: now and then one request has more transfers of many legs than a block takes. idle: weeks may go by, and deadlines
    may lie as far ahead.
    """

    def __init__(
        self,
        chance: random.Random,
        wallet: Wallet,
        now_us: Callable[[], int],
        *,
        floods: bool = False,
        idle: bool = False,
    ) -> None:
        super().__init__(chance)
        self.door = Door(chance)
        self._now_us = now_us
        self._idle = idle
        self._floods = floods
        self._wallet = wallet
        self._used: set[bytes] = set()
        self.done: list[bytes] = []

    def request(self, opens: bool) -> Request:
        """What one client sends next."""
        count = self.chance.choice((1, 1, 1, 2, 5))
        if opens:
            return Request([self.first() for _ in range(count)])
        if self._floods and self.chance.random() < FLOODS:
            self.at_us = self._now_us()
            legs = self._legs_across if self._wallet.partitions > 1 else self.legs
            return Request([LegsTransfer(self.id(), legs(), self.protocol()) for _ in range(FLOOD)])
        dice = self.chance.random()
        if dice >= BATCHES:
            return Request([self.next() for _ in range(count)])
        self.at_us = self._now_us()
        # What is in a batch is no example for others before the batch is answered: its ids are its own until then.
        lines = self._atomic_lines() if dice < BATCHES / 2 else self._lines_that_stop()
        own = own_ids(lines, self._used)
        self._used |= set(own)
        return Request(lines, Mode.ATOMIC if dice < BATCHES / 2 else Mode.STOP, own)

    def fresh(self) -> Command:
        """Something that was never asked, under an id that nobody uses."""
        self.at_us = self._now_us()
        while True:
            command = self._command(reverses=True)
            if isinstance(command, OpenAccount) or own_ids([command], self._used):
                return command

    def answered(self, request: Request) -> None:
        """From now on others may ask for the same, or ask about it."""
        if request.mode is not Mode.CONTINUE:
            self.sent = [*self.sent[-40:], *(each for each in request.commands if not isinstance(each, OpenAccount))]

    def from_elsewhere(self, command: Transfer) -> Transfer | None:
        """The same id and amount, given by an account of another partition; None where all live in one."""
        home = self._wallet.home_of(command)
        changed = [
            command._replace(debit=name, credit="@world")
            for name, asset in ACCOUNTS.items()
            if asset == command.asset and self._wallet.home_of(command._replace(debit=name, credit="@world")) != home
        ]
        return self.chance.choice(changed) if changed else None

    def first(self) -> Command:
        """Accounts have to be there before anything can be asked of them."""
        self.at_us = self._now_us()
        name, asset = self.chance.choice(tuple(ACCOUNTS.items()))
        if self.chance.random() < 0.5:
            return Transfer(self.id(), "@world", name, self.chance.randint(20, 60), asset)
        if self.chance.random() < 0.05:
            return OpenAccount("nobody", OTHERWISE_WRITTEN, 0, "")
        floor = FLOORS.get(name, 0)
        other_terms = self.chance.random() < 0.05 and floor != NO_FLOOR
        return OpenAccount(name, asset, floor - other_terms, "")

    def next(self) -> Command:
        self.at_us = self._now_us()
        command = self.command()
        self._used |= set(own_ids([command], self._used))
        return command

    def _command(self, reverses: bool) -> Command:
        if self._wallet.partitions > 1 and self.chance.random() < ACROSS:
            return LegsTransfer(self.id(), self._legs_across(), self.protocol())
        command = super()._command(reverses)
        if isinstance(command, Capture | Void | Reverse) and self.chance.random() < TIMELESS:
            return command._replace(id=self._id(4, 0))
        return command

    def _lines_that_stop(self) -> list[Command]:
        lines = list[Command]()
        while len(lines) < self.chance.choice((2, 3, 5)):
            line = self._command(reverses=True)
            if line not in lines:
                lines.append(line)
        return lines

    def _atomic_lines(self) -> list[Command]:
        """Transfers of one home, most of which can be done; now and then one that was asked before."""
        chance = self.chance
        home = self._wallet.home_of(self._plain())
        known = [each for each in self.sent if isinstance(each, Transfer | LegsTransfer)]
        lines = list[Command]()
        for _ in range(100):  # some home in which nobody has a partner is asked for deposits and withdrawals
            line: Transfer | LegsTransfer = self._plain()
            dice = chance.random()
            if dice < 0.1:
                line = self._plain()._replace(amount=10_000)
            elif dice < 0.2:
                line = LegsTransfer(self.id(), self.legs())
            elif dice < 0.3 and known:
                line = chance.choice(known)
            if self._wallet.home_of(line) == home and line not in lines:
                lines.append(line)
            if len(lines) == 4 or (len(lines) > 1 and chance.random() < 0.2):
                break
        return lines

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

    def deposit(self) -> Transfer:
        name, asset = self.chance.choice(tuple(ACCOUNTS.items()))
        return Transfer(self.new_id(), "@world", name, 1, asset)

    def new_id(self) -> bytes:
        """An id of now that nothing is wrong with."""
        self.at_us = self._now_us()
        return self._id(7, 0)

    def id(self) -> bytes:
        """A UUIDv7 of now, mostly; sometimes one without a time, too old, or too far ahead."""
        if self.chance.random() < 0.1:
            return self.door.id_of_new_key()
        return self._id(7, self.chance.choice((*[0] * 30, -8 * DAY_US, 600_000_000)))

    def _id(self, version: int, apart_us: int) -> bytes:
        tail = bytearray(self.chance.randbytes(16))
        tail[:6] = ((self.at_us + apart_us) // 1000).to_bytes(6, "big")
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
        if self._idle and self.chance.random() < 0.5:
            return self.at_us + self.chance.randint(1, 10) * DAY_US
        return self.chance.choice((0, 0, 0, self.at_us + self.chance.randint(1_000_000, 20_000_000)))
