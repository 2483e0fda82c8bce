"""What a process says of itself: that it lives, and whether it would answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fanfold.api.answers.members import one_of, says
from fanfold.api.answers.stale import StalePartition
from fanfold.api.declared import shown
from fanfold.api.examples import DAMAGED


@dataclass(frozen=True)
class Health:
    """This process runs."""

    status: Annotated[str, one_of("alive", means="It runs.")]

    __pydantic_config__ = shown({"status": "alive"})


@dataclass(frozen=True)
class Readiness:
    """Whether requests would be answered, and how far each partition is. Each side tells more of itself than is said here."""

    degraded: Annotated[tuple[str, ...], says("What is the matter all the same, for a person.")] = ()
    stale: Annotated[
        tuple[StalePartition, ...],
        says("The partitions whose logs are damaged: whatever came after their `stale_since` is in no answer."),
    ] = ()

    __pydantic_config__ = shown({"degraded": [DAMAGED["reason"]], "stale": [DAMAGED]})
