"""Names that nobody has, to be asked for in the place of what a principal may not read.

What may not be read has to be told exactly as what is not there: the same words, the same position, the same wait. The surest
way is to ask the read side for something that is not there. Pure: chance is an argument.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

from write_side.contract.words.atoms import partition_of

_DIGITS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_LENGTH: Final = 24
"""Some 124 bits of chance: no account has such a name."""

Chance = Callable[[int], int]
"""A number of so many bits."""


def absent_account(account: str, partitions: int, chance: Chance) -> str:
    """A name of no account, of the same partition: so what is said of it, and how long that takes, is what would be said of this
    one if it were not there. partitions: how many the log has."""
    partition = partition_of(account, partitions)
    while True:
        name = "".join(_DIGITS[chance(16) % len(_DIGITS)] for _ in range(_LENGTH))
        if partition_of(name, partitions) == partition:
            return name


def absent_transfer(id: str, chance: Chance) -> str:
    """An id of nothing. Of one that carries a time it has the same: how long ago something is decides what is said of it."""
    given = uuid.UUID(id).int
    kept = given & ~((1 << 62) - 1) & ~(0xFFF << 64)  # the time, the version and the variant
    return str(uuid.UUID(int=kept | chance(12) << 64 | chance(62)))
