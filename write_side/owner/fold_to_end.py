"""How a writer or a follower comes to know its partition."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import Final

import structlog

from write_side.contract.block.block import read_header
from write_side.contract.log.block_offsets import fetch_block
from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Snapshots, fold_from_newest, from_the_beginning
from write_side.contract.state.block_hashes import BlockHashes
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.state import State
from write_side.id_runs.runs import IdRuns

_IDS_MISSING: Final = (
    "ids that it has forgotten are in no file there: the log is folded from its beginning, once, and they are written"
)
_OF_ANOTHER_LOG: Final = (
    "they are of another log, or of blocks that this one has lost: they are read from this one again"
)

_log = structlog.get_logger(__name__)


async def fold_to_end(
    log: Log,
    partition: int,
    replay: Replay,
    snapshots: Snapshots | None,
    prints: Prints | None,
    ids: IdRuns | None = None,
    *,
    starts: bool = True,
) -> None:
    """Fold what is there, from a snapshot on where there is one. ids: gets those of every block behind its files; it is read from
    the beginning of the log where they are of another log. starts: a partition, and it is told where it begins. Raises
    ChainBroken, CheckFailed, LogFailed, OSError."""

    async def fold_on() -> None:
        if ids is not None:
            ids.begin(replay.state)
        async with aclosing(log.read(partition, replay.last_offset)) as runs:
            async for records in runs:
                await asyncio.to_thread(_take_all, replay, records, ids)

    def may_begin(state: State) -> bool:
        if ids is None or ids.goes_on_from(state):
            return True
        block = state.chained.sequence
        _log.warning(
            "begins at no snapshot", partition=partition, block=block, reason=_IDS_MISSING, place=ids.folder.place
        )
        return False

    known = BlockHashes()

    def begin_at(newest: Snapshot) -> None:
        nonlocal known
        known = newest.hashes
        replay.begin_at(newest.replay)

    if ids is not None:
        await asyncio.to_thread(ids.open)
    await fold_from_newest(
        snapshots, partition, log.partitions, prints, begin_at, fold_on, starts=starts, may_begin=may_begin
    )
    if ids is not None and not await _are_of(log, partition, replay, ids, known):
        _log.warning("ids not used", partition=partition, place=ids.folder.place, reason=_OF_ANOTHER_LOG)
        await asyncio.to_thread(ids.forget)
        begin_at(from_the_beginning(partition, log.partitions, prints))
        await fold_on()


def _take_all(replay: Replay, records: Sequence[Record], ids: IdRuns | None) -> None:
    for folded in replay.take_run(records):
        if ids is not None:
            ids.add_folded(replay.state, folded)
    if ids is not None:
        with suppress(OSError):  # told when it is tried again (`keep_ids`)
            ids.tidy()


async def _are_of(log: Log, partition: int, replay: Replay, ids: IdRuns, known: BlockHashes) -> bool:
    """Whether the last block of the ids' files is one of this log. known: hashes that need not be asked for, since what is before
    a snapshot may be trimmed away, and its archive away as well."""
    end = ids.folder.end
    if end.sequence < 0:
        return True
    if end.sequence >= len(replay.offsets):
        return False
    own = known.find(end.sequence)
    if own is None:
        own = read_header(await fetch_block(log, partition, replay.offsets, end.sequence)).block_hash
    return own == end.block_hash
