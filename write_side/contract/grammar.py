"""What a block must be by itself, whatever state it meets: the rows that each outcome brings along, in the order of outcomes.

A done transfer has its entries, a repeated one the place of the first, a refusal its command again, and nothing else has any.
So whoever looks for the rows of an outcome by binary search finds exactly those, and no index of a block is used unchecked.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from write_side.contract.account_rows import FLAGS_MASK
from write_side.contract.atoms import LIMIT, NO_FLOOR, SYSTEM_ACCOUNTS, Malformed, parse_account, parse_asset
from write_side.contract.block import OUTCOMES_MAX, Block
from write_side.contract.codes import PRECEDENCE, REFUSALS, Code, Kind
from write_side.contract.compiled import njit

_ENTRIES: Final = 0
_LEGS: Final = 1
_REPEATS: Final = 2

FAULTS: Final = {
    1: "an outcome's kind or code is unknown",
    2: "the entries are not those of its done transfers, in order",
    3: "the legs are not those of its refusals, in order",
    4: "the repeats are not those of its repeated commands, in order",
    5: "a repeated command names an outcome that is not before it",
    6: "the place of a command is not before consumed_to",
}


def _carried() -> npt.NDArray[np.int8]:
    """int8[kinds, codes, 3]: rows in entries, legs and repeats of an outcome; -1 where this kind never gets this code."""
    table = np.full((max(Kind) + 1, max(Code) + 1, 3), -1, np.int8)
    for kind, codes in PRECEDENCE.items():
        legs = 2 if kind is Kind.TRANSFER else 1
        for code in codes:
            table[kind, code] = 0
            table[kind, code, _LEGS] = legs if code in REFUSALS else 0
    table[Kind.TRANSFER, Code.DONE, _ENTRIES] = 2
    table[Kind.TRANSFER, Code.REPEATED, _REPEATS] = 1
    return table


CARRIED: Final = _carried()


@njit(cache=True, nogil=True)
def _run_end(rows, at, outcome, wanted):  # type: ignore[no-untyped-def]
    """Behind the `wanted` rows of an outcome that must begin at `at`; -1 when they are not there."""
    for i in range(at, at + wanted):
        if i >= rows.size or rows[i] != outcome:
            return -1
    return at + wanted


@njit(cache=True, nogil=True)
def _walk(carried, own_sequence, kind, code, back, row, entry, leg, repeat, repeat_sequence, repeat_row):  # type: ignore[no-untyped-def]
    entries = legs = repeats = 0
    for i in range(kind.size):
        if kind[i] >= carried.shape[0] or code[i] >= carried.shape[1] or carried[kind[i], code[i], 0] < 0:
            return 1
        if back[i] < 1 or row[i] < 0:
            return 6
        wanted = carried[kind[i], code[i]]
        entries = _run_end(entry, entries, i, wanted[0])
        if entries < 0:
            return 2
        legs = _run_end(leg, legs, i, wanted[1])
        if legs < 0:
            return 3
        if wanted[2] > 0:
            if repeats >= repeat.size or repeat[repeats] != i:
                return 4
            sequence, first = repeat_sequence[repeats], repeat_row[repeats]
            if sequence < 0 or first < 0 or sequence > own_sequence or (sequence == own_sequence and first >= i):
                return 5
            repeats += 1
    if entries != entry.size:
        return 2
    if legs != leg.size:
        return 3
    return 0 if repeats == repeat.size else 4


def grammar_fault(block: Block) -> str | None:
    """What is wrong with the block by itself, or None."""
    outcomes, repeats = block.outcomes, block.repeats
    if len(outcomes["kind"]) > OUTCOMES_MAX:
        return "it has more outcomes than a block may have"
    if block.header.sequence >= 2**63 or block.header.consumed_to < 0:
        return "a number in its header is out of range"
    fault = _walk(
        CARRIED, block.header.sequence, outcomes["kind"], outcomes["code"], outcomes["back"], outcomes["row"],
        block.entries["outcome"], block.legs["outcome"], repeats["outcome"], repeats["sequence"], repeats["row"],
    )  # fmt: skip
    return FAULTS[fault] if fault else _terms_fault(block.accounts)


def _terms_fault(opened: dict[str, Any]) -> str | None:
    """What is wrong with the terms of accounts being opened, or None."""
    floors: npt.NDArray[np.int64] = opened["floor"]
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
