"""Owning a partition's live view: keeping it in step with a fold, and bringing it right when it is not.

Nothing in the store is believed but a checkpoint that lies on our own chain. Whatever else is found there (nothing, an older
state, rows of another log), the view is made right from the folded state in memory.
"""

from __future__ import annotations

import asyncio
from typing import Final

from read_side.contract.rows import EMPTY_ROWS, AccountRows
from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, ViewStore
from read_side.fold.balances import changed_after
from read_side.follow.partition_fold import PartitionFold

ROWS_PER_APPLY_MAX: Final = 100_000
"""A repair of more rows than this clears and loads in parts: one atomic step with more would hold up every reader."""
ROWS_PER_LOAD: Final = 20_000
"""Rows handed over at once while a view is loaded."""
REPAIRS_MAX: Final = 5
"""In a row. A store that is emptied again during each of them, or an owner that takes it back each time, needs a person."""


class Displaced(Exception):
    """Another projector owns this partition's view now. This one exits; nothing was lost, and the view is right."""


class ViewOfAnotherLog(Exception):
    """The view reflects blocks that this log does not have."""


class ViewOwner:
    """One partition. Every method may raise Displaced, ViewOfAnotherLog and ViewUnavailable.

    stored: what the store holds, as far as we know; None before it was first brought right.
    """

    def __init__(self, view: ViewStore, fold: PartitionFold) -> None:
        self.fold = fold
        self.stored: Checkpoint | None = None
        self.repairs = 0
        self._view = view
        self._owner: Owner | None = None

    @property
    def generation(self) -> int:
        return self._owner.generation if self._owner is not None else 0

    @property
    def is_ahead(self) -> bool:
        """The store holds blocks that we have not folded yet: a rebuild has read further than we have, for the moment."""
        return self.stored is not None and self.stored.sequence > self.fold.folded.sequence

    async def claim(self) -> None:
        """Become the owner of the live generation; every projector before us is stale from here on."""
        partition = self.fold.partition
        live = await self._view.live(partition)
        self._owner = await self._view.claim(partition, live or self.generation or 1)

    async def bring_right(self) -> None:
        """Make the live view what the fold says, whatever is in the store now. At most `REPAIRS_MAX` tries."""
        for _ in range(REPAIRS_MAX):
            await self.claim()
            try:
                if await self._bring_up():
                    return
            except CheckpointMismatch:
                continue
            except OwnerStale as stale:
                await self._exit_unless_set_back(stale)
        raise Displaced(
            f"partition {self.fold.partition}: the view was emptied or taken by another projector {REPAIRS_MAX} times while it "
            "was being brought right. No money is affected. See that one projector owns each partition."
        )

    async def advance(self, rows: AccountRows) -> None:
        """Write what a folded run changed, with our position."""
        assert self.stored is not None, "claim the view before writing it"
        if self.is_ahead:
            return
        if not self.fold.knows(self.stored):
            await self._repair()
            return
        await self._apply(rows)

    async def probe(self) -> None:
        """Find out, without writing, whether the store still holds our checkpoint in the live generation; repair if not."""
        assert self.stored is not None, "claim the view before probing it"
        await self._apply(EMPTY_ROWS, probe=True)

    async def _apply(self, rows: AccountRows, probe: bool = False) -> None:
        assert self._owner is not None
        wanted = self.stored if probe else self.fold.checkpoint(self.generation)
        assert wanted is not None
        try:
            live = await self._view.apply(self._owner, self.stored, rows, wanted)
        except CheckpointMismatch:
            await self._repair()
        except OwnerStale as stale:
            await self._exit_unless_set_back(stale)
            await self._repair()
        else:
            self.stored = wanted
            if live != self.generation:
                await self.bring_right()

    async def _repair(self) -> None:
        self.repairs += 1
        await self.bring_right()

    async def _bring_up(self) -> bool:
        """One try; False when our generation turned out not to be the live one."""
        assert self._owner is not None
        stored = await self._view.checkpoint(self.fold.partition, self.generation)
        if stored is not None and stored.sequence > self.fold.folded.sequence:
            self.stored = stored  # checked by `advance` as soon as we have folded that far
            return await self._view.apply(self._owner, stored, EMPTY_ROWS, stored) == self.generation
        rows, loaded = self._rows_since(stored) if stored is not None else None, 0
        if rows is None:
            loaded = await load_everything(self._view, self._owner, self.fold)
            stored, rows = None, EMPTY_ROWS
        wanted = self.fold.checkpoint(self.generation)
        live = await self._view.apply(self._owner, stored, rows, wanted, loaded)
        self.stored = wanted
        return live == self.generation

    def _rows_since(self, stored: Checkpoint) -> AccountRows | None:
        """What changed since a checkpoint; None when it is not of our chain, or so old that loading everything is better."""
        if not self.fold.knows(stored):
            return None
        numbers = changed_after(self.fold.state, stored.at_us)
        return self.fold.rows.rows_of(numbers) if len(numbers) <= ROWS_PER_APPLY_MAX else None

    async def _exit_unless_set_back(self, stale: OwnerStale) -> None:
        """An older state with its older owner: the store was set back, and we are still the projector.

        A generation that is live no more was claimed by the rebuild that drops it: it says nothing of who projects the live one.
        """
        live = await self._view.live(self.fold.partition)
        if not stale.claimed_later or live not in (None, self.generation):
            return
        raise Displaced(
            f"partition {self.fold.partition}: another projector owns the view now. Nothing is lost and no balance is "
            "wrong; this projector stops."
        )


async def load_everything(view: ViewStore, owner: Owner, fold: PartitionFold) -> int:
    """A whole view in parts, without a checkpoint yet; how many rows. The event loop goes on between two of them."""
    await view.clear(owner)
    loaded = 0
    for rows in fold.rows.in_parts(ROWS_PER_LOAD):
        await view.load(owner, rows)
        loaded += len(rows)
        await asyncio.sleep(0)
    return loaded
