"""How an outcome in the log is told to a person: the JSON document and HTTP status of one row of a block.

Pure: the same row gives the same answer today, on a repeat, and when asked for later, on either side.
"""

from __future__ import annotations

import datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from write_side.contract.atoms import NO_FLOOR, available, format_floor, format_transfer_id
from write_side.contract.block import Block
from write_side.contract.codes import REFUSALS, Code, Kind, problem_document
from write_side.contract.columns import NOT_TOLD
from write_side.contract.position import Position
from write_side.contract.state import Place, State


class Answer(NamedTuple):
    """HTTP status and JSON document. A status of 400 and above goes out as application/problem+json."""

    status: int
    document: dict[str, object]


class BlockAnswers:
    """Answers from one accepted block. `state` is the partition's, at this block or later: names and terms never change."""

    def __init__(self, block: Block, state: State) -> None:
        self.block = block
        self._state = state
        self._position = str(Position(block.header.partition, block.header.sequence))
        self._at = format_time(block.header.created_at_us)

    def answer(self, row: int) -> Answer | Place:
        """The answer to the command of outcome `row`; for a repeated one the place of the first outcome, to ask there."""
        code, kind = Code(self._codes[row]), Kind(self._kinds[row])
        if code is Code.REPEATED:
            at = int(np.searchsorted(self.block.repeats["outcome"], row))
            return Place(int(self.block.repeats["sequence"][at]), int(self.block.repeats["row"][at]))
        if code in REFUSALS:
            return self._refused(row, code, kind)
        return self._opened(row, code) if kind is Kind.OPEN else self._transferred(row)

    def _transferred(self, row: int) -> Answer:
        accounts = []
        for entry in range(self._first_entry[row], self._first_entry[row + 1]):
            number = self._entry_accounts[entry]
            if self._state.names[number].startswith("@"):
                continue
            accounts.append(
                account_document(
                    account=self._state.names[number],
                    asset=self._state.assets[number],
                    posted=self._entry_posted[entry],
                    held=0,
                    floor=int(self._state.floor[number]),
                    version=self._entry_versions[entry],
                    position=self._position,
                    at=self._at,
                )
            )
        return Answer(
            201,
            {
                "id": self._id(row),
                "result": "done",
                "position": self._position,
                "at": self._at,
                "accounts": accounts,
            },
        )

    def _refused(self, row: int, code: Code, kind: Kind) -> Answer:
        word, problem = REFUSALS[code]
        leg = int(np.searchsorted(self.block.legs["outcome"], row))
        spendable = int(self.block.legs["available"][leg])
        document = problem_document(
            word,
            id=self._id(row) if kind is Kind.TRANSFER else None,
            result="refused",
            available=None if spendable == NOT_TOLD else str(spendable),
            position=self._position,
            at=self._at,
        )
        return Answer(problem.status, document)

    def _opened(self, row: int, code: Code) -> Answer:
        number = self._state.number_of_key(self.block.outcomes["id"][row].tobytes())
        if number is None:
            raise AssertionError("an opened account is not in the state")
        terms: dict[str, object] = {
            "account": self._state.names[number],
            "asset": self._state.assets[number],
            "floor": format_floor(int(self._state.floor[number])),
            "owner": self._state.owners[number] or None,
            "result": "opened" if code is Code.DONE else "exists",
            "position": self._position,
            "at": self._at,
        }
        return Answer(201 if code is Code.DONE else 200, terms)

    def _id(self, row: int) -> str:
        return format_transfer_id(self.block.outcomes["id"][row].tobytes())

    @cached_property
    def _codes(self) -> list[int]:
        return list(self.block.outcomes["code"].tolist())

    @cached_property
    def _kinds(self) -> list[int]:
        return list(self.block.outcomes["kind"].tolist())

    @cached_property
    def _first_entry(self) -> list[int]:
        rows = np.arange(len(self._codes) + 1)
        return list(np.searchsorted(self.block.entries["outcome"], rows).tolist())

    @cached_property
    def _entry_accounts(self) -> list[int]:
        return list(self.block.entries["account"].tolist())

    @cached_property
    def _entry_posted(self) -> list[int]:
        return list(self.block.entries["posted"].tolist())

    @cached_property
    def _entry_versions(self) -> list[int]:
        return list(self.block.entries["version"].tolist())


def account_document(
    *, account: str, asset: str, posted: int, held: int, floor: int, version: int, position: str, at: str
) -> dict[str, Any]:
    """One account's state as every door shows it. Amounts are digit strings of minor units; `floor` may be `NO_FLOOR`."""
    spendable = available(posted, held, floor) if floor != NO_FLOOR else None
    return {
        "account": account,
        "asset": asset,
        "posted": str(posted),
        "held": str(held),
        "available": None if spendable is None else str(spendable),
        "floor": format_floor(floor),
        "version": version,
        "position": position,
        "at": at,
    }


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def format_time(at_us: int) -> str:
    """UTC microseconds as RFC 3339."""
    moment = _EPOCH + datetime.timedelta(microseconds=at_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
