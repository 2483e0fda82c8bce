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
NAMES_MAX: Final = 900
NAME_BYTES_MAX: Final = 26_000
"""Of one question: what one may ask about, and what an address may have, both with the names that nobody has beside."""
QUESTIONS_AT_ONCE: Final = 4
"""Of one request: each takes a place of all that may be under way to the read side."""
LOOKED_UP_MAX: Final = KEPT_MAX
"""Names of one request: 125 questions at most. More would be asked for by one batch of 8 MiB, and none of it kept."""
SHOWN_WITHIN_S: Final = 1.0
"""So long is waited for what only an answer's accounts depend on: a command that may be done is not held up by who is away."""
LOOKED_UP_WITHIN_S: Final = 5.0
"""Of the names of one message or request, where nothing else bounds it."""


class NotLookedUp(Exception):
    """Who has a part in something could not be said: nobody is let through on a guess."""


class TooManyNames(Exception):
    """One request names more accounts than are looked up for one. The message says what to do."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"it depends on whose {count} accounts are, and of one request {LOOKED_UP_MAX} are looked up; "
            "send it in smaller parts"
        )


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

    async def knowing(self, principal: Principal, names: Iterable[str], wished: Iterable[str] = ()) -> Principal:
        """The same one, of whom it is known which of these accounts are an owner's that they have rights over. What was known
        before stays.

        names: what has to be known. wished: what only more is shown by; where that cannot be said, nobody's. Raises NotLookedUp,
        TooManyNames."""
        if not principal.owners:
            return principal
        self._forget()
        found: dict[str, str | None] = {}
        needed, more = self._unknown(principal, names, found), self._unknown(principal, wished, found)
        if not (needed or more or found):
            return principal  # itself: the lines of a batch share what is known of all of them
        if len(needed) > LOOKED_UP_MAX:
            raise TooManyNames(len(needed))
        asked = dict.fromkeys(needed) | dict.fromkeys(more[: LOOKED_UP_MAX - len(needed)])
        found |= dict.fromkeys(more)
        try:
            async with asyncio.timeout(None if needed else SHOWN_WITHIN_S):
                found |= await self._all_asked([*asked])
        except (NotLookedUp, TimeoutError):
            if needed:
                raise NotLookedUp from None
        return principal.knowing(found)

    def _unknown(self, principal: Principal, names: Iterable[str], found: dict[str, str | None]) -> list[str]:
        """Those that have to be asked about; found: what is known of others."""
        wanted = [name for name in dict.fromkeys(names) if name[:1] != "@" and name not in principal.owned]
        known = {name: self._kept[name] for name in wanted if self._kept.get(name) in principal.owners}
        found |= known
        return [name for name in wanted if name not in known]

    async def _all_asked(self, names: Sequence[str]) -> dict[str, str | None]:
        questions = _questions(names)
        if len(questions) == 1:
            return await self._asked(questions[0])
        found: dict[str, str | None] = {}
        for at in range(0, len(questions), QUESTIONS_AT_ONCE):
            for answer in await asyncio.gather(*map(self._asked, questions[at : at + QUESTIONS_AT_ONCE])):
                found |= answer
        return found

    async def knowing_soon(self, principal: Principal, names: Iterable[str]) -> Principal:
        """The same within a time. Raises NotLookedUp, TooManyNames."""
        try:
            async with asyncio.timeout(LOOKED_UP_WITHIN_S):
                return await self.knowing(principal, names)
        except TimeoutError:
            raise NotLookedUp from None

    def nobodys(self) -> str:
        """A name that nobody has: asked about in the place of the accounts of an id that nothing has, so that it takes as long as
        one that has others'."""
        return absent_account(f"{self._chance(64):x}", self._partitions() or 1, self._chance)

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


def _questions(names: Sequence[str]) -> list[list[str]]:
    questions, size = list[list[str]](), NAME_BYTES_MAX
    for name in names:
        size += len(name) + 1
        if size > NAME_BYTES_MAX or len(questions[-1]) == NAMES_MAX:
            questions.append([])
            size = len(name) + 1
        questions[-1].append(name)
    return questions
