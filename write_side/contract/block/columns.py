"""The columns of a block's body: their names, kinds and dtypes in memory. `sections.py` makes bytes of them and reads them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np

from write_side.contract.words.codes import numbers_of

Columns = Mapping[str, Any]
"""Column name to numpy array (integers, ids as uint8[n, 16]) or list of str or pyarrow array (text)."""


class ColumnType(Enum):
    """UNSIGNED and SIGNED integers are narrowed; TEXT is UTF-8; ID is 16 raw bytes."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    TEXT = "text"
    ID = "id"


class Column(NamedTuple):
    name: str
    kind: ColumnType
    dtype: type[np.generic] | None = None
    """The dtype in memory; None for text and ids."""


class Section(NamedTuple):
    """One of a block's batches: its number in the bytes and its columns, in order."""

    number: int
    name: str
    columns: tuple[Column, ...]


_U, _S, _T, _I = ColumnType.UNSIGNED, ColumnType.SIGNED, ColumnType.TEXT, ColumnType.ID

ACCOUNTS: Final = Section(
    1,
    "accounts",
    (
        Column("number", _U, np.int64),  # dense per partition, given at opening
        Column("id", _T),
        Column("asset", _T),
        Column("owner", _T),  # "" for none
        Column("floor", _S, np.int64),  # NO_FLOOR for none
        Column("flags", _U, np.int64),
    ),
)
OUTCOMES: Final = Section(
    2,
    "outcomes",
    (
        Column("id", _I),  # the transfer id; of an opening, the account key
        Column("kind", _U, np.uint8),
        Column("code", _U, np.uint8),
        Column("back", _U, np.int64),  # consumed_to - offset of the command record, so that it stays narrow
        Column("row", _U, np.int64),  # the command's row in its record
    ),
)
ENTRIES: Final = Section(
    3,
    "entries",
    (
        Column("outcome", _U, np.int64),  # row in outcomes, never falling
        Column("account", _U, np.int64),
        Column("posted", _S, np.int64),  # after
        Column("version", _U, np.int64),  # after
    ),
)
REPEATS: Final = Section(
    4,
    "repeats",
    (
        Column("outcome", _U, np.int64),
        Column("sequence", _U, np.int64),  # where the first outcome is: block
        Column("row", _U, np.int64),  # and row in its outcomes
    ),
)
LEGS: Final = Section(
    5,
    "legs",
    (
        Column("outcome", _U, np.int64),
        Column("account", _T),
        Column("amount", _S, np.int64),
        Column("asset", _T),
        Column("available", _S, np.int64),  # of this account when refused; NOT_TOLD where it does not matter
    ),
)
HELD: Final = Section(
    6,
    "held",
    (
        Column("entry", _U, np.int64),  # row in entries, rising: where the held sum is not zero or moves
        Column("held", _U, np.int64),  # after
    ),
)
FLAGS: Final = Section(
    7,
    "flags",
    (
        Column("entry", _U, np.int64),  # row in entries, rising: only where the flags change
        Column("flags", _U, np.int64),  # after
    ),
)
PENDING: Final = Section(
    8,
    "pending",
    (
        Column("outcome", _U, np.int64),  # row in outcomes, never falling
        Column("id", _I),
        Column("what", _U, np.int64),  # `pending.py`: hold, process, step of a home partition, or reversal
        Column("state", _U, np.int64),  # after; 0: the row is gone
        Column("option", _U, np.int64),
        Column("deadline_us", _U, np.int64),  # 0 for none
        Column("begun", _U, np.int64),  # process and step: sequence of the home partition's block that began it
        Column("low", _U, np.int64),  # process and step: home has no open process begun in a block below
        Column("debits", _U, np.int64),  # process: steps that give, which come first
        Column("steps", _U, np.int64),
        Column("cursor", _S, np.int64),
        Column("mask", _U, np.int64),
        Column("code", _U, np.int64),
        Column("available", _S, np.int64),
        Column("legs", _U, np.int64),  # rows in pending_legs: all legs again, or none when they are as before
    ),
)
PENDING_LEGS: Final = Section(
    9,
    "pending_legs",
    (
        Column("pending", _U, np.int64),  # row in pending, never falling
        Column("key", _I),  # of the account, also of one in another partition
        Column("asset", _S, np.int64),  # hash of the asset, as a signed word
        Column("amount", _S, np.int64),  # of a hold: what is left
        Column("step", _U, np.int64),
        Column("partition", _U, np.int64),
        Column("if_version", _S, np.int64),
        Column("if_available", _S, np.int64),
    ),
)
STEPS: Final = Section(
    10,
    "steps",
    (
        Column("outcome", _U, np.int64),  # of the home partition; its last outcome has all steps of the transfer again
        Column("step", _U, np.int64),
        Column("partition", _U, np.int64),
        Column("action", _U, np.int64),
        Column("code", _U, np.int64),
        Column("sequence", _U, np.int64),  # where the step's own outcome is
        Column("at_us", _U, np.int64),
    ),
)
LINKS: Final = Section(
    11,
    "links",
    (
        Column("outcome", _U, np.int64),
        Column("id", _I),  # the hold that is captured or voided, the transfer that is reversed
    ),
)
DETAILS: Final = Section(
    12,
    "details",
    (
        Column("outcome", _U, np.int64),  # of commands with more to them than two legs
        Column("fingerprint", _I),
        Column("deadline_us", _U, np.int64),
        Column("option", _U, np.int64),
        Column("amount", _S, np.int64),  # capture: what was asked, 0 for everything left
        Column("reference", _T),
        Column("metadata", _T),
    ),
)
CONDITIONS: Final = Section(
    13,
    "conditions",
    (
        Column("leg", _U, np.int64),  # row in legs, rising
        Column("if_version", _S, np.int64),  # -1 for none
        Column("if_available", _S, np.int64),  # NOT_TOLD for none
    ),
)
ASKERS: Final = Section(
    14,
    "askers",
    (
        Column("outcome", _U, np.int64),  # row in outcomes, rising: of a command, the first of those that one asked for
        Column("name", _T),  # of the principal; "" for nobody
    ),
)
FLAGS_MASK: Final = np.int64(0xFFFFFFFF)
"""Flags in the low half of their word, this process's asset number in the high half."""

NOT_TOLD: Final = -(2**63)
SECTIONS: Final = (
    ACCOUNTS,
    OUTCOMES,
    ENTRIES,
    REPEATS,
    LEGS,
    HELD,
    FLAGS,
    PENDING,
    PENDING_LEGS,
    STEPS,
    LINKS,
    DETAILS,
    CONDITIONS,
    ASKERS,
)
Sections: Final = numbers_of({section.name: section.number for section in SECTIONS})
"""Their numbers, for compiled loops."""
SECTIONS_OF_VERSION: Final = {1: 5, 2: 13, 3: 13, 4: 14}
"""How many of them a block of a format version may have."""


class SectionMalformed(ValueError):
    """Bytes that no encoder of this format wrote."""


@cache
def _blank(number: int) -> dict[str, Any]:
    blank: dict[ColumnType, Any] = {ColumnType.TEXT: [], ColumnType.ID: np.empty((0, 16), np.uint8)}
    return {
        column.name: np.empty(0, column.dtype) if column.dtype is not None else blank[column.kind]
        for column in SECTIONS[number - 1].columns
    }


def empty_columns(section: Section) -> dict[str, Any]:
    """A batch of no rows. Most sections of most blocks are empty, so that making arrays for them would be a third of decoding."""
    return _blank(section.number).copy()
