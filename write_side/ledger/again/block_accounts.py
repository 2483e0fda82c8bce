"""The accounts that the entries of a block name, as they are before it: by number, with those that it opens."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET, POSTED
from write_side.contract.state.state import State

Int64s = npt.NDArray[np.int64]


class BlockAccounts:
    """The accounts of a partition by number, with those that a block opens. state: before the block."""

    def __init__(self, state: State, block: Block) -> None:
        self._state, self._opened = state, block.accounts
        self._first = state.count

    def names(self, numbers: Int64s) -> list[str]:
        """The name of each of these accounts, `@world` and `@transit` of system accounts."""
        known = numbers < self._first
        if known.all():
            return self._state.names.take(numbers)
        of_known = iter(self._state.names.take(numbers[known]))
        return [
            next(of_known) if number < self._first else self._opened["id"][number - self._first]
            for number in numbers.tolist()
        ]

    def assets(self, numbers: Int64s) -> list[str]:
        """The asset of each."""
        names, of = (
            self._state.asset_names,
            self._state.rows[np.minimum(numbers, max(0, self._first - 1)), FLAGS_AND_ASSET],
        )
        return [
            names[asset] if number < self._first else self._opened["asset"][number - self._first]
            for number, asset in zip(numbers.tolist(), (of >> ASSET_SHIFT).tolist(), strict=True)
        ]

    def deltas(self, account: Int64s, posted: Int64s) -> Int64s:
        """What each entry adds, int64[n]. account, posted: of the entries, in their order."""
        order = np.argsort(account, kind="stable")
        numbers, after = account[order], posted[order]
        before = np.empty(len(order), np.int64)
        before[1:] = after[:-1]
        firsts = np.ones(len(order), np.bool_)
        firsts[1:] = numbers[1:] != numbers[:-1]
        known = firsts & (numbers < self._first)
        before[firsts] = 0
        before[known] = self._state.rows[numbers[known], POSTED]
        deltas = np.empty(len(order), np.int64)
        deltas[order] = after - before
        return deltas
