"""Which codes a declared class may be refused with, read from the types of its fields and from the rules over several of them.

So the documents name them, and a field that is added brings its own along.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typing_extensions import TypeAliasType

from fanfold.api.words.names import MadeId, TransferId
from fanfold.api.words.rules import Refuses, Says


@cache
def field_codes(kind: Any) -> frozenset[str]:
    """kind: a class of `requests.py` or `questions.py`, or the type of a field."""
    return frozenset(_codes(kind))


def _codes(kind: Any) -> Iterator[str]:
    if isinstance(kind, TypeAliasType):
        yield from field_codes(kind.__value__)
    elif dataclasses.is_dataclass(kind):
        for base in kind.__mro__:  # type: ignore[union-attr]
            yield from vars(base).get("refuses", ())
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            yield from _codes(hints[field.name])
    elif kind is MadeId:
        yield from field_codes(TransferId)
    else:
        if get_origin(kind) is Annotated:
            for rule in kind.__metadata__:
                if isinstance(rule, Says):
                    yield rule.code
                elif isinstance(rule, Refuses):
                    yield from rule.codes
        for inner in get_args(kind)[: 1 if get_origin(kind) is Annotated else None]:
            yield from _codes(inner)
