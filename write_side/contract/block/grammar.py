"""What a block must be by itself, whatever state it meets: the rows that each outcome brings along, in the order of outcomes.

A done transfer has its entries, a repeated one the place of the first, a refusal its command again: `CARRIED` says how many of
each an outcome may have.
So whoever looks for the rows of an outcome by binary search finds exactly those, and no index of a block is used unchecked.
"""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fanfold.api.grammar import PRINCIPAL
from fanfold.api.malformed import Malformed
from write_side.contract.block.block import Block
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.block.limits import OUTCOMES_MAX
from write_side.contract.block.loop_columns import OutcomeColumns, RepeatColumns
from write_side.contract.compiled.compiled import njit, njit_borrowing
from write_side.contract.words.atoms import LIMIT, NO_FLOOR, SYSTEM_ACCOUNTS, parse_account, parse_asset
from write_side.contract.words.codes import NOT_REMEMBERED, PRECEDENCE, REFUSALS, Code, Kind

FAULTS: Final = {
    1: "an outcome's kind or code is unknown",
    2: "the entries are not those of its outcomes, in order",
    3: "the legs are not those of its outcomes, in order",
    4: "the repeats are not those of its repeated commands, in order",
    5: "a repeated command names an outcome that is not before it",
    6: "the place of a command is not before consumed_to",
}
_MANY: Final = 2**31


ENTRIES_LEAST, ENTRIES_MOST, LEGS_LEAST, LEGS_MOST, REPEATS_LEAST, REPEATS_MOST, CARRIED_WIDTH = range(7)
"""What `CARRIED` says of a kind and code."""


def _carried() -> npt.NDArray[np.int64]:
    """int64[kinds, codes, CARRIED_WIDTH]: least and most rows in entries, legs, repeats of an outcome; -1: never of this kind."""
    table = np.full((max(Kind) + 1, max(Code) + 1, CARRIED_WIDTH), -1, np.int64)
    for kind, codes in PRECEDENCE.items():
        for code in codes:
            table[kind, code] = 0
            table[kind, code, LEGS_LEAST : LEGS_MOST + 1] = _legs_of(kind, code)
            if code is Code.REPEATED:
                table[kind, code, REPEATS_LEAST : REPEATS_MOST + 1] = 1
        if kind in _ENTRIES_WHEN_DONE:
            table[kind, Code.DONE, ENTRIES_LEAST : ENTRIES_MOST + 1] = _ENTRIES_WHEN_DONE[kind]
    for code in (Code.PENDING, *PRECEDENCE[Kind.ANSWER]):
        for kind in (Kind.TRANSFER, Kind.CAPTURE, Kind.REVERSE, Kind.ANSWER, Kind.TIMEOUT):
            if table[kind, code, ENTRIES_LEAST] >= 0 and (code is Code.PENDING or kind in (Kind.ANSWER, Kind.TIMEOUT)):
                table[kind, code, ENTRIES_MOST] = _MANY
    return table


_ENTRIES_WHEN_DONE: Final = {
    Kind.TRANSFER: (2, _MANY),
    Kind.HOLD: (1, _MANY),
    Kind.CAPTURE: (2, _MANY),
    Kind.VOID: (1, _MANY),
    Kind.REVERSE: (2, _MANY),
    Kind.CHANGE: (1, 1),
    Kind.EXPIRE: (1, _MANY),
    Kind.STEP: (0, _MANY),
    Kind.ANSWER: (0, _MANY),
    Kind.TIMEOUT: (0, _MANY),
}


def _legs_of(kind: Kind, code: Code) -> tuple[int, int]:
    """Least and most legs: a command is told again wherever its entries alone do not show it."""
    if (code in NOT_REMEMBERED and code not in REFUSALS) or code is Code.EXISTS:
        return 0, 0
    if kind is Kind.OPEN:
        return (1, 1) if code in REFUSALS else (0, 0)
    if kind is Kind.TRANSFER:
        return (2, _MANY) if code in REFUSALS or code is Code.PENDING else (0, _MANY)
    if kind is Kind.HOLD:
        return 2, _MANY
    if kind in (Kind.CAPTURE, Kind.REVERSE):
        return 0, _MANY
    if kind is Kind.CHANGE:
        return 1, 1
    return 0, 0


CARRIED: Final = _carried()
_LAST_ASKED: Final = np.uint8(Kind.CHANGE)
"""Kinds up to this one are of commands; those behind it follow from what the log has."""
_ASKER: Final = re.compile(rf"{PRINCIPAL}\Z", re.ASCII)
UNASKED: Final = np.array([kind in (Kind.EXPIRE, Kind.TIMEOUT) for kind in range(max(Kind) + 1)])
"""Kinds that no command asked for: they have no place in the queue."""


@njit(cache=True, nogil=True)
def _run_end(rows, at, outcome, least, most):  # type: ignore[no-untyped-def]
    """Behind the rows of an outcome, which must begin at `at`; -1 when they are fewer or more than it may have."""
    end = at
    while end < rows.size and rows[end] == outcome:
        end += 1
    return end if least <= end - at <= most else -1


