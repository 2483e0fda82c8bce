"""The lines of a request: where each goes, which hang together, and what is answered where one is not run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from fanfold.api.problems import PROBLEMS, problem_document
from write_side.contract.tell.answers import Answer
from write_side.contract.words.atoms import format_transfer_id
from write_side.intake.lane import Overloaded
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, LegsTransfer, Mode, OpenAccount, Reverse, Transfer
from write_side.owner.outcomes import OutcomeUnknown, PartitionUnavailable


class Routed(NamedTuple):
    """home: the partition that decides it. command: with what the log knows of its subject. refusal: it is not to be asked.
    asked_by: who asks, "" for nobody."""

    home: int
    command: Command
    refusal: Answer | None = None
    asked_by: str = ""


def columns_of(lines: Sequence[Routed], mode: Mode = Mode.CONTINUE) -> CommandBatch:
    """One line at least, all of one request, and so of one who asks."""
    return CommandBatch.of([line.command for line in lines], mode).asked_by(lines[0].asked_by)


@contextmanager
def unknown_behind(ran: Sequence[object]) -> Iterator[None]:
    """Nobody is told that a request was not taken of which something has run."""
    try:
        yield
    except (Overloaded, PartitionUnavailable) as refusal:
        if not ran:
            raise
        raise OutcomeUnknown from refusal


def not_run(command: Command, word: str) -> Answer:
    if isinstance(command, OpenAccount):
        document = problem_document(word, account=command.account, result="refused")
    else:
        document = problem_document(word, id=format_transfer_id(command.id), result="refused")
    return Answer(PROBLEMS[word].status, document)


def not_begun(command: Command, stopped: PartitionUnavailable) -> Answer:
    """Of a line of several: as `PartitionUnavailable` is told of a request as a whole."""
    id16 = None if isinstance(command, OpenAccount) else format_transfer_id(command.id)
    word = "partition_stopped"
    document = problem_document(word, id=id16, partition=stopped.partition, reason=stopped.reason)
    return Answer(PROBLEMS[word].status, document)


def turns(commands: Sequence[Command]) -> list[int]:
    """Where the lines of a request are cut, its ends with them: before each that reverses a transfer behind the cut before."""
    cuts, made = [0], set[bytes]()
    for at, command in enumerate(commands):
        if isinstance(command, Reverse) and command.transfer in made:
            cuts.append(at)
            made.clear()
        elif isinstance(command, Transfer | LegsTransfer):
            made.add(command.id)
    return [*cuts, len(commands)]
