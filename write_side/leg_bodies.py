"""Legs in a body: the short form (`from`, `to`, `amount`, `asset`) and the long one (`legs`), to the same sorted legs."""

from __future__ import annotations

from typing import Final

from write_side.body_fields import Members, check_names, given
from write_side.contract.atoms import (
    LIMIT,
    WORLD,
    Malformed,
    parse_account,
    parse_amount,
    parse_asset,
    parse_integer,
)
from write_side.ledger.commands import ANY_AVAILABLE, ANY_VERSION, LEGS_MAX, Leg

SHORT: Final = frozenset({"from", "to", "amount", "asset"})
LONG: Final = frozenset({"legs", "asset"})

_CONDITIONS: Final = frozenset({"if_version", "if_available_at_least"})
_CAPTURED: Final = frozenset({"account", "amount", "asset"})
_LEG: Final = _CAPTURED | _CONDITIONS


def body_legs(members: Members) -> tuple[Leg, ...]:
    """The legs of a transfer or hold in either form, sorted by (account, asset). Names have been checked. Raises Malformed."""
    if "legs" in members:
        return long_form(members)
    debit = parse_account(given(members, "from"), "from", system=True)
    credit = parse_account(given(members, "to"), "to", system=True)
    amount = parse_amount(given(members, "amount"))
    asset = parse_asset(given(members, "asset"))
    if debit == credit:
        raise Malformed("same_account_twice", "to", "must name two different accounts")
    return tuple(sorted((Leg(debit, -amount, asset), Leg(credit, amount, asset))))


def long_form(members: Members, *, conditions: bool = True) -> tuple[Leg, ...]:
    """The legs of `legs`, a leg without an asset having the one beside it. Raises Malformed."""
    given_legs = members["legs"]
    if not isinstance(given_legs, list) or not 2 <= len(given_legs) <= LEGS_MAX:
        raise Malformed("legs_malformed", "legs", f"must be a list of 2 to {LEGS_MAX} objects with account and amount")
    asset = parse_asset(members["asset"]) if "asset" in members else None
    legs = tuple(sorted(_leg(leg, asset, _LEG if conditions else _CAPTURED) for leg in given_legs))
    sums: dict[str, int] = {}
    moved: dict[str, int] = {}
    for leg in legs:
        sums[leg.asset] = sums.get(leg.asset, 0) + leg.amount
        moved[leg.asset] = moved.get(leg.asset, 0) + max(leg.amount, 0)
    if any(sums.values()):
        raise Malformed("legs_malformed", "legs", "must sum to zero in each asset")
    if max(moved.values()) > LIMIT:
        # No account can hold more, and so no share of a transfer can pass what an amount may be.
        raise Malformed("amount_malformed", "legs.amount", "must not pass 10^18 minor units together in one asset")
    if len({(leg.account, leg.asset) for leg in legs}) != len(legs):
        raise Malformed("same_account_twice", "legs", "must name an account once in each asset")
    return legs


def has_conditions(legs: tuple[Leg, ...]) -> bool:
    return any(leg.if_version != ANY_VERSION or leg.if_available != ANY_AVAILABLE for leg in legs)


def _leg(leg: object, asset: str | None, names: frozenset[str]) -> Leg:
    if not isinstance(leg, dict):
        raise Malformed("legs_malformed", "legs", "must be a list of objects with account and amount")
    check_names(leg, names)
    account = parse_account(given(leg, "account", "legs.account"), "legs.account", system=True)
    amount = parse_integer(given(leg, "amount", "legs.amount"), "legs.amount")
    if amount == 0:
        raise Malformed("amount_malformed", "legs.amount", "must not be zero")
    if "asset" in leg:
        asset = parse_asset(leg["asset"], "legs.asset")
    if asset is None:
        raise Malformed("field_missing", "asset", "is needed, in each leg or beside the legs")
    return Leg(account, amount, asset, *_conditions(leg))


def _conditions(leg: Members) -> tuple[int, int]:
    if not _CONDITIONS.isdisjoint(leg) and leg["account"] == WORLD:
        # Each partition has its own, and which one takes part is not the client's to know.
        raise Malformed("condition_malformed", "legs", f"must not have conditions on {WORLD}")
    version, least = ANY_VERSION, ANY_AVAILABLE
    if "if_version" in leg:
        asked = leg["if_version"]
        if not isinstance(asked, int) or isinstance(asked, bool) or asked < 0:
            raise Malformed("condition_malformed", "legs.if_version", "must be a whole number of at most 18 digits")
        version = asked
    if "if_available_at_least" in leg:
        field = "legs.if_available_at_least"
        least = parse_integer(leg["if_available_at_least"], field, "condition_malformed")
    return version, least
