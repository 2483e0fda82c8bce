"""Whose accounts are, for grants over an owner's accounts: found out before anything is judged, from who knows (the read side).

The owner of an account is said when it is opened and never changes, so what is known is kept a while; but only what gives a
right is taken from there. Of everything else is asked anew each time, in one question with a name that nobody has: so what may
not be read takes as long as what is not there, of which nobody says so before everything in the log was looked at. An account
that is opened later counts from then on, and what is not known gives no right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from gateway.identity.grants import Principal
from gateway.identity.hidden import Chance, absent_account
from write_side.contract.words.atoms import partition_of

KEPT_MAX: Final = 50_000
"""Accounts whose owners are kept, some 10 MB; beyond it all are asked anew."""
KEPT_S: Final = 60.0
"""An owner never changes; but where a log is lost and begun again, the same name may be somebody else's."""
NAMES_MAX: Final = 400
"""Of one question: an address of 26 KB at most."""
LOOKED_UP_WITHIN_S: Final = 5.0
"""Of the names of one message or request, where nothing else bounds it."""


class NotLookedUp(Exception):
    """Who has a part in something could not be said: nobody is let through on a guess."""


Ask = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""The owners of these accounts, of those that are there and have one. Raises NotLookedUp."""


class Owners:
    """partitions: how many the log has, 0 while that is not known; clock: seconds that only rise."""

    def __init__(self, ask: Ask, partitions: Callable[[], int], chance: Chance, clock: Callable[[], float]) -> None:
        self._ask = ask
        self._partitions = partitions
        self._chance = chance
        self._clock = clock
        self._kept: dict[str, str] = {}
        self._kept_since_s = clock()

    async def knowing(self, principal: Principal, names: Iterable[str]) -> Principal:
        """The same one, of whom it is known which of these accounts are an owner's that they have rights over. What was known
        before stays. Raises NotLookedUp."""
        if not principal.owners:
            return principal
        wanted = [name for name in dict.fromkeys(names) if name[:1] != "@" and name not in principal.owned]
        if not wanted:
            return principal  # itself: the lines of a batch share what is known of all of them
        self._forget()
        found: dict[str, str | None] = {
            name: self._kept[name] for name in wanted if self._kept.get(name) in principal.owners
        }
        asked = [name for name in wanted if name not in found]
        for at in range(0, len(asked), NAMES_MAX):
            found |= await self._asked(asked[at : at + NAMES_MAX])
        return principal.knowing(found)

    async def knowing_soon(self, principal: Principal, names: Iterable[str]) -> Principal:
        """The same within a time. Raises NotLookedUp."""
        try:
            async with asyncio.timeout(LOOKED_UP_WITHIN_S):
                return await self.knowing(principal, names)
        except TimeoutError:
            raise NotLookedUp from None

    async def _asked(self, names: Sequence[str]) -> dict[str, str | None]:
        count = self._partitions() or 1
        beside = {partition_of(name, count): name for name in names}
        absent = [absent_account(name, count, self._chance) for name in beside.values()]
        owners = await self._ask([*names, *absent])
        if len(self._kept) + len(owners) > KEPT_MAX:
            self._kept.clear()
        self._kept |= owners
        return {name: owners.get(name) for name in names}

    def _forget(self) -> None:
        now_s = self._clock()
        if now_s - self._kept_since_s >= KEPT_S:
            self._kept.clear()
            self._kept_since_s = now_s
