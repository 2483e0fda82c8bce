"""How far the partitions are, and how far readers are behind the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from fanfold.api.answers.members import Count, Partition, one_of, says
from fanfold.api.declared import OPEN, shown
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Moment

_STALE_READERS: Final = says(
    "Only while its log is damaged: the time of the last block that could be read, UTC, 1970 where none could. Readers see "
    "nothing of what came later, whatever the lag says."
)


BlockNumber = Annotated[int, Field(ge=-1)]


@dataclass(frozen=True)
class PartitionProgress:
    """How far a partition is with what takes long: a start that folds its log, a rebuild or rollback of its view."""

    what: Annotated[
        str,
        one_of(
            "start", "rebuild", "rollback",
            means="What goes on: a start (nothing is answered meanwhile), or a view that is made beside the one that is read.",
        ),
    ]  # fmt: skip
    done: Annotated[Count, says("How much of it is done, in `unit`.")]
    total: Annotated[Count | None, says("About how much there is to do; null while that is not known.")]
    unit: Annotated[
        str,
        one_of(
            "blocks", "entries", "accounts",
            means="What is counted: of a rebuild first the entries that are folded, then the accounts that are compared.",
        ),
    ]  # fmt: skip
    seconds_left: Annotated[
        float | None, says("About how long it takes yet, at the pace so far; null while that is not known.")
    ]

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class PartitionNow:
    """How far one partition is. Marks are blocks of its log, -1 before the first; what is between them is its lag: all 0 where
    nothing happens."""

    partition: Partition
    position: Annotated[str | None, says("What readers see of it; null before its first block.")]
    accepted: Annotated[BlockNumber, says("The last block that was taken from the log to be folded.")]
    folded: Annotated[BlockNumber, says("The last block that is in the state in memory.")]
    stored: Annotated[BlockNumber, says("The last block that is in the view.")]
    pushed: Annotated[BlockNumber, says("The last block that gateways were told of.")]
    unread: Annotated[
        Count | None,
        says(
            "Log end minus accepted, in `unit`, as of a second ago at most; null while the log does not say where it ends."
        ),
    ]
    unit: Annotated[
        str,
        one_of("records", "bytes", means="What `unread` counts: records of Kafka (a block each), bytes of a file log."),
    ]
    unfolded: Annotated[Count, says("Accepted minus folded, in blocks.")]
    unstored: Annotated[Count, says("Folded minus stored, in blocks.")]
    unpushed: Annotated[Count, says("Stored minus pushed, in blocks.")]
    oldest_unapplied_ms: Annotated[
        Count | None,
        says(
            "Age of the oldest block that the view does not have, by the time in it, milliseconds; 0 when there is none, null "
            "while that is not known."
        ),
    ]
    reason: Annotated[Optionally[str], says("Why it does not get on, for a person; absent while it does.")] = None
    stale_since: Annotated[Optionally[Moment], _STALE_READERS] = None
    progress: Annotated[
        Optionally[PartitionProgress],
        says("Only while this process starts with it, or makes its view again or rolls it back."),
    ] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class PositionsNow:
    """How far the partitions of the log are, as this read side sees them."""

    partitions: Annotated[tuple[PartitionNow, ...], says("Those that this read side projects.")]
    elsewhere: Annotated[
        tuple[Partition, ...], says("Partitions of the log that it does not: another process does.")
    ] = ()

    __pydantic_config__ = shown(
        {
            "partitions": [
                {
                    "partition": 0,
                    "position": "0:17",
                    "accepted": 19,
                    "folded": 19,
                    "stored": 17,
                    "pushed": 17,
                    "unread": 3,
                    "unit": "records",
                    "unfolded": 0,
                    "unstored": 2,
                    "unpushed": 0,
                    "oldest_unapplied_ms": 12,
                }
            ],
            "elsewhere": [1],
        }
    )
