"""The system accounts of an asset: what came from outside, and what is in flight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fanfold.api.answers.members import BLOCK_HASH, FINAL, STALE, AssetName, Partition, Positions, Version, says
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import AT
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment

_WORLD: Final = {"posted": "-1000", "held": "0", "version": 1, "at": AT}
_TRANSIT: Final = {"posted": "0", "held": "0", "version": 0, "at": AT}


@dataclass(frozen=True)
class SystemAccount:
    """A system account of one partition."""

    posted: Balance
    held: Balance
    version: Version
    at: Moment

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class SystemPartition:
    """The system accounts of one partition, at its position; null where it has none yet.

    stale_since: see `AccountState`.
    """

    partition: Partition
    position: Annotated[str | None, says("What this partition was read at; null before its first block.")]
    world: Annotated[SystemAccount | None, says("`@world` of the partition.")]
    transit: Annotated[SystemAccount | None, says("`@transit` of the partition.")]
    stale_since: Annotated[Optionally[Moment], STALE] = None
    block_hash: Annotated[Optionally[str], says(BLOCK_HASH)] = None
    final: Annotated[Optionally[bool], says(FINAL)] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class System:
    """What came from outside (`world`, minus what it gave) and what is in flight (`transit`), over all partitions, or
    those that were asked for.

    All other accounts together hold minus their sum, in every partition and in all.
    """

    asset: AssetName
    world: Balance
    transit: Balance
    positions: Positions
    partitions: Annotated[tuple[SystemPartition, ...], says("Each partition by itself.")]

    __pydantic_config__ = shown(
        {
            "asset": "USD/2",
            "world": "-1000",
            "transit": "0",
            "positions": "0:17",
            "partitions": [{"partition": 0, "position": "0:17", "world": _WORLD, "transit": _TRANSIT}],
        }
    )
