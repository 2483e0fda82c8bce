"""The log's own words: kinds of commands, codes of outcomes, flags of accounts.

The order of `Code` is the order of precedence: the decision tests the conditions in this order and the first that holds
is the answer (TigerBeetle documents its result codes the same way).  A number, once published, never changes its meaning:
new codes get new numbers and their place in the order is told by `PRECEDENCE`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np


def numbers_of(words: Mapping[str, int]) -> Any:
    """Numbers under their names, such as an enum's members, as int64: a named tuple, which compiled loops read as constants."""
    numbers: Any = namedtuple("Numbers", words)  # type: ignore[misc]  # of whichever words there are
    return numbers(*map(np.int64, words.values()))


class Kind(IntEnum):
    """What a command asked, in the outcome's `kind` column."""

    OPEN = 1
    TRANSFER = 2
    HOLD = 3  # authorise: the legs with a minus are held, nothing moves yet
    CAPTURE = 4  # move what a hold holds, or a part of it
    VOID = 5  # let a hold go
    REVERSE = 6  # the legs of a done transfer the other way round, at most once
    CHANGE = 7  # flags of an account
    EXPIRE = 8  # a hold's deadline came: decided by time, asked by nobody
    STEP = 9  # a participant's part of a transfer across partitions
    ANSWER = 10  # the home partition takes a participant's answer
    TIMEOUT = 11  # the home partition's time for tries is over: decided by time, asked by nobody


class Code(IntEnum):
    """What became of a command, in the outcome's `code` column."""

    DONE = 0
    EXISTS = 1  # open: the account was there with the same terms
    REPEATED = 2  # same id and content: the first outcome again, named by the `repeats` batch
    ID_REUSED = 3
    ID_EXPIRED = 4
    ID_IN_FUTURE = 5
    PARTITIONS_DIFFER = 6
    ACCOUNT_UNKNOWN = 7
    ASSET_MISMATCH = 8
    INSUFFICIENT_AVAILABLE = 9
    BALANCE_LIMIT = 10
    ACCOUNT_EXISTS = 11  # open: the account was there with other terms
    PENDING = 12  # begun across partitions: a later outcome of the same id ends it
    DEBIT_FROZEN = 13
    CREDIT_FROZEN = 14
    ACCOUNT_CLOSED = 15
    NOT_EMPTY = 16  # change: only an account at zero can be closed
    VERSION_DIFFERS = 17  # condition if_version
    AVAILABLE_BELOW = 18  # condition if_available_at_least
    HOLD_UNKNOWN = 19  # never there, or over: captured, voided, expired
    HOLD_EXCEEDED = 20
    HOLD_BUSY = 21  # a capture of it is on its way across partitions
    TRANSFER_UNKNOWN = 22  # reverse: not remembered
    ALREADY_REVERSED = 23
    NOT_REVERSIBLE = 24  # reverse: it is not a done transfer
    BATCH_REFUSED = 25  # another line of an atomic batch was refused
    NOT_RUN = 26  # an earlier line of a batch that stops at the first refusal was refused
    TIMED_OUT = 27  # a participant did not answer its try in time: cancelled
    DEADLINE_PASSED = 28  # hold: its deadline is not ahead
    HOLD_SPANS_PARTITIONS = 29  # hold: the accounts that give live in different partitions
    STALE = 30  # a message between partitions that came twice or too late: nothing changed
    ASSET_COLLIDES = 31  # open: the hash of its new asset is that of another asset of the partition
    ID_MEMORY_FULL = 32  # ids without a time fill the memory, and none of them may be forgotten yet


_ID_RULES: Final = (
    Code.REPEATED, Code.ID_REUSED, Code.ID_EXPIRED, Code.ID_IN_FUTURE, Code.NOT_RUN, Code.ID_MEMORY_FULL
)  # fmt: skip
_LEG_RULES: Final = (
    Code.ACCOUNT_UNKNOWN,
    Code.ASSET_MISMATCH,
    Code.ACCOUNT_CLOSED,
    Code.DEBIT_FROZEN,
    Code.CREDIT_FROZEN,
    Code.VERSION_DIFFERS,
    Code.AVAILABLE_BELOW,
    Code.INSUFFICIENT_AVAILABLE,
    Code.BALANCE_LIMIT,
)
"""A rule is tested on every leg before the next rule is looked at, so the order of the legs never shows."""
_ENDS: Final = (*_LEG_RULES, Code.TIMED_OUT, Code.PENDING, Code.STALE, Code.DONE)

