"""JSON Schema of one line of a batch, of which no address has the body: the lines are read one by one."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Union

from pydantic import ConfigDict, Field, TypeAdapter

from fanfold.api.body_checks import LINE_WORDS
from fanfold.api.declared import SCHEMA_REF, Document
from fanfold.api.requests import LegsTransfer, Transfer


def line_schemas() -> Document:
    """JSON Schema of one line of a batch, `BatchLine`, and the schemas that it names."""
    lines: list[Any] = [Transfer, LegsTransfer]
    for word, kinds in LINE_WORDS.items():
        inner = kinds[0] if len(kinds) == 1 else Union[kinds]  # noqa: UP007
        about = f"The line of a batch that says `{word}`."
        closed = {"__pydantic_config__": ConfigDict(extra="forbid"), "__doc__": about}
        field = (word, Annotated[inner, Field(description="What is asked, with its id where it has one.")])
        lines.append(dataclasses.make_dataclass(f"{word.title()}Line", [field], namespace=closed))
    every: Any = Union[tuple(lines)]  # noqa: UP007
    made = TypeAdapter(every).json_schema(ref_template=SCHEMA_REF)
    return {**made.pop("$defs"), "BatchLine": made | {"description": "One line of a batch: one command."}}
