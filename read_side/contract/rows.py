"""Account rows: the columns in which balances travel from projectors to view stores, feeds and gateways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from write_side.contract.tell.answers import account_document
from write_side.contract.words.codes import flag_words
from write_side.contract.words.times import format_time

Int64s = npt.NDArray[np.int64]

NUMBERS: Final = ("posted", "held", "floor", "version", "at_us", "flags")
"""The integer columns of a row, in the order in which stores and the feed keep them."""


class AccountRow(NamedTuple):
    """One account's state. Amounts are minor units; `floor` is `NO_FLOOR` for none; `at_us` is UTC microseconds.

    flags: what it may not do, bits of `codes.Flag`.
    """

    account: str
    asset: str
    posted: int
    held: int
    floor: int
    version: int
    at_us: int
    flags: int = 0

    def document(self, position: str) -> dict[str, object]:
        """The JSON answer of `GET /v1/accounts/{id}`, reflecting the log up to `position`."""
        document = account_document(
            self.account,
            self.asset,
            self.posted,
            self.held,
            self.floor,
            self.version,
            position,
            format_time(self.at_us),
        )
        document["flags"] = flag_words(self.flags)
        return document


class ShowsFold(Protocol):
    """A view that shows the rows of a fold."""

    def detach(self) -> None:
        """Take a copy: somebody else shows them from now on."""
        ...


class RowsOfFold(Protocol):
    """All rows of a partition's fold as of when the view that shows them was moved on last (`read_side/fold/fold_rows.py`)."""

    @property
    def count(self) -> int:
        """How many accounts are shown."""
        ...

    def is_at(self, sequence: int, block_hash: bytes) -> bool:
        """Whether this block is the last one folded."""
        ...

    def show(self, view: ShowsFold) -> None:
        """From now on this view shows the rows as they are now."""
        ...

    def leave(self) -> None:
        """No view shows them any more."""
        ...

    def find(self, accounts: Sequence[str]) -> Int64s:
        """The number of each account that is shown; -1 for the others."""
        ...

    def shown(self, numbers: Int64s, accounts: list[str] | None = None) -> AccountRows:
        """The rows of these accounts. accounts: their ids, by whoever has them."""
        ...

    def one(self, account: str) -> AccountRow | None:
        """The row of one account."""
        ...


@dataclass(frozen=True, slots=True)
class AccountRows:
    """n accounts as columns; every account at most once. Amounts are int64 minor units, `at_us` UTC microseconds.

    accounts, assets: n strings; posted, held, floor (`NO_FLOOR` = none), version, at_us, flags: int64[n].
    fold: where whoever made them has these rows and all others; a view of this process may show them from there.
    """

    accounts: Sequence[str]
    assets: Sequence[str]
    posted: Int64s
    held: Int64s
    floor: Int64s
    version: Int64s
    at_us: Int64s
    flags: Int64s
    fold: RowsOfFold | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.accounts)

    def __getitem__(self, i: int) -> AccountRow:
        return AccountRow(
            self.accounts[i],
            self.assets[i],
            int(self.posted[i]),
            int(self.held[i]),
            int(self.floor[i]),
            int(self.version[i]),
            int(self.at_us[i]),
            int(self.flags[i]),
        )

    def same_as(self, other: AccountRows) -> bool:
        """Whether the other has the same rows in the same order."""
        return (self.accounts, self.assets) == (other.accounts, other.assets) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in NUMBERS
        )

    def each(self) -> Iterator[AccountRow]:
        """Row by row."""
        columns = (getattr(self, name).tolist() for name in NUMBERS)
        return map(AccountRow, self.accounts, self.assets, *columns)

    @staticmethod
    def of(rows: list[AccountRow]) -> AccountRows:
        """Columns from single rows: for tests and small answers, not for hot paths."""

        def column(name: str) -> Int64s:
            return np.array([getattr(row, name) for row in rows], np.int64)

        return AccountRows(
            [row.account for row in rows],
            [row.asset for row in rows],
            *(column(name) for name in NUMBERS),
        )


EMPTY_ROWS = AccountRows.of([])
