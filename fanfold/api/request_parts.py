"""What commands have in common: whom they are about, what moves, and what goes with them. Rules that concern several fields are
methods here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from fanfold.api import grammar
from fanfold.api.declared import CLOSED
from fanfold.api.grammar import LEGS_MAX
from fanfold.api.values import document_of
from fanfold.api.words.amounts import Amount, LeastAvailable, SignedAmount
from fanfold.api.words.beside import Choice, Deadline, Metadata, Protocol, Reference, Version
from fanfold.api.words.names import NEW_ID, PARTY, AccountId, Asset, MadeId, Party, TransferId
from fanfold.api.words.rules import Optionally, Refuses, Says, without_default


def _refused(code: str, field: str, detail: str) -> PydanticCustomError:
    return PydanticCustomError(code, detail, {"field": field})


# What commands have in common, each declared once. A command takes what it needs; its fields stand in the order of these classes
# from the last to the first, so that what is needed comes before what may be left out.


@dataclass(frozen=True)
class AboutAccount:
    """Which account."""

    account: AccountId

    about: ClassVar = "account"


@dataclass(frozen=True)
class AboutHold:
    """Which hold."""

    hold: Annotated[TransferId, Field(description="The id of the hold.")]

    about: ClassVar = "hold"


@dataclass(frozen=True)
class AboutTransfer:
    """Which transfer."""

    transfer: Annotated[TransferId, Field(description="The id of the transfer.")]

    about: ClassVar = "transfer"


@dataclass(frozen=True)
class TwoAccounts:
    """What is given by one account and received by another one."""

    from_: Annotated[Party, Field(alias="from", description=f"Who gives. {PARTY}")]
    to: Annotated[Party, Field(description=f"Who receives. {PARTY}")]
    amount: Amount
    asset: Asset

    refuses: ClassVar = ("same_account_twice",)

    @model_validator(mode="after")
    def _two_accounts(self) -> TwoAccounts:
        if self.from_ == self.to:
            raise _refused("same_account_twice", "to", "must name two different accounts")
        return self


@dataclass(frozen=True)
class CapturedLeg:
    """One side of what is moved: minus gives, plus receives. Without an asset it has the one beside the legs."""

    account: Party
    amount: SignedAmount
    asset: Optionally[Asset] = None

    __pydantic_config__ = CLOSED


@dataclass(frozen=True)
class Leg(CapturedLeg):
    """One side of a transfer. The conditions are tested before anything moves."""

    if_version: Optionally[Version] = None
    if_available_at_least: Optionally[LeastAvailable] = None

    refuses: ClassVar = ("condition_malformed",)
    __pydantic_config__ = CLOSED

    @model_validator(mode="after")
    def _conditions_of_an_account(self) -> Leg:
        if self.account == grammar.WORLD and (self.if_version is not None or self.if_available_at_least is not None):
            # Each partition has its own, and which one takes part is not the client's to know.
            raise _refused("condition_malformed", "legs", f"must not have conditions on {grammar.WORLD}")
        return self


def _list_of_legs(value: object) -> object:
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= LEGS_MAX:
        detail = f"must be a list of 2 to {LEGS_MAX} objects with account and amount"
        raise PydanticCustomError("legs_malformed", detail)
    if not all(isinstance(each, Mapping | CapturedLeg) for each in value):
        raise PydanticCustomError("legs_malformed", "must be a list of objects with account and amount")
    return value


_OF_LEGS: Final = ("legs_malformed", "amount_malformed", "same_account_twice")
_TWO_AND_MORE: Final = (BeforeValidator(_list_of_legs), Refuses(_OF_LEGS), Field(min_length=2, max_length=LEGS_MAX))
Legs = Annotated[
    Sequence[Leg],
    *_TWO_AND_MORE,
    Field(description="What each account gives or receives: zero together in each asset."),
]
CapturedLegs = Annotated[
    Sequence[CapturedLeg],
    *_TWO_AND_MORE,
    # Each with all that it says: a condition that has no place here is refused, and not left out.
    PlainSerializer(lambda legs: [document_of(leg) for leg in legs]),
    Field(
        description="These legs of the hold, of each so much: zero together in each asset. Not together with an amount."
    ),
]
SharedAsset = Annotated[Optionally[Asset], Field(description="Of the legs that name none themselves.")]


@dataclass(frozen=True)
class SomeLegs:
    """What is given and received in legs."""

    legs: Legs
    asset: SharedAsset = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        # A program's mistake, told where it is made: the two forms of a hold have names that are easily taken for each other.
        if isinstance(self.legs, str):
            raise TypeError(
                "legs are a list of Leg, as `between(from_, to, amount, asset)` makes them; with two accounts it is "
                "Transfer(from_, to, amount, asset) or HoldBetween(from_, to, amount, asset)"
            )

    @model_validator(mode="after")
    def _moves_together(self) -> SomeLegs:
        _check_legs(self.legs, self.asset)
        return self


@dataclass(frozen=True)
class PartOfHold(AboutHold):
    """What is moved of a hold."""

    amount: Annotated[
        Optionally[Amount],
        Field(
            description="So much of it, in minor units: of a hold between two accounts. All that is left if nothing is said."
        ),
    ] = None
    legs: Annotated[CapturedLegs, Field(exclude_if=lambda legs: not legs, json_schema_extra=without_default)] = ()
    final: Annotated[
        Choice, Field(exclude_if=lambda final: not final, description="Let go what is left of the hold then.")
    ] = False
    asset: SharedAsset = field(default=None, kw_only=True)

    @model_validator(mode="after")
    def _amount_or_legs(self) -> PartOfHold:
        if not self.legs:
            if self.asset is not None:
                raise _refused("field_unknown", "body", "has a field that belongs to legs: asset")
            return self
        if self.amount is not None:
            raise _refused("field_unknown", "body", "has a field that is not possible together with legs: amount")
        _check_legs(self.legs, self.asset)
        return self


Frozen = Annotated[Literal["frozen", "free"], Says("flags_malformed", 'must be "frozen" or "free"')]
Closed = Annotated[Literal["closed", "open"], Says("flags_malformed", 'must be "closed" or "open"')]
FLAGS: Final = ("debit", "credit", "state")


@dataclass(frozen=True)
class NewFlags(AboutAccount):
    """What an account may not do from now on."""

    debit: Annotated[Optionally[Frozen], Field(description="Whether it may give; as it is if nothing is said.")] = None
    credit: Annotated[Optionally[Frozen], Field(description="Whether it may receive; as it is if nothing is said.")] = (
        None
    )
    state: Annotated[Optionally[Closed], Field(description="Closed, it does neither; as it is if nothing is said.")] = (
        None
    )

    @model_validator(mode="after")
    def _something(self) -> NewFlags:
        if self.debit is None and self.credit is None and self.state is None:
            raise _refused("field_missing", "body", f"needs at least one of {', '.join(FLAGS)}")
        return self


@dataclass(frozen=True)
class Once:
    """What has an id runs at most once."""

    id: MadeId = NEW_ID


@dataclass(frozen=True)
class RunAcross:
    """What may span partitions."""

    protocol: Optionally[Protocol] = None


@dataclass(frozen=True)
class EndsByItself:
    """What may have an end that nobody asks for."""

    deadline: Optionally[Deadline] = None


@dataclass(frozen=True)
class Noted:
    """What the log keeps for whoever asks."""

    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None


@dataclass(frozen=True)
class OfTransfer(Noted, RunAcross, Once):
    """What every transfer may say, in whichever form: between two accounts, in legs, of a hold, the other way round."""


@dataclass(frozen=True)
class OfHold(Noted, EndsByItself, Once):
    """What every hold may say, in whichever form."""


def _check_legs(legs: Sequence[CapturedLeg], asset: str | None) -> None:
    """Whether they can move together: each has an asset, each asset sums to zero, and none passes what a balance may be."""
    sums: dict[str, int] = {}
    moved: dict[str, int] = {}
    for leg in legs:
        own = leg.asset or asset
        if own is None:
            raise _refused("field_missing", "asset", "is needed, in each leg or beside the legs")
        sums[own] = sums.get(own, 0) + leg.amount
        moved[own] = moved.get(own, 0) + max(leg.amount, 0)
    if any(sums.values()):
        raise _refused("legs_malformed", "legs", "must sum to zero in each asset")
    if max(moved.values()) > grammar.UNITS_MAX:
        # No account can hold more, and so no share of a transfer can pass what an amount may be.
        raise _refused("amount_malformed", "legs.amount", "must not pass 10^18 minor units together in one asset")
    if len({(leg.account, leg.asset or asset) for leg in legs}) != len(legs):
        raise _refused("same_account_twice", "legs", "must name an account once in each asset")
