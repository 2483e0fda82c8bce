"""The keys of the issuer as they are now: asked for at the start, after a while, and when a token names one that is not known.

Tokens are whoever's: a flood of made-up `kid`s must not become a flood of questions to the issuer, and an issuer that is away
takes nothing from those whose keys are known. So keys are asked for at most once in `ask_again_s`, one question at a time,
and what was known stays until there is something better.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

from gateway.identity.key_set import BadKeys, KeySet, key_set_of

_log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Where the keys are. place: for a person; is_remote: whether others write them, and may be away at a start."""

    place: str
    is_remote: bool

    async def read(self) -> bytes:
        """The set as it is now. Raises OSError."""
        ...


class Keys:
    """clock: seconds that only rise."""

    def __init__(
        self,
        source: KeySource,
        allowed: Collection[str],
        clock: Callable[[], float],
        ask_again_s: float,
        max_age_s: float,
    ) -> None:
        self.current = KeySet()
        self.asked = 0
        """How often the source was asked."""
        self._source = source
        self._allowed = allowed
        self._clock = clock
        self._ask_again_s = ask_again_s
        self._max_age_s = max_age_s
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    async def open(self) -> None:
        """Raises BadKeys: but an issuer that is away is asked again when a token comes."""
        try:
            await self._read()
        except BadKeys as bad:
            raise BadKeys(
                f"the keys of {self._source.place} cannot be used: {bad}. Nothing was started, and no money is affected."
            ) from None
        except OSError as failure:
            if not self._source.is_remote:
                raise BadKeys(
                    f"the keys in {self._source.place} cannot be read ({failure.strerror}). Nothing was started, and no money is "
                    "affected."
                ) from None
            _log.warning("token_keys_not_read", place=self._source.place, reason=str(failure))

    async def _read(self) -> None:
        """Raises OSError, BadKeys."""
        self._asked_at = self._clock()
        self.asked += 1
        self.current = key_set_of(await self._source.read(), self._allowed, secrets=not self._source.is_remote)

    @property
    def are_old(self) -> bool:
        """Whether it is time to look whether they are still these."""
        return self._asked_at is None or self._clock() - self._asked_at >= self._max_age_s

    async def read_again(self) -> bool:
        """Ask once more, unless that was just done; whether it was done now. What fails is logged, and what was known stays."""
        async with self._asking:
            if self._asked_at is not None and self._clock() - self._asked_at < self._ask_again_s:
                return False
            try:
                await self._read()
            except (OSError, BadKeys) as failure:
                _log.warning("token_keys_not_read", place=self._source.place, reason=str(failure))
            return True
