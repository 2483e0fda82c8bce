"""The model's transfers across partitions: what home does from phase to phase, and what a participant does with its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.unit.write_side.ledger.model.accounts import Accounts
from tests.unit.write_side.ledger.model.steps import Step, check_try, do
from tests.unit.write_side.ledger.model.values import TEN_SECONDS_US, Refused
from write_side.ledger.commands.commands import Leg


class Ask(NamedTuple):
    """A message from a home partition: do this to a step. `low`: its transfers begun in a block below are over."""

    home: int
    id: bytes
    number: int
    action: str
    step: Step
    begun: int
    low: int


class Tell(NamedTuple):
    """A message to the home partition: this became of a step. Of state `none`: go on with your own steps."""

    partition: int
    id: bytes
    number: int
    state: str
    word: str
    begun: int


class Phase(NamedTuple):
    """What the steps are asked; which of them; whether one after the other; what follows, also when one refuses."""

    action: str
    of: str
    in_order: bool
    then: str
    refused: str = ""


PHASES = {
    "debiting": Phase("try", "debits", True, "crediting", "compensating"),
    "crediting": Phase("try", "all", True, "releasing", "compensating"),
    "releasing": Phase("confirm", "all but the last", False, "done"),
    "compensating": Phase("cancel", "all", True, "refused"),
    "trying": Phase("try", "all", False, "capturing", "cancelling"),
    "capturing": Phase("confirm", "debits", False, "paying"),
    "paying": Phase("confirm", "credits", False, "done"),
    "cancelling": Phase("cancel", "all", False, "refused"),
}
COUNTS = {"try": ("held", "done"), "confirm": ("done",), "cancel": ("released", "fenced", "rejected")}
"""States of a step that mean: it has done what was asked."""


@dataclass
class Process:
    """A transfer across partitions, as its home knows it. order: what was asked for, by the partition's model."""

    id: bytes
    steps: list[Step]
    tcc: bool
    begun: int
    began_at_us: int
    order: object
    legs: tuple[Leg, ...]
    phase: str = ""
    cursor: int = 0
    finished: set[int] = field(default_factory=set)
    word: str = "done"

    def waits_for(self) -> list[int]:
        debits = sum(step.manner.endswith(("debit", "capture")) for step in self.steps)
        phase, count = PHASES[self.phase], len(self.steps)
        chosen = {
            "debits": range(debits),
            "credits": range(debits, count),
            "all but the last": range(count - 1),
            "all": range(count),
        }[phase.of]
        if phase.in_order:
            return [self.cursor] if self.cursor in chosen else []
        return [number for number in chosen if number not in self.finished]


class Coordinator:
    """The processes that one partition is home of. asked: every (id, block that began it, step, action) that it has asked of
    others so far; steps by the same, without the action."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.open: dict[bytes, Process] = {}
        self.asked: set[tuple[bytes, int, int, str]] = set()
        self.steps: dict[tuple[bytes, int, int], Step] = {}

    def begin(self, process: Process) -> None:
        """Raises Refused when a step of home's own cannot be tried: then nothing has moved."""
        for step in process.steps:
            if step.partition == self._accounts.partition:
                check_try(self._accounts, step)
        self.open[process.id] = process
        for number, step in enumerate(process.steps):
            self.steps[process.id, process.begun, number] = step
        process.phase = "trying" if process.tcc else "debiting"
        self._advance(process)

    def take(self, tell: Tell) -> Process | None:
        """The process that has gone on by it; None when nothing waited for it."""
        process = self.open.get(tell.id)
        if process is None or tell.begun != process.begun or tell.number not in process.waits_for():
            return None
        if tell.state == "none":
            if not self._do_own(process):
                return None
        else:
            action = PHASES[process.phase].action
            if process.steps[tell.number].partition != tell.partition:
                return None
            if tell.state in COUNTS[action]:
                self._count(process, tell.number)
            elif action == "try" and tell.state in ("rejected", "fenced"):
                self._refuse(process, tell.number, tell.word)
            else:
                return None
        self._advance(process)
        return process

    def time_out(self, id: bytes) -> Process:
        process = self.open[id]
        process.word, process.phase, process.finished = "timed_out", "cancelling", set()
        self._advance(process)
        return process

    def due(self, at_us: int) -> list[tuple[int, bytes]]:
        """(deadline, id) of those whose time for tries is over."""
        return [
            (process.began_at_us + TEN_SECONDS_US, process.id)
            for process in self.open.values()
            if process.phase == "trying" and process.began_at_us + TEN_SECONDS_US <= at_us
        ]

    def touches(self, name: str) -> bool:
        """Whether an account has a step in a transfer that is not over."""
        return any(name == leg.account for each in self.open.values() for step in each.steps for leg in step.legs)

    def is_over(self, process: Process) -> bool:
        return process.phase in ("done", "refused")

    def _count(self, process: Process, number: int) -> None:
        process.finished.add(number)
        if PHASES[process.phase].in_order:
            process.cursor += -1 if process.phase == "compensating" else 1

    def _refuse(self, process: Process, number: int, word: str) -> None:
        process.word, process.phase = word, PHASES[process.phase].refused
        process.finished = {number}
        process.cursor = number - 1

    def _do_own(self, process: Process) -> bool:
        phase, moved = process.phase, False
        for number in process.waits_for():
            step = process.steps[number]
            if step.partition != self._accounts.partition or process.phase != phase:
                continue
            action = PHASES[phase].action
            try:
                if action == "try":
                    check_try(self._accounts, step)
            except Refused as refused:
                self._refuse(process, number, refused.word)
                return True
            if do(self._accounts, step, action, (self._accounts.partition, process.id)):
                self._count(process, number)
                moved = True
        return moved

    def _advance(self, process: Process) -> None:
        while not self.is_over(process):
            waits_for = process.waits_for()
            if not waits_for:
                process.phase, process.finished = PHASES[process.phase].then, set()
            elif not self._do_own(process):
                action = PHASES[process.phase].action
                self.asked |= {(process.id, process.begun, number, action) for number in waits_for}
                return


