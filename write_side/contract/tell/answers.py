"""How an outcome in the log is told to a person: the JSON document and HTTP status of one row of a block.

Pure: the same row gives the same answer today, on a repeat, and when asked for later, on either side.
"""

from __future__ import annotations

import datetime
import json
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np

from fanfold.api.problems import KEPT_BY_ID, PROBLEMS, problem_document
from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.pending_columns import TCC_BIT, Action, Phase, What
from write_side.contract.state.state import Place, State
from write_side.contract.words.atoms import NO_FLOOR, available, format_floor, format_transfer_id
from write_side.contract.words.codes import NOT_REMEMBERED, REFUSALS, Code, Kind, flag_words, word_of
from write_side.contract.words.position import Position, format_positions

PENDING_STATUS: Final = 202
"""Begun and not over: ask again for the end."""


class Answer(NamedTuple):
    """HTTP status and JSON document. A status of 400 and above goes out as application/problem+json."""

    status: int
    document: dict[str, object]


RESULTS: Final = {
    Kind.TRANSFER: "done",
    Kind.HOLD: "held",
    Kind.CAPTURE: "done",
    Kind.VOID: "voided",
    Kind.REVERSE: "done",
    Kind.CHANGE: "changed",
    Kind.EXPIRE: "expired",
}
"""The word for a done outcome."""
_CREATED: Final = {Kind.CHANGE: 200}
_TELLS_AVAILABLE: Final = (Code.INSUFFICIENT_AVAILABLE, Code.AVAILABLE_BELOW)


