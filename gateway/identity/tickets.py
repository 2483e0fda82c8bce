"""Tickets: a word that is used once, soon, in the place of a token or key, by who can send no header (a page's EventSource).

An address is written into logs and histories, so no token may stand in one. A ticket is worth nothing there: it counts once, for
half a minute. What is kept of it is the token, sealed with a key that only the ticket has: who reads what is kept reads no
token, and who writes there lets nobody in. Whoever comes with a ticket is asked by that token as ever, so that nothing of
identity is there twice, and whatever has become of it meanwhile (revoked, expired, other grants) counts.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fanfold.api import grammar
from fanfold.doors.shared_room import SharedRoom
from gateway.identity.grants import Principal
from gateway.identity.identity import Identity
from gateway.identity.tokens import TokenRefused
from read_side.contract.kept_once import KeptOnce

OUT_MAX: Final = 4_096
"""Tickets of one gateway that may count at once: 32 MiB with tokens of the largest size that is usual. A principal has half of
what is free."""
_BYTES: Final = 32
_SHARE_PERCENT: Final = 50
_TICKET: Final = re.compile(rf"{grammar.TICKET}\Z", re.ASCII)
_NONCE: Final = bytes(12)
"""A key seals one text only, so nothing has to be different each time."""
_COUNTS_NOT: Final = "is no ticket that counts: each is used once, and soon after it was given"


class Ticket(NamedTuple):
    """text: for its owner only. counts_ms: for so long."""

    text: str
    counts_ms: int


class Tickets:
    """Of one gateway; those of all that have the same `kept` count at each. clock: seconds that only rise; chance: so many
    bytes of it, that nobody guesses."""

    def __init__(
        self,
        identity: Identity,
        kept: KeptOnce,
        counts_ms: int,
        clock: Callable[[], float],
        chance: Callable[[int], bytes],
    ) -> None:
        self._identity = identity
        self._kept = kept
        self._counts_ms = counts_ms
        self._clock = clock
        self._chance = chance
        self._room = SharedRoom(OUT_MAX, _SHARE_PERCENT)
        self._out: deque[tuple[float, str]] = deque()

    async def give(self, principal: Principal, credential: str) -> Ticket | None:
        """One for who was let in by this token or key; None while there is no room. Raises NotKept."""
        left_s = self._identity.expires_in_s(principal)
        counts_ms = self._counts_ms if left_s is None else max(1, min(self._counts_ms, int(left_s * 1000)))
        if not self._takes_room(principal.name):
            return None
        chance = self._chance(_BYTES)
        name, key = _halves(chance)
        await self._kept.keep(name, AESGCM(key).encrypt(_NONCE, credential.encode("latin-1"), None), counts_ms)
        return Ticket(grammar.TICKET_PREFIX + base64.urlsafe_b64encode(chance).rstrip(b"=").decode(), counts_ms)

    async def who(self, ticket: str) -> Principal:
        """Who has it, and has it no more. Raises TokenRefused, NotKept."""
        if _TICKET.match(ticket) is None:
            raise TokenRefused(_COUNTS_NOT)
        name, key = _halves(base64.urlsafe_b64decode(ticket.removeprefix(grammar.TICKET_PREFIX) + "="))
        sealed = await self._kept.take(name)
        if sealed is None:
            raise TokenRefused(_COUNTS_NOT)
        try:
            credential = AESGCM(key).decrypt(_NONCE, sealed, None).decode("latin-1")
        except InvalidTag:
            raise TokenRefused(_COUNTS_NOT) from None
        return await self._identity.who(credential)

    def _takes_room(self, principal: str) -> bool:
        """Used or not, each keeps its place until it would not count any more: where it is used is not known here."""
        now_s = self._clock()
        while self._out and self._out[0][0] <= now_s:
            self._room.give_back(self._out.popleft()[1], 1)
        if not self._room.take(principal, 1):
            return False
        self._out.append((now_s + self._counts_ms / 1000, principal))
        return True


def _halves(chance: bytes) -> tuple[str, bytes]:
    """The name that it is kept under, and the key that it is sealed with: neither tells the other, or the ticket."""
    name = hashlib.blake2b(chance, digest_size=32, person=b"ticket name").hexdigest()
    return name, hashlib.blake2b(chance, digest_size=32, person=b"ticket key").digest()
