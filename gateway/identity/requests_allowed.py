"""Of every public address which right it needs: a declaration beside the table of addresses (`fanfold/api/routes.py`). Pure.

An address without a rule is refused, so one that is added there has to be thought about here (a test says so before).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple

from fanfold.api import grammar, routes
from fanfold.api.routes import ROUTES, Route


class Rule(Enum):
    """What an address asks of who asks."""

    READS_ACCOUNT = auto()
    """`read` of the account in it. Without it the account is not there."""
    LISTS_ACCOUNTS = auto()
    """`read`: of `ids` those that may not be read are not there; a list by name needs a beginning that may be read whole."""
    READS_OUTCOME = auto()
    """`read` of one account of the transfer, and only what may be read is told. Without it the transfer is not there."""
    READS_EVERY_ACCOUNT = auto()
    """`read` of `*`: what is told does not say whose it is."""
    OF_THE_SYSTEM = auto()
    """`system`."""
    COMMANDS = auto()
    """What the command needs (`commands_allowed.py`)."""
    COMMANDS_IN_LINES = auto()
    """The same, line by line."""


RULES: Final[Mapping[str, Rule]] = {
    routes.OPEN_ACCOUNT.operation: Rule.COMMANDS,
    routes.CHANGE_ACCOUNT.operation: Rule.COMMANDS,
    routes.TRANSFER.operation: Rule.COMMANDS,
    routes.REVERSE.operation: Rule.COMMANDS,
    routes.HOLD.operation: Rule.COMMANDS,
    routes.CAPTURE.operation: Rule.COMMANDS,
    routes.VOID.operation: Rule.COMMANDS,
    routes.BATCH.operation: Rule.COMMANDS_IN_LINES,
    routes.ENTRIES.operation: Rule.READS_ACCOUNT,
    routes.HOLDS.operation: Rule.READS_ACCOUNT,
    routes.ACCOUNT.operation: Rule.READS_ACCOUNT,
    routes.ACCOUNTS.operation: Rule.LISTS_ACCOUNTS,
    routes.OUTCOME.operation: Rule.READS_OUTCOME,
    routes.UNDER_WAY.operation: Rule.READS_EVERY_ACCOUNT,
    routes.REFERRED.operation: Rule.READS_EVERY_ACCOUNT,
    routes.SYSTEM.operation: Rule.OF_THE_SYSTEM,
    routes.POSITIONS.operation: Rule.OF_THE_SYSTEM,
}
"""By operation."""

_SEGMENT: Final = re.compile(r"\{([a-z]+)\}")
_ACCOUNT: Final = re.compile(rf"{grammar.ACCOUNT}\Z", re.ASCII)
_ID: Final = re.compile(rf"{grammar.UUID}\Z", re.ASCII)


class Asked(NamedTuple):
    """An address that is asked: its route, the rule, and what stands in it between its fixed parts, as the client wrote it."""

    route: Route
    rule: Rule | None
    named: str

    @property
    def account(self) -> str | None:
        """The account that it names; None where that is no account's name."""
        return self.named if _ACCOUNT.match(self.named) else None

    @property
    def id(self) -> str | None:
        """The id that it names; None where that is no id, or one that nothing has."""
        return self.named if _ID.match(self.named) and self.named.lower() not in grammar.NIL_AND_MAX else None

    def path(self, named: str) -> str:
        """The address with this in it."""
        return _SEGMENT.sub(lambda _: named, self.route.path)


def _table() -> list[tuple[re.Pattern[str], dict[str, Route]]]:
    paths: dict[str, dict[str, Route]] = {}
    for each in ROUTES:
        if each.public:
            paths.setdefault(_SEGMENT.sub("{}", each.path), {})[each.method] = each
    return [
        (re.compile(re.escape(path).replace(r"\{\}", r"([^/]+)") + r"\Z", re.DOTALL), routes_of)
        for path, routes_of in paths.items()
    ]


_TABLE: Final = _table()


def asked_of(method: str, path: str) -> Asked | None:
    """The address that a request is for, in the order of the table of addresses; None for one that is not public. HEAD is GET."""
    for pattern, routes_of in _TABLE:
        if found := pattern.match(path):
            route = routes_of.get("GET" if method == "HEAD" else method)
            named = found[1] if found.groups() else ""
            return None if route is None else Asked(route, RULES.get(route.operation), named)
    return None
