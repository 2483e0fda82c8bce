"""The judge of all designs, who knows none of them: is the money that was put in still there, all of it and no more?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Verdict(NamedTuple):
    """put_in and found: minor units, of all accounts together. overdrawn: accounts below zero."""

    put_in: int
    found: int
    overdrawn: tuple[str, ...]

    @property
    def made(self) -> int:
        """What came from nowhere; below zero: what was lost."""
        return self.found - self.put_in

    @property
    def right(self) -> bool:
        return self.made == 0 and not self.overdrawn


def judge(put_in: Mapping[str, int], balances: Mapping[str, int]) -> Verdict:
    """Transfers move money and make none, so whatever ran, the sum stays. An account that is gone counts as what it had: lost."""
    overdrawn = tuple(account for account, balance in balances.items() if balance < 0)
    return Verdict(sum(put_in.values()), sum(balances.values()), overdrawn)
