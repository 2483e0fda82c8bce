"""Commands that a client submits: taken apart from its messages, gathered into requests to the write side, and answered in order.

A client has one request under way. What it submits meanwhile waits, and leaves together as the next one when that is answered: a
group commit by connection, without a timer. A command is passed on as the client wrote it, one a line, and read by the write side
alone; here it is not looked at, only where it ends.

Source of the idea: Helland et al., "Group Commit Timers and High Volume Transaction Systems" (1987).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise, takewhile
from typing import Final, NamedTuple

import msgspec

from fanfold.api.frames.members import NUMBER_MAX
from fanfold.api.grammar import UUID
from fanfold.api.requests import BATCH_BYTES_MAX, BATCH_LINES_MAX
from fanfold.doors.shared_room import SharedRoom
from gateway.arrivals.trace import Trace
from gateway.identity.grants import Principal
from gateway.protocol.submit_runs import SubmitRun

REQUEST_COMMANDS_MAX: Final = 1_024
"""Commands of one request, but those of one submit stay together: their answers take 1 ms, and others wait for as long."""

_BLANKS: Final = r"[ \t\r\n]*"
_HEAD: Final = re.compile(
    _BLANKS.join(
        (
            "",
            r"\{",
            '"op"',
            ":",
            '"submit"',
            ",",
            '"id"',
            ":",
            "(0|[1-9][0-9]{0,15})",
            ",",
            '"commands"',
            ":",
            r"(?=\[)",
        )
    )
)
"""How clients write it, mostly: then what is behind it is the list and a brace, and no field can be there twice."""
_ID: Final = re.compile(UUID)
_AROUND: Final = len("[]\n")
_commands: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


Line = msgspec.Raw | bytes
"""A command as it was written, without a line break."""


class Commands(NamedTuple):
    """One submit. commands: each as it was written, without a line break."""

    id: int
    commands: list[msgspec.Raw]
    size: int
    """Bytes, no fewer than the commands have."""


class Failed(NamedTuple):
    """Why a submit has no answers. ids: of its commands that may have been done; none where nothing was."""

    code: str
    detail: str
    may_be_done: bool = False


Told = Sequence[bytes] | Failed
"""What became of the commands of one submit: the document of each as JSON, or why there are none."""


def commands_of(text: str) -> Commands | None:
    """A submit as it is mostly written; None for any other message, right or wrong, which `messages.decode` reads."""
    head = _HEAD.match(text)
    if head is None:
        return None
    id, end = int(head[1]), len(text)
    while text[end - 1] in " \t\r\n":
        end -= 1
    if id > NUMBER_MAX or text[end - 1] != "}":
        return None
    return raw_commands(id, text[head.end() : end - 1])


def raw_commands(id: int, listed: str) -> Commands | None:
    """The elements of a JSON list, whatever they are; None where it is none."""
    if "\n" in listed:
        # A line of the request has none. Between tokens both are blanks, and in a string neither may be.
        listed = listed.replace("\n", "\r")
    try:
        commands = _commands(listed)
    except (msgspec.DecodeError, RecursionError):
        return None
    return Commands(id, commands, len(listed) if listed.isascii() else len(listed.encode()))


class SubmitBudget(SharedRoom):
    """Bytes of commands that wait or are under way, of all clients of a gateway together; a principal has its share of them."""


class Request(NamedTuple):
    """Commands that go to the write side together. counts: how many each submit has; lines: one a line, in order. whose: who
    submits them; None where nobody is asked who is there. trace: of the stream; None where it has none."""

    ids: list[int]
    counts: list[int]
    commands: list[Line]
    size: int
    whose: Principal | None = None
    trace: Trace | None = None

    @property
    def named(self) -> Trace | None:
        """By what name the sides have it: that of its first submit."""
        return None if self.trace is None else self.trace.of_submit(self.ids[0])

    @property
    def lines(self) -> bytes:
        return b"\n".join(self.commands)

    def parts(self) -> Iterator[Request]:
        """Each submit for itself, in order."""
        for id, count, (start, end) in zip(self.ids, self.counts, self._bounds(), strict=True):
            yield Request([id], [count], self.commands[start:end], 0, self.whose, trace=self.trace)

    def commands_of(self, at: int) -> list[Line]:
        """Those of one of its submits."""
        start = sum(self.counts[:at])
        return self.commands[start : start + self.counts[at]]

    def shares(self, answers: Sequence[bytes]) -> list[Told]:
        """Of the answers to all commands those of each submit."""
        if len(self.counts) == len(answers):  # one each
            return list(zip(answers, strict=True))
        return [answers[start:end] for start, end in self._bounds()]

    def _bounds(self) -> Iterator[tuple[int, int]]:
        return pairwise(accumulate(self.counts, initial=0))


class Submits:
    """Those of one client. bytes_max: of commands that may wait; more may only as the first that waits."""

    __slots__ = ("_budget", "_bytes_max", "_commands", "_counts", "_ids", "_size", "_sizes", "under_way", "whose")

    def __init__(self, bytes_max: int, budget: SubmitBudget) -> None:
        self._bytes_max = bytes_max
        self._budget = budget
        self.under_way: Request | None = None
        self.whose: Principal | None = None
        """Who submits them, the same one always; None where nobody is asked who is there."""
        self._wait_for_none()

    def _wait_for_none(self) -> None:
        self._ids: list[int] = []
        self._counts: list[int] = []
        self._sizes: list[int] = []
        self._commands: list[Line] = []
        self._size = 0

    @property
    def _key(self) -> str | None:
        return None if self.whose is None else self.whose.name

    def add(self, submit: Commands) -> bool:
        """Whether there is room for it: no more waits than a batch may have, and both budgets hold."""
        size = self._size + submit.size + 1
        if len(self._commands) + len(submit.commands) > BATCH_LINES_MAX or size > BATCH_BYTES_MAX:
            return False
        if self._ids and size > self._bytes_max:
            return False
        if not self._budget.take(self._key, submit.size + 1):
            return False
        self._size = size
        self._ids.append(submit.id)
        self._counts.append(len(submit.commands))
        self._sizes.append(submit.size + 1)
        self._commands += submit.commands
        return True

    def add_run(self, run: SubmitRun) -> bool:
        """As `add`, of each; or none of them, where there is no room for all."""
        sizes = [len(command) + _AROUND for command in run.commands]
        size = sum(sizes)
        if len(self._commands) + len(sizes) > BATCH_LINES_MAX or self._size + size > min(
            BATCH_BYTES_MAX, self._bytes_max
        ):
            return False
        if self._budget.used + size > self._budget.most or not self._budget.take(self._key, size):
            return False
        self._size += size
        self._ids += run.ids
        self._counts += [1] * len(sizes)
        self._sizes += sizes
        self._commands += run.commands
        return True

    def take(self) -> Request | None:
        """What waits, as far as it goes into one request: it is under way from now on. None where nothing waits, or something is
        under way."""
        if self.under_way is not None or not self._ids:
            return None
        if len(self._commands) <= REQUEST_COMMANDS_MAX:
            self.under_way = Request(self._ids, self._counts, self._commands, self._size)
            self._wait_for_none()
            return self.under_way
        ends = accumulate(self._counts)
        submits = max(1, sum(1 for _ in takewhile(REQUEST_COMMANDS_MAX.__ge__, ends)))
        commands, size = sum(self._counts[:submits]), sum(self._sizes[:submits])
        self.under_way = Request(self._ids[:submits], self._counts[:submits], self._commands[:commands], size)
        del self._ids[:submits], self._counts[:submits], self._sizes[:submits], self._commands[:commands]
        self._size -= size
        return self.under_way

    def done(self) -> None:
        """What was under way is answered, or will never be."""
        if self.under_way is not None:
            self._budget.give_back(self._key, self.under_way.size)
            self.under_way = None

    def drop(self) -> list[int]:
        """Forget what waits; the numbers of its submits, of which nothing was done."""
        dropped = self._ids
        self._budget.give_back(self._key, self._size)
        self._wait_for_none()
        return dropped


def answers_frame(id: int, answers: Sequence[bytes]) -> bytes:
    """answers: JSON, one of each command of the submit, in its order."""
    return b'{"op":"answers","id":%d,"answers":[%b]}' % (id, b",".join(answers))


def answers_frames(request: Request, told: Sequence[Told]) -> list[bytes] | None:
    """The same of each submit of a request at once; None where one failed."""
    if any(isinstance(each, Failed) for each in told):
        return None
    answers = (each[0] if len(each) == 1 else b",".join(each) for each in told)  # type: ignore[arg-type]  # none failed
    return [b'{"op":"answers","id":%d,"answers":[%b]}' % each for each in zip(request.ids, answers, strict=True)]


def transfer_ids(commands: Sequence[Line]) -> list[str]:
    """The ids that commands name, to ask with; none of what names none, as an opening does, or is none."""
    found = []
    for command in commands:
        try:
            members = msgspec.json.decode(command)
        except (msgspec.DecodeError, RecursionError):
            continue
        if isinstance(members, dict):
            inner = next(iter(members.values()), None) if len(members) == 1 else members
            id = inner.get("id") if isinstance(inner, dict) else None
            if isinstance(id, str) and _ID.fullmatch(id):
                found.append(id)
    return found