class BlockAnswers:
    """Answers from one accepted block. `state` is the partition's, at this block or later: names and terms never change."""

    def __init__(self, block: Block, state: State) -> None:
        self.block = block
        self._state = state
        self._position = str(Position(block.header.partition, block.header.sequence))
        self._at = format_time(block.header.created_at_us)

    def answer(self, row: int) -> Answer | Place:
        """The answer to the command of outcome `row`; for a repeated one the place of the first outcome, to ask there.

        A transfer across partitions is answered 202 until an outcome ends it: that one's answer is the last.
        """
        code, kind = Code(self._codes[row]), Kind(self._kinds[row])
        if code is Code.REPEATED:
            at = int(np.searchsorted(self.block.repeats["outcome"], row))
            return Place(int(self.block.repeats["sequence"][at]), int(self.block.repeats["row"][at]))
        if code is Code.PENDING:
            return Answer(
                PENDING_STATUS, {"id": self._id(row), "result": "pending", **self._progress(row), **self._place()}
            )
        if kind in (Kind.ANSWER, Kind.TIMEOUT):
            return self._ended(row, code)
        if code in REFUSALS:
            leg = int(np.searchsorted(self.block.legs["outcome"], row))
            told = leg < len(self.block.legs["outcome"]) and self.block.legs["outcome"][leg] == row
            return self._refused(row, code, kind, int(self.block.legs["available"][leg]) if told else NOT_TOLD)
        return self._opened(row, code) if kind is Kind.OPEN else self._done(row, kind)

    def _place(self) -> dict[str, object]:
        return {"position": self._position, "at": self._at}

    def _done(self, row: int, kind: Kind) -> Answer:
        document: dict[str, object] = {"id": self._id(row), "result": RESULTS[kind], **self._place()}
        if kind in (Kind.CAPTURE, Kind.VOID, Kind.REVERSE):
            document["reverses" if kind is Kind.REVERSE else "hold"] = link_of(self.block, row)
        return Answer(_CREATED.get(kind, 201), document | note_of(self.block, row) | {"accounts": self._accounts(row)})

    def _ended(self, row: int, code: Code) -> Answer:
        """How a transfer across partitions ended, with all its steps."""
        steps = self._steps(row)
        reached = {self.block.header.partition: self.block.header.sequence}
        for step in np.flatnonzero(self.block.steps["outcome"] == row):
            partition, sequence = (int(self.block.steps[name][step]) for name in ("partition", "sequence"))
            reached[partition] = max(reached.get(partition, -1), sequence)
        place: dict[str, object] = {"position": format_positions(reached), "at": self._at}
        if code is Code.DONE:
            head: dict[str, object] = {"id": self._id(row), "result": "done"}
            rest: dict[str, object] = {"accounts": self._accounts(row), "steps": steps}
            return Answer(201, head | self._progress(row, Phase.DONE) | place | rest)
        told = code in _TELLS_AVAILABLE
        spendable = int(self.block.pending["available"][self._pending_row(row)]) if told else NOT_TOLD
        status, document = self._refused(row, code, Kind.TRANSFER, spendable)
        return Answer(status, document | self._progress(row, Phase.REFUSED) | place | {"steps": steps})

    def _pending_row(self, row: int) -> int:
        """The row of the process that outcome `row` moved."""
        of_process = (self.block.pending["outcome"] == row) & (self.block.pending["what"] == What.PROCESS)
        return int(np.flatnonzero(of_process)[0])

    def _progress(self, row: int, phase: Phase | None = None) -> dict[str, object]:
        at = self._pending_row(row)
        option, state = (int(self.block.pending[name][at]) for name in ("option", "state"))
        protocol = "tcc" if option & TCC_BIT else "saga"
        return {"protocol": protocol, "phase": (phase or Phase(state)).name.lower()}

    def _steps(self, row: int) -> list[dict[str, object]]:
        steps = self.block.steps
        return [
            {
                "step": int(steps["step"][i]),
                "action": Action(steps["action"][i]).name.lower(),
                "partition": int(steps["partition"][i]),
                "code": word_of(Code(steps["code"][i])),
                "position": str(Position(int(steps["partition"][i]), int(steps["sequence"][i]))),
                "at": format_time(int(steps["at_us"][i])),
            }
            for i in np.flatnonzero(steps["outcome"] == row)
        ]

    def _accounts(self, row: int) -> list[dict[str, object]]:
        """The state after it of every account that the outcome changed, each once."""
        accounts: dict[int, dict[str, object]] = {}
        for entry in range(self._first_entry[row], self._first_entry[row + 1]):
            number = self._entry_accounts[entry]
            if self._state.names[number].startswith("@"):
                continue
            accounts[number] = account_document(
                account=self._state.names[number],
                asset=self._state.assets[number],
                posted=self._entry_posted[entry],
                held=self._held.get(entry, 0),
                floor=int(self._state.floor[number]),
                version=self._entry_versions[entry],
                position=self._position,
                at=self._at,
            )
            if entry in self._flags:
                accounts[number]["flags"] = flag_words(self._flags[entry])
        return list(accounts.values())

    def _refused(self, row: int, code: Code, kind: Kind, spendable: int) -> Answer:
        word = REFUSALS[code]
        problem = PROBLEMS[word]
        keeps = kind is not Kind.OPEN and code not in NOT_REMEMBERED
        document = problem_document(
            word,
            detail=problem.detail + KEPT_BY_ID if keeps else None,
            id=self._id(row) if kind is not Kind.OPEN else None,
            result="refused",
            available=None if spendable == NOT_TOLD else str(spendable),
            remembered_from=format_time(self.block.header.refuse_ids_before_us) if code is Code.ID_EXPIRED else None,
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
    def _flags(self) -> dict[int, int]:
        """Flags after, by entry: only where they were changed."""
        flags = self.block.flags
        return dict(zip(flags["entry"].tolist(), flags["flags"].tolist(), strict=True))

    @cached_property
    def _held(self) -> dict[int, int]:
        """Held after, by entry: only where it is not zero or has moved."""
        held = self.block.held
        return dict(zip(held["entry"].tolist(), held["held"].tolist(), strict=True))

    @cached_property
    def _entry_accounts(self) -> list[int]:
        return list(self.block.entries["account"].tolist())

    @cached_property
    def _entry_posted(self) -> list[int]:
        return list(self.block.entries["posted"].tolist())

    @cached_property
    def _entry_versions(self) -> list[int]:
        return list(self.block.entries["version"].tolist())


def link_of(block: Block, row: int) -> str | None:
    """The other id that an outcome names: the hold that it captures or voids, the transfer that it reverses."""
    at = np.flatnonzero(block.links["outcome"] == row)
    return format_transfer_id(block.links["id"][at[0]].tobytes()) if at.size else None


def note_of(block: Block, row: int) -> dict[str, object]:
    """Reference and metadata of an outcome, where the client gave some."""
    at = np.flatnonzero(block.details["outcome"] == row)
    if not at.size:
        return {}
    reference, metadata = block.details["reference"][at[0]], block.details["metadata"][at[0]]
    note: dict[str, object] = {"reference": reference} if reference else {}
    return note | ({"metadata": json.loads(metadata)} if metadata else {})


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
