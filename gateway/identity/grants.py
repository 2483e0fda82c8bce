"""Who asks, and what they may do: a principal, its grants, and one question. Pure.

A grant is accounts times rights. Its accounts are one name, or all that begin with one (`team1.*`; `*` is every account), and of
those, where it says an owner, the ones that are that owner's. What no grant gives is not allowed: there is no way to take
something away from a grant, so the order of grants means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from fanfold.api import grammar

GRANTS_MAX: Final = 256
"""Of one principal: each is looked through for every account that a request names."""

EVERYTHING: Final = "*"
_ACCOUNTS: Final = re.compile(rf"(?:{grammar.ACCOUNT}\*?|\*)\Z", re.ASCII)
_OWNER: Final = re.compile(rf"{grammar.OWNER}\Z", re.ASCII)
_OF_OWNER: Final = "@owner:"
"""What a grant over an owner's accounts begins with as a text: no account's name does."""
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


OPENS_WHAT: Final = (
    'the right "open" is about names, and an owner has none before an account is opened: say "accounts" beside "owner", such as '
    '"anna.*"; with "*" any name may be taken, also one that others are about to pay'
)


class BadGrants(ValueError):
    """Grants that mean nothing, or more than one thing. The message says why, without what was written."""


@dataclass(frozen=True, slots=True)
class Grant:
    """These rights over these accounts. accounts: a name, a beginning with `*` at its end, or `*`. owner: only those that are
    this one's; None: whoever's they are; `*` is the same, and says that they may be opened for anybody."""

    accounts: str
    rights: frozenset[Right]
    owner: str | None = None

    @property
    def is_over_an_owner(self) -> bool:
        return self.owner not in (None, EVERYTHING)

    @property
    def is_of_whatever_is_theirs(self) -> bool:
        """Whether it can be said by an owner alone."""
        return self.owner is not None and self.accounts == EVERYTHING and Right.OPEN not in self.rights

    def covers(self, account: str, owner: str | None = None) -> bool:
        """owner: whose it is; None: nobody's, or that is not known."""
        return self.names(account) and (not self.is_over_an_owner or self.owner == owner)

    def covers_opening(self, account: str, owner: str | None) -> bool:
        """Whether it may be opened for this owner: for somebody else only where that is said. Where owners have rights, who
        could open in any name would give them away, his own included."""
        if owner is None or self.accounts == EVERYTHING:
            return self.covers(account, owner)
        return self.names(account) and self.owner in (owner, EVERYTHING)

    def names(self, account: str) -> bool:
        """Whether it is about accounts of this name, whoever's."""
        if self.accounts.endswith(EVERYTHING):
            return account.startswith(self.accounts[:-1])
        return account == self.accounts

    def covers_all_with(self, prefix: str, owner: str | None = None) -> bool:
        """Whether every account whose name begins so is covered, or every one of them that is this owner's."""
        of_all = self.accounts.endswith(EVERYTHING) and prefix.startswith(self.accounts[:-1])
        return of_all and (not self.is_over_an_owner or self.owner == owner)


@dataclass(frozen=True)
class Principal:
    """owned: whose some accounts are, as far as it matters here (`owners.py`); None of one that is nobody's, or not there. name:
    the subject of a token, or `key:` and the name of a key. expires_at_s: Unix time from which it is nobody any
    more; None for never. token: which token said so (its `jti`), "" where that is not known. signed_with: the fingerprint of the
    key that its token was verified with, "" for a machine."""

    name: str
    grants: tuple[Grant, ...]
    expires_at_s: int | None = None
    token: str = ""
    signed_with: str = ""
    owned: Mapping[str, str | None] = field(default_factory=dict, compare=False)

    def knowing(self, owned: Mapping[str, str | None]) -> Principal:
        """The same one, of whom more is known."""
        return replace(self, owned={**self.owned, **owned})

    def may(self, right: Right, account: str) -> bool:
        """account: an id, or a system account in whichever form (`@world`, `@transit:USD/2`): for those every right is SYSTEM."""
        if account.startswith("@"):
            return self.is_of_the_system
        owner = self.owned.get(account) if self.owned else None
        return any(right in grant.rights and grant.covers(account, owner) for grant in self.grants)

    def unclear(self, right: Right, account: str) -> bool:
        """Whether it depends on whose it is, and that is not known: no grant over its name gives the right, one over an owner's
        accounts may."""
        if account.startswith("@") or account in self.owned or not self.owners:
            return False
        given = [grant for grant in self.grants if right in grant.rights and grant.names(account)]
        return bool(given) and all(grant.is_over_an_owner for grant in given)

    def may_open(self, account: str, owner: str | None) -> bool:
        """owner: for whom; None for nobody."""
        return any(Right.OPEN in grant.rights and grant.covers_opening(account, owner) for grant in self.grants)

    @cached_property
    def owners(self) -> frozenset[str]:
        """Those over whose accounts a grant is: with one of them it has to be found out whose an account is."""
        return frozenset(grant.owner for grant in self.grants if grant.owner is not None and grant.is_over_an_owner)

    def may_somewhere(self, right: Right) -> bool:
        """Whether the right is given over any account."""
        return any(right in grant.rights for grant in self.grants)

    def may_all_with(self, right: Right, prefix: str, owner: str | None = None) -> bool:
        """Whether the right is given over every account whose name begins so; `""`: over every account. owner: over every one of
        them that is this one's."""
        return any(right in grant.rights and grant.covers_all_with(prefix, owner) for grant in self.grants)

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
    """`[{"accounts": "team1.*", "rights": ["read", "debit"]}, {"owner": "anna", "rights": ["read"]}, ...]`, as claims and files
    have it. Raises BadGrants: a grant that is not understood is never passed over, since what stands beside it was meant together
    with it."""
    if not isinstance(document, list) or len(document) > GRANTS_MAX:
        raise BadGrants(f"grants must be a list of {GRANTS_MAX} at most")
    return tuple(map(_grant, document))


