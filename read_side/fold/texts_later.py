"""Texts of rows that nobody may ever look at: making those of a million accounts takes a second, in which nothing else runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload


class TextsLater(Sequence[str]):
    """So many texts, made when one of them is looked at first. make: gives the same ones whenever it is called."""

    def __init__(self, count: int, make: Callable[[], list[str]]) -> None:
        self._count = count
        self._make = make
        self._made: list[str] | None = None

    @property
    def _texts(self) -> list[str]:
        if self._made is None:
            self._made = self._make()
        return self._made

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        return self._texts[at]
