"""Input that is not what it must be, as one value: a code, the field that is wrong, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from pydantic import ValidationError

UNKNOWN: Final = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
MISSING: Final = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})


class Malformed(ValueError):
    """Input that is not what its field must be. `code` is stable, `field` names where, `detail` is for a person.

    What the input was is told nowhere: a message names the field, never its content.
    """

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(f"{field}: {detail}")
        self.code = code
        self.field = field
        self.detail = detail


def malformed_of(error: ValidationError, told: Mapping[str, str], words: frozenset[str] = frozenset()) -> Malformed:
    """The first rule that is broken: a field that is unknown, then one that is missing, then what is wrong with one.

    told: detail of a missing field by its name, where more is to be said than that it is needed. words: as of `unknown_field`.
    """
    found = error.errors(include_url=False, include_input=False)
    for each in found:
        if each["type"] in UNKNOWN:
            return unknown_field(str(each["loc"][-1]), words, where=_field(each["loc"][:-1]))
    for each in found:
        if each["type"] in MISSING:
            field = _field(each["loc"])
            return Malformed("field_missing", field, told.get(field, "is needed"))
    first = found[0]
    context: dict[str, Any] = first.get("ctx", {})
    return Malformed(first["type"], context.get("field", _field(first["loc"])), first["msg"])


def unknown_field(
    name: str, words: frozenset[str], known: frozenset[str] = frozenset(), *, where: str = ""
) -> Malformed:
    """Which field has no place, as far as that can be told: its name is the client's own text.

    So it is told when it is one of ours (`words`), and else which of ours it looks like (`known`).
    where: the field that it stands in.
    """
    if name in words:
        return Malformed("field_unknown", f"{where}.{name}" if where else name, "has no place here")
    near = get_close_matches(name, sorted(known), 1, _ALIKE) if len(name) <= _NAME_MAX else []
    meant = f" (is {near[0]} meant?)" if near else ""
    return Malformed("field_unknown", where or "body", f"has a field that is unknown{meant}")


_ALIKE: Final = 0.75
"""From here on two names are one, mistyped: of six letters one is wrong, missing or too much."""
_NAME_MAX: Final = 64
"""Longer texts are no mistyped name, and comparing them takes time by their square."""


def _field(place: tuple[int | str, ...]) -> str:
    """`legs.amount`: names alone, for which of many it is says nothing that the caller does not see."""
    return ".".join(str(each) for each in place if isinstance(each, str))
