"""From a declared class to the JSON of its values, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, TypeVar, cast, get_origin, get_type_hints

from pydantic import TypeAdapter

from fanfold.api.words.rules import LeftOut

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
def left_out_of(kind: Any) -> frozenset[str]:
    """The fields that are not there where they say nothing (`words.Optionally`)."""
    hints = get_type_hints(kind, include_extras=True)
    return frozenset(name for name, hint in hints.items() if any(isinstance(each, LeftOut) for each in _said_of(hint)))


def _said_of(hint: Any) -> Iterator[object]:
    while get_origin(hint) is Annotated:
        yield from hint.__metadata__
        hint = hint.__origin__


def told_of(value: Any) -> dict[str, Any]:
    """A value as the service tells it, with Python's own values in it: what is left out is not in it."""
    left_out = left_out_of(cast("Any", type(value)))
    members = dataclasses.asdict(value)
    return {name: member for name, member in members.items() if member is not None or name not in left_out}


@cache
def names_of(kind: Any) -> frozenset[str]:
    """Its fields as they are written: `from_` is `from`."""
    return frozenset(field.name.rstrip("_") for field in dataclasses.fields(kind))
