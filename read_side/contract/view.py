"""The view store port: the rows that readers query, and how far they reflect the log. Adapters: `read_side/views/`.

A partition's view has *generations*: sets of rows, of which one is live. Rebuild fills a new one beside the live one and
switches. What every adapter promises, and `tests/ports/test_view_store.py` proves on each:

- `apply` moves rows and checkpoint in one atomic step, and only when the stored checkpoint is the expected one
  (compare-and-set). Handling the same batch twice is therefore refused the second time and changes nothing.
- A projector must `claim` a partition before it writes. A later claim makes every earlier owner stale: its `apply`,
  `switch` and `clear` raise `OwnerStale` and change nothing.
- `read` returns rows together with the checkpoint they belong to, from one moment.
- Nothing here repairs: a checkpoint that is not what the owner expects raises `CheckpointMismatch` with what is stored, and
  the owner brings the view up from its own folded state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from read_side.contract.rows import AccountRow, AccountRows


class Checkpoint(NamedTuple):
    """Up to where a generation of a partition's view reflects the log.

    sequence: the last folded block, -1 before the first; block_hash: its 32 bytes (zero before the first);
    log_offset: where the log is read on; `at_us`: that block's time, UTC microseconds.
    """

    generation: int
    sequence: int
    block_hash: bytes
    log_offset: int
    at_us: int


class Owner(NamedTuple):
    """The right to write a partition's view: higher numbers win. From `claim`."""

    partition: int
    number: int


class OwnerStale(Exception):
    """Another projector has claimed this partition since. This one must exit; the view is not harmed."""


@dataclass
class CheckpointMismatch(Exception):
    """The stored checkpoint is not the expected one. `stored` is what is there, None when nothing is."""

    stored: Checkpoint | None


class ViewStore(Protocol):
    """One instance per process, all partitions."""

    async def claim(self, partition: int) -> Owner:
        """Become the partition's owner; every earlier owner is stale from now on."""
        ...

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        """The checkpoint of the live generation, or of the given one. None when there is none."""
        ...

    async def apply(self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint) -> None:
        """Write rows into `checkpoint.generation` and set its checkpoint, if that generation's checkpoint is `expected`.

        With `expected=None` the generation must not have one. The first generation of a partition that ever gets a checkpoint
        becomes the live one; when the generation written is not live (another was switched in) and `expected` is not
        None it is written all the same. Raises CheckpointMismatch, OwnerStale.
        """
        ...

    async def clear(self, owner: Owner, generation: int) -> None:
        """Remove a generation's checkpoint first, then its rows: while rows are missing, readers find no checkpoint.

        Raises OwnerStale.
        """
        ...

    async def live(self, partition: int) -> int | None:
        """The number of the live generation. None when there is none."""
        ...

    async def switch(self, owner: Owner, generation: int) -> None:
        """Make a generation live in one step, if its checkpoint is not behind the live one's.

        Raises CheckpointMismatch (with the live checkpoint) when it is behind or has none, OwnerStale.
        """
        ...

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        """The checkpoint and a row per account (None where there is no such account), from one moment."""
        ...

    def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        """All rows of a generation, in batches, in no promised order; not from one moment."""
        ...

    async def close(self) -> None: ...