@dataclass
class _Row:
    state: str
    word: str
    step: Step
    begun: int


class Participant:
    """The steps of one partition in transfers of other homes. said: every (home, id, step, state, word) so far."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.rows: dict[tuple[int, bytes, int], _Row] = {}
        self.lows: dict[int, int] = {}
        self.said: set[tuple[int, bytes, int, str, str]] = set()

    def touches(self, name: str) -> bool:
        """Whether an account has a step that waits for its end."""
        held = [row.step for row in self.rows.values() if row.state == "held"]
        return any(name == leg.account for step in held for leg in step.legs)

    def take(self, ask: Ask) -> str:
        """The word of the outcome."""
        if ask.begun < self.lows.get(ask.home, 0):
            return "stale"
        row = self.rows.get((ask.home, ask.id, ask.number))
        if row is not None and row.begun != ask.begun:
            if row.begun > ask.begun or row.state == "held":
                return "stale"
            row = None  # of an earlier transfer of this id, which was over and forgotten before this one began
        return _PARTICIPANT["none" if row is None else row.state, ask.action](self, ask, row)

    def _try(self, ask: Ask, row: _Row | None) -> str:
        try:
            check_try(self._accounts, ask.step)
        except Refused as refused:
            return self._put(ask, "rejected", refused.word)
        do(self._accounts, ask.step, "try", (ask.home, ask.id))
        return self._put(ask, "done" if ask.step.manner == "saga last credit" else "held", "done")

    def _fence(self, ask: Ask, row: _Row | None) -> str:
        return self._put(ask, "fenced", "done")

    def _finish(self, ask: Ask, row: _Row | None) -> str:
        assert row is not None
        if not do(self._accounts, row.step, ask.action, (ask.home, ask.id)):
            return "balance_limit_exceeded"
        return self._put(ask, "done" if ask.action == "confirm" else "released", "done")

    def _again(self, ask: Ask, row: _Row | None) -> str:
        self._raise_low(ask)
        return "stale"

    def _ignore(self, ask: Ask, row: _Row | None) -> str:
        return "stale"

    def _put(self, ask: Ask, state: str, word: str) -> str:
        self.rows[ask.home, ask.id, ask.number] = _Row(state, word, ask.step, ask.begun)
        self.said.add((ask.home, ask.id, ask.number, state, word))
        self._raise_low(ask)
        return word

    def _raise_low(self, ask: Ask) -> None:
        if ask.low > self.lows.get(ask.home, 0):
            self.lows[ask.home] = ask.low
            self.rows = {key: row for key, row in self.rows.items() if key[0] != ask.home or row.begun >= ask.low}


_Move = Callable[[Participant, Ask, "_Row | None"], str]
_PARTICIPANT: dict[tuple[str, str], _Move] = {
    ("none", "try"): Participant._try,
    ("none", "confirm"): Participant._ignore,
    ("none", "cancel"): Participant._fence,
    ("held", "try"): Participant._again,
    ("held", "confirm"): Participant._finish,
    ("held", "cancel"): Participant._finish,
    ("rejected", "try"): Participant._again,
    ("rejected", "confirm"): Participant._ignore,
    ("rejected", "cancel"): Participant._again,
    ("done", "try"): Participant._again,
    ("done", "confirm"): Participant._again,
    ("done", "cancel"): Participant._ignore,
    ("released", "try"): Participant._again,
    ("released", "confirm"): Participant._ignore,
    ("released", "cancel"): Participant._again,
    ("fenced", "try"): Participant._again,
    ("fenced", "confirm"): Participant._ignore,
    ("fenced", "cancel"): Participant._again,
}
