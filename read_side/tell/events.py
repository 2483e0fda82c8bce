"""Events for people and pipes: every outcome of a block as one JSON object (`fanfold tail`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from read_side.tell.explanation import word
from write_side.contract.block.block import Block
from write_side.contract.state.state import State
from write_side.contract.tell.answers import format_time
from write_side.contract.words.atoms import NO_FLOOR, format_transfer_id
from write_side.contract.words.codes import Code, Kind, flag_words
from write_side.contract.words.position import Position


def events_of(block: Block, state: State) -> Iterator[dict[str, Any]]:
    """The outcomes of an accepted block in order. `state` is the partition's, at this block or later.

    An entry has `held` where something is held and `flags` where they changed; `about` names the hold or transfer that a command
    was about.
    """
    outcomes, entries, legs = block.outcomes, block.entries, block.legs
    rows = np.arange(len(outcomes["kind"]) + 1)
    first_entry = np.searchsorted(entries["outcome"], rows)
    first_leg = np.searchsorted(legs["outcome"], rows)
    held = _by_entry(block.held, "held")
    flags = _by_entry(block.flags, "flags")
    about = {
        outcome: format_transfer_id(link.tobytes())
        for outcome, link in zip(block.links["outcome"].tolist(), block.links["id"], strict=True)
    }
    at = format_time(block.header.created_at_us)
    position = str(Position(block.header.partition, block.header.sequence))
    for row in rows[:-1].tolist():
        kind, code = Kind(int(outcomes["kind"][row])), Code(int(outcomes["code"][row]))
        event: dict[str, Any] = {"position": position, "row": row, "at": at, "kind": kind.name.lower()}
        event["outcome"] = word(code)
        if kind is not Kind.OPEN:
            event["id"] = format_transfer_id(outcomes["id"][row].tobytes())
        elif code in (Code.DONE, Code.EXISTS):
            event["account"] = _name(state, state.number_of_key(outcomes["id"][row].tobytes()))
        if row in about:
            event["about"] = about[row]
        event["entries"] = [
            {
                "account": _name(state, int(entries["account"][entry])),
                "posted": str(entries["posted"][entry]),
                "version": int(entries["version"][entry]),
                **({"held": str(held[entry])} if entry in held else {}),
                **({"flags": flag_words(flags[entry])} if entry in flags else {}),
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


def _by_entry(section: dict[str, Any], name: str) -> dict[int, int]:
    return dict(zip(section["entry"].tolist(), section[name].tolist(), strict=True))


def _name(state: State, number: int | None) -> str | None:
    return None if number is None else state.row_name(number)
