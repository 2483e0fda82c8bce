"""What a reader may ask of balances, and how long it may wait for its own writes. HTTP is not known here.

Every answer reflects one checkpoint of the live view. Nothing older than what was shown before is ever shown again, and
nothing is called unknown before everything that was in the log when the question arrived is in the view.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from read_side.contract.rows import AccountRow
from read_side.contract.view import Checkpoint, ViewStore, ViewUnavailable
from read_side.log_end import LogEnd, TooFarBehind
from read_side.questions import NOTHING_WANTED, NotFound, NotReached, Rebuilding, Wanted, check_partitions
from read_side.watermark import Watermark
from write_side.contract.atoms import TRANSIT, WORLD, partition_of
from write_side.contract.log import Log
from write_side.contract.position import Position, format_positions

UNKNOWN_WAIT_S: Final = 0.5
"""How long a reader of an unknown account waits for the view to catch up with the log as it was at arrival."""
POLL_S: Final = 0.02
"""Between two looks at a view that another process writes: a fifth of the goal from commit to socket with Redis."""


class Marks(Protocol):
    """How far a partition's view is, as a projector in this process tells it."""

    visible: Watermark
    offset: Watermark


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


class Balances:
    """Balances of all partitions. `marks` has those that this process projects; others are polled."""

    def __init__(self, view: ViewStore, log: Log, marks: Mapping[int, Marks]) -> None:
        self.partitions = log.partitions
        self._view = view
        self._marks = marks
        self._shown = [-1] * log.partitions
        self._ends = [LogEnd(log, p) for p in range(log.partitions)]

    async def account(self, account: str, wanted: Wanted = NOTHING_WANTED) -> tuple[AccountRow, str]:
        """The account's row and the position it reflects. Raises NotFound, NotReached, Rebuilding, Malformed."""
        partition = partition_of(account, self.partitions)
        found = await self._wanted(partition, [account], wanted)
        row = found.rows[0]
        if row is None:
            found = await self._certainly(found, [account])
            row = found.rows[0]
            if row is None:
                raise NotFound(found.position)
        return row, str(found.position)

    async def many(self, accounts: Sequence[str], wanted: Wanted) -> tuple[str, list[tuple[AccountRow, str] | None]]:
        """Rows of many accounts, each partition's from one moment, and the positions. Raises as `account`, not NotFound."""
        places: dict[int, list[int]] = {}
        for i, account in enumerate(accounts):
            places.setdefault(partition_of(account, self.partitions), []).append(i)

        async def read(partition: int) -> Found:
            names = [accounts[i] for i in places[partition]]
            found = await self._wanted(partition, names, wanted)
            return await self._certainly(found, names) if None in found.rows else found

        answers: list[tuple[AccountRow, str] | None] = [None] * len(accounts)
        positions: dict[int, int] = {}
        for partition, found in zip(places, await _all(read(p) for p in places), strict=True):
            if found.checkpoint.sequence >= 0:
                positions[partition] = found.checkpoint.sequence
            position = str(found.position)
            for i, row in zip(places[partition], found.rows, strict=True):
                answers[i] = None if row is None else (row, position)
        return format_positions(positions), answers

    async def system(self, asset: str, wanted: Wanted) -> list[Found]:
        """`@world` and `@transit` of an asset, a partition each. Raises NotReached, Rebuilding, Malformed."""
        names = [f"{WORLD}:{asset}", f"{TRANSIT}:{asset}"]
        return await _all(self._wanted(p, names, wanted) for p in range(self.partitions))

    async def caught_up(self, partition: int, offset: int) -> None:
        """Wait until the view reflects everything that is in the log at this moment. Raises Rebuilding.

        offset: up to where it is known to reflect it.
        """
        deadline = asyncio.get_running_loop().time() + UNKNOWN_WAIT_S
        try:
            end = await self._ends[partition].offset(offset)
        except TooFarBehind:
            raise Rebuilding from None
        while offset < end:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                raise Rebuilding
            marks = self._marks.get(partition)
            if marks is None:
                await asyncio.sleep(min(POLL_S, left_s))
            else:
                await marks.offset.reach(end, left_s)
            offset = (await self._read(partition, [])).checkpoint.log_offset

    async def _wanted(self, partition: int, accounts: list[str], wanted: Wanted) -> Found:
        """Rows at the wanted position and version. Raises NotReached, Rebuilding."""
        check_partitions(wanted.positions, self.partitions)
        sequence = wanted.positions.get(partition, -1)
        deadline = asyncio.get_running_loop().time() + wanted.wait_s
        while True:
            found = await self._read(partition, accounts)
            row = found.rows[0] if wanted.version is not None else None
            here = found.checkpoint.sequence >= sequence
            if here and (wanted.version is None or (row is not None and row.version >= wanted.version)):
                return found
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                if here and row is None:
                    return found  # an account that is not there has no version to wait for
                word = "version_not_reached" if here else "position_not_reached"
                raise NotReached(word, found.position, row.version if row is not None else None)
            await self._news(partition, found.checkpoint.sequence + 1 if here else sequence, left_s)

    async def _certainly(self, found: Found, accounts: list[str]) -> Found:
        """The rows again, once everything in the log at this moment is in the view. Raises Rebuilding."""
        await self.caught_up(found.partition, found.checkpoint.log_offset)
        return await self._read(found.partition, accounts)

    async def _read(self, partition: int, accounts: list[str]) -> Found:
        marks = self._marks.get(partition)
        # As of before the read: one that began earlier may end later and be older, and contradicts nobody.
        shown = max(self._shown[partition], marks.visible.value if marks is not None else -1)
        try:
            checkpoint, rows = await self._view.read(partition, accounts)
        except ViewUnavailable as error:
            raise Rebuilding from error
        if checkpoint is None or checkpoint.sequence < shown:
            raise Rebuilding
        self._shown[partition] = max(checkpoint.sequence, self._shown[partition])
        return Found(partition, checkpoint, rows)

    async def _news(self, partition: int, sequence: int, left_s: float) -> None:
        """Wait until block `sequence` may be visible."""
        marks = self._marks.get(partition)
        if marks is None:
            await asyncio.sleep(min(POLL_S, left_s))
        else:
            await marks.visible.reach(sequence, left_s)


async def _all(questions: Iterable[Coroutine[Any, Any, Found]]) -> list[Found]:
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
