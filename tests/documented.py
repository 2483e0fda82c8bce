"""Whether an answer is one that the table of routes tells: called for every answer of a door under test, so that each test of a
door tests the table too."""

from __future__ import annotations

import re
from typing import Any

from fanfold.api.answers import Problem
from fanfold.api.routes import ROUTES, Route, Side
from fanfold.api.values import names_of


def check_documented(side: Side, method: str, path: str, status: int, document: dict[str, Any]) -> None:
    """A refusal has a code that its route may answer, and no member that `Problem` does not have."""
    route = route_of(side, method, path)
    if route is None or status < 400:
        return
    assert document["code"] in route.codes, (method, route.path, document["code"])
    assert document.keys() <= names_of(Problem), document.keys() - names_of(Problem)


def route_of(side: Side, method: str, path: str) -> Route | None:
    return next(
        (route for route in ROUTES if (route.side, route.method) == (side, method) and _leads(route, path)), None
    )


def _leads(route: Route, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]*", route.path), path, re.DOTALL) is not None
