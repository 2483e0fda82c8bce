"""The archive of the story's log: processes that write put copies there, and now and then somebody trims the log.

Copies lie where a put can fail, land and not be told, or land damaged (`disks.py`); a trim must find that before anything goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from read_side.whole_log.trim import TrimWishes, trim
from tests.simulation.faults import FaultyLog, Life
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.archived_run import name_of
from write_side.contract.archive.archiver import Archiver
from write_side.contract.archive.log_archive import LogArchive
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.ledger.commands.fingerprint import FINGERPRINTS

if TYPE_CHECKING:
    from tests.simulation.processes import World

ARCHIVED_S: Final = (0.5, 4.0)
TRIMMED_S: Final = (2.0, 10.0)
_SEALED_BYTES: Final = 4_000
"""So small that a story of some hundred blocks makes many files."""


def archived(world: World, log: FaultyLog) -> ArchivedLog:
    """What a process reads: its log, and what was trimmed of it."""
    return ArchivedLog(log, LogArchive(world.archive, world.partitions))


async def archive_for_ever(world: World, life: Life, log: ArchivedLog, owned: Sequence[int]) -> None:
    """As the process that writes these partitions does."""
    random = life.chaos.random
    archiver = Archiver(log.log, log.archive, {p: partial(_last_offset, world, p) for p in owned}, _SEALED_BYTES)
    while True:
        await asyncio.sleep(random.uniform(*ARCHIVED_S))
        await archiver.archive(random.choice(sorted(owned)))


def _last_offset(world: World, partition: int) -> int:
    return len(world.records.blocks[partition]) - 1


async def trim_for_ever(world: World, life: Life, log: ArchivedLog, snapshots: Snapshots) -> None:
    """As a person does beside the services: what is forgotten is what the story must do without from then on."""
    random = life.chaos.random
    while True:
        await asyncio.sleep(random.uniform(*TRIMMED_S))
        partition = random.randrange(world.partitions)
        before = world.records.begins[partition]
        await trim(log, snapshots, FINGERPRINTS, None, TrimWishes((partition,)))
        world.checked(partial(_require_archived, world, partition))
        if world.records.begins[partition] > before:
            world.chaos.count("log trimmed")
            world.trace(f"{life.name} trims partition {partition} to {world.records.begins[partition]}")


def _require_archived(world: World, partition: int) -> None:
    """What a log has forgotten is in files of the archive, without a gap."""
    has = 0
    for name in sorted(filter(None, map(name_of, world.archive.names_now()))):
        if name.partition == partition and name.after < has:
            has = max(has, name.last + 1)
    forgotten = world.records.begins[partition]
    world.auditors[partition].require(
        has >= forgotten, f"the log begins at {forgotten}, and its archive ends before {has}"
    )
