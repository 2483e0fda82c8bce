"""Who asks, and what they may do: a principal, its grants, and one question. Pure.

A grant is accounts times rights. Its accounts are one name, or all that begin with one (`team1.*`; `*` is every account). What no
grant gives is not allowed: there is no way to take something away from a grant, so the order of grants means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from fanfold.api import grammar

GRANTS_MAX: Final = 256
"""Of one principal: each is looked through for every account that a request names."""

EVERYTHING: Final = "*"
_ACCOUNTS: Final = re.compile(rf"(?:{grammar.ACCOUNT}\*?|\*)\Z", re.ASCII)
_NAME: Final = re.compile(rf"{grammar.PRINCIPAL}\Z", re.ASCII)

KEY_NAMES: Final = "key:"
"""What the names of machines begin with that sign in by a key; the subject of a token may not."""


class Right(StrEnum):
    """READ: see it. DEBIT, CREDIT: let it give, receive. OPEN: open it. FREEZE: change its flags. SYSTEM: `@world` and
    `@transit`, and what is told of the whole service; it is not about accounts, so only a grant of `*` has it."""

    READ = "read"
    DEBIT = "debit"
    CREDIT = "credit"
    OPEN = "open"
    FREEZE = "freeze"
    SYSTEM = "system"


class BadGrants(ValueError):
    """Grants that mean nothing, or more than one thing. The message says why, without what was written."""


@dataclass(frozen=True)
class Grant:
    """These rights over these accounts. accounts: a name, a beginning with `*` at its end, or `*`."""

    accounts: str
    rights: frozenset[Right]

    def covers(self, account: str) -> bool:
        if self.accounts.endswith(EVERYTHING):
            return account.startswith(self.accounts[:-1])
        return account == self.accounts

    def covers_all_with(self, prefix: str) -> bool:
        """Whether every account whose name begins so is covered."""
        return self.accounts.endswith(EVERYTHING) and prefix.startswith(self.accounts[:-1])


@dataclass(frozen=True)
class Principal:
    """name: the subject of a token, or `key:` and the name of a key. expires_at_s: Unix time from which it is nobody any
    more; None for never. token: which token said so (its `jti`), "" where that is not known. signed_with: the fingerprint of the
    key that its token was verified with, "" for a machine."""

    name: str
    grants: tuple[Grant, ...]
    expires_at_s: int | None = None
    token: str = ""
    signed_with: str = ""

    def may(self, right: Right, account: str) -> bool:
        """account: an id, or a system account in whichever form (`@world`, `@transit:USD/2`): for those every right is SYSTEM."""
        if account.startswith("@"):
            return self.is_of_the_system
        return any(right in grant.rights and grant.covers(account) for grant in self.grants)

    def may_somewhere(self, right: Right) -> bool:
        """Whether the right is given over any account."""
        return any(right in grant.rights for grant in self.grants)

    def may_all_with(self, right: Right, prefix: str) -> bool:
        """Whether the right is given over every account whose name begins so; `""`: over every account."""
        return any(right in grant.rights and grant.covers_all_with(prefix) for grant in self.grants)

    @cached_property
    def is_of_the_system(self) -> bool:
        return any(Right.SYSTEM in grant.rights for grant in self.grants)

    @cached_property
    def reads_everything(self) -> bool:
        """Whether no answer has anything that is not theirs to see."""
        return self.is_of_the_system and self.may_all_with(Right.READ, "")

    @cached_property
    def may_everything(self) -> bool:
        """Whether no request needs to be looked at."""
        return self.is_of_the_system and all(self.may_all_with(right, "") for right in Right)

    def has_expired(self, now_s: float) -> bool:
        return self.expires_at_s is not None and now_s >= self.expires_at_s


def check_name(name: object) -> str:
    """The name of a principal. Raises BadGrants."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise BadGrants("the name must be 1 to 255 visible ASCII characters")
    return name


def grants_of(document: object) -> tuple[Grant, ...]:
    """`[{"accounts": "team1.*", "rights": ["read", "debit"]}, ...]`, as claims and files have it. Raises BadGrants: a grant
    that is not understood is never passed over, since what stands beside it was meant together with it."""
    if not isinstance(document, list) or len(document) > GRANTS_MAX:
        raise BadGrants(f"grants must be a list of {GRANTS_MAX} at most")
    return tuple(map(_grant, document))


def _grant(document: object) -> Grant:
    if not isinstance(document, dict) or document.keys() != {"accounts", "rights"}:
        raise BadGrants('a grant must have "accounts" and "rights", and nothing else')
    return grant(document["accounts"], document["rights"])


def grant(accounts: object, rights: object) -> Grant:
    """Raises BadGrants."""
    if not isinstance(accounts, str) or not _ACCOUNTS.match(accounts):
        raise BadGrants('accounts must be an id, the beginning of ids with "*" at its end, or "*"')
    if not isinstance(rights, list) or not rights:
        raise BadGrants(f"rights must be a list of some of {', '.join(Right)}")
    try:
        found = frozenset(Right(each) for each in rights)
    except ValueError:
        raise BadGrants(f"rights must be some of {', '.join(Right)}") from None
    if Right.SYSTEM in found and accounts != EVERYTHING:
        raise BadGrants('the right "system" is not about some accounts: it needs "accounts": "*"')
    return Grant(accounts, found)


def documents_of(grants: Iterable[Grant]) -> list[dict[str, object]]:
    """The JSON of grants."""
    return [{"accounts": each.accounts, "rights": sorted(each.rights)} for each in grants]


def grant_of_text(text: str) -> Grant:
    """`team1.*=read,debit`, as a command takes it. Raises BadGrants."""
    accounts, separator, rights = text.partition("=")
    if not separator:
        raise BadGrants("a grant is written ACCOUNTS=RIGHTS, such as team1.*=read,debit")
    return grant(accounts, _words(rights))


def _words(rights: str) -> Sequence[str]:
    return [each.strip() for each in rights.split(",")]
