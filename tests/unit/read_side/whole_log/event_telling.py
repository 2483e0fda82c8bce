"""The events of blocks told plainly, one after the other: what columns of runs must come to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from write_side.contract.block.block import decode
from write_side.contract.log.log import Record
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import format_floor, format_transfer_id
from write_side.contract.words.codes import Code, Kind, flag_words
from write_side.contract.words.times import format_time


def plain_events(blocks: Sequence[bytes], partition: int = 0, source: str = "/fanfold") -> list[dict[str, Any]]:
    state = State(partition)
    Replay(state).take_all([Record(i, data) for i, data in enumerate(blocks)])
    posted: dict[int, int] = defaultdict(int)
    return [event for data in blocks for event in _of_block(data, state, posted, source)]


def _of_block(data: bytes, state: State, posted: dict[int, int], source: str) -> Iterator[dict[str, Any]]:
    block = decode(data)
    place = f"{state.partition}:{block.header.sequence}"
    at = format_time(block.header.created_at_us)

    def event(row: int, leg: int, kind: str, told: dict[str, Any]) -> dict[str, Any]:
        return {
            "specversion": "1.0",
            "id": f"{place}:{row}:{leg}",
            "source": source,
            "type": kind,
            "subject": told["account"],
            "time": at,
            "datacontenttype": "application/json",
            "data": {name: value for name, value in (told | {"position": place}).items() if value != ""},
        }

    for outcome in BlockOutcomes(block):
        if outcome.kind is Kind.OPEN and outcome.code is Code.DONE:
            number = state.number_of_key(outcome.id)
            assert number is not None
            told = {
                "account": state.row_name(number),
                "asset": state.assets[number],
                "version": 0,
                "floor": format_floor(int(state.floor[number])),
                "owner": state.owners[number],
            }
            yield event(outcome.row, 0, "fanfold.account.opened.v1", told)
        reference, metadata = outcome.note
        for leg, entry in enumerate(outcome.entries):
            amount, posted[entry.account] = entry.posted - posted[entry.account], entry.posted
            told = {
                "account": state.row_name(entry.account),
                "asset": state.assets[entry.account],
                "version": entry.version,
                "amount": str(amount),
                "posted": str(entry.posted),
                "held": str(entry.held or 0),
                "transfer": format_transfer_id(outcome.id),
                "kind": outcome.kind.name.lower(),
                "reference": reference,
                "metadata": json.loads(metadata) if metadata else "",
                "flags": "" if entry.flags is None else flag_words(entry.flags),
            }
            yield event(outcome.row, leg, "fanfold.entry.v1", told)
