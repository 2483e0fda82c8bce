"""How an outcome in the log is told to a person: the JSON document and HTTP status of one row of a block.

Pure: the same row gives the same answer today, on a repeat, and when asked for later, on either side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Final, NamedTuple

from fanfold.api.problems import (
    KEPT_BY_ID,
    OF_AN_ACCOUNT,
    PROBLEMS,
    has_another_asset,
    not_there,
    one_of,
    problem_document,
)
from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.state import Place, State
from write_side.contract.tell.done_lines import DoneLines
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.tell.pending_row import PendingRow, StepDone
from write_side.contract.words.atoms import WORLD, available, format_floor, format_transfer_id, partition_of
from write_side.contract.words.codes import NOT_REMEMBERED, REFUSALS, Code, Kind, flag_words, word_of
from write_side.contract.words.position import Position, format_positions
from write_side.contract.words.times import format_time

PENDING_STATUS: Final = 202
"""Begun and not over: ask again for the end."""


class Answer(NamedTuple):
    """HTTP status and JSON document. A status of 400 and above goes out as application/problem+json."""

    status: int
    document: dict[str, object]

    @property
    def is_repeat(self) -> bool:
        """Whether it is told to a command that did not run, because its id ran before."""
        return "repeated" in self.document

    def again(self) -> Answer:
        """The same, told to a command whose id ran before."""
        return Answer(self.status, self.document | {"repeated": True})


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
_DONE: Final = int(Code.DONE)
_TRANSFER: Final = int(Kind.TRANSFER)
_CREATED: Final = {Kind.CHANGE: 200}
_LINKS: Final = {Kind.CAPTURE: "hold", Kind.VOID: "hold", Kind.REVERSE: "reverses"}
_CONCERNS: Final[Mapping[Code, Callable[[int], bool]]] = {
    Code.ACCOUNT_UNKNOWN: lambda _: True,
    Code.ASSET_MISMATCH: lambda _: True,
    Code.ACCOUNT_CLOSED: lambda _: True,
    Code.NOT_EMPTY: lambda _: True,
    Code.BALANCE_LIMIT: lambda _: True,
    Code.VERSION_DIFFERS: lambda _: True,
    Code.AVAILABLE_BELOW: lambda _: True,
    Code.DEBIT_FROZEN: lambda amount: amount < 0,
    Code.INSUFFICIENT_AVAILABLE: lambda amount: amount < 0,
    Code.CREDIT_FROZEN: lambda amount: amount > 0,
}
"""Refusals of a leg, and by its amount which legs they may be about."""
_CONDITIONS: Final = (Code.VERSION_DIFFERS, Code.AVAILABLE_BELOW)
_TELLS_AVAILABLE: Final = (Code.INSUFFICIENT_AVAILABLE, Code.AVAILABLE_BELOW)


class BlockAnswers:
    """Answers from one accepted block. `state` is the partition's, at this block or later: names and terms never change."""

    def __init__(self, block: Block, state: State) -> None:
        self.block = block
        self.outcomes = BlockOutcomes(block)
        self._state = state
        self._position = str(Position(block.header.partition, block.header.sequence))
        self._at = format_time(block.header.created_at_us)

    def answer(self, row: int) -> Answer | Place:
        """The answer to the command of outcome `row`; for a repeated one the place of the first outcome, to ask there.

        A transfer across partitions is answered 202 until an outcome ends it: that one's answer is the last.
        """
        outcome = self.outcomes[row]
        if self.outcomes.codes[row] == _DONE and self.outcomes.kinds[row] == _TRANSFER:  # most, and seen at once
            return Answer(201, self._moved(outcome, "done", {}))
        code, kind = outcome.code, outcome.kind
        if code is Code.REPEATED:
            return outcome.first
        if code is Code.PENDING:
            progress = _progress(outcome, _process_of(outcome))
            return Answer(
                PENDING_STATUS, {"id": format_transfer_id(outcome.id), "result": "pending", **progress, **self._place()}
            )
        if kind in (Kind.ANSWER, Kind.TIMEOUT):
            return self._ended(outcome, code)
        if code in REFUSALS:
            return self._refused(outcome, code, kind, outcome.available)
        return self._opened(outcome, code) if kind is Kind.OPEN else self._done(outcome, kind)

    def reached(self, row: int) -> str:
        """The position of all that was done for what outcome `row` ends, as its answer tells it."""
        header = self.block.header
        return positions_reached(Position(header.partition, header.sequence), self.outcomes[row].steps)

    @cached_property
    def lines(self) -> DoneLines:
        """Most of the same answers, as text."""
        return DoneLines(self.outcomes, self._state, self._position, self._at)

    def accounts(self, outcome: Outcome) -> dict[str, dict[str, object]]:
        """The state after it of every account that an outcome changed, by name."""
        accounts: dict[str, dict[str, object]] = {}
        state, position, at = self._state, self._position, self._at
        for number, posted, version, held, flags in outcome.entries:
            name = state.names[number]
            if name[0] == "@":
                continue
            floor = state.floor.item(number)
            accounts[name] = account_document(
                name, state.assets[number], posted, held or 0, floor, version, position, at
            )
            if flags is not None:
                accounts[name]["flags"] = flag_words(flags)
        return accounts

    def _place(self) -> dict[str, object]:
        return {"position": self._position, "at": self._at}

    def _done(self, outcome: Outcome, kind: Kind) -> Answer:
        return Answer(_CREATED.get(kind, 201), self._moved(outcome, RESULTS[kind], link_member(kind, outcome.link)))

    def _moved(self, outcome: Outcome, result: str, link: dict[str, Any]) -> dict[str, object]:
        return {
            "id": format_transfer_id(outcome.id),
            "result": result,
            "position": self._position,
            "at": self._at,
            **link,
            **(note_of(outcome) if self.outcomes.has_details else {}),
            "accounts": list(self.accounts(outcome).values()),
        }

    def _ended(self, outcome: Outcome, code: Code) -> Answer:
        """How a transfer across partitions ended, with all its steps."""
        process = _process_of(outcome)
        steps = {"steps": [step_document(step) for step in outcome.steps]}
        place: dict[str, object] = _progress(outcome, process) | {"position": self.reached(outcome.row), "at": self._at}
        if code is Code.DONE:
            head: dict[str, object] = {"id": format_transfer_id(outcome.id), "result": "done"}
            return Answer(201, head | place | {"accounts": list(self.accounts(outcome).values())} | steps)
        told = process.available if code in _TELLS_AVAILABLE else NOT_TOLD
        status, document = self._refused(outcome, code, Kind.TRANSFER, told)
        return Answer(status, document | place | steps)

    def _refused(self, outcome: Outcome, code: Code, kind: Kind, spendable: int) -> Answer:
        word = REFUSALS[code]
        problem = PROBLEMS[word]
        keeps = kind is not Kind.OPEN and code not in NOT_REMEMBERED
        accounts, meant = self._meant(outcome, code)
        detail = (OF_AN_ACCOUNT.get(word) if kind is Kind.CHANGE else None) or problem.detail
        document = problem_document(
            word,
            detail=detail + meant + KEPT_BY_ID * keeps,
            id=format_transfer_id(outcome.id) if kind is not Kind.OPEN else None,
            account=accounts[0] if len(accounts) == 1 else None,
            result="refused",
            available=None if spendable == NOT_TOLD else str(spendable),
            remembered_from=format_time(self.block.header.refuse_ids_before_us) if code is Code.ID_EXPIRED else None,
            position=self._position,
            at=self._at,
        )
        return Answer(problem.status, document)

    def _meant(self, outcome: Outcome, code: Code) -> tuple[list[str], str]:
        """The accounts one of which a refusal is about, and what is said of them: as far as the block tells it, and what never
        changes, so that the same is said whenever it is asked for."""
        concerns = _CONCERNS.get(code)
        legs = [leg for leg in outcome.legs if self._is_here(leg.account)] if concerns is not None else []
        if concerns is None or not legs:
            return [], ""
        if code is Code.ASSET_MISMATCH:  # every account was there, and none ever gets another asset
            for leg in legs:
                asset = self._asset_of(leg.account)
                if asset is not None and asset != leg.asset:
                    return [leg.account], has_another_asset(leg.account, asset, leg.asset)
        if code in _CONDITIONS:
            legs = [leg for leg in outcome.legs_with_conditions if self._is_here(leg.account)]
        worlds = [leg.asset for leg in legs if leg.account == WORLD]
        legs = [leg for leg in legs if leg.account != WORLD and concerns(leg.amount)]
        accounts = list(dict.fromkeys(leg.account for leg in legs))
        if code is Code.ACCOUNT_UNKNOWN:
            return (accounts if not worlds else []), not_there(accounts, worlds)
        if code is Code.BALANCE_LIMIT:
            accounts += [f"the {WORLD} of partition {self.block.header.partition}"] * bool(worlds)
            return [], one_of(accounts)
        return accounts, one_of(accounts)

    def _is_here(self, account: str) -> bool:
        """Whether this partition decides of it, by what the block says of their number: others answer for theirs themselves."""
        header = self.block.header
        return account == WORLD or not header.partitions or partition_of(account, header.partitions) == header.partition

    def _asset_of(self, account: str) -> str | None:
        number = self._state.number_of(account)
        return None if number is None else self._state.assets[number]

    def _opened(self, outcome: Outcome, code: Code) -> Answer:
        number = self._state.number_of_key(outcome.id)
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