def _grant(document: object) -> Grant:
    if not isinstance(document, dict) or not {"rights"} < document.keys() <= {"accounts", "owner", "rights"}:
        raise BadGrants('a grant must have "accounts" or "owner" (or both) and "rights", and nothing else')
    if None in (document.get("owner", ""), document.get("accounts", "")):
        raise BadGrants("accounts and owner must be texts, where they are said")
    return grant(document.get("accounts"), document["rights"], document.get("owner"))


def grant(accounts: object, rights: object, owner: object = None) -> Grant:
    """accounts: None where an owner stands alone: whichever are theirs. Raises BadGrants."""
    if owner is not None and (not isinstance(owner, str) or not _OWNER.match(owner)):
        raise BadGrants('owner must be as accounts have it, or "*"')
    if accounts is None and owner is not None:
        if isinstance(rights, list) and Right.OPEN in rights:
            raise BadGrants(OPENS_WHAT)
        accounts = EVERYTHING
    if not isinstance(accounts, str) or not _ACCOUNTS.match(accounts):
        raise BadGrants('accounts must be an id, the beginning of ids with "*" at its end, or "*"')
    if not isinstance(rights, list) or not rights:
        raise BadGrants(f"rights must be a list of some of {', '.join(Right)}")
    try:
        found = frozenset(Right(each) for each in rights)
    except ValueError:
        raise BadGrants(f"rights must be some of {', '.join(Right)}") from None
    if Right.SYSTEM in found and (accounts != EVERYTHING or owner is not None):
        raise BadGrants('the right "system" is not about some accounts: it needs "accounts": "*"')
    return Grant(accounts, _SETS_OF_RIGHTS.setdefault(found, found), owner)


_SETS_OF_RIGHTS: Final[dict[frozenset[Right], frozenset[Right]]] = {}
"""Each once, for there are 63: every stream keeps the grants of who is at it."""


def documents_of(grants: Iterable[Grant]) -> list[dict[str, object]]:
    """The JSON of grants."""
    return [
        ({} if each.is_of_whatever_is_theirs else {"accounts": each.accounts})
        | ({} if each.owner is None else {"owner": each.owner})
        | {"rights": sorted(each.rights)}
        for each in grants
    ]


def grant_of_text(text: str) -> Grant:
    """As a command takes it: `team1.*=read,debit`, or `@owner:anna=read` over an owner's accounts, or both,
    `anna.*@owner:anna=open`. Raises BadGrants."""
    whose, separator, rights = text.rpartition("=")
    if not separator:
        raise BadGrants("a grant is written ACCOUNTS=RIGHTS, such as team1.*=read,debit or @owner:anna=read")
    accounts, separator, owner = whose.partition(_OF_OWNER)
    if separator:
        return grant(accounts or None, _words(rights), owner)
    return grant(accounts, _words(rights))


def text_of_grant(document: Mapping[str, Any]) -> str:
    """The text of a grant's JSON, for a person, as `grant_of_text` takes it."""
    owner, accounts, rights = document.get("owner"), document.get("accounts"), ",".join(document["rights"])
    if owner is None:
        return f"{accounts}={rights}"
    return f"{accounts or ''}{_OF_OWNER}{owner}={rights}"


def _words(rights: str) -> Sequence[str]:
    return [each.strip() for each in rights.split(",")]
