"""A new transfer between partitions one of which is stopped: it is refused before anything of it begins.

Its home could begin it, and would then have the money in transit until a person has mended the other partition. What has begun
goes on whatever becomes of a partition: its messages come by another way, and a repeat of its id gets what became of it.
Partitions that come back by themselves (`failures.py`: AGAIN) are waited for as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

import numpy as np

from write_side.contract.state.pending_columns import LEG_KEY_A, What
from write_side.contract.state.state import WORLD_KEY, State
from write_side.intake.home import partitions_of_accounts
from write_side.ledger.commands.commands import Capture, Change, Command, Hold, OpenAccount, Void
from write_side.owner.outcomes import Outcomes, PartitionUnavailable

NO_HOLDS: Final[Mapping[bytes, Hold]] = MappingProxyType({})


class StoppedElsewhere:
    """outcomes: by partition, of all partitions. any: whether one is stopped, for every request to ask."""

    def __init__(self, outcomes: Mapping[int, Outcomes]) -> None:
        self._outcomes = outcomes
        self._stopped: dict[int, PartitionUnavailable] = {}
        for partition, each in outcomes.items():
            each.tell_stopped(partial(self._note, partition))

    @property
    def any(self) -> bool:
        return bool(self._stopped)

    async def of(
        self, home: int, command: Command, holds: Mapping[bytes, Hold] = NO_HOLDS
    ) -> PartitionUnavailable | None:
        """The stopped partition that this command would send its money to, or take it from; None when there is none, when the
        command stays at home, or when its id has been there before.

        command: a reversal with its legs. holds: those that the same request asks for before it; no log has them yet.
        """
        # A hold is kept by its home alone: nothing goes anywhere before it is captured.
        if self._stopped.keys() <= {home} or isinstance(command, OpenAccount | Change | Hold | Void):
            return None
        if isinstance(command, Capture):
            hold, asked = command.hold, holds.get(command.hold)
            touched = await self._outcomes[home].ask(
                lambda state: _partitions_of_hold(state, hold, len(self._outcomes))
            )
            if not touched and asked is not None:
                touched = partitions_of_accounts(asked, len(self._outcomes))
        else:
            touched = partitions_of_accounts(command, len(self._outcomes))
        found = next((self._stopped[p] for p in sorted(touched) if p != home and p in self._stopped), None)
        if found is None or await self._outcomes[home].ask(lambda state: _has_been(state, command.id)):
            return None
        if self._outcomes[home].ran(command.id) is not None:
            return None
        return found

    def _note(self, partition: int, stopped: PartitionUnavailable | None) -> None:
        if stopped is None:
            self._stopped.pop(partition, None)
        else:
            self._stopped[partition] = stopped


def _partitions_of_hold(state: State, hold: bytes, partitions: int) -> set[int]:
    """Where the accounts of an open hold live, by their keys: the first half of one is what partitions are dealt by. `@world`
    lives in each."""
    with state.lock:
        row = state.pending.find(hold, What.HOLD)
        if row is None:
            return set()
        keys = state.pending.legs_of(row)[:, LEG_KEY_A].view(np.uint64)
        return {int(key % np.uint64(partitions)) for key in keys if key != WORLD_KEY[0]}


def _has_been(state: State, id16: bytes) -> bool:
    """A transfer under way is found by its row, however long ago it began."""
    with state.lock:
        return state.ids.find(id16) is not None or state.pending.find(id16, What.PROCESS) is not None
