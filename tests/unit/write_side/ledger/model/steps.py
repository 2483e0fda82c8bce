"""The model's steps of transfers across partitions: how legs become steps, and what try, confirm and cancel do to accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.unit.write_side.ledger.model.accounts import Accounts, Delta, row_name
from tests.unit.write_side.ledger.model.values import Refused, partition_of
from write_side.ledger.commands.commands import Leg

Effect = tuple[int, int, int]
NOTHING: Effect = (0, 0, 0)
EFFECTS: dict[tuple[str, str], Effect] = {
    # Added to (posted, held, transit) per unit of amount. What is not here does nothing.
    ("saga debit", "try"): (-1, 0, 1),
    ("saga debit", "cancel"): (1, 0, -1),
    ("saga credit", "try"): (1, 1, -1),
    ("saga credit", "confirm"): (0, -1, 0),
    ("saga credit", "cancel"): (-1, -1, 1),
    ("saga last credit", "try"): (1, 0, -1),
    ("tcc debit", "try"): (0, 1, 0),
    ("tcc debit", "confirm"): (-1, -1, 1),
    ("tcc debit", "cancel"): (0, -1, 0),
    ("tcc credit", "confirm"): (1, 0, -1),
    ("saga capture", "try"): (-1, -1, 1),
    ("saga capture", "cancel"): (1, 1, -1),
    ("tcc capture", "confirm"): (-1, -1, 1),
}
MANNERS = (
    "saga debit", "saga credit", "saga last credit", "tcc debit", "tcc credit", "saga capture", "tcc capture",
)  # fmt: skip


class Step(NamedTuple):
    """What one partition gives, or receives."""

    partition: int
    manner: str
    legs: tuple[Leg, ...]


def steps_of(legs: Sequence[Leg], home: int, partitions: int, *, tcc: bool, held: bool) -> list[Step]:
    """Debits first, home's before the others', then credits in the same order.

    held: the legs are a capture's; what home gives has been held for it, `@world` of home too.
    """
    placed = [(partition_of(leg.account, partitions), leg) for leg in legs if leg.account != "@world"]
    others = list(placed)
    for world in (leg for leg in legs if leg.account == "@world"):
        if held and world.amount < 0:
            placed.append((home, world))
            continue
        for partition in dict.fromkeys(where for where, leg in others if leg.asset == world.asset):
            total = sum(leg.amount for where, leg in others if (where, leg.asset) == (partition, world.asset))
            if total != 0:
                placed.append((partition, world._replace(amount=-total)))
    order = sorted({where for where, _ in placed}, key=lambda where: (where != home, where))
    found = []
    for sign in (-1, 1):
        for partition in order:
            mine = tuple(leg for where, leg in placed if where == partition and leg.amount * sign > 0)
            if mine:
                found.append((partition, sign < 0, mine))
    return [
        Step(partition, _manner(gives, tcc, last=i == len(found) - 1, held=held and partition == home), mine)
        for i, (partition, gives, mine) in enumerate(found)
    ]


def _manner(gives: bool, tcc: bool, *, last: bool, held: bool) -> str:
    protocol = "tcc" if tcc else "saga"
    if gives:
        return f"{protocol} capture" if held else f"{protocol} debit"
    return "saga last credit" if last and not tcc else f"{protocol} credit"


def check_try(accounts: Accounts, step: Step) -> None:
    """Whether a try may be done now. Raises Refused."""
    accounts.check(step.legs, authorised=step.manner.endswith("capture"))
    effect = EFFECTS.get((step.manner, "try"), NOTHING)
    if effect == NOTHING:  # what will move at the confirmation must fit
        effect = EFFECTS[step.manner, "confirm"]
    if not accounts.fits(_deltas(step, effect)):
        raise Refused("balance_limit_exceeded")


def do(accounts: Accounts, step: Step, action: str, transfer: tuple[int, bytes]) -> bool:
    """Do an action, which has been checked if it is a try; False when a limit is in the way of another one.

    transfer: its home and id.
    """
    deltas = _deltas(step, EFFECTS.get((step.manner, action), NOTHING))
    if not accounts.fits(deltas):
        return False
    accounts.add(deltas)
    for name, posted, _ in deltas:
        if name.startswith("@transit:"):
            accounts.in_flight[transfer, name] = accounts.in_flight.get((transfer, name), 0) + posted
    return True


def _deltas(step: Step, effect: Effect) -> list[Delta]:
    posted, held, transit = effect
    deltas = [Delta(row_name(leg), posted * abs(leg.amount), held * abs(leg.amount)) for leg in step.legs]
    sums: dict[str, int] = {}
    for leg in step.legs:
        sums[leg.asset] = sums.get(leg.asset, 0) + transit * abs(leg.amount)
    deltas += [Delta(f"@transit:{asset}", total, 0) for asset, total in sums.items()]
    return [delta for delta in deltas if delta.posted or delta.held]
