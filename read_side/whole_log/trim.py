"""trim: the log forgets what its archive has, as far as nothing needs the log for it.

A partition is trimmed below the first of these: the last record that is archived; the block of the newest snapshot that a writer
could start at; the block up to which the files of its ids go, where no start could go on from that snapshot without more of them;
the block at which the live view stands. Before anything goes, every record of it is read in the archive and
compared with the log, byte by byte. The record at that place stays, so that who goes on from it does not ask the archive at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple, Protocol

from read_side.contract.view import Checkpoint, ViewUnavailable
from read_side.whole_log.compare_log_archive import ArchiveDiffers, Progress, compare_with_log
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.log.log import START, LogFailed
from write_side.contract.log.log import Trimmed as TrimmedMeanwhile
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.state import State

TRIES: Final = 3
"""Of two trims at once one may compare what the other has just trimmed."""

Forget = Callable[[int, int], Awaitable[int]]
IdsKept = Callable[[int, State], Awaitable[int | None]]
"""(partition, the newest snapshot's state) -> the last block whose ids are in files, -1 for none; None where a start with this
state needs no more of them, or where no files are kept."""
NO_VIEW: Final = "there is no view yet: start the service over it, which makes one from the log, then trim"


class Standing(Protocol):
    """What is asked of a view store."""

    async def checkpoint(self, partition: int) -> Checkpoint | None: ...


class NoViewYet:
    """A view that nobody has made yet: it will be made from the first block on."""

    async def checkpoint(self, partition: int) -> Checkpoint | None:
        return None


class TrimWishes(NamedTuple):
    """partitions: None for all. dry_run: everything but forgetting."""

    partitions: tuple[int, ...] | None = None
    dry_run: bool = False

    @classmethod
    def of(cls, how: dict[str, Any]) -> TrimWishes:
        """From a document of `_asdict`."""
        chosen = how["partitions"]
        return cls(None if chosen is None else tuple(chosen), bool(how["dry_run"]))


@dataclass
class PartitionTrimmed:
    """Offsets in the partition's log. began, begins: where it began before, and begins now.

    archived_to: the last record that the archive has; snapshot_at, ids_at, view_at: the block of the newest snapshot, the one up
    to which ids are in files, the one at which the live view stands; -1 for none, None: not asked. before: what is below nothing
    needs. compared: bytes of the archive that are the log's. keeps: why no more is forgotten. problem: what kept it from being
    trimmed.
    """

    partition: int
    began: int = 0
    begins: int = 0
    archived_to: int | None = None
    snapshot_at: int | None = None
    ids_at: int | None = None
    view_at: int | None = None
    before: int = 0
    compared: int = 0
    keeps: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Trimmed:
    """dry_run: nothing was forgotten, `before` says what would be."""

    dry_run: bool
    partitions: list[PartitionTrimmed]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        verdict = (
            "failed" if any(each.problem for each in self.partitions) else "dry_run" if self.dry_run else "trimmed"
        )
        return {"verdict": verdict, "partitions": [asdict(each) for each in self.partitions]}


async def trim(
    log: ArchivedLog,
    snapshots: Snapshots,
    prints: Prints,
    view: Standing | None,
    wishes: TrimWishes,
    on_progress: Progress = lambda partition, compared: None,
    forget: Forget | None = None,
    ids_kept: IdsKept | None = None,
) -> Trimmed:
    """Trim partitions, one after the other. prints: of whoever decides, whose snapshots are meant. view: None where it is made
    again at every start. forget: as `Log.trim`, where `log` is one that is only read. ids_kept: None where none are. Raises
    ValueError for a partition that there is none of; what else fails is told of its partition."""
    chosen = range(log.partitions) if wishes.partitions is None else wishes.partitions
    if any(not 0 <= partition < log.partitions for partition in chosen):
        raise ValueError(
            f"the log has partitions 0 to {log.partitions - 1}, and {', '.join(map(str, chosen))} are to be trimmed"
        )
    needs = _Needs(log, snapshots, prints, view, forget or log.trim, ids_kept)
    found = [await _tried(needs, partition, on_progress, dry_run=wishes.dry_run) for partition in chosen]
    return Trimmed(wishes.dry_run, found)


class _Needs(NamedTuple):
    """What may still need records of the log."""

    log: ArchivedLog
    snapshots: Snapshots
    prints: Prints
    view: Standing | None
    forget: Forget
    ids_kept: IdsKept | None


async def _tried(
    needs: _Needs, partition: int, on_progress: Progress, *, dry_run: bool, tries: int = TRIES
) -> PartitionTrimmed:
    """One partition, and what kept it from being trimmed."""
    told = PartitionTrimmed(partition)
    try:
        await _trim(needs, told, on_progress, dry_run=dry_run)
    except (LogFailed, ViewUnavailable, ArchiveDiffers) as failure:
        if isinstance(failure, TrimmedMeanwhile) and tries > 1:
            return await _tried(needs, partition, on_progress, dry_run=dry_run, tries=tries - 1)
        told.problem = str(failure)
    return told


async def _trim(needs: _Needs, told: PartitionTrimmed, on_progress: Progress, *, dry_run: bool) -> None:
    """`told` gets what was found and done. Raises LogFailed, ViewUnavailable, ArchiveDiffers."""
    partition, log = told.partition, needs.log
    told.began = told.begins = told.before = await log.begin(partition)
    told.archived_to = await log.archive.last(partition)
    if told.archived_to < told.began and told.began > 0:
        raise log.archive.ends_before(partition, told.archived_to)
    told.snapshot_at, told.ids_at = await _start_at(needs, partition)
    told.view_at = await _view_at(needs.view, partition)
    marks = {
        "what comes next is not archived yet": told.archived_to,
        "a start goes on from the newest snapshot": told.snapshot_at,
        "the ids of what comes next are not in their files yet": told.ids_at,
        "the view goes on from where it stands": told.view_at,
    }
    told.keeps, least = min(((why, at) for why, at in marks.items() if at is not None), key=lambda each: each[1])
    if least <= told.began:
        if told.archived_to == START:
            told.keeps = "nothing is archived yet"
        elif told.snapshot_at == START:
            told.keeps = "there is no snapshot that a writer could start at"
        elif told.view_at == START:
            told.keeps = NO_VIEW
        return
    told.compared = await compare_with_log(needs.log, partition, told.began, least, on_progress)
    told.before = least
    if not dry_run:
        told.begins = await needs.forget(partition, least)


async def _start_at(needs: _Needs, partition: int) -> tuple[int, int | None]:
    """The offset of the block of the newest good snapshot, read whole, since a start has nothing else then; and that of the last
    block whose ids are in files (see `PartitionTrimmed`)."""
    snapshot = await needs.snapshots.newest(partition, needs.prints)
    if snapshot is None:
        return START, None
    state, offsets = snapshot.replay.state, snapshot.replay.offsets
    at = offsets.nearest(state.chained.sequence)[1]
    last = None if needs.ids_kept is None else await needs.ids_kept(partition, state)
    if last is None:
        return at, None
    return at, offsets.nearest(last)[1] if last >= 0 else START


async def _view_at(view: Standing | None, partition: int) -> int | None:
    """The offset at which the live view stands: one that has nothing yet is made from the first block on."""
    if view is None:
        return None
    checkpoint = await view.checkpoint(partition)
    return START if checkpoint is None else checkpoint.log_offset
