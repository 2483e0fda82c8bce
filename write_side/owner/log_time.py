"""Whether a log's time is ahead of the clock: the one rule, for the writer that refuses such a log and for who asks before."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final, NamedTuple

from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.clock import Clock
from write_side.owner.fold_to_end import fold_to_end

GOES_ON_US: Final = 3_600_000_000
"""At the log's time each block is a microsecond later than the one before. An hour is room for 3,600,000,000 of them, so
that a writer that starts again before the clock has caught up takes what the ones before it wrote."""


class LogTime(StrEnum):
    """What a writer says to the time of a log's last block."""

    FINE = "fine"
    ACCEPTED = "accepted"
    """Ahead of the clock, and gone on with: FANFOLD_ACCEPT_LOG_TIME says so."""
    REFUSED = "refused"
    """Ahead of the clock. Nobody knows which of the two is wrong, so nothing is written."""


def judge_log_time(last_us: int, now_us: int, max_clock_step_us: int, accepted_us: int) -> LogTime:
    """last_us: the time of the last block, 0 where there is none; accepted_us: as FANFOLD_ACCEPT_LOG_TIME says, 0 for none."""
    if last_us <= now_us + max_clock_step_us:
        return LogTime.FINE
    return LogTime.ACCEPTED if last_us <= accepted_us + GOES_ON_US else LogTime.REFUSED


class PartitionTime(NamedTuple):
    """How the time of one partition's log stands to the clock. position, last_us: of the last block, None where there is none or
    none could be read. problem: why it cannot be read further than that; nothing is judged then, for a later one may be there."""

    partition: int
    position: str | None
    last_us: int | None
    now_us: int
    verdict: LogTime | None
    problem: str | None = None

    @property
    def ahead_us(self) -> int | None:
        return None if self.last_us is None else self.last_us - self.now_us

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "partition": self.partition,
            "position": self.position,
            "last_block_at": None if self.last_us is None else format_time(self.last_us),
            "ahead_us": self.ahead_us,
            "verdict": "unread" if self.verdict is None else str(self.verdict),
            "problem": self.problem,
        }


async def partition_time(
    log: Log, partition: int, snapshots: Snapshots | None, clock: Clock, max_clock_step_us: int, accepted_us: int
) -> PartitionTime:
    """What a writer that starts now would find, by what it does itself: only a fold knows which block is the last that counts."""
    replay, problem = Replay(State(partition, log.partitions), FINGERPRINTS), None
    try:
        await fold_to_end(log, partition, replay, snapshots, FINGERPRINTS, starts=False)
    except (LogFailed, ChainBroken, CheckFailed) as failure:
        problem = str(failure)
    now_us = clock.wall_us()  # after the fold: a service that runs has stamped blocks meanwhile
    chained = replay.state.chained
    is_empty = chained.sequence < 0
    return PartitionTime(
        partition,
        None if is_empty else str(Position(partition, chained.sequence)),
        None if is_empty else chained.created_at_us,
        now_us,
        None if problem else judge_log_time(chained.created_at_us, now_us, max_clock_step_us, accepted_us),
        problem,
    )
