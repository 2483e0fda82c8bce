"""The view store port: the rows that readers query, and how far they reflect the log. Adapters: `read_side/views/`.

A partition's view has *generations*: sets of rows, of which one is live. Rebuild fills a new one beside the live one
and switches; the one that was live before is *kept*, for going back, until the next switch keeps another.
What every adapter promises, and `tests/ports/test_view_store.py` proves on each:

- `apply` moves rows and checkpoint in one atomic step, and only when the stored checkpoint is the expected one
  (compare-and-set). Handling the same batch twice is therefore refused the second time and changes nothing.
- Whoever writes a generation must `claim` it first: the live one its projector, a new one the rebuild. A later claim
  makes every earlier owner of that generation stale: its writes raise `OwnerStale` and change nothing. Owners are
  random tokens, so a store that was emptied or set back cannot hand out one twice; they carry the time of the claim,
  so that the owner of a store that was set back is told from one that came later.
- `read` returns rows together with the checkpoint they belong to, from one moment.
- An environment that fails raises `ViewUnavailable`; it is then unknown whether a write happened, and the next one's
  compare-and-set tells.
- Nothing here repairs: a checkpoint that is not what the owner expects raises `CheckpointMismatch` with what is
  stored, and the owner brings the view up from its own folded state.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from read_side.contract.how_far import Place
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

    @property
    def place(self) -> Place:
        return Place(self.sequence, self.log_offset)


class Owner(NamedTuple):
    """The right to write one generation of a partition's view.

    token: from `claim`: when it was made by the store's own clock, later than any claim before it, and something random.
    """

    partition: int
    generation: int
    token: str


class OwnerStale(Exception):
    """Another process owns this generation. `stored` is the generation's checkpoint, None when it has none.

    claimed_later: it claimed after us, and we exit, whatever is stored: it may be loading. Otherwise the store was set back to a
    state from before our claim, and we claim again.
    """

    def __init__(self, stored: Checkpoint | None, claimed_later: bool) -> None:
        super().__init__("another process owns this view now")
        self.stored = stored
        self.claimed_later = claimed_later


def claimed_at(token: str) -> int:
    """When the claim was made, in units that only its store knows; 0 for a token of before there were times in them."""
    at, dash, _ = token.partition("-")
    return int(at) if dash and at.isdigit() else 0


@dataclass
class CheckpointMismatch(Exception):
    """The stored checkpoint is not the expected one. `stored` is what is there, None when nothing is."""

    stored: Checkpoint | None


class Reserved(NamedTuple):
    """Who may make generations of a view, or bring one back: whoever asked, or another one, until then by the store's clock.

    unfinished: what one that never gave it back has left to be ended; "" for nothing.
    """

    is_ours: bool
    until_us: int
    unfinished: str


class ViewUnavailable(Exception):
    """The environment failed (network, server, its settings). Money is not affected: the log has it, and the view
    follows."""


class Stale(NamedTuple):
    """since_us: the time of the last good block, UTC microseconds. reason: why the log goes no further, for a person."""

    since_us: int
    reason: str


@runtime_checkable
class ReadByOthers(Protocol):
    """A view whose rows are read without us as well, so that what our answers add must stand beside them."""

    async def tell_stale(self, partition: int, stale: Stale | None) -> None:
        """Say beside the rows of a partition that its log is damaged behind them; None: it is not. Rows and checkpoint stay.
        Raises ViewUnavailable."""
        ...


class NoView(ViewUnavailable):
    """Nobody has made this view yet, and whoever asks only reads."""


class ViewStore(Protocol):
    """One instance per process, all partitions.

    shared: whether projectors of other processes write it too; otherwise what this process does not project is never in it.
    """

    shared: bool

    async def claim(self, partition: int, generation: int) -> Owner:
        """Become the owner of a generation (there or not yet); every earlier owner of it is stale from now on."""
        ...

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        """The checkpoint of the live generation, or of the given one. None when there is none."""
        ...

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        """Write rows into the owner's generation and set its checkpoint, if its stored checkpoint is `expected`.

        Returns the number of the live generation after this step, so that an owner whose generation was replaced
        learns it without asking. `expected=None`: there must be no checkpoint. The first generation of a partition
        that gets a checkpoint while none is live becomes the live one in the same step. `expected == checkpoint` with
        no rows is a probe that writes nothing. Raises CheckpointMismatch (also when the store no longer knows any
        owner of the generation: it was emptied), OwnerStale.

        loaded: with `expected=None` how many rows this owner has loaded since it cleared the generation. Where the store has
        another number it was set back in between, to before the load or into its middle, and would lack accounts from now on:
        CheckpointMismatch.
        """
        ...

    async def clear(self, owner: Owner) -> None:
        """Remove the generation's checkpoint first, then its rows: while rows are missing, readers find no checkpoint.

        The generation stays owned, and live if it was. Raises OwnerStale, CheckpointMismatch (emptied store).
        """
        ...

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        """Write rows into a generation that has no checkpoint yet, so that a view can be written in parts. They are counted.

        Raises CheckpointMismatch when the generation has a checkpoint, or the store was emptied; OwnerStale.
        """
        ...

    async def live(self, partition: int) -> int | None:
        """The number of the live generation. None when there is none."""
        ...

    async def generations(self, partition: int) -> list[int]:
        """Every generation that has a checkpoint or rows, rising."""
        ...

    async def kept(self, partition: int) -> int | None:
        """The number of the generation that was live before the last switch. None before the first one."""
        ...

    async def switch(self, owner: Owner, replaces: int) -> None:
        """Make the owner's generation live in one step, if `replaces` is live and our checkpoint is not behind that one's.

        What it replaces is kept from then on. The generation has no owner any more, and whoever projects the partition claims it:
        a projector that owned it when it was live before meets a mismatch, and not a rival.
        Raises CheckpointMismatch (with the live checkpoint) when another one is live or ours is behind or has none, OwnerStale.
        """
        ...

    async def reserve(self, token: str, for_s: float, unfinished: str | None = None) -> Reserved:
        """Be the only one who makes generations of the view or brings one back, for so long; ask again to go on.

        One place for all partitions. Whoever asks under another token is told who has it, and changes nothing before it ends.
        for_s 0 gives it back. unfinished: None leaves what is there, which outlives the reservation.
        It keeps honest makers from each other's way; what each may write its claim says.
        """
        ...

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        """The checkpoint and a row per account (None where there is no such account), from one moment.

        The live generation, or the given one. Without a checkpoint there are no rows either: nobody reads half a view.
        """
        ...

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        """As `read` of a generation, as columns: the rows of the accounts that are there, in their order. Each is named once."""
        ...

    def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        """All rows of a generation, in batches, in no promised order; not from one moment."""
        ...

    async def close(self) -> None: ...
