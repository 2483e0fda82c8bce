"""The answer to a transfer across partitions, told whole: the outcome that ends it says how; what the command was about and what
it moved at home before is in earlier blocks of home, and is told from there.

Pure. The states of accounts in other partitions are not told: home's log does not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from write_side.contract.tell.answers import Answer, BlockAnswers, link_member, note_of
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.words.codes import Code, Kind

_COMMANDS: Final = (Kind.TRANSFER, Kind.CAPTURE, Kind.REVERSE)
_AT_HOME: Final = (*_COMMANDS, Kind.ANSWER, Kind.TIMEOUT)
"""What home decides of a transfer. A step of this id is another home's transfer."""


def home_blocks_before(end: Outcome) -> list[int]:
    """The sequences of the blocks before its own in which home began the transfer that an outcome ends, or moved its legs."""
    home = end.of.block.header
    process = end.process
    begun = set() if process is None else {process.begun}
    own = {step.sequence for step in end.steps if step.partition == home.partition}
    return sorted((begun | own) - {home.sequence})


def told_under_way(answer: Answer, begun: BlockAnswers, id16: bytes) -> Answer:
    """The answer to a transfer that block `begun` began, with what it is about."""
    return Answer(answer.status, answer.document | _subject(beginning(begun.outcomes, id16)))


def told_whole(answer: Answer, id16: bytes, blocks: Sequence[BlockAnswers]) -> Answer:
    """The answer to a transfer that has ended. blocks: those of `home_blocks_before` and the one that ends it, in order."""
    command = beginning(blocks[0].outcomes, id16)
    document = answer.document | _subject(command)
    if answer.status < 400:
        accounts: dict[str, Any] = {}
        for block in blocks:
            for outcome in block.outcomes.of_id(id16):
                if outcome.kind in _AT_HOME:
                    accounts |= block.accounts(outcome)
        document |= note_of(command) | {"accounts": list(accounts.values())}
    return Answer(answer.status, document)


def beginning(begun: BlockOutcomes, id16: bytes) -> Outcome:
    """The command that began a transfer across partitions, in the block that it was decided in."""
    return next(each for each in begun.of_id(id16) if each.kind in _COMMANDS and each.code is Code.PENDING)


def _subject(command: Outcome) -> dict[str, object]:
    """The hold that is captured, the transfer that is reversed."""
    return link_member(command.kind, command.link)
