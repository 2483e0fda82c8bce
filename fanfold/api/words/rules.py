"""What is said of a type beside its grammar: code and sentence of what is no such value, and that a field may be left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

T = TypeVar("T")


@dataclass(frozen=True)
class Says:
    """Whatever is wrong with a value of this type is told by one code and one sentence, which follows the field's name."""

    code: str
    detail: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type=self.code, custom_error_message=self.detail
        )


@dataclass(frozen=True)
class Refuses:
    """The codes that a validator of this type raises by itself, for whoever tells them (`field_codes.py`); it checks nothing."""

    codes: tuple[str, ...]


class LeftOut:
    """The None of `T | None` means that the field is not there; on the wire null is no value of it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        [there] = [each for each in source.__args__ if each is not type(None)]
        return handler.generate_schema(there)


def without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Optionally = Annotated[
    T | None, LeftOut(), Field(json_schema_extra=without_default, exclude_if=lambda value: value is None)
]
"""A field that may be left out: None in a program, absent on the wire."""
