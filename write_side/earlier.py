"""What a command is about: where the hold or the transfer that it names was decided, and the legs of a transfer to reverse."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from write_side.contract.block import Block
from write_side.contract.codes import Code
from write_side.contract.ids import AMOUNT, DONE_BY_LEGS, PARTIES
from write_side.contract.pending_columns import What
from write_side.contract.state import Place, State
from write_side.ledger.commands import Leg, Reverse
from write_side.outcomes import Outcomes

_PARTY_BITS = 32


class Earlier:
    """Looks in the states of all partitions. Raises OutcomeUnknown when a partition that must be asked is not up to date, and
    PartitionUnavailable when one does not serve: nobody is told that something is unknown that only it may know."""

    def __init__(self, outcomes: Mapping[int, Outcomes]) -> None:
        self._outcomes = outcomes

    async def home_of_hold(self, hold: bytes) -> int:
        """The partition of a hold; of one that was never made any, which will say so."""
        return await self._find(hold)

    async def reversal(self, command: Reverse) -> tuple[int, Reverse]:
        """The partition of the transfer to reverse, and the command with its legs; without legs when it cannot be reversed."""
        home = await self._find(command.transfer)
        legs = await self._legs(self._outcomes[home], command.transfer)
        return home, command._replace(legs=tuple(sorted(leg._replace(amount=-leg.amount) for leg in legs)))

    async def _find(self, id16: bytes) -> int:
        found = self._where(id16)
        if found is None:
            # Nobody is told that it is unknown by a partition that has not folded what was there when he asked.
            for outcomes in self._outcomes.values():
                await outcomes.caught_up()
            found = self._where(id16)
        return min(self._outcomes) if found is None else found

    def _where(self, id16: bytes) -> int | None:
        for partition, outcomes in self._outcomes.items():
            state = outcomes.state
            if state.find_transfer(id16) is not None or _has_hold(state, id16):
                return partition
        return None

    async def _legs(self, outcomes: Outcomes, id16: bytes) -> list[Leg]:
        state = outcomes.state
        with state.lock:
            row = state.ids.find(id16)
            amount = 0 if row is None else int(state.ids.rows[row, AMOUNT].view(np.int64))
            parties = 0 if row is None else int(state.ids.rows[row, PARTIES])
        if amount > 0:
            debit, credit = parties >> _PARTY_BITS, parties & ((1 << _PARTY_BITS) - 1)
            asset = state.assets[debit]
            return [Leg(state.names[debit], -amount, asset), Leg(state.names[credit], amount, asset)]
        place = state.find_transfer(id16)
        if amount != DONE_BY_LEGS or place is None:
            return []
        block = await outcomes.block(place.sequence)
        began = np.flatnonzero((block.pending["outcome"] == place.row) & (block.pending["what"] == What.PROCESS))
        if began.size:  # it went across partitions: its legs are told where it began
            block = await outcomes.block(int(block.pending["begun"][began[0]]))
            place = _beginning(block, id16)
        return _legs_at(block, place.row)


def _has_hold(state: State, id16: bytes) -> bool:
    with state.lock:
        return state.pending.find(id16, What.HOLD) is not None


def _beginning(block: Block, id16: bytes) -> Place:
    words = np.frombuffer(id16, np.uint8)
    mine = (block.outcomes["id"] == words).all(axis=1) & (block.outcomes["code"] == Code.PENDING)
    return Place(block.header.sequence, int(np.flatnonzero(mine)[0]))


def _legs_at(block: Block, row: int) -> list[Leg]:
    legs = block.legs
    return [
        Leg(legs["account"][i], int(legs["amount"][i]), legs["asset"][i])
        for i in np.flatnonzero(legs["outcome"] == row)
    ]
