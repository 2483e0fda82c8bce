"""The address that a path is one of, as the documents have it: a path as it came names somebody's account or transfer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from fanfold.api.routes import ROUTES

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Those that are told as they are: a client may write any word there."""


class RouteNames:
    """own: addresses of the gateway itself, in which nobody's name stands."""

    def __init__(self, own: Iterable[str]) -> None:
        paths = {route.path for route in ROUTES if route.public}
        self._plain = {path for path in paths if "{" not in path} | set(own)
        templates = sorted(paths - self._plain)
        patterns = (re.sub(r"\\\{[a-z]+\\\}", "[^/]+", re.escape(path)) for path in templates)
        self._pattern = re.compile("|".join(rf"({pattern})\Z" for pattern in patterns), re.DOTALL)
        self._templates = dict(enumerate(templates, start=1))

    def of(self, path: str) -> str | None:
        """The address as the documents have it; None for what is none."""
        if path in self._plain:
            return path
        found = self._pattern.match(path)
        return None if found is None else self._templates[found.lastindex or 0]
