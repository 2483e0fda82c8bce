"""What a command is about: where the hold or the transfer that it names was decided, and the legs of a transfer to reverse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import numpy as np

from write_side.contract.state.ids import AMOUNT, DONE_BY_LEGS, PARTIES
from write_side.contract.state.pending_columns import What
from write_side.contract.state.state import Place, State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.tell.whole_answer import beginning
from write_side.intake.lane import Overloaded
from write_side.ledger.commands.commands import Capture, Leg, Reverse, Void
from write_side.owner.outcomes import Outcomes

LOOK_UPS_MAX: Final = 1_024
"""Requests that wait for what their command is about to be found: each takes the lock of every partition's state for microseconds
in which no block is decided, all together some 10 ms. One more is refused as overloaded."""

_PARTY_BITS = 32


class Subjects:
    """Found in the states of all partitions. Raises OutcomeUnknown when a partition that must be asked is not up to date, and
    PartitionUnavailable when one does not serve: nobody is told that something is unknown that only it may know. Raises
    Overloaded when `LOOK_UPS_MAX` wait."""

    def __init__(self, outcomes: Mapping[int, Outcomes]) -> None:
        self._outcomes = outcomes
        self._looking_up = 0

    async def home_of_hold(self, command: Capture | Void, asked: Mapping[bytes, int] | None = None) -> int:
        """The partition that ran the command, else that of its hold.

        asked: by id, where the holds go that the same request asks for in earlier lines; no log has them yet."""
        with self._look_up():
            return await self._find(command.id, command.hold, asked or {})

    async def reversal(self, command: Reverse) -> tuple[int, Reverse]:
        """The partition that ran the command, else that of the transfer to reverse; and the command with its legs, without them
        when it cannot be reversed."""
        with self._look_up():
            home = await self._find(command.id, command.transfer, {})
            legs = await self._legs(self._outcomes[home], command.transfer)
        return home, command._replace(legs=tuple(sorted(leg._replace(amount=-leg.amount) for leg in legs)))

    @contextmanager
    def _look_up(self) -> Iterator[None]:
        if self._looking_up >= LOOK_UPS_MAX:
            raise Overloaded
        self._looking_up += 1
        try:
            yield
        finally:
            self._looking_up -= 1

    async def _find(self, own: bytes, subject: bytes, asked: Mapping[bytes, int]) -> int:
        found = await self._where(own, subject)
        if found is None:
            found = asked.get(subject)
        if found is None:
            # Nobody is told that it is unknown by a partition that has not folded what was there when he asked.
            for outcomes in self._outcomes.values():
                await outcomes.caught_up()
            found = await self._where(own, subject)
        return self._most_forgetful() if found is None else found

    async def _where(self, own: bytes, subject: bytes) -> int | None:
        """What ran is asked for before what it was about: that may be over, and forgotten, while the command is remembered."""
        ran, about = [], []
        for partition, outcomes in self._outcomes.items():
            has_run, has_subject = await outcomes.ask(lambda state: _knows(state, own, subject), known=True)
            has_run = has_run or outcomes.ran(own) is not None
            ran += [partition] if has_run else []
            about += [partition] if has_subject else []
        both = [partition for partition in ran if partition in about]
        return next(iter(both or ran or about), None)

    def _most_forgetful(self) -> int:
        """Where neither is known: the partition that refuses ids of the latest time, so that a command which any of them may have
        run and forgotten is told that it is too old, and not that nothing moved."""
        return max(self._outcomes, key=lambda p: (self._outcomes[p].state.chained.refuse_ids_before_us, -p))

    async def _legs(self, outcomes: Outcomes, id16: bytes) -> list[Leg]:
        told = await outcomes.ask(lambda state: _told(state, id16))
        if isinstance(told, list):
            return told
        amount, place = told
        if amount != DONE_BY_LEGS or place is None:
            return []
        outcomes.require()  # nothing can be taken there now, so nothing may have been done
        done = BlockOutcomes(await outcomes.block(place.sequence))[place.row]
        process = done.process
        if process is not None:  # it went across partitions: its legs are told where it began
            done = beginning(BlockOutcomes(await outcomes.block(process.begun)), id16)
        return [Leg(leg.account, leg.amount, leg.asset) for leg in done.legs]


def _told(state: State, id16: bytes) -> list[Leg] | tuple[int, Place | None]:
    """The legs of a plain done transfer; else what the id table has as its amount, and where its outcome lies."""
    with state.lock:
        row = state.ids.find(id16)
        amount = 0 if row is None else int(state.ids.rows[row, AMOUNT].view(np.int64))
        parties = 0 if row is None else int(state.ids.rows[row, PARTIES])
        if amount <= 0:
            return amount, state.find_transfer(id16)
        debit, credit = parties >> _PARTY_BITS, parties & ((1 << _PARTY_BITS) - 1)
        asset = state.assets[debit]
        return [Leg(state.names[debit], -amount, asset), Leg(state.names[credit], amount, asset)]


def _knows(state: State, own: bytes, subject: bytes) -> tuple[bool, bool]:
    """Whether a command has run, and whether what it is about is there."""
    return state.find_transfer(own) is not None, state.find_transfer(subject) is not None or _has_hold(state, subject)


def _has_hold(state: State, id16: bytes) -> bool:
    with state.lock:
        return state.pending.find(id16, What.HOLD) is not None
