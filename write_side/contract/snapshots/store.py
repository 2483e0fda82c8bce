"""The store port: whole files under a name. Adapters: `store_file.py`; `store_s3.py` and `store_hdfs.py`, over `store_remote.py`.

What every adapter promises, and `tests/ports/test_snapshot_store.py` proves on each:

- Atomicity: after `put` the file is there whole; before it returns, and when it raises, there is what was there before under that
  name. A process that ends in the middle leaves nothing that `names` tells or `open` finds; what it left is swept later.
- Durability: when `put` has returned, the file survives a crash of the machine.
- Duplicates: putting a name again replaces the file. Who has it open goes on reading the old one, or gets OSError: with the last
  of its bytes at the latest, never a mixture for a whole.
- Failure: OSError, with a reason that people understand and nothing that is secret. It says nothing about money: all that is
  stored can be made again. Half a file that a store gives for a whole is noticed by who reads it: a snapshot has a hash.
- Time: no call waits without a bound for a store that is away, silent or slow.

Methods block: they are called in threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt


class Source(Protocol):
    """A file that is being read from its beginning."""

    @property
    def size(self) -> int:
        """Of the whole, in bytes."""
        ...

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill the buffer as far as there is something; how many bytes, 0 at the end. Raises OSError."""
        ...


@runtime_checkable
class LiesHere(Source, Protocol):
    """One whose bytes this machine has itself, so that they can be used where they lie."""

    @property
    def identity(self) -> tuple[int, ...]:
        """Of no other file, and of this one only until somebody changes it."""
        ...

    def in_place(self, start: int, length: int, room: int) -> npt.NDArray[np.uint8] | None:
        """uint8[room] that begins with so many bytes of it, where they lie. Who has it may write to it, which nobody else sees.
        None where that cannot be had. Raises MemoryError, OSError."""
        ...


class SnapshotStore(Protocol):
    """Files of one place. Several processes may use it at once, as long as each puts names of its own."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        ...

    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        """Store a file of these pieces, which are asked for as it is written: what that raises is raised here."""
        ...

    def names(self, prefix: str) -> list[str]:
        """The names that begin so, the greatest first."""
        ...

    def open(self, name: str) -> AbstractContextManager[Source]:
        """Read a file. Raises FileNotFoundError for one that is not there."""
        ...

    def delete(self, name: str) -> None:
        """Nothing happens when it is not there."""
        ...

    def give_up(self) -> None:
        """The process ends: whoever waits for the store, and everybody after, may get OSError instead. Raises nothing."""
        ...
