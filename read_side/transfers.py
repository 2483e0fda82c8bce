"""What became of a transfer: its place in the log from memory, its outcome from the log itself."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from read_side.projector import Projector
from read_side.queries import Balances
from read_side.questions import NOTHING_WANTED, Ambiguous, NotFound, NotReached, Rebuilding, Wanted, check_partitions
from write_side.contract.answers import Answer, BlockAnswers
from write_side.contract.block import decode
from write_side.contract.log import Log
from write_side.contract.position import format_positions
from write_side.contract.state import Place

BLOCKS_KEPT: Final = 16
"""Decoded blocks: whoever asks for an outcome mostly asks for a recent one. Some MB at most in all."""


class Transfers:
    """Outcomes of the transfers of the partitions that this process projects."""

    def __init__(self, projectors: Mapping[int, Projector], balances: Balances, log: Log) -> None:
        self._projectors = projectors
        self._balances = balances
        self._log = log
        self._kept: OrderedDict[tuple[int, int], BlockAnswers] = OrderedDict()

    async def outcome(self, transfer_id: bytes, wanted: Wanted = NOTHING_WANTED) -> Answer:
        """The answer that the transfer's POST got. Raises NotFound, Ambiguous, NotReached, Rebuilding, Malformed."""
        check_partitions(wanted.positions, self._balances.partitions)
        deadline = asyncio.get_running_loop().time() + wanted.wait_s
        for partition, projector in self._projectors.items():
            left_s = deadline - asyncio.get_running_loop().time()
            if not await projector.visible.reach(wanted.positions.get(partition, -1), left_s):
                raise NotReached("position_not_reached", self._positions())
        places = self._find(transfer_id)
        if not places:
            for partition, projector in self._projectors.items():
                if not projector.ready or projector.stopped is not None:
                    raise Rebuilding
                await self._balances.caught_up(partition, projector.offset.value)
            places = self._find(transfer_id)
        if len(places) > 1:
            raise Ambiguous
        if not places:
            raise NotFound(self._positions())
        [(partition, place)] = places.items()
        answer = (await self._answers(partition, place.sequence)).answer(place.row)
        if isinstance(answer, Place):
            raise AssertionError("a remembered place is never that of a repeat")
        return answer

    def _find(self, transfer_id: bytes) -> dict[int, Place]:
        places = {}
        for partition, projector in self._projectors.items():
            fold = projector.fold
            place = fold.state.find_transfer(transfer_id)
            # A block has its offset once all its checks are made; before that its outcomes are not told.
            if place is not None and place.sequence < len(fold.replay.offsets):
                places[partition] = place
        return places

    def _positions(self) -> str:
        reached = {p: projector.visible.value for p, projector in self._projectors.items()}
        return format_positions({p: sequence for p, sequence in reached.items() if sequence >= 0})

    async def _answers(self, partition: int, sequence: int) -> BlockAnswers:
        key = (partition, sequence)
        answers = self._kept.get(key)
        if answers is None:
            fold = self._projectors[partition].fold
            data = await self._log.fetch(partition, fold.replay.offsets[sequence])
            answers = self._kept[key] = BlockAnswers(decode(data), fold.state)
            if len(self._kept) > BLOCKS_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return answers
