"""The messages between partitions, made again from the block that decided them.

A step leaves its row, with the legs that it holds; the answer to one leaves the end of the step that home learned by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.state.pending_columns import (
    CREDIT_BIT,
    FIRST_LEG,
    HOME_SHIFT,
    LAST_BIT,
    LEG_COUNT,
    MASK_STEPS_MAX,
    RECORD_END_CODE,
    RECORD_TRY_CODE,
    STEP_SHIFT,
    TCC_BIT,
    Action,
    StepState,
    What,
)
from write_side.contract.state.state import State, string_keys, word_hash
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.tell.pending_row import StepDone
from write_side.contract.words.atoms import TRANSIT
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.again.block_accounts import BlockAccounts, Int64s
from write_side.ledger.again.untold import CannotTell, Untold
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION
from write_side.ledger.commands.step_batch import EMPTY_STEPS, NUMBERS, StepBatch

_LEG: Final = ("key", "asset", "amount", "if_version", "if_available")


@dataclass
class ToldMessages:
    """batch: the messages, in their order; copies: how many of them are stood in for, since their copies left their ids alone."""

    batch: StepBatch
    copies: int


@dataclass
class _Message:
    """One of them: its numbers as `StepBatch` names them, and its legs."""

    kind: int
    id: bytes
    numbers: dict[str, int]
    legs: list[tuple[Any, ...]] = field(default_factory=list)


def told_messages(state: State, block: Block, accounts: BlockAccounts, deltas: Int64s) -> ToldMessages:
    """The messages in a block that follows `state`. deltas: of its entries. Raises CannotTell."""
    return _Telling(state, block, accounts, deltas).told()


class _Telling:
    def __init__(self, state: State, block: Block, accounts: BlockAccounts, deltas: Int64s) -> None:
        self._state, self._block, self._accounts, self._deltas = state, block, accounts, deltas
        self._outcomes = BlockOutcomes(block)
        self._learned: set[tuple[bytes, int, bool]] = set()
        """Steps whose end home has learned by an earlier outcome of the block: id, step, whether of its try."""
        self._copies = 0

    def told(self) -> ToldMessages:
        kind = self._block.outcomes["kind"]
        made = []
        for row in np.flatnonzero((kind == Kind.STEP) | (kind == Kind.ANSWER)).tolist():
            outcome = self._outcomes[row]
            made.append(self._step(outcome) if outcome.kind is Kind.STEP else self._answer(outcome))
        return ToldMessages(_batch(made), self._copies)

    def _step(self, outcome: Outcome) -> _Message:
        pending, code = self._block.pending, outcome.code
        at = int(np.searchsorted(pending["outcome"], outcome.row))
        if at == len(pending["outcome"]) or pending["outcome"][at] != outcome.row:
            if code is not Code.STALE:
                raise CannotTell(Untold.STEP_REFUSED)
            self._copies += 1  # no partition is a participant of its own transfers
            return _Message(Kind.STEP, outcome.id, {"home": self._state.partition, "action": Action.CONFIRM})
        what, state, option, begun, low = (
            int(pending[name][at]) for name in ("what", "state", "option", "begun", "low")
        )
        home, step = (what >> HOME_SHIFT) & 0xFFFF, what >> STEP_SHIFT
        if home >= PARTITIONS_MAX or step >= MASK_STEPS_MAX:  # the rules look where these say
            raise CannotTell(Untold.ODD)
        numbers = {"home": home, "step": step, "option": option, "begun": begun, "low": low}
        if code is Code.STALE:  # a copy of what is known: each state takes one of its try so
            return _Message(Kind.STEP, outcome.id, numbers | {"action": Action.TRY})
        if state == StepState.REJECTED:
            raise CannotTell(Untold.STEP_REFUSED)
        if state == StepState.HELD:
            return _Message(Kind.STEP, outcome.id, numbers | {"action": Action.TRY}, self._held_legs(at))
        if state == StepState.DONE and option & (CREDIT_BIT | LAST_BIT | TCC_BIT) == CREDIT_BIT | LAST_BIT:
            return _Message(Kind.STEP, outcome.id, numbers | {"action": Action.TRY}, self._moved_legs(outcome.row))
        action = Action.CONFIRM if state == StepState.DONE else Action.CANCEL
        return _Message(Kind.STEP, outcome.id, numbers | {"action": action})

    def _held_legs(self, at: int) -> list[tuple[Any, ...]]:
        legs = self._block.pending_legs
        return [
            (legs["key"][i].tobytes(), *(int(legs[name][i]) for name in _LEG[1:]))
            for i in np.flatnonzero(legs["pending"] == at).tolist()
        ]

    def _moved_legs(self, row: int) -> list[tuple[Any, ...]]:
        """Of a step that left nothing held: the accounts that it changed, by what."""
        entries = self._block.entries
        first, last = np.searchsorted(entries["outcome"], (row, row + 1)).tolist()
        legs: list[tuple[Any, ...]] = []
        numbers = entries["account"][first:last]
        told = zip(self._accounts.names(numbers), self._accounts.assets(numbers), strict=True)
        for i, (name, asset) in enumerate(told, first):
            if name != TRANSIT:
                word = int(word_hash(asset).view(np.int64))
                key = np.ascontiguousarray(string_keys([name]).T).tobytes()
                legs.append((key, word, int(self._deltas[i]), ANY_VERSION, ANY_AVAILABLE))
        return legs

    def _answer(self, outcome: Outcome) -> _Message:
        here = self._state.partition
        learned = [each for each in outcome.steps if self._is_new(outcome.id, each)]
        self._learned.update((outcome.id, each.step, each.action is Action.TRY) for each in learned)
        if outcome.code is Code.STALE and not learned:
            self._copies += 1  # no transfer has a step of this number, so nothing waits for it
            return _Message(Kind.ANSWER, outcome.id, {"home": here, "step": MASK_STEPS_MAX})
        others = [each for each in learned if each.partition != here]
        if not others:
            if not learned:
                raise CannotTell(Untold.ODD)
            return _Message(Kind.ANSWER, outcome.id, {"home": here, "step": learned[0].step})
        if len({each.step for each in others}) != 1 or others[0].step >= MASK_STEPS_MAX:
            raise CannotTell(Untold.ODD)
        process = outcome.process
        first = others[0]
        tried = next((each for each in others if each.action is Action.TRY), None)
        numbers = {
            "home": first.partition, "step": first.step, "sequence": first.sequence, "at_us": first.at_us,
            "available": 0 if process is None else process.available,
        }  # fmt: skip
        if tried is not None:
            refused = tried.code is not Code.DONE
            state = StepState.REJECTED if refused else StepState.HELD
            return _Message(Kind.ANSWER, outcome.id, numbers | {"state": state, "code": tried.code})
        state = StepState.DONE if first.action is Action.CONFIRM else StepState.RELEASED
        return _Message(Kind.ANSWER, outcome.id, numbers | {"state": state})

    def _is_new(self, id16: bytes, step: StepDone) -> bool:
        """Whether home learned it by this outcome: the last one of a transfer tells all of its steps again."""
        is_try = step.action is Action.TRY
        if (id16, step.step, is_try) in self._learned:
            return False
        table = self._state.pending
        row = table.find(id16, What.PROCESS)
        if row is None:
            return True
        first = int(table.rows[row, FIRST_LEG] + table.rows[row, LEG_COUNT])  # the records of steps lie behind the legs
        return int(table.legs[first + step.step, RECORD_TRY_CODE if is_try else RECORD_END_CODE]) == 0


def _batch(made: list[_Message]) -> StepBatch:
    if not made:
        return EMPTY_STEPS
    legs = [leg for message in made for leg in message.legs]
    key, *numbers = zip(*legs, strict=True) if legs else ((),) * len(_LEG)
    return StepBatch(
        kind=np.array([message.kind for message in made], np.uint8),
        ids=np.frombuffer(b"".join(message.id for message in made), np.uint8).reshape(-1, 16),
        first_leg=np.concatenate(([0], np.cumsum([len(message.legs) for message in made]))).astype(np.int64),
        key=np.frombuffer(b"".join(key), np.uint8).reshape(-1, 16),
        **{name: np.array([message.numbers.get(name, 0) for message in made], np.int64) for name in NUMBERS},
        **{name: np.array(column, np.int64) for name, column in zip(_LEG[1:], numbers, strict=True)},
    )


assert NOT_TOLD == ANY_AVAILABLE