PRECEDENCE: Final = {
    Kind.OPEN: (Code.PARTITIONS_DIFFER, Code.EXISTS, Code.ACCOUNT_EXISTS, Code.ASSET_COLLIDES, Code.NOT_RUN, Code.DONE),
    Kind.TRANSFER: (*_ID_RULES, Code.PARTITIONS_DIFFER, *_LEG_RULES, Code.BATCH_REFUSED, Code.PENDING, Code.DONE),
    Kind.HOLD: (*_ID_RULES, Code.HOLD_SPANS_PARTITIONS, Code.DEADLINE_PASSED, *_LEG_RULES, Code.DONE),
    Kind.CAPTURE: (
        *_ID_RULES, Code.HOLD_UNKNOWN, Code.HOLD_BUSY, Code.HOLD_EXCEEDED, *_LEG_RULES, Code.PENDING, Code.DONE
    ),
    Kind.VOID: (*_ID_RULES, Code.HOLD_UNKNOWN, Code.HOLD_BUSY, Code.DONE),
    Kind.REVERSE: (
        *_ID_RULES, Code.TRANSFER_UNKNOWN, Code.NOT_REVERSIBLE, Code.ALREADY_REVERSED, *_LEG_RULES, Code.PENDING, Code.DONE
    ),
    Kind.CHANGE: (*_ID_RULES, Code.ACCOUNT_UNKNOWN, Code.ACCOUNT_CLOSED, Code.NOT_EMPTY, Code.DONE),
    Kind.EXPIRE: (Code.DONE,),
    Kind.STEP: (*_LEG_RULES, Code.STALE, Code.DONE),
    Kind.ANSWER: _ENDS,
    Kind.TIMEOUT: _ENDS,
}  # fmt: skip
"""Per kind every code it can get, in the order in which they are tested."""

NOT_REMEMBERED: Final = _ID_RULES
"""Outcomes that do not occupy the transfer id: either another outcome does already, or the id can never run, or may still."""

REMEMBERED_KINDS: Final = (Kind.TRANSFER, Kind.HOLD, Kind.CAPTURE, Kind.VOID, Kind.REVERSE, Kind.CHANGE)
"""Kinds that a client asks for under an id of its own."""


class Flag(IntFlag):
    """What an account may not do, in its `flags` column."""

    DEBIT_FROZEN = 1
    CREDIT_FROZEN = 2
    CLOSED = 4


Kinds: Final = numbers_of(Kind.__members__)
Codes: Final = numbers_of(Code.__members__)
Flags: Final = numbers_of(Flag.__members__)
"""The same for compiled loops."""


def flag_words(flags: int) -> list[str]:
    """The words of an account's flags, as documents and frames have them: `["debit_frozen", "closed"]`."""
    return [word for flag, word in _FLAG_WORDS if flags & flag]


_FLAG_WORDS: Final = tuple((int(flag), str(flag.name).lower()) for flag in Flag)


REFUSALS: Final[dict[Code, str]] = {
    Code.ID_REUSED: "id_reused_with_other_content",
    Code.ID_EXPIRED: "id_expired",
    Code.ID_IN_FUTURE: "id_in_future",
    Code.ID_MEMORY_FULL: "id_memory_full",
    Code.PARTITIONS_DIFFER: "partitions_differ",
    Code.ACCOUNT_UNKNOWN: "account_unknown",
    Code.ASSET_MISMATCH: "asset_mismatch",
    Code.INSUFFICIENT_AVAILABLE: "insufficient_available",
    Code.BALANCE_LIMIT: "balance_limit_exceeded",
    Code.DEBIT_FROZEN: "account_frozen_for_debit",
    Code.CREDIT_FROZEN: "account_frozen_for_credit",
    Code.ACCOUNT_CLOSED: "account_closed",
    Code.NOT_EMPTY: "account_not_empty",
    Code.VERSION_DIFFERS: "version_differs",
    Code.AVAILABLE_BELOW: "available_below_condition",
    Code.HOLD_UNKNOWN: "hold_unknown",
    Code.HOLD_EXCEEDED: "capture_exceeds_hold",
    Code.HOLD_BUSY: "hold_busy",
    Code.TRANSFER_UNKNOWN: "transfer_unknown",
    Code.ALREADY_REVERSED: "already_reversed",
    Code.NOT_REVERSIBLE: "not_reversible",
    Code.BATCH_REFUSED: "batch_refused",
    Code.NOT_RUN: "not_run",
    Code.TIMED_OUT: "timed_out",
    Code.DEADLINE_PASSED: "deadline_passed",
    Code.HOLD_SPANS_PARTITIONS: "hold_spans_partitions",
    Code.ACCOUNT_EXISTS: "account_exists_with_other_terms",
    Code.ASSET_COLLIDES: "asset_collides",
}
"""The stable words of refusals; what is said of them is in `fanfold/api/problems.py`."""


def word_of(code: Code) -> str:
    """The stable word of a refusal, `done` for what changed something or was already so."""
    return REFUSALS.get(code, "done")
