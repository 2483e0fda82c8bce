"""Events for people and pipes: every outcome of a block as one JSON object (`fanfold tail`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from write_side.contract.answers import format_time
from write_side.contract.atoms import NO_FLOOR, format_transfer_id
from write_side.contract.block import Block
from write_side.contract.codes import Code, Kind, word_of
from write_side.contract.position import Position
from write_side.contract.state import State


def events_of(block: Block, state: State) -> Iterator[dict[str, Any]]:
    """The outcomes of an accepted block in order. `state` is the partition's, at this block or later."""
    outcomes, entries, legs = block.outcomes, block.entries, block.legs
    rows = np.arange(len(outcomes["kind"]) + 1)
    first_entry = np.searchsorted(entries["outcome"], rows)
    first_leg = np.searchsorted(legs["outcome"], rows)
    at = format_time(block.header.created_at_us)
    position = str(Position(block.header.partition, block.header.sequence))
    for row in rows[:-1].tolist():
        kind, code = Kind(int(outcomes["kind"][row])), Code(int(outcomes["code"][row]))
        event: dict[str, Any] = {"position": position, "row": row, "at": at, "kind": kind.name.lower()}
        event["outcome"] = "repeated" if code is Code.REPEATED else word_of(code)
        if kind is Kind.TRANSFER:
            event["id"] = format_transfer_id(outcomes["id"][row].tobytes())
        elif code in (Code.DONE, Code.EXISTS):
            event["account"] = _name(state, state.number_of_key(outcomes["id"][row].tobytes()))
        event["entries"] = [
            {
                "account": _name(state, int(entries["account"][entry])),
                "posted": str(entries["posted"][entry]),
                "version": int(entries["version"][entry]),
            }
            for entry in range(first_entry[row], first_entry[row + 1])
        ]
        event["legs"] = [
            {
                "account": legs["account"][leg],
                "amount": None if legs["amount"][leg] == NO_FLOOR else str(legs["amount"][leg]),
                "asset": legs["asset"][leg],
            }
            for leg in range(first_leg[row], first_leg[row + 1])
        ]
        yield {name: value for name, value in event.items() if value != []}


def _name(state: State, number: int | None) -> str | None:
    return None if number is None else state.row_name(number)
