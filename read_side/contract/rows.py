"""Account rows: the columns in which balances travel from projectors to view stores, feeds and gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.tell.answers import account_document, format_time
from write_side.contract.words.codes import flag_words

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


@dataclass(frozen=True, slots=True)
class AccountRows:
    """n accounts as columns; every account at most once. Amounts are int64 minor units, `at_us` UTC microseconds.

    accounts, assets: n strings; posted, held, floor (`NO_FLOOR` = none), version, at_us, flags: int64[n].
    """

    accounts: list[str]
    assets: list[str]
    posted: Int64s
    held: Int64s
    floor: Int64s
    version: Int64s
    at_us: Int64s
    flags: Int64s

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
