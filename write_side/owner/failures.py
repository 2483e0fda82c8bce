"""What follows from a failure of a partition's writer or follower. The table is the whole decision; `partition.py` does it.

| failure | next | why |
|---|---|---|
| LogDamaged, ChainBroken, CheckFailed | STAYS | the log itself is broken: reading it again finds the same |
| LogUnsynced | STAYS | the disk failed a sync; only a start that a person asked for may believe the disk again |
| Overtaken | STAYS | another process owns the partition, and taking it back would be a fight without an end |
| Trimmed | STAYS | the settings do not name the archive of a log that was trimmed; none of this process will |
| any other LogFailed | AGAIN | brokers come back, disks get room |
| ClockStepped | AGAIN | nothing is written until the clock is right again |
| MemoryError | ENDS | memory is the process's, not the partition's |
| anything else | AGAIN, a few times in a row, then STAYS | a fault of ours: it stops its partition, not the others |

A process in which no partition goes on stays as well, and says so at every door: whoever starts it again without having looked
would find the same damage, believe the disk that failed, or take its partitions from the process that writes them, which comes
back for them. Only after a fault of ours it ends (`a_new_process_may_mend`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fanfold.api.retry import Waits
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import LogDamaged, LogFailed, LogUnsynced, Trimmed
from write_side.contract.state.fold import CheckFailed
from write_side.owner.clock import ClockStepped
from write_side.owner.writer import Overtaken

WAITS: Final = Waits(0.5, 30.0)
"""Before a partition is taken up again: a broker that is back is used within half a minute, and a fold is not repeated idly."""
FAULTS_MAX: Final = 3
"""How often a fault of ours is tried again in a row: it may have been a race; a command that always fails is none."""


LASTING: Final = (LogDamaged, LogUnsynced, Trimmed, ChainBroken, CheckFailed, Overtaken)


class Next(StrEnum):
    AGAIN = "again"
    STAYS = "stays"
    ENDS = "ends"


def what_follows(failure: BaseException, in_a_row: int) -> Next:
    """in_a_row: how many lives of the partition have failed, this one included, since it last served for a while."""
    match failure:
        case _ if isinstance(failure, LASTING):
            return Next.STAYS
        case LogFailed() | ClockStepped():
            return Next.AGAIN
        case MemoryError():
            return Next.ENDS
        case _:
            return Next.AGAIN if in_a_row <= FAULTS_MAX else Next.STAYS


def stops_for_all(failure: BaseException, owned: bool) -> bool:
    """Whether a partition that STAYS after this is written by nobody, as far as this process can know: not when another one took
    it over, nor when a follower of ours is wrong about a log that is whole."""
    if isinstance(failure, LogDamaged | ChainBroken | CheckFailed):
        return True
    return owned and not isinstance(failure, Overtaken)


def a_new_process_may_mend(failure: BaseException) -> bool:
    """Whether a process that has nothing else to do ends with this, for whoever keeps it to start a new one."""
    return not isinstance(failure, LASTING)
