"""What must hold of a batch, as the log tells it: atomic is all or none, and behind the first refusal of one that stops nothing
is done. The model of a partition knows chains; these rules know batches, over all partitions and however often they are sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.simulation.auditor import Line, Violation
from tests.unit.write_side.ledger.model.values import has_time
from tests.unit.write_side.ledger.wallet_model import GOOD, Outcome
from write_side.contract.tell.answers import Answer
from write_side.ledger.commands.commands import Capture, Command, Mode, OpenAccount, Reverse, Rich, Transfer, Void


class Request(NamedTuple):
    """What a client sends together. own: ids that nothing but this batch has ever had."""

    commands: list[Command]
    mode: Mode = Mode.CONTINUE
    own: tuple[bytes, ...] = ()


@dataclass
class _Batch:
    mode: Mode
    own: tuple[bytes, ...]
    is_over: bool = False
    done: set[bytes] = field(default_factory=set)
    refused_at: int | None = None


class Batches:
    """The batches of a story."""

    def __init__(self) -> None:
        self._of: dict[bytes, _Batch] = {}
        self._changed: list[_Batch] = []

    def asked(self, request: Request) -> None:
        """A client is about to send this for the first time: lines of a batch that is over, maybe, which then is none."""
        for line in request.commands:
            before = None if isinstance(line, OpenAccount) else self._of.get(line.id)
            if before is not None and before.is_over:
                for own in before.own:
                    self._of.pop(own, None)
        batch = _Batch(request.mode, request.own)
        self._of |= dict.fromkeys(request.own, batch)

    def told(self, line: Line, outcome: Outcome) -> None:
        """One of the auditor's rules. A repeat tells nothing new."""
        if not isinstance(line, Transfer | Rich) or line.id not in self._of or outcome.word == "repeated":
            return
        batch = self._of[line.id]
        place = batch.own.index(line.id)
        if outcome.word in GOOD:
            behind = batch.mode is Mode.STOP and batch.refused_at is not None and place > batch.refused_at
            _require(not behind, f"behind a refusal {line} was run")
            batch.done.add(line.id)
        elif outcome.word != "not_run" and not isinstance(line, Capture | Void | Reverse) and line.id not in batch.done:
            # One about something that is not known yet may be decided elsewhere when it is sent again; and one that was done is
            # refused for its age alone, when it is sent again after weeks.
            batch.refused_at = place if batch.refused_at is None else min(place, batch.refused_at)
        self._changed.append(batch)

    def weeks_later(self) -> None:
        """What was promised of ids without a time is over: each line that has one may run again, alone."""
        for batch in {id(each): each for each in self._of.values()}.values():
            if not all(map(has_time, batch.own)):
                for own in batch.own:
                    self._of.pop(own, None)

    def at_end_of_block(self) -> None:
        """A record is decided whole by one block, and a chain lies in one record."""
        for batch in self._changed:
            if batch.mode is Mode.ATOMIC:
                _require(len(batch.done) in (0, len(batch.own)), "a part of an atomic batch was done")
        self._changed = []

    def answered(self, request: Request, answers: Sequence[Answer]) -> None:
        """What a client was told of a batch, all together."""
        refused = False
        for answer in answers:
            not_run = answer.document.get("code") == "not_run"
            _require(not not_run or (refused and request.mode is Mode.STOP), "a line was not run for no reason")
            refused = refused or answer.status >= 400

    def over(self, request: Request) -> None:
        """Its client has all answers. What was not run may be asked for again by anybody, alone, from now on, and so may the
        lines of an atomic batch that was refused: no log remembers one that came ahead of its time, nor any when no partition was
        asked. Until somebody does, a copy that comes late is held to the rules of a batch."""
        for batch in (self._of[own] for own in request.own if own in self._of):
            batch.is_over = request.mode is Mode.STOP or not batch.done


def own_ids(commands: Sequence[Command], known: set[bytes]) -> tuple[bytes, ...]:
    """The ids of these that nobody has used before."""
    return tuple(each.id for each in commands if not isinstance(each, OpenAccount) and each.id not in known)


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise Violation(rule)
