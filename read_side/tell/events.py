"""Events for people and pipes: every outcome of a block as one JSON object (`fanfold tail`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from read_side.tell.transfer_trace import word
from write_side.contract.block.block import Block
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import NO_FLOOR, format_transfer_id
from write_side.contract.words.codes import Code, Kind, flag_words
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time


def events_of(block: Block, state: State) -> Iterator[dict[str, Any]]:
    """The outcomes of an accepted block in order. `state` is the partition's, at this block or later.

    An entry has `held` where something is held and `flags` where they changed; `about` names the hold or transfer that a command
    was about; `asked_by` who asked, also where it had run before (`repeated`).
    """
    at = format_time(block.header.created_at_us)
    position = str(Position(block.header.partition, block.header.sequence))
    for outcome in BlockOutcomes(block):
        kind, code, about = outcome.kind, outcome.code, outcome.link
        event: dict[str, Any] = {"position": position, "row": outcome.row, "at": at, "kind": kind.name.lower()}
        event["outcome"] = word(code)
        if kind is not Kind.OPEN:
            event["id"] = format_transfer_id(outcome.id)
        elif code in (Code.DONE, Code.EXISTS):
            number = state.number_of_key(outcome.id)
            event["account"] = None if number is None else state.row_name(number)
        if outcome.asked_by:
            event["asked_by"] = outcome.asked_by
        if about is not None:
            event["about"] = format_transfer_id(about)
        event["entries"] = [
            {
                "account": state.row_name(entry.account),
                "posted": str(entry.posted),
                "version": entry.version,
                **({} if entry.held is None else {"held": str(entry.held)}),
                **({} if entry.flags is None else {"flags": flag_words(entry.flags)}),
            }
            for entry in outcome.entries
        ]
        event["legs"] = [
            {
                "account": leg.account,
                "amount": None if leg.amount == NO_FLOOR else str(leg.amount),
                "asset": leg.asset,
            }
            for leg in outcome.legs
        ]
        yield {name: value for name, value in event.items() if value != []}
