"""The model's holds: what is left of each, leg by leg."""

from __future__ import annotations

from tests.unit.write_side.ledger.model.accounts import Accounts, Delta, row_name
from tests.unit.write_side.ledger.model.values import Refused
from write_side.ledger.commands.commands import Capture, Hold, Leg


class HeldMoney:
    """An open hold. left: by (account, asset), signed as its legs."""

    def __init__(self, hold: Hold) -> None:
        self.deadline_us = hold.deadline_us
        self.left = {(leg.account, leg.asset): leg.amount for leg in hold.legs}
        self.busy = False

    def take(self, legs: tuple[Leg, ...]) -> None:
        for leg in legs:
            self.left[leg.account, leg.asset] -= leg.amount

    def give_back(self, legs: tuple[Leg, ...]) -> None:
        for leg in legs:
            self.left[leg.account, leg.asset] += leg.amount


class Holds:
    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.open: dict[bytes, HeldMoney] = {}

    def authorise(self, hold: Hold, at_us: int) -> None:
        """Raises Refused."""
        accounts = self._accounts
        if any(leg.amount < 0 and not accounts.lives_here(leg.account) for leg in hold.legs):
            raise Refused("hold_spans_partitions")
        if hold.deadline_us != 0 and hold.deadline_us <= at_us:
            raise Refused("deadline_passed")
        here = tuple(leg for leg in hold.legs if accounts.lives_here(leg.account))
        accounts.check(here)
        holding = [Delta(row_name(leg), 0, -leg.amount) for leg in here if leg.amount < 0]
        if not accounts.fits([Delta(row_name(leg), leg.amount, 0) for leg in here]) or not accounts.fits(holding):
            raise Refused("balance_limit_exceeded")
        accounts.add(holding)
        self.open[hold.id] = HeldMoney(hold)

    def usable(self, id: bytes, at_us: int) -> HeldMoney:
        """Raises Refused. A hold past its deadline is over, whether that has been written down yet or not."""
        hold = self.open.get(id)
        if hold is None:
            raise Refused("hold_unknown")
        if hold.busy:
            raise Refused("hold_busy")
        if 0 < hold.deadline_us <= at_us:
            raise Refused("hold_unknown")
        return hold

    def wanted(self, capture: Capture, at_us: int) -> tuple[Leg, ...]:
        """The legs that a capture moves, in the order of the hold's. Raises Refused."""
        left = self.usable(capture.hold, at_us).left
        if capture.amount > 0:
            if len(left) > 2:
                raise Refused("capture_exceeds_hold")
            asked = {key: capture.amount if amount > 0 else -capture.amount for key, amount in left.items()}
        elif capture.legs:
            asked = {(leg.account, leg.asset): leg.amount for leg in capture.legs}
        else:
            asked = {key: amount for key, amount in left.items() if amount != 0}
        for key, amount in asked.items():
            there = left.get(key, 0)
            if amount * there <= 0 or abs(amount) > abs(there):
                raise Refused("capture_exceeds_hold")
        return tuple(Leg(account, asked[account, asset], asset) for account, asset in left if (account, asset) in asked)

    def move(self, legs: tuple[Leg, ...]) -> None:
        """What a capture inside the partition does to the accounts. Raises Refused."""
        self._accounts.check(legs, authorised=True)
        deltas = [Delta(row_name(leg), leg.amount, min(0, leg.amount)) for leg in legs]
        if not self._accounts.fits(deltas):
            raise Refused("balance_limit_exceeded")
        self._accounts.add(deltas)

    def settle(self, id: bytes, final: bool) -> None:
        """After a capture: the hold ends when nothing is left of it, or nothing is to be."""
        if final or not any(self.open[id].left.values()):
            self.let_go(id)

    def let_go(self, id: bytes) -> None:
        hold = self.open.pop(id)
        left = [Leg(account, amount, asset) for (account, asset), amount in hold.left.items()]
        self._accounts.add([Delta(row_name(leg), 0, leg.amount) for leg in left if leg.amount < 0])

    def due(self, at_us: int) -> list[tuple[int, bytes]]:
        """(deadline, id) of those that time ends."""
        return [
            (hold.deadline_us, id) for id, hold in self.open.items() if not hold.busy and 0 < hold.deadline_us <= at_us
        ]
