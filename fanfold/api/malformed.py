"""Input that is not what it must be, as one value: a code, the field that is wrong, and a sentence for a person."""

from __future__ import annotations

from collections.abc import Mapping
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


def malformed_of(error: ValidationError, told: Mapping[str, str]) -> Malformed:
    """The first rule that is broken: a field that is unknown, then one that is missing, then what is wrong with one.

    told: detail of a missing field by its name, where more is to be said than that it is needed.
    """
    found = error.errors(include_url=False, include_input=False)
    for each in found:
        if each["type"] in UNKNOWN:
            # The name of the field is the client's own text.
            where = _field(each["loc"][:-1])
            return Malformed("field_unknown", "body", f"has a field {f'in {where} ' * bool(where)}that is unknown")
    for each in found:
        if each["type"] in MISSING:
            field = _field(each["loc"])
            return Malformed("field_missing", field, told.get(field, "is needed"))
    first = found[0]
    context: dict[str, Any] = first.get("ctx", {})
    return Malformed(first["type"], context.get("field", _field(first["loc"])), first["msg"])


def _field(place: tuple[int | str, ...]) -> str:
    """`legs.amount`: names alone, for which of many it is says nothing that the caller does not see."""
    return ".".join(str(each) for each in place if isinstance(each, str))
