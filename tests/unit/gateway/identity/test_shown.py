"""No member of an answer tells of an account that may not be read, whichever there are: documents are made of their models."""

from __future__ import annotations

import dataclasses
import json
import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import pytest
from typing_extensions import TypeAliasType

from fanfold.api.answers.commands import Done
from fanfold.api.answers.outcomes import Outcome
from fanfold.api.problems import PROBLEMS
from gateway.identity.commands_allowed import Party
from gateway.identity.grants import Principal, grant_of_text
from gateway.identity.shown import outcome_shown_to, shown_to

HIDDEN = "hidden-account"
ANNA = Principal("anna", (grant_of_text("alice=read"),))


def made(kind: Any, name: str = "") -> Any:
    """A value of JSON with everything in it that this type may have; what names an account names the hidden one."""
    if isinstance(kind, TypeAliasType):
        return made(kind.__value__, name)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return made(arguments[0], name)
    if origin in (Union, types.UnionType):
        return made(next(each for each in arguments if each is not type(None)), name)
    if origin is tuple:
        return [made(arguments[0], name)]
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind, include_extras=True)
        return {field.name: made(hints[field.name], field.name) for field in dataclasses.fields(kind)}
    return HIDDEN if name in ("account", "accounts") else "x"


@pytest.mark.parametrize("kind", [Outcome, Done])
def test_nothing_of_an_outcome_tells_of_an_account_that_may_not_be_read(kind: Any) -> None:
    document = made(kind) | {"result": "refused", "code": "insufficient_available", "detail": f"It is {HIDDEN}."}
    assert json.dumps(document).count(HIDDEN) > 1
    parties = [Party("alice", True), Party(HIDDEN, False)]
    shown = outcome_shown_to(ANNA, document, parties) if kind is Outcome else shown_to(ANNA, document, reads_all=False)
    assert HIDDEN not in json.dumps(shown)
    assert shown["detail"] == PROBLEMS["insufficient_available"].detail
