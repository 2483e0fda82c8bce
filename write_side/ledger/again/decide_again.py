"""A block of the log decided once more by the code at hand, at the time that it has, and held to what the log says."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block, decode_made
from write_side.contract.block.columns import ENTRIES, OUTCOMES, SECTIONS
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.state.fold import fold
from write_side.contract.state.ids import timeless_from
from write_side.contract.state.state import State
from write_side.contract.words.codes import Code, Kind, word_of
from write_side.contract.words.position import Position
from write_side.ledger.again.block_accounts import BlockAccounts
from write_side.ledger.again.told_commands import ToldCommands, told_commands
from write_side.ledger.again.told_messages import told_messages
from write_side.ledger.again.untold import CannotTell, Untold
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.decide import Told, decide_gathered
from write_side.ledger.deciding.gathered import Gathered, gather
from write_side.ledger.deciding.next_block import block_bytes, nothing_decided
from write_side.ledger.rules.ran_before import NOTHING_BEFORE, RanBefore

_IDS_MAX: Final = 2**62
"""The setting of whoever decided is not told; a block that it shows in is not decided again."""
_UNASKED: Final = (Kind.EXPIRE, Kind.TIMEOUT)


class DecidedAgain(NamedTuple):
    """What became of one block. The state is then where the block leaves it; where it differs it is of no use any more.

    outcomes: how many were decided again; untold: how many were not, by why.  differs: what is decided otherwise now, for people.
    """

    outcomes: int
    untold: Counter[Untold]
    differs: str | None


def decide_again(state: State, block: Block, data: bytes | memoryview, *, partitions: int) -> DecidedAgain:
    """Decide the block that follows `state` again, `state` having the fingerprints of ids. data: the block's bytes.

    partitions: of the log. Raises CheckFailed for a block that does not follow from the state before it.
    """
    n, header = len(block.outcomes["kind"]), block.header
    copies = 0
    try:
        if header.created_at_us <= state.chained.created_at_us or grammar_fault(block):
            raise CannotTell(Untold.ODD)  # the fold says what is wrong with it
        gathered, before, copies = _gathered(state, block, partitions)
    except CannotTell as unknown:
        return _folded(state, block, unknown.why)
    except (
        LookupError,
        ValueError,
        StopIteration,
    ):  # a block that no writer makes: the fold says what is wrong, or nothing is
        return _folded(state, block, Untold.ODD)
    with state.lock:
        if gathered is None:
            decision = nothing_decided(state)
        else:
            decision = decide_gathered(
                state,
                gathered,
                partitions=partitions,
                created_at_us=header.created_at_us,
                ids_max=_IDS_MAX,
                told=Told(bool(header.forgets), before),
            )
        made = block_bytes(
            state,
            decision,
            epoch=header.epoch,
            partitions=header.partitions,
            created_at_us=header.created_at_us,
            consumed_to=header.consumed_to,
        )
        # Older formats say the same in other bytes.
        differs = None if made == data else _difference(block, decode_made(made))
        state.chained.advance(header)
    untold = Counter({Untold.COPY: copies} if copies else {})
    return DecidedAgain(n - copies, untold, differs)


def _folded(state: State, block: Block, why: Untold) -> DecidedAgain:
    fold(state, block, FINGERPRINTS.of_block)
    return DecidedAgain(0, Counter({why: len(block.outcomes["kind"])}), None)


def _gathered(state: State, block: Block, partitions: int) -> tuple[Gathered | None, RanBefore, int]:
    """What the block was decided from, None where nothing was; what ran before of it; and how many messages stand in for copies.
    Raises CannotTell."""
    header, outcomes = block.header, block.outcomes
    asked = ~np.isin(outcomes["kind"], _UNASKED)
    held = state.chained
    begins_or_skips = header.epoch > held.epoch or header.consumed_to > held.consumed_to
    forgets = header.refuse_ids_before_us > held.refuse_ids_before_us
    if not len(asked) and begins_or_skips and not forgets:
        return None, NOTHING_BEFORE, 0
    if header.refuse_ids_before_us > _cut_off_by_age(state, block):
        raise CannotTell(Untold.ID_MEMORY)
    accounts = BlockAccounts(state, block)
    deltas = accounts.deltas(block.entries["account"], block.entries["posted"])
    commands = told_commands(state, block, accounts, deltas)
    messages = told_messages(state, block, accounts, deltas)
    is_client = outcomes["kind"][asked] <= Kind.CHANGE
    gathered = gather(
        state,
        _in_order(commands.batch, messages.batch, is_client),
        outcomes["back"][asked],
        outcomes["row"][asked],
        partitions=partitions,
        created_at_us=header.created_at_us,
    )
    _give_prints(gathered, commands)
    return gathered, _ran_before(gathered, commands), messages.copies


def _cut_off_by_age(state: State, block: Block) -> int:
    """The cut-off that age alone gives: any higher one was raised because ids were many."""
    held, from_us = state.chained.refuse_ids_before_us, state.ids.timeless_from_us
    aged = timeless_from(from_us, block.header.created_at_us)
    raises = aged > from_us and (len(block.outcomes["kind"]) or aged > held)
    return max(held, aged) if raises else held


def _in_order(
    commands: CommandBatch, messages: StepBatch, is_client: npt.NDArray[np.bool_]
) -> list[CommandBatch | StepBatch]:
    """Both as they lay in the queue: cut where one sort follows the other."""
    if is_client.all():
        return [commands] if len(commands) else []
    cuts = np.concatenate(([0], np.flatnonzero(np.diff(is_client)) + 1, [len(is_client)])).tolist()
    batches: list[CommandBatch | StepBatch] = []
    at = {True: 0, False: 0}
    for first, last in itertools.pairwise(cuts):
        sort = bool(is_client[first])
        start, at[sort] = at[sort], at[sort] + last - first
        batches.append(commands.slice(start, at[sort]) if sort else messages.between(start, at[sort]))
    return batches


def _give_prints(gathered: Gathered, commands: ToldCommands) -> None:
    """Fingerprints of what is not told whole: those that the log or the id table has."""
    row = np.flatnonzero(gathered.client >= 0)
    prints = gathered.commands.prints
    prints[:, row[commands.given]] = commands.prints
    for at, before in commands.same.items():
        prints[:, row[at]] = prints[:, row[before]]


def _ran_before(gathered: Gathered, commands: ToldCommands) -> RanBefore:
    if not commands.before:
        return NOTHING_BEFORE
    at = np.full(len(gathered.commands.kind), -1, np.int64)
    at[np.flatnonzero(gathered.client >= 0)[list(commands.before)]] = np.arange(len(commands.before))
    return RanBefore(np.stack(list(commands.before.values())), at)


def _difference(log: Block, now: Block) -> str | None:
    """The first thing that is otherwise now; None where both say the same."""
    for section in (OUTCOMES, ENTRIES, *(each for each in SECTIONS if each not in (OUTCOMES, ENTRIES))):
        ours, theirs = getattr(now, section.name), getattr(log, section.name)
        for column in section.columns:
            found = _first_differing(ours[column.name], theirs[column.name])
            if found is not None:
                return _told(log, now, section.name, column.name, found)
    for name, what in (("refuse_ids_before_us", "the cut-off of ids"), ("digest", "the digest of the state")):
        if getattr(log.header, name) != getattr(now.header, name):
            return f"{what} after block {Position(log.header.partition, log.header.sequence)} is another one"
    return None


def _first_differing(ours: Any, theirs: Any) -> int | None:
    rows = min(len(ours), len(theirs))
    for row in range(rows) if isinstance(ours, list) else _unequal(ours[:rows], theirs[:rows]):
        if isinstance(ours, list) and ours[row] == theirs[row]:
            continue
        return row
    return None if len(ours) == len(theirs) else rows


def _unequal(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> list[int]:
    differs = ours != theirs
    return np.flatnonzero(differs.any(axis=1) if differs.ndim > 1 else differs).tolist()[:1]


def _told(log: Block, now: Block, section: str, column: str, row: int) -> str:
    """One difference: whose outcome it is, and what both say."""

    def value(block: Block) -> str:
        rows = getattr(block, section)[column]
        if row >= len(rows):
            return "nothing"
        if (section, column) == ("outcomes", "code"):
            code = Code(int(rows[row]))
            return word_of(code) if code not in (Code.PENDING, Code.REPEATED) else code.name.lower()
        return (
            rows[row].tobytes().hex()
            if rows[row : row + 1].__class__ is np.ndarray and rows.ndim > 1
            else str(rows[row])
        )

    longer = log if row < len(getattr(log, section)[column]) else now
    outcome = row if section == "outcomes" else getattr(longer, section).get("outcome", [None] * (row + 1))[row]
    whose = ""
    if outcome is not None and outcome < len(longer.outcomes["kind"]):
        kind = Kind(int(longer.outcomes["kind"][outcome])).name.lower()
        whose = f"outcome {outcome} ({kind} {UUID(bytes=longer.outcomes['id'][outcome].tobytes())}), "
    return f"{whose}{section}.{column}: the log says {value(log)}, decided now {value(now)}"
