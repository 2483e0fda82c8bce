"""How much of a common room each has at once, so that none keeps all others out: pure."""

from __future__ import annotations


class SharedRoom:
    """A room that several fill. One may have up to `share_percent` of what he has and what is free: with 50 one alone gets half
    of the room, two a third each, and whoever comes finds some. 100: whoever comes first may have all.

    Source: Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches" (1998).
    """

    def __init__(self, most: int, share_percent: int = 100) -> None:
        self.most = most
        self.used = 0
        self._share_percent = share_percent
        self._by_key: dict[str, int] = {}

    def has_room(self, key: str | None, size: int) -> bool:
        """What comes first has it, of all or of one, as far as it is free. key: None for who has no share, but all of it."""
        if self.used and self.used + size > self.most:
            return False
        has = 0 if key is None else self._by_key.get(key, 0)
        return not has or (has + size) * 100 <= self._share_percent * (has + self.most - self.used)

    def take(self, key: str | None, size: int) -> bool:
        """Whether there is room; then it is taken."""
        if not self.has_room(key, size):
            return False
        self.used += size
        if key is not None:
            self._by_key[key] = self._by_key.get(key, 0) + size
        return True

    def give_back(self, key: str | None, size: int) -> None:
        self.used -= size
        if key is None:
            return
        left = self._by_key.get(key, 0) - size
        if left > 0:
            self._by_key[key] = left
        else:
            self._by_key.pop(key, None)
