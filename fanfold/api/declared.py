"""How a class of the contract is declared: whether it takes fields that it does not know, and which examples documents show."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict

Document = dict[str, Any]

CLOSED: Final = ConfigDict(extra="forbid")
"""What clients say: a field that is not known is refused."""
OPEN: Final = ConfigDict(extra="ignore")
"""What the service says: a field that is not known is passed over, so that a newer service may say more."""
SCHEMA_REF: Final = "#/components/schemas/{model}"
"""Where documents have the schema of a class."""


def shown(example: dict[str, Any], **more: Any) -> ConfigDict:
    """Of what the service says, with this example; more: members of its JSON Schema."""
    return ConfigDict(extra="ignore", json_schema_extra={"examples": [example]} | more)
