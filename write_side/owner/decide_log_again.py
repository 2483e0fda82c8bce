"""Does the code at hand decide history as it was? Every block of the log decided again at its own time, and nothing written."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from write_side.contract.block.chain import ChainBroken, Skip, judge
from write_side.contract.log.log import START, Log, LogDamaged, LogFailed, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.state import State
from write_side.contract.words.position import Position
from write_side.ledger.again.decide_again import decide_again
from write_side.ledger.again.untold import Untold
from write_side.ledger.commands.fingerprint import FINGERPRINTS

_MEANS: Final = (
    "The log stays as it was decided, and no balance changes. If the rule was meant to change, nothing is to be done; if not, do "
    "not serve with this version: what comes would be decided otherwise, too."
)


@dataclass
class PartitionDecidedAgain:
    """What came of one partition. position: the last block that came out as the log has it, None where none did.

    outcomes: how many were decided again; untold: how many were not, by why, since no block tells enough of them.  problem: where
    the first block is decided otherwise and how, or why it cannot be told; None where nothing is.  unread: the rest cannot be
    read now, which says nothing about it.  begun_after: the block of the snapshot that was begun at.
    """

    partition: int
    position: str | None = None
    blocks: int = 0
    outcomes: int = 0
    untold: dict[str, int] = field(default_factory=dict)
    problem: str | None = None
    unread: bool = False
    begun_after: str | None = None


@dataclass(frozen=True)
class LogDecidedAgain:
    """All partitions that were asked for."""

    partitions: list[PartitionDecidedAgain]

    @property
    def word(self) -> str:
        """`same`, `different`, or `unread`: nothing is different in what could be read, and that was not all."""
        problems = [each for each in self.partitions if each.problem is not None]
        if not problems:
            return "same"
        return "unread" if all(each.unread for each in problems) else "different"

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        untold = sum((Counter(each.untold) for each in self.partitions), Counter[str]())
        return {
            "verdict": self.word,
            "outcomes": sum(each.outcomes for each in self.partitions),
            "not_decided_again": dict(untold),
            "by_partition": [asdict(each) for each in self.partitions],
        }


async def decide_log_again(
    log: Log,
    partitions: Sequence[int],
    progress: Callable[[int], None] = lambda outcomes: None,
    snapshots: Snapshots | None = None,
    behind: Mapping[int, int] | None = None,
) -> LogDecidedAgain:
    """Decide these partitions of the log again, side by side, to the ends that they have now.

    snapshots: begin at the newest of them, where there is one; blocks before are believed.  behind: by partition the block behind
    which all is to be decided, so that it begins at a snapshot of no later one; other partitions are decided whole.  progress:
    told how many outcomes more, from any thread. What the environment may do is told and not raised.
    """
    found = await asyncio.gather(
        *(
            _Deciding(log, p, progress).run(
                snapshots if behind is None or p in behind else None, None if behind is None else behind.get(p)
            )
            for p in partitions
        )
    )
    return LogDecidedAgain(list(found))


class _Otherwise(Exception):
    """A block that is decided otherwise now. The message is for a person."""


class _Deciding:
    def __init__(self, log: Log, partition: int, progress: Callable[[int], None]) -> None:
        self._log, self._partition, self._progress = log, partition, progress
        self._state = State(partition, log.partitions)
        self._untold = Counter[Untold]()
        self._found = PartitionDecidedAgain(partition)

    async def run(self, snapshots: Snapshots | None, until: int | None) -> PartitionDecidedAgain:
        found, after = self._found, START
        try:
            at = None if snapshots is None else await snapshots.newest(self._partition, FINGERPRINTS, until)
            if at is not None:
                self._state, after = at.replay.state, at.replay.last_offset
                found.begun_after = str(Position(self._partition, at.replay.began_after))
            async with aclosing(self._log.read(self._partition, after)) as runs:
                async for records in runs:
                    await asyncio.to_thread(self._take, records)
        except (_Otherwise, ChainBroken, CheckFailed, LogDamaged) as other:
            found.problem = str(other)
        except LogFailed as failed:
            found.problem, found.unread = str(failed), True
        found.untold = {str(why): count for why, count in sorted(self._untold.items())}
        return found

    def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            block = judge(self._partition, self._state.chained.head, record.data)
            if isinstance(block, Skip):
                continue
            position = str(Position(self._partition, block.header.sequence))
            try:
                again = decide_again(self._state, block, record.data, partitions=self._log.partitions)
            except CheckFailed:
                raise
            except Exception as failure:  # whatever the code at hand does with history is what was asked
                reason = f"{type(failure).__name__}: {failure}"
                raise _Otherwise(f"the code at hand cannot decide block {position} ({reason}). {_MEANS}") from failure
            if again.differs is not None:
                raise _Otherwise(f"block {position} is decided otherwise now: {again.differs}. {_MEANS}")
            self._found.blocks += 1
            self._found.outcomes += again.outcomes
            self._found.position = position
            self._untold += again.untold
            self._progress(again.outcomes + again.untold.total())
