"""Transfers under way between partitions, and what each waits for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fanfold.api.answers.members import Action, Age, Id, OpenPhase, Partition, Positions, Protocol, StepNumber, says
from fanfold.api.answers.stale import StalePartitions
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import ID
from fanfold.api.words.told import PositionText

_UNDER_WAY: Final = {
    "id": ID,
    "protocol": "saga",
    "phase": "crediting",
    "partition": 0,
    "begun": "0:17",
    "age_ms": 250,
    "waiting_for": [{"step": 1, "partition": 3, "action": "confirm"}],
}


@dataclass(frozen=True)
class Waiting:
    """What an open transfer waits for: the answer of a partition to an action of a step."""

    step: StepNumber
    partition: Partition
    action: Action

    __pydantic_config__ = OPEN


WaitingFor = Annotated[tuple[Waiting, ...], says("Of a transfer under way: the answers that it waits for.")]


@dataclass(frozen=True)
class OpenTransfer:
    """A transfer under way. begun: its position in its home partition's log; partition: that home."""

    id: Id
    protocol: Protocol
    phase: OpenPhase
    partition: Partition
    begun: PositionText
    age_ms: Age
    waiting_for: WaitingFor

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class OpenTransfers:
    """Transfers under way, oldest first, as of `position`."""

    transfers: Annotated[tuple[OpenTransfer, ...], says("Those asked for, oldest first.")]
    position: Positions
    stale: StalePartitions = ()

    __pydantic_config__ = shown({"transfers": [_UNDER_WAY], "position": "0:19,3:9"})
