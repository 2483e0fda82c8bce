"""How much somebody may ask in a time: the generic cell rate algorithm. Pure; the time is an argument.

A quota is given back evenly over its window, and all of it may be used at once. Of each who asks one number is kept: when all
of it will be there again.

Source: ITU-T I.371, annex A (the virtual scheduling algorithm of GCRA), with the quota for its tolerance.
"""

from __future__ import annotations

from typing import Final, NamedTuple

SECOND_NS: Final = 1_000_000_000

KEYS_MAX: Final = 65_536
"""Who is remembered at once, twice at most: some 15 MB."""


class Quota(NamedTuple):
    """units within window_s, and so many at once. units: up to 10^7 (`gateway/settings.py`)."""

    units: int
    window_s: int

    @property
    def unit_ns(self) -> int:
        """How long it takes until one more is there."""
        return max(1, self.window_s * SECOND_NS // self.units)


class Taken(NamedTuple):
    """left: units; next_ns: until one more is there, 0 when all are; wait_ns: until what was refused would be granted, 0 when
    it was granted."""

    left: int
    next_ns: int
    wait_ns: int = 0


class Meter:
    """Of one who cannot be refused any more when it is known what he asked: how long nothing more may be heard of him."""

    __slots__ = ("_full_ns", "_most_ns", "_unit_ns")

    def __init__(self, quota: Quota) -> None:
        self._unit_ns = quota.unit_ns
        self._most_ns = quota.unit_ns * quota.units
        self._full_ns = 0

    def charge(self, units: int, now_ns: int) -> int:
        """Nanoseconds until no more is owed than the quota: 0 while it holds."""
        self._full_ns = max(self._full_ns, now_ns) + units * self._unit_ns
        return max(0, self._full_ns - now_ns - self._most_ns)


class Rates:
    """The quotas of all who ask, each by a key.

    Bounded, without a look through all: who has asked nothing for a window has all of his quota, so that he may be forgotten.
    Keys are kept in two generations, and after a window the older one goes. With more than `keys_max` within one window it goes
    sooner, and who was in it begins anew: memory counts more than a quota.
    """

    def __init__(self, quota: Quota, keys_max: int = KEYS_MAX) -> None:
        self.quota = quota
        self._unit_ns = quota.unit_ns
        self._most_ns = quota.unit_ns * quota.units
        self._keys_max = keys_max
        self._newer: dict[str, int] = {}
        self._older: dict[str, int] = {}
        self._turned_ns = 0

    def __len__(self) -> int:
        """How many are remembered, some of them twice."""
        return len(self._newer) + len(self._older)

    def take(self, key: str, units: int, now_ns: int) -> Taken:
        """Take them, or none. Of more than the whole quota the quota is taken: it is the most that can be there."""
        unit_ns, most_ns = self._unit_ns, self._most_ns
        full_ns = self._full_at(key, now_ns)
        after_ns = full_ns + min(units, self.quota.units) * unit_ns
        over_ns = after_ns - now_ns - most_ns
        if over_ns > 0:
            return self._told(full_ns - now_ns, over_ns)
        self._newer[key] = after_ns
        return self._told(after_ns - now_ns, 0)

    def left(self, key: str, now_ns: int) -> int:
        """Units, without taking any."""
        return (self._most_ns - self._full_at(key, now_ns) + now_ns) // self._unit_ns

    def owe(self, key: str, units: int, now_ns: int) -> None:
        """Of what is refused all the same: the quota may be used up by it, and no more than that."""
        full_ns = self._full_at(key, now_ns) + units * self._unit_ns
        self._newer[key] = min(full_ns, now_ns + self._most_ns)

    def _told(self, used_ns: int, wait_ns: int) -> Taken:
        unit_ns = self._unit_ns
        return Taken((self._most_ns - used_ns) // unit_ns, (used_ns - 1) % unit_ns + 1 if used_ns > 0 else 0, wait_ns)

    def _full_at(self, key: str, now_ns: int) -> int:
        """When all of the quota is there, if nothing more is taken; not before now."""
        if now_ns - self._turned_ns > self._most_ns or len(self._newer) >= self._keys_max:
            self._older, self._newer, self._turned_ns = self._newer, {}, now_ns
        full_ns = self._newer.get(key)
        if full_ns is None:
            full_ns = self._older.get(key, now_ns)
        return full_ns if full_ns > now_ns else now_ns
