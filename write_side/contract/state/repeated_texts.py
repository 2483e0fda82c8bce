"""Texts of which many are the same, such as owners, by number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt

from write_side.contract.state.room import larger
from write_side.contract.state.texts import Texts

KNOWN_MAX: Final = 16_384
"""Different texts that are looked among for one that is there: 2 MB of Python's strings."""
_START: Final = 1024
_ROOM: Final = 1 << 23


class RepeatedTexts(Sequence[str]):
    """texts: the different ones; numbers: which of them each is, in as narrow a type as there are different ones.

    A text is looked for among the last ones that came. One that comes again later is in `texts` twice, which costs its bytes.
    """

    def __init__(self) -> None:
        self.texts = Texts(np.uint32)
        self._count = 0
        self._numbers: npt.NDArray[Any] = np.zeros(_START, np.uint8)
        self._known: dict[str, int] = {}

    def extend(self, texts: Sequence[str]) -> None:
        """Put these behind the last."""
        different = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.extend_by(list(different), np.fromiter(map(different.__getitem__, texts), np.int64, len(texts)))

    def extend_by(self, different: Sequence[str], which: npt.NDArray[np.int64]) -> None:
        """As `extend`: the different ones in the order in which they came first, and which of them each is, int64[n]."""
        known, new = self._known, [text for text in different if text not in self._known]
        if new:
            known |= zip(new, range(len(self.texts), len(self.texts) + len(new)), strict=True)
            self.texts.extend(new)
        self.put(np.fromiter(map(known.__getitem__, different), np.int64, len(different))[which])
        if len(known) > KNOWN_MAX:
            self._known = {}

    def put(self, numbers: npt.NDArray[Any]) -> None:
        """As `extend`, for those that are in `texts`: the number of each."""
        count = self._count + len(numbers)
        if len(self.texts) < 2:  # all are the same: which one needs no memory
            self._count = count
            return
        if len(self._numbers) < self._count:
            self._numbers = np.zeros(2 * count, np.uint8)
        narrowest = np.min_scalar_type(max(0, len(self.texts) - 1))
        held = self._numbers
        if narrowest.itemsize > held.itemsize:
            held = held.astype(narrowest)
        if count > len(held):
            held = larger(held, self._count, count, _ROOM)
        held[self._count : count] = numbers
        self._numbers, self._count = held, count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return self.texts.take(self.numbers[number].astype(np.int64))
        if not 0 <= number < self._count:
            raise IndexError(number)
        return self.texts[int(self._numbers[number]) if len(self.texts) > 1 else 0]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RepeatedTexts):
            return NotImplemented
        return list(self) == list(other)

    @property
    def numbers(self) -> npt.NDArray[Any]:
        """Which of `texts` each is, unsigned."""
        return self._numbers[: self._count] if len(self.texts) > 1 else np.zeros(self._count, np.uint8)
