"""What a reader may ask of balances, and how long it may wait for its own writes. HTTP is not known here.

Every answer reflects one checkpoint of the live view. Nothing older than what was shown before is ever shown again, and
nothing is called unknown before everything that was in the log when the question arrived is in the view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from fanfold.api.malformed import Malformed
from read_side.ask.crowd import Crowd
from read_side.ask.followed import Followed
from read_side.ask.in_time import Silent, within
from read_side.contract.how_far import NOTHING_WANTED, Wanted, check_partitions
from read_side.contract.no_answer import (
    Behind,
    Elsewhere,
    NotFound,
    NotReached,
    PartitionUnavailable,
    Rebuilding,
    Unanswerable,
    of_several,
)
from read_side.contract.rows import AccountRow
from read_side.contract.view import Checkpoint, ViewStore, ViewUnavailable
from read_side.follow.watermark import Shown
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.log.log_end import LogEnd, TooFarBehind
from write_side.contract.words.atoms import TRANSIT, WORLD, parse_new_asset, partition_of
from write_side.contract.words.position import Position, format_positions

T = TypeVar("T")

UNKNOWN_WAIT_S: Final = 0.5
"""How long a reader of an unknown account waits for the view to catch up with the log as it was at arrival."""
LOOK_ALL_S: Final = 1.0
"""How long `/readyz` waits to know of the partitions of other processes; a gateway waits 2 s for it."""
POLL_S: Final = 0.02
"""Between two looks at a view that another process writes: a fifth of the goal from commit to socket with Redis."""


class Projected(Protocol):
    """A partition that this process projects: how far its view is, and why it is no further."""

    partition: int
    shown: Shown
    stopped: str | None

    @property
    def stale_since_us(self) -> int | None:
        """The time of its last good block, UTC microseconds, where its log is damaged behind that; None while it is followed."""
        ...

    @property
    def log_history(self) -> str | None:
        """Which history of its log this is; None where that is not known."""
        ...

    def refusal(self) -> Unanswerable | None:
        """Why nothing of this partition is answered now; None while it is."""
        ...

    def held_up(self) -> str | None:
        """Why the partition goes no further now; None while it does."""
        ...


class Found(NamedTuple):
    """Rows of one partition and the checkpoint they belong to."""

    partition: int
    checkpoint: Checkpoint
    rows: list[AccountRow | None]

    @property
    def position(self) -> str | None:
        """The position they reflect; None before the first block."""
        sequence = self.checkpoint.sequence
        return str(Position(self.partition, sequence)) if sequence >= 0 else None


class ManyFound(NamedTuple):
    """rows: of each account asked for, with the position it reflects; None where there is none as of that position.

    positions: of every partition that was read. undecided: places of accounts that are not there as of the position, while the
    view is behind the log, so that they may have been opened since. failed: what kept the other partitions from being read.
    """

    positions: str
    rows: list[tuple[AccountRow, str] | None]
    undecided: list[int]
    failed: list[Unanswerable]


class BalanceReader:
    """Balances of all partitions. `projected` has those of this process; others are polled, where the view is shared."""

    def __init__(self, view: ViewStore, log: Log, projected: Mapping[int, Projected]) -> None:
        self.partitions = log.partitions
        self._view = view
        self._projected = projected
        self._answered = [-1] * log.partitions
        self._ends = [LogEnd(log, p) for p in range(log.partitions)]
        self._crowds = [Crowd() for _ in range(log.partitions)]
        self._followed = Followed(view, self.caught_up)

    async def account(self, account: str, wanted: Wanted = NOTHING_WANTED) -> tuple[AccountRow, str]:
        """The account's row and the position it reflects. Raises NotFound, NotReached, Unanswerable, Malformed."""
        partition = partition_of(account, self.partitions)
        found = await self._wanted(partition, [account], wanted)
        row = found.rows[0]
        if row is None:
            found = await self._certainly(found, [account])
            row = found.rows[0]
            if row is None:
                raise NotFound(found.position)
        return row, str(found.position)

    async def many(self, accounts: Sequence[str], wanted: Wanted) -> ManyFound:
        """Rows of many accounts, each partition's from one moment. Raises NotReached, Malformed; Unanswerable when no partition
        can be read: one that lags or fails keeps nothing from the accounts of the others."""
        places: dict[int, list[int]] = {}
        for i, account in enumerate(accounts):
            places.setdefault(partition_of(account, self.partitions), []).append(i)

        async def read(partition: int) -> tuple[Found, bool] | Unanswerable:
            names = [accounts[i] for i in places[partition]]
            try:
                found = await self._wanted(partition, names, wanted)
            except Unanswerable as failure:
                return failure
            if None not in found.rows:
                return found, True
            try:
                return await self._certainly(found, names), True
            except Unanswerable:
                return found, False

        rows: list[tuple[AccountRow, str] | None] = [None] * len(accounts)
        positions: dict[int, int] = {}
        undecided: list[int] = []
        failed: list[Unanswerable] = []
        for partition, answer in zip(places, await _all(read(p) for p in places), strict=True):
            if isinstance(answer, Unanswerable):
                failed.append(answer)
                continue
            found, certain = answer
            if found.checkpoint.sequence >= 0:
                positions[partition] = found.checkpoint.sequence
            position = str(found.position)
            for i, row in zip(places[partition], found.rows, strict=True):
                rows[i] = None if row is None else (row, position)
                if row is None and not certain:
                    undecided.append(i)
        if failed and len(failed) == len(places):
            raise failed[0]
        return ManyFound(format_positions(positions), rows, sorted(undecided), failed)

    async def system(self, asset: str, wanted: Wanted, partitions: Sequence[int] | None = None) -> list[Found]:
        """`@world` and `@transit` of an asset, a partition each; None: of all. Raises NotReached; Unanswerable, which names every
        partition that cannot be read: a sum that leaves some out is told only to who asked for the others.

        No balance is not zero. Raises NotFound for an asset that no account has, in no partition; Malformed for one that is
        written as none is any more, unless an older log has it.
        """
        names = [f"{WORLD}:{asset}", f"{TRANSIT}:{asset}"]
        chosen = range(self.partitions) if partitions is None else partitions
        found = await _of_each([self._wanted(p, names, wanted) for p in chosen])
        wrong = _wrong(asset)
        if not _anybody(found) and (partitions is None or wrong is not None):
            found = await _of_each([self._certainly(each, names) for each in found])
            if not _anybody(found):
                raise wrong or NotFound(positions_of(found))
        return found

    def here(self, partition: int) -> Projected | None:
        """A partition that this process projects. Another projector's partition is read in the shared view."""
        projected = self._projected.get(partition)
        return None if projected is not None and isinstance(projected.refusal(), Elsewhere) else projected

    def history(self, partition: int) -> str | None:
        """Which history of its log answers of this partition are of: versions of another one mean nothing. None where this
        process does not follow the log, or does not know."""
        projected = self.here(partition)
        return None if projected is None else projected.log_history

    async def unread(self) -> list[Unanswerable]:
        """Why accounts of partitions that this process does not project cannot be read here now. Takes `LOOK_ALL_S` at most: what
        is not known by then is left out."""
        others = [p for p in range(self.partitions) if self.here(p) is None]
        if not self._view.shared:
            return [Elsewhere(p) for p in others]
        looks = [asyncio.create_task(self._followed.newest(p)) for p in others]
        if not looks:
            return []
        done, late = await asyncio.wait(looks, timeout=LOOK_ALL_S)
        for look in late:
            look.cancel()
        return [failure for look in looks if look in done and (failure := look.result()) is not None]

    async def caught_up(self, partition: int, offset: int) -> None:
        """Wait until the view reflects everything that is in the log at this moment. Raises Unanswerable.

        offset: up to where it is known to reflect it.
        """
        deadline = asyncio.get_running_loop().time() + UNKNOWN_WAIT_S
        projected = self.here(partition)
        if projected is not None and (reason := projected.held_up()):
            raise PartitionUnavailable(partition, reason=reason)
        try:
            end = await within(self._ends[partition].offset(offset), UNKNOWN_WAIT_S)
        except TooFarBehind:
            raise Rebuilding(partition) from None
        except Silent as silent:
            raise PartitionUnavailable(partition, reason=str(silent)) from None
        except LogFailed as failure:
            raise PartitionUnavailable(partition, reason=str(failure)) from failure
        while offset < end:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise Rebuilding(partition)
            if projected is None:
                await asyncio.sleep(min(POLL_S, left_s))
            else:
                await projected.shown.offset.reach(end, left_s)
            offset = (await self._read_now(partition, [])).checkpoint.log_offset

    async def _wanted(self, partition: int, accounts: list[str], wanted: Wanted) -> Found:
        """Rows at the wanted position and version. Raises NotReached, Unanswerable.

        Rows before what was written are found in two cases: the partition's log is damaged, and all that is said of it is told to
        be old; or the log ends before it, which is noted in `wanted.lost`.
        """
        check_partitions(wanted.positions, self.partitions)
        sequence = wanted.sequence(partition)
        deadline = asyncio.get_running_loop().time() + wanted.wait_s
        while True:
            found = await self._read(partition, accounts)
            row = found.rows[0] if wanted.version is not None else None
            here = found.checkpoint.sequence >= sequence
            if here and (wanted.version is None or (row is not None and row.version >= wanted.version)):
                return found
            projected = self.here(partition)
            left_s = deadline - asyncio.get_running_loop().time()
            stopped = projected is not None and projected.stopped is not None
            if left_s <= 0 or stopped:  # for what a damaged log has nobody need wait
                if not here and found.checkpoint.sequence >= wanted.positions.get(partition, -1):
                    if not stopped:
                        await self.refuse_if_behind(partition, found.checkpoint.log_offset, found.position, wanted)
                    sequence = -1  # no more is to be had of what was written
                    continue
                if here and row is None:
                    return found  # an account that is not there has no version to wait for
                if (stopped or not here) and projected is not None and (reason := projected.held_up()):
                    raise PartitionUnavailable(partition, reason=reason)
                word = "version_not_reached" if here else "position_not_reached"
                raise NotReached(word, found.position, row.version if row is not None else None)
            if not here and found.checkpoint.sequence >= wanted.positions.get(partition, -1):
                self.refuse_if_crowded(partition, found.position)
            with self.waiting(partition):
                await self._news(partition, found.checkpoint.sequence + 1 if here else sequence, left_s)

    def refuse_if_crowded(self, partition: int, position: str | None) -> None:
        """Raises Behind, for one more that would wait for what was written, where too many do in vain (`crowd.py`)."""
        if self._crowds[partition].is_full(asyncio.get_running_loop().time()):
            raise Behind(partition, position=position)

    @contextmanager
    def waiting(self, partition: int) -> Iterator[None]:
        """While somebody waits for the partition to move on."""
        loop, crowd, held = asyncio.get_running_loop(), self._crowds[partition], self._seen(partition)
        with crowd.waiting(loop.time()):
            yield
        if self._seen(partition) > held:
            crowd.news(loop.time())

    def _seen(self, partition: int) -> int:
        projected = self.here(partition)
        return self._answered[partition] if projected is None else projected.shown.sequence.value

    async def refuse_if_behind(self, partition: int, offset: int, position: str | None, wanted: Wanted) -> None:
        """For what is held at `offset` after the wait for what was written. Raises Behind, unless the view reflects the whole
        log: then what was written is in it no more, for it has been put back or replaced, and is noted in `wanted.lost`. A write
        is answered when it is in the log, so the log's end decides. Raises Unanswerable where nobody can see that."""
        try:
            await self.caught_up(partition, offset)
        except PartitionUnavailable as unavailable:
            unavailable.position = position
            raise
        except Rebuilding:
            raise Behind(partition, position=position) from None
        held = (await self._read(partition, [])).checkpoint.sequence
        if held < wanted.written[partition]:
            wanted.lost[partition] = wanted.written[partition]

    async def _certainly(self, found: Found, accounts: list[str]) -> Found:
        """The rows again, once everything in the log at this moment is in the view. Raises Unanswerable."""
        await self.caught_up(found.partition, found.checkpoint.log_offset)
        return await self._read(found.partition, accounts)

    async def _read(self, partition: int, accounts: list[str]) -> Found:
        if self._view.shared and self.here(partition) is None:
            await self._followed.check(partition)
        return await self._read_now(partition, accounts)

    async def _read_now(self, partition: int, accounts: list[str]) -> Found:
        """What the view has, whether or not anybody brings it on."""
        projected = self.here(partition)
        if projected is not None and (refusal := projected.refusal()):
            raise refusal
        # As of before the read: one that began earlier may end later and be older, and contradicts nobody.
        told = max(self._answered[partition], -1 if projected is None else projected.shown.sequence.value)
        try:
            checkpoint, rows = await self._view.read(partition, accounts)
        except ViewUnavailable as error:
            raise Rebuilding(partition, reason=str(error)) from error
        if checkpoint is None and projected is None and not self._view.shared:
            raise Elsewhere(partition)
        if checkpoint is None or checkpoint.sequence < told:
            raise Rebuilding(partition)
        self._answered[partition] = max(checkpoint.sequence, self._answered[partition])
        return Found(partition, checkpoint, rows)

    async def _news(self, partition: int, sequence: int, left_s: float) -> None:
        """Wait until block `sequence` may be shown."""
        projected = self.here(partition)
        if projected is None:
            await asyncio.sleep(min(POLL_S, left_s))
        else:
            await projected.shown.sequence.reach(sequence, left_s)


def positions_of(found: Iterable[Found]) -> str:
    """The position of each partition that has one."""
    return format_positions(
        {each.partition: each.checkpoint.sequence for each in found if each.checkpoint.sequence >= 0}
    )


def _wrong(asset: str) -> Malformed | None:
    try:
        parse_new_asset(asset)
    except Malformed as wrong:
        return wrong
    return None


def _anybody(found: Iterable[Found]) -> bool:
    return any(row is not None for each in found for row in each.rows)


async def _of_each(questions: Iterable[Coroutine[Any, Any, Found]]) -> list[Found]:
    """All answers. Raises Unanswerable, which names every partition that has none, or any other failure."""

    async def one(question: Coroutine[Any, Any, Found]) -> Found | Unanswerable:
        try:
            return await question
        except Unanswerable as failure:
            return failure

    answers = await _all([one(question) for question in questions])
    if failed := [answer for answer in answers if isinstance(answer, Unanswerable)]:
        raise of_several(failed)
    return [answer for answer in answers if isinstance(answer, Found)]


async def _all(questions: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All answers, or the first failure; the others are not left running."""
    questions = list(questions)
    if len(questions) == 1:
        return [await questions[0]]
    try:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(question) for question in questions]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in asked]