def _process_of(outcome: Outcome) -> PendingRow:
    process = outcome.process
    assert process is not None, "an outcome of a transfer across partitions moves its process"
    return process


def _progress(outcome: Outcome, process: PendingRow) -> dict[str, object]:
    return {"protocol": process.protocol, "phase": outcome.phase(process).name.lower()}


def step_document(step: StepDone) -> dict[str, Any]:
    """What was done for a step, as every door shows it."""
    return {
        "step": step.step,
        "action": step.action.name.lower(),
        "partition": step.partition,
        "code": word_of(step.code),
        "position": str(Position(step.partition, step.sequence)),
        "at": format_time(step.at_us),
    }


def positions_reached(home: Position, steps: Iterable[StepDone]) -> str:
    """The position of all that was done for a transfer: of its home, and the last step of every partition."""
    reached = {home.partition: home.sequence}
    for step in steps:
        reached[step.partition] = max(reached.get(step.partition, -1), step.sequence)
    return format_positions(reached)


def link_member(kind: Kind, link: bytes | None) -> dict[str, Any]:
    """What a capture, a void or a reversal was about."""
    return {_LINKS[kind]: None if link is None else format_transfer_id(link)} if kind in _LINKS else {}


def note_of(outcome: Outcome) -> dict[str, object]:
    """Reference and metadata of an outcome, where the client gave some."""
    reference, metadata = outcome.note
    note: dict[str, object] = {"reference": reference} if reference else {}
    return note | ({"metadata": json.loads(metadata)} if metadata else {})


def account_document(
    account: str, asset: str, posted: int, held: int, floor: int, version: int, position: str, at: str
) -> dict[str, Any]:
    """One account's state as every door shows it. Amounts are digit strings of minor units; `floor` may be `NO_FLOOR`."""
    spendable = available(posted, held, floor)
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
