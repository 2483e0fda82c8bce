"""What may be asked in the address of a read: the parameters of a query, as texts, and what each must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from fanfold.api import grammar
from fanfold.api.answers import OPEN_PHASES
from fanfold.api.words import AccountId, Asset, Optionally

WAIT_MS_DEFAULT: Final = 2_000
WAIT_MS_MAX: Final = 10_000
"""A reader that waits longer is better off asking again: proxies between begin to cut connections."""
VERSION_MAX: Final = 2**62
TRANSFERS_MAX: Final = 1_000
TRANSFERS_DEFAULT: Final = 100
OLDER_THAN_S_MAX: Final = 1_000_000_000
"""Some 31 years, so that the subtraction from now stays a time."""
BALANCES_MAX: Final = 10_000
"""What one socket of a gateway may subscribe to."""
WAIT_SECONDS_MAX: Final = 30
"""Of `Prefer: wait=N`. Longer than any transfer across partitions takes where nothing is down; a client asks again rather than
hold on. The gateway waits longer for an answer (`upstream_silence_ms`), and a proxy in front of it must, too."""

OPEN: Final = "open"
"""The word for every phase of a transfer that is not over."""

MinPosition = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.POSITIONS),
        examples=["0:17,3:9"],
        description="Least position that the answer must reflect.",
    ),
]
WaitMs = Annotated[int, Field(ge=0, le=WAIT_MS_MAX, description="How long to wait for what is wanted, milliseconds.")]


@dataclass(frozen=True)
class Waiting:
    """How old an answer may be. Who wants nothing waits for nothing."""

    min_position: Optionally[MinPosition] = None
    wait_ms: WaitMs = WAIT_MS_DEFAULT

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class OfAccount(Waiting):
    """Of one account."""

    min_version: Annotated[
        Optionally[Annotated[int, Field(ge=0, le=VERSION_MAX)]], Field(description="Least version of the account.")
    ] = None


_SOME_PHASES: Final = f"(?:{'|'.join(OPEN_PHASES)})"


@dataclass(frozen=True)
class OfTransfers(Waiting):
    """Which transfers that are under way."""

    phase: Annotated[
        str,
        Field(
            pattern=grammar.whole(f"(?:{OPEN}|{_SOME_PHASES}(?:,{_SOME_PHASES})*)"),
            description=f"`{OPEN}` for all, or some of `{','.join(OPEN_PHASES)}`.",
        ),
    ] = OPEN
    older_than: Annotated[
        int, Field(ge=0, le=OLDER_THAN_S_MAX, description="Only those that began this many seconds ago or before.")
    ] = 0
    limit: Annotated[int, Field(ge=1, le=TRANSFERS_MAX)] = TRANSFERS_DEFAULT
    partitions: Annotated[
        Optionally[
            Annotated[str, Field(pattern="^(?:0|[1-9][0-9]{0,3})(?:,(?:0|[1-9][0-9]{0,3}))*$", examples=["0,2"])]
        ],
        Field(description="Only of these; all others must be projected by this process too."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class OfSystem(Waiting):
    """Which asset's system accounts."""

    asset: Asset


@dataclass(frozen=True)
class OfBatch:
    """What a refused line means for the others."""

    mode: Annotated[
        Literal["continue", "stop", "atomic"],
        Field(
            description=(
                "What a refused line means for the others: nothing, that those behind it are not run by this request (one that "
                "ran before is answered as it was then), or that none of them moves anything. A line that is still under way "
                "(202) has not been refused, and those behind it are run."
            )
        ),
    ] = "continue"

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ManyBalances:
    """Of many accounts at once, for gateways."""

    accounts: Annotated[list[AccountId], Field(max_length=BALANCES_MAX)]
    min_position: Optionally[MinPosition] = None
    wait_ms: WaitMs = WAIT_MS_DEFAULT

    __pydantic_config__ = ConfigDict(extra="forbid")
