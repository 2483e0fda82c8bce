"""Which rights a command needs: one function for the single request, the line of a batch and the command on a stream. Pure.

Giving needs `debit`, receiving `credit`, a condition `read` (its refusal tells what the account has). What a command names by
an id (a hold, a transfer to reverse) has accounts that only the read side knows: then the answer is which id that is, and
`of_outcome` judges once its parties are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from fanfold.api import requests
from fanfold.api.body_checks import batch_line
from fanfold.api.requests import Command, Open
from gateway.identity.grants import Principal, Right


class Need(NamedTuple):
    """A right over one account."""

    right: Right
    account: str


class OfOutcome(NamedTuple):
    """It cannot be said before it is known who the parties of this id are. given: rights over those that gave, or are to give."""

    id: str
    given: Right
    received: Right | None
    """Over those that received; None: nothing is asked of them."""


class Party(NamedTuple):
    """An account of an outcome. account: None where its name is not known there. gives: None where that is not known."""

    account: str | None
    gives: bool | None


Verdict = bool | OfOutcome


def command_allowed(principal: Principal, line: Mapping[str, object]) -> Verdict:
    """Of one line of a batch, as a JSON object (`fanfold/api/strict_json.py`). Raises Malformed: nobody may what is not
    understood."""
    return allowed(principal, batch_line(line))


def allowed(principal: Principal, asked: Open | Command) -> Verdict:
    """Of a command that is read."""
    match asked:
        case requests.Capture(hold=id) | requests.Void(hold=id):
            return OfOutcome(str(id), Right.DEBIT, None)
        case requests.Reverse(transfer=id):
            return OfOutcome(str(id), Right.CREDIT, Right.DEBIT)
        case Open():
            return principal.may_open(asked.account, asked.owner)
        case _:
            return all(principal.may(need.right, need.account) for need in _needs(asked))


def of_outcome(principal: Principal, asked: OfOutcome, parties: Iterable[Party]) -> bool:
    """Once the parties are known. Whose part is not known needs what either part would; who is not known is not allowed, and
    without a party nothing is."""
    known = list(parties)
    return bool(known) and all(_may(principal, asked, party) for party in known)


def _may(principal: Principal, asked: OfOutcome, party: Party) -> bool:
    if party.account is None:
        return False
    if party.account.startswith("@"):
        return principal.is_of_the_system
    rights = [asked.given] if party.gives is not False else []
    if asked.received is not None and party.gives is not True:
        rights.append(asked.received)
    return all(principal.may(right, party.account) for right in rights)


def accounts_named(asked: Open | Command) -> tuple[str, ...] | None:
    """The accounts that a command names itself; None of one that names an id."""
    if isinstance(asked, requests.Capture | requests.Void | requests.Reverse):
        return None
    return tuple(dict.fromkeys(need.account for need in _needs(asked)))


def unclear(principal: Principal, asked: Open | Command) -> tuple[list[str], list[str]]:
    """Accounts that a command names itself: those of which it depends on whose they are whether it may be done, and whether they
    may be shown. What a grant over names allows has nobody looked for."""
    if isinstance(asked, requests.Capture | requests.Void | requests.Reverse):
        return [], []
    needs = list(_needs(asked))
    # To open is about who it is opened for, which is said in the command.
    judged = [need.account for need in needs if need.right is not Right.OPEN and principal.unclear(*need)]
    return judged, [need.account for need in needs if principal.unclear(Right.READ, need.account)]


def _needs(asked: Open | Command) -> Iterator[Need]:
    match asked:
        case Open():
            yield Need(Right.OPEN, asked.account)
        case requests.Change():
            yield Need(Right.FREEZE, asked.account)
        case requests.Transfer() | requests.HoldBetween():
            yield Need(Right.DEBIT, asked.from_)
            yield Need(Right.CREDIT, asked.to)
        case requests.LegsTransfer() | requests.Hold():
            for leg in asked.legs:
                yield Need(Right.DEBIT if leg.amount < 0 else Right.CREDIT, leg.account)
                if leg.if_version is not None or leg.if_available_at_least is not None:
                    yield Need(Right.READ, leg.account)
        case _:
            raise AssertionError("a command that names an id is judged by its parties")
