"""Which prefixes are watched in one partition, and which of the accounts that changed begin with any."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription


class Prefixes:
    """By what they are listed as."""

    def __init__(self) -> None:
        self._watched: dict[str, dict[PrefixSubscription, None]] = {}
        self._all: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self._watched)

    def __iter__(self) -> Iterator[PrefixSubscription]:
        for watchers in self._watched.values():
            yield from watchers

    def add(self, prefix: PrefixSubscription) -> None:
        self._watched.setdefault(prefix.read_as, {})[prefix] = None
        self._all = tuple(self._watched)

    def forget(self, prefix: PrefixSubscription) -> bool:
        """Whether it was there."""
        watchers = self._watched.get(prefix.read_as)
        if watchers is None or prefix not in watchers:
            return False
        del watchers[prefix]
        if not watchers:
            del self._watched[prefix.read_as]
            self._all = tuple(self._watched)
        return True

    def match(self, names: Sequence[str]) -> list[tuple[int, str]]:
        """Places and names of those that begin with any. Names are looked at one by one only where one of all does."""
        text = "\n" + "\n".join(names)
        if not any("\n" + each in text for each in self._all):
            return []
        return [(i, name) for i, name in enumerate(names) if name.startswith(self._all)]

    def of(self, name: str) -> list[PrefixSubscription]:
        """Those that watch it."""
        return [each for prefix, watchers in self._watched.items() if name.startswith(prefix) for each in watchers]
