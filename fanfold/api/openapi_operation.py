"""An operation as FastAPI reads it: a function with a parameter for each thing that is asked."""

from __future__ import annotations

import dataclasses
import inspect
from functools import cache
from typing import Annotated, Any, Final, Union, cast, get_type_hints

from fastapi import Body, Header, Path, Query
from pydantic import ConfigDict, Field

from fanfold.api import grammar
from fanfold.api.declared import Document
from fanfold.api.questions import WAIT_SECONDS_MAX
from fanfold.api.routes import Route
from fanfold.api.words.beside import Choice
from fanfold.api.words.names import AccountId, TransferId

_KEY: Final = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=grammar.whole(grammar.KEY),
        description=(
            "Stands for the id where the body has none. A key that is a UUID (in capitals or not, with or without hyphens, "
            "braces or `urn:uuid:`) is that id; of any other the id is made (UUIDv5 of caller and key), and the answer tells it. "
            "A key in quotes (a string of a structured field) is what is in them. "
            "So 32 hexadecimal digits that are no UUID, such as a hash, need a letter before them: digits that look like a UUID "
            "of version 7 tell a time, and may be refused for it. Blanks around the key are no part of it. An id made "
            "of a key carries no time: it is remembered for ever where `FANFOLD_IDS` names a folder, elsewhere for 7 days; and "
            "when there is no room for another there, the answer is 503 `id_memory_full`, and nothing was run."
        ),
    ),
]
_PREFER: Final = Annotated[
    str,
    Header(
        alias="Prefer",
        description=(
            f"`wait=N`: answer after N seconds, 0 to {WAIT_SECONDS_MAX}, even when a transfer across partitions is not over. "
            "A batch waits once for all its lines."
        ),
        examples=["wait=5"],
    ),
]
_DRY_RUN: Final = Annotated[Choice, Field(description="Tell what would become of it; change nothing.")]
_SEGMENTS: Final = {"account": AccountId, "transfer": TransferId, "hold": TransferId}


def operation_of(route: Route) -> Any:
    """A function with the signature of the operation: what FastAPI reads."""
    parameters = []

    def add(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> None:
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        )

    for segment, word in _SEGMENTS.items():
        if f"{{{segment}}}" in route.path:
            add(segment, Annotated[word, Path()])
    if route.asked:
        add("body", Annotated[Union[tuple(_body(route, kind) for kind in route.asked)], Body()])  # noqa: UP007
    for field in dataclasses.fields(route.query) if route.query is not None else ():
        annotation = _hints(cast("Any", route.query))[field.name]
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        add(field.name, Annotated[annotation, Query()], default)
    if route.keyed:
        add("key", _KEY, None)
    if route.waits:
        add("prefer", _PREFER, None)

    def operation() -> None:
        """Never called."""

    operation.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    operation.__doc__ = None
    return operation


def _body(route: Route, kind: Any) -> Any:
    about = getattr(kind, "about", None)
    return body_of(kind, about, route.keyed) if route.side == "write" else kind


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def body_of(kind: Any, about: str | None, may_be_dry: bool) -> Any:
    """A command as the body of its own address: without what the path says (`about`), and with the wish for a dry run."""
    fields: list[tuple[str, Any, Any]] = [
        (field.name, _hints(kind)[field.name], dataclasses.field(default=field.default))
        for field in dataclasses.fields(kind)
        if field.name != about
    ]
    if may_be_dry:
        fields.append(("dry_run", _DRY_RUN, dataclasses.field(default=False)))
    config: ConfigDict = kind.__pydantic_config__
    extra = cast("Document", config.get("json_schema_extra", {}))
    examples = [
        {name: each[name] for name in each if name != about} for each in cast("list[Document]", extra["examples"])
    ]
    shown = ConfigDict(extra="forbid", json_schema_extra=cast("Any", extra | {"examples": examples}))
    made = dataclasses.make_dataclass(
        f"{kind.__name__}Body", fields, kw_only=True, namespace={"__pydantic_config__": shown}
    )
    made.__doc__ = kind.__doc__
    return made
