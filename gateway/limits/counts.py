"""How many of something each has at once: pure."""

from __future__ import annotations


class Counts:
    """Of each key, up to `most`; 0 for any number. Who has none is forgotten."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._by_key: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def has(self, key: str) -> int:
        return self._by_key.get(key, 0)

    def take(self, key: str) -> bool:
        """Whether there is one more for him."""
        has = self._by_key.get(key, 0)
        if self.most and has >= self.most:
            return False
        self._by_key[key] = has + 1
        return True

    def give_back(self, key: str) -> None:
        left = self._by_key[key] - 1
        if left:
            self._by_key[key] = left
        else:
            del self._by_key[key]
