"""A ticket that opens one stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fanfold.api import grammar
from fanfold.api.answers.members import says, text_like
from fanfold.api.declared import shown


@dataclass(frozen=True)
class TicketGiven:
    """What opens one stream in the name of who asked for it."""

    ticket: Annotated[
        str, text_like(grammar.TICKET, "Whoever has it may use it, once, as `?ticket=` in the address of a stream.")
    ]
    counts_ms: Annotated[int, says("For so long, milliseconds; no longer than the token that it was asked for with.")]

    __pydantic_config__ = shown({"ticket": f"{grammar.TICKET_PREFIX}{'A' * 43}", "counts_ms": 30_000})
