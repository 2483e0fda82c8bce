"""A column of words that are made when they are asked for: a list in every other respect."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt


class WordColumn(Sequence[str]):
    """`at` makes many, `one` a single one; slices are lists."""

    @abstractmethod
    def at(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The words at these places."""

    @abstractmethod
    def one(self, place: int) -> str:
        """The word at this place, from the end where it is below 0. Raises IndexError."""

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        return self.at(np.arange(len(self))[index]) if isinstance(index, slice) else self.one(index)

    def __iter__(self) -> Iterator[str]:
        return iter(self[:])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as a list
