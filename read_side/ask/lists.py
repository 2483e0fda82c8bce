"""Lists: the holds open on an account, what has a reference. HTTP is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from read_side.ask.balances import BalanceReader
from read_side.ask.transfers import Transfers
from read_side.contract.how_far import Wanted
from read_side.fold.phase_table import OpenHold, holds_on
from read_side.follow.projector import Projector
from read_side.history import past
from read_side.tell.transfer_documents import hold_document
from write_side.contract.state.state import Place, State
from write_side.contract.words.atoms import format_transfer_id, partition_of
from write_side.contract.words.codes import Code, word_of
from write_side.contract.words.position import Position, format_positions
from write_side.contract.words.times import format_time


class _Referred(NamedTuple):
    """Of one partition: outcomes with the time and the place of each, which are all different; and the last block looked at."""

    outcomes: list[tuple[int, tuple[int, Place], dict[str, Any]]]
    sequence: int


class Lists:
    """Of the partitions that this process projects; a list is refused rather than told in part."""

    def __init__(self, projectors: Mapping[int, Projector], balances: BalanceReader, transfers: Transfers) -> None:
        self._projectors = projectors
        self._balances = balances
        self._transfers = transfers

    async def holds(self, account: str, limit: int, wanted: Wanted) -> dict[str, Any]:
        """The holds that are open on an account, the oldest first. Raises NotFound, NotReached, Unanswerable."""
        partition = partition_of(account, self._balances.partitions)
        await self._balances.account(account, wanted)
        await self._transfers.ready(wanted, (partition,))
        found, sequence = await asyncio.to_thread(
            _holds_now, self._projectors[partition].fold.state, account, limit + 1
        )
        self._transfers.all_asked((partition,))
        return {
            "account": account,
            "holds": [hold_document(hold, amount) for hold, amount in found[:limit]],
            "more": len(found) > limit,
            "position": str(Position(partition, sequence)),
        }

    async def with_reference(
        self, reference: str, limit: int, wanted: Wanted, partitions: Collection[int] | None
    ) -> dict[str, Any]:
        """The outcomes of commands that had this reference, the newest first. Raises NotReached, Unanswerable, Malformed."""
        chosen = await self._transfers.ready(wanted, partitions)
        found = await asyncio.gather(*(asyncio.to_thread(self._referred, p, reference, limit + 1) for p in chosen))
        outcomes = sorted((each for referred in found for each in referred.outcomes), reverse=True)
        positions = {p: referred.sequence for p, referred in zip(chosen, found, strict=True) if referred.sequence >= 0}
        return {
            "outcomes": [document for _, _, document in outcomes[:limit]],
            "more": len(outcomes) > limit,
            "positions": format_positions(positions),
        }

    def _referred(self, partition: int, reference: str, most: int) -> _Referred:
        parts = self._projectors[partition].past()
        sequence = parts[0].last if parts else -1
        outcomes = []
        for begun in past.with_reference(parts, reference, most):
            end = past.end_of(parts, begun)
            document: dict[str, Any] = {
                "id": format_transfer_id(begun.id16),
                "kind": begun.kind.name.lower(),
                "result": {Code.DONE: "done", Code.PENDING: "pending"}.get(end.code, "refused"),
                "position": str(Position(partition, end.place.sequence)),
                "at": format_time(end.at_us),
            }
            if document["result"] == "refused":
                document["code"] = word_of(end.code)
            outcomes.append((begun.at_us, (partition, begun.place), document))
        return _Referred(outcomes, sequence)


def _holds_now(state: State, account: str, most: int) -> tuple[list[tuple[OpenHold, int]], int]:
    """The open holds, and the block that they are of."""
    with state.lock:
        return holds_on(state, account, most), state.chained.sequence
