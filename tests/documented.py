"""Whether an answer is one that the table of routes tells: called for every answer of a door under test, so that each test of a
door tests the table too."""

from __future__ import annotations

import re
from typing import Any

from fanfold.api.answers.problem import Problem
from fanfold.api.routes import ROUTES, Route, Side
from fanfold.api.values import document_of, names_of, read


def check_documented(side: Side, method: str, path: str, status: int, document: dict[str, Any]) -> None:
    """A refusal has a code that its route may answer, and no member that `Problem` does not have; any other answer is what its
    model reads and writes, member by member."""
    route = route_of(side, method, path)
    if route is None:
        return
    if status < 400:
        model = route.answered[status].model
        assert model is None or _same(document, document_of(read(model, document))), (method, route.path, document)
        return
    assert document["code"] in route.codes, (method, route.path, document["code"])
    assert document.keys() <= names_of(Problem), document.keys() - names_of(Problem)


def _same(told: Any, again: Any) -> bool:
    """But for what is not told where it says nothing: false, or an empty list."""
    if isinstance(told, dict) and isinstance(again, dict):
        nothing = {name for name in again.keys() - told.keys() if not again[name]}
        return told.keys() == again.keys() - nothing and all(_same(told[name], again[name]) for name in told)
    if isinstance(told, list) and isinstance(again, list):
        return len(told) == len(again) and all(map(_same, told, again))
    return type(told) is type(again) and bool(told == again)


def route_of(side: Side, method: str, path: str) -> Route | None:
    return next(
        (route for route in ROUTES if (route.side, route.method) == (side, method) and _leads(route, path)), None
    )


def _leads(route: Route, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]*", route.path), path, re.DOTALL) is not None
