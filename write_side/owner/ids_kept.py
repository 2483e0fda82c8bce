"""Which ids of a partition are in files: what a trim of its log asks before anything goes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from write_side.contract.state.state import State
from write_side.id_runs.runs import IdRuns

IdsKept = Callable[[int, State], Awaitable[int | None]]
"""(partition, a state that a start could go on from) -> see `kept_to`."""


def kept_to(ids: IdRuns, state: State) -> int | None:
    """The last block whose ids are in files, -1 for none; None where a start with this state needs no more of them."""
    return None if ids.goes_on_from(state) else ids.folder.end.sequence


def ids_kept_in(folder: Path | None, new_ids: Callable[[Path, int], IdRuns]) -> IdsKept | None:
    """Of a folder that no process of this machine writes. None where it is none, or lies on another machine."""
    if folder is None or not folder.is_dir():
        return None

    async def ids_kept(partition: int, state: State) -> int | None:
        ids = new_ids(folder, partition)
        await asyncio.to_thread(
            ids.folder.open
        )  # every byte, as a start does; nothing is swept: somebody may be writing
        return kept_to(ids, state)

    return ids_kept
