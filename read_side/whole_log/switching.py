"""A generation beside the live one is brought to the end of the log and made live: how a rebuild ends, and a rollback."""

from __future__ import annotations

import asyncio
from typing import Final

from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, ViewStore
from read_side.fold.balances import changed_after
from read_side.follow.bring_view_right import ROWS_PER_APPLY_MAX
from read_side.follow.partition_fold import PartitionFold, fold_log
from write_side.contract.log.log import Log

SWITCHES_MAX: Final = 200
"""The live view may move on between catching up and switching; each try takes milliseconds and each misses by chance."""


class NotSwitched(Exception):
    """Why a view, or a partition of it, is as it was, for a person."""


async def advance(view: ViewStore, owner: Owner, held: Checkpoint, fold: PartitionFold) -> Checkpoint:
    """Write what was folded since `held` into a generation that nobody reads, in steps that keep the store from nobody.

    Rows of a step before the last are ahead of the checkpoint; whoever goes on after a crash writes them again, as they are then.
    """
    wanted = fold.checkpoint(owner.generation)
    if wanted != held:
        changed = changed_after(fold.state, held.at_us)
        for first in range(0, max(1, len(changed)), ROWS_PER_APPLY_MAX):
            rows = fold.rows.rows_of(changed[first : first + ROWS_PER_APPLY_MAX])
            is_last = first + ROWS_PER_APPLY_MAX >= len(changed)
            await view.apply(owner, held, rows, wanted if is_last else held)
    return wanted


async def switch(
    log: Log, view: ViewStore, owner: Owner, held: Checkpoint, fold: PartitionFold, replaces: int
) -> Checkpoint:
    """Fold to the end of the log, write that, and make the generation live instead of `replaces`; where it stands then.

    Raises NotSwitched, and as fold_log and the view do.
    """
    partition = owner.partition
    for _ in range(SWITCHES_MAX):
        await fold_log(log, fold)
        held = await advance(view, owner, held, fold)
        try:
            await view.switch(owner, replaces)
        except (CheckpointMismatch, OwnerStale) as refused:
            live, stored = await view.live(partition), await view.checkpoint(partition, owner.generation)
            if live == owner.generation:
                return held  # it was done, and the answer lost: a client that asks again finds it done
            if isinstance(refused, OwnerStale):
                raise
            if live != replaces or stored != held:
                raise NotSwitched(
                    f"partition {partition}: the view was emptied or set back meanwhile, or another one has switched it. Its "
                    "projector brings it right by itself; try again after that."
                ) from None
            await asyncio.sleep(0)
            continue
        return held
    raise NotSwitched(
        f"partition {partition}: the live view moved on during each of {SWITCHES_MAX} tries to switch. It is as it was; "
        "try again when there is less traffic."
    )
