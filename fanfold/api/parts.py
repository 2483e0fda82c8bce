"""A part of a document, for who reads many: the members that are used, and of them what the declared class says they are like.

It is made of the class, as a struct of msgspec: a page of names is read in a tenth of the time that pydantic takes for all of it.
What is read may stand in other JSON as it is: every pattern is held, also where a program that reads the class lets newer words
pass, and where other words may come than those that are known, each is of `[a-z_]+`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from pydantic import WithJsonSchema

from fanfold.api import grammar
from fanfold.api.values import adapter
from fanfold.api.words.rules import LeftOut

_WORD: Final = "[a-z_]+"
_FORMATS: Final = {"date-time": grammar.MOMENT}
_EITHER: Final = (Union, UnionType)


def part_of(kind: type[Any], *members: str) -> Any:
    """The type of msgspec that reads these members of documents of this class and passes over all else; `accounts.account` is one
    of an inner document. Left out, a member is what the class says. Raises KeyError for one that is not declared."""
    return _document(kind, members)


def _document(kind: Any, members: Iterable[str]) -> Any:
    inner: dict[str, list[str]] = {}
    for member in members:
        own, _, rest = member.partition(".")
        inner.setdefault(own, []).extend([rest] if rest else [])
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in dataclasses.fields(kind)}
    fields = [
        (own, _member(hints[own], rests), *([] if defaults[own] is dataclasses.MISSING else [defaults[own]]))
        for own, rests in inner.items()
    ]
    return msgspec.defstruct(kind.__name__, cast("Any", fields), kw_only=True)


def _member(hint: Any, members: Iterable[str]) -> Any:
    """What a member may be. A union that says itself how it is written is a plain value: null, or digits."""
    bare, said = hint, []
    while get_origin(bare) is Annotated:
        said += bare.__metadata__
        bare = bare.__origin__
    for each in said:
        if isinstance(each, WithJsonSchema) and each.json_schema is not None:
            return _plain(each.json_schema)
    if dataclasses.is_dataclass(bare):
        return _document(bare, members)
    args = get_args(bare)
    if get_origin(bare) in _EITHER:
        is_left_out = any(isinstance(each, LeftOut) for each in said)
        return Union[tuple(_member(each, members) for each in args if not (is_left_out and each is type(None)))]  # noqa: UP007
    if get_origin(bare) is tuple:
        return tuple[_member(args[0], members), ...]  # type: ignore[misc]
    if get_origin(bare) is Mapping:
        return dict[_member(args[0], members), _member(args[1], members)]  # type: ignore[misc]
    return _plain(adapter(hint).json_schema())


def _plain(schema: Mapping[str, Any]) -> Any:
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return Union[tuple(_kind(each, schema) for each in kinds)]  # noqa: UP007


def _kind(kind: str, schema: Mapping[str, Any]) -> Any:
    match kind:
        case "string":
            pattern = _WORD if "enum" in schema else schema.get("pattern", _FORMATS.get(schema.get("format", "")))
            return str if pattern is None else Annotated[str, msgspec.Meta(pattern=_whole(pattern))]
        case "integer":
            return Annotated[int, msgspec.Meta(ge=schema.get("minimum"), le=schema.get("maximum"))]
        case "boolean":
            return bool
        case "null":
            return None
        case other:
            raise KeyError(f"how {other} is read is not known here")


def _whole(pattern: str) -> str:
    """Anchored for Python, whose `$` would let a line break at the end pass."""
    return rf"^(?:{pattern.removeprefix('^').removesuffix('$')})\Z"