@njit(cache=True, nogil=True)
def walk(own_sequence, outcomes, entry, leg, repeat):  # type: ignore[no-untyped-def]
    """Pass over `OutcomeColumns` and what they bring along; 0 or a number of `FAULTS`.

    entry, leg: the outcomes that entries and legs name; repeat: `RepeatColumns`.
    """
    kind, code = outcomes.kind, outcomes.code
    entries = legs = repeats = 0
    for i in range(kind.size):
        if kind[i] >= CARRIED.shape[0] or code[i] >= CARRIED.shape[1] or CARRIED[kind[i], code[i], ENTRIES_LEAST] < 0:
            return 1
        if outcomes.row[i] < 0 or outcomes.back[i] < 0 or (outcomes.back[i] == 0) != UNASKED[kind[i]]:
            return 6
        wanted = CARRIED[kind[i], code[i]]
        entries = _run_end(entry, entries, i, wanted[ENTRIES_LEAST], wanted[ENTRIES_MOST])
        if entries < 0:
            return 2
        legs = _run_end(leg, legs, i, wanted[LEGS_LEAST], wanted[LEGS_MOST])
        if legs < 0:
            return 3
        if wanted[REPEATS_LEAST] > 0:
            if repeats >= repeat.outcome.size or repeat.outcome[repeats] != i:
                return 4
            sequence, first = repeat.sequence[repeats], repeat.row[repeats]
            if sequence < 0 or first < 0 or sequence > own_sequence or (sequence == own_sequence and first >= i):
                return 5
            repeats += 1
    if entries != entry.size:
        return 2
    if legs != leg.size:
        return 3
    return 0 if repeats == repeat.outcome.size else 4


@njit_borrowing
def rows_rise(rows, size, step):  # type: ignore[no-untyped-def]
    """Whether these are rows of so many, each at least `step` behind the one before it."""
    least = np.int64(0)
    for row in rows:
        if row < least or row >= size:
            return False
        least = row + step
    return True


@njit_borrowing
def are_pending_legs(counts, pending):  # type: ignore[no-untyped-def]
    """Whether the pending row that each leg names is the one whose turn it is. counts: legs a row."""
    leg = 0
    for row in range(counts.size):
        for _ in range(counts[row]):
            if leg >= pending.size or pending[leg] != row:
                return False
            leg += 1
    return leg == pending.size


@njit_borrowing
def are_commands(rows, kind):  # type: ignore[no-untyped-def]
    """Whether these rows of outcomes rise, and each is of a command that somebody can have asked for."""
    least = np.int64(0)
    for row in rows:
        if row < least or row >= kind.size or kind[row] > _LAST_ASKED:
            return False
        least = row + 1
    return True


def grammar_fault(block: Block) -> str | None:
    """What is wrong with the block by itself, or None."""
    outcomes, repeats = block.outcomes, block.repeats
    if len(outcomes["kind"]) > OUTCOMES_MAX:
        return "it has more outcomes than a block may have"
    if block.header.sequence >= 2**63 or block.header.consumed_to < 0:
        return "a number in its header is out of range"
    columns = OutcomeColumns(outcomes["kind"], outcomes["code"], outcomes["back"], outcomes["row"])
    repeated = RepeatColumns(repeats["outcome"], repeats["sequence"], repeats["row"])
    fault = walk(block.header.sequence, columns, block.entries["outcome"], block.legs["outcome"], repeated)
    return FAULTS[fault] if fault else _rows_fault(block) or _terms_fault(block.accounts) or _askers_fault(block)


def _rows_fault(block: Block) -> str | None:
    """What is wrong with the sections that most blocks have not, or None."""
    outcomes, entries, legs = len(block.outcomes["kind"]), len(block.entries["account"]), len(block.legs["account"])
    for section, column, size, step in (
        (block.held, "entry", entries, 1),
        (block.flags, "entry", entries, 1),
        (block.pending, "outcome", outcomes, 0),
        (block.steps, "outcome", outcomes, 0),
        (block.links, "outcome", outcomes, 1),
        (block.details, "outcome", outcomes, 1),
        (block.conditions, "leg", legs, 1),
    ):
        if len(section[column]) and not rows_rise(section[column], size, step):
            return f"the rows of a section do not rise or name no {column}"
    flags, legs_of, pending_of = block.flags["flags"], block.pending["legs"], block.pending_legs["pending"]
    if len(flags) and (np.any(flags & ~FLAGS_MASK) or np.any(flags < 0)):
        return "flags take more than 32 bits"
    if (len(legs_of) or len(pending_of)) and not are_pending_legs(legs_of, pending_of):
        return "the pending legs are not those of its pending rows"
    return None


def _terms_fault(opened: dict[str, Any]) -> str | None:
    """What is wrong with the terms of accounts being opened, or None."""
    floors: npt.NDArray[np.int64] = opened["floor"]
    if not len(floors):
        return None
    if not np.all((floors == NO_FLOOR) | ((floors >= -LIMIT) & (floors <= LIMIT))):
        return "a floor passes 10^18"
    if np.any(opened["flags"] & ~FLAGS_MASK):
        return "flags take more than 32 bits"
    try:
        for name in opened["id"]:
            if name not in SYSTEM_ACCOUNTS:
                parse_account(name)
        for asset in set(opened["asset"]):
            parse_asset(asset)
    except Malformed as error:
        return f"the terms of an account are malformed ({error.code})"
    return None


def _askers_fault(block: Block) -> str | None:
    """What is wrong with who asked, or None. There is one way to say it, so that what is decided again has the same bytes."""
    first, names = block.askers["outcome"], block.askers["name"]
    if not len(first):
        return None
    if not are_commands(first, block.outcomes["kind"]):
        return "who asked is not told of commands, in order"
    if not names[0] or not all(_ASKER.match(name) for name in set(names) if name):
        return "the name of who asked is malformed"
    if any(one == other for one, other in itertools.pairwise(names)):
        return "who asked is told twice"
    return None
