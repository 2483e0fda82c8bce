"""From a declared class to the JSON of its values, and back."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

T = TypeVar("T")


def read(kind: type[T], document: object) -> T:
    """A document as the class that declares it. Raises pydantic.ValidationError, which is a ValueError."""
    return cast("T", adapter(cast("Any", kind)).validate_python(document))


def document_of(value: object) -> dict[str, Any]:
    """The JSON of a value; fields that are left out are not in it."""
    dumped = adapter(cast("Any", type(value))).dump_python(value, mode="json", by_alias=True, warnings=False)
    return cast("dict[str, Any]", dumped)


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Made once for each class: that costs milliseconds."""
    return TypeAdapter(kind)


@cache
def names_of(kind: Any) -> frozenset[str]:
    """Its fields as they are written: `from_` is `from`."""
    return frozenset(field.name.rstrip("_") for field in dataclasses.fields(kind))
