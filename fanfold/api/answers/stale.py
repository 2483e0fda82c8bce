"""A partition whose log is damaged, as answers tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fanfold.api.answers.members import STALE, Partition, says
from fanfold.api.declared import shown
from fanfold.api.examples import DAMAGED
from fanfold.api.words.told import Moment


@dataclass(frozen=True)
class StalePartition:
    """A partition whose log is damaged: it is served as of the last block that could be read, until a person has mended it."""

    partition: Partition
    stale_since: Annotated[Moment, STALE]
    reason: Annotated[str, says("Where the log is damaged, for a person.")]

    __pydantic_config__ = shown(DAMAGED)


StalePartitions = Annotated[
    tuple[StalePartition, ...],
    says(
        "The partitions whose logs are damaged, left out where there are none. Whatever came after the `stale_since` of each is "
        "not in this answer."
    ),
]
