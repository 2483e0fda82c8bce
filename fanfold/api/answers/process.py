"""What a process says of itself: that it lives, and whether it would answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fanfold.api.answers.members import one_of, says
from fanfold.api.answers.stale import StalePartition
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import DAMAGED


@dataclass(frozen=True)
class Health:
    """This process runs."""

    status: Annotated[str, one_of("alive", means="It runs.")]

    __pydantic_config__ = shown({"status": "alive"})


@dataclass(frozen=True)
class ReadSideReadiness:
    """What a read side tells of its log besides, where it answers `Readiness`, ready or not."""

    partitions_of_log: Annotated[
        int, Field(strict=True, ge=1), says("How many partitions the log has, whichever of them this process projects.")
    ]

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Readiness:
    """Whether requests would be answered, and how far each partition is. Each side tells more of itself than is said here."""

    degraded: Annotated[tuple[str, ...], says("What is the matter all the same, for a person.")] = ()
    stale: Annotated[
        tuple[StalePartition, ...],
        says("The partitions whose logs are damaged: whatever came after their `stale_since` is in no answer."),
    ] = ()

    __pydantic_config__ = shown({"degraded": [DAMAGED["reason"]], "stale": [DAMAGED]})
