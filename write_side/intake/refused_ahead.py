"""What the intake refuses before a partition is asked: what no partition could see by itself.

An id belongs to the partition that ran it, and another first giver is another partition: a client that repeats a request with a
changed body would pay twice there, and nobody could say afterwards which of the two an id means. So the ids of all partitions
are looked at first, those in the files of `FANFOLD_IDS` too, and an id that carries its time is refused when one of them may have
run and forgotten it. No lock of a writer is taken for that: two requests that arrive within the same moment may both run. One
that is being taken up again is asked for what it knew, and one that a start found damaged for what could be read of it
(`owner/learn_ids.py`); what is in blocks that nobody can read keeps nothing out of the others (DECISIONS 68).
And an asset is written in one way; older logs may have accounts of assets written otherwise, and those stay usable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from fanfold.api.malformed import Malformed
from fanfold.api.problems import PROBLEMS, problem_document
from write_side.contract.state.fold_ids import id_words, note_older
from write_side.contract.state.id_parts import have_time
from write_side.contract.tell.answers import Answer
from write_side.contract.words.atoms import format_transfer_id, parse_new_asset
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time
from write_side.intake.home import Routed
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Change, Command, OpenAccount, Transfer
from write_side.owner.clock import Clock
from write_side.owner.outcomes import Outcomes

LOOKED_UP_AT_ONCE: Final = 256
"""Ids that are looked for in files on the event loop: 0.2 ms and less a partition."""

_NO_ID: Final = bytes(16)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_REUSED: Final = "id_reused_with_other_content"


class RefusedAhead:
    """outcomes: by partition, of all partitions. Raises OutcomeUnknown where what an id was used for is not durable yet, and
    PartitionUnavailable where it ran in one that does not serve."""

    def __init__(self, outcomes: Mapping[int, Outcomes], clock: Clock) -> None:
        self._outcomes = outcomes
        self._clock = clock

    async def suspected(self, commands: Sequence[Command]) -> list[bool]:
        """Which of these have an id that some partition ran, or may have run and forgotten: all at once, for few have."""
        forgot_keys = self._forgot_keys()
        if len(self._outcomes) == 1 and not forgot_keys:
            return [False] * len(commands)
        joined = b"".join(_NO_ID if isinstance(command, OpenAccount) else command.id for command in commands)
        ids = id_words(np.frombuffer(joined, np.uint8))
        timeless = ~have_time(ids)
        if len(self._outcomes) == 1:
            return list(timeless.tolist())
        found = self._are_old(ids)
        if forgot_keys:
            found |= timeless
        for outcomes in self._outcomes.values():
            outcomes.known.ids.note_seen(ids, found)
        for outcomes in self._outcomes.values():
            await _note_forgotten(outcomes, ids, timeless, found)
        return list(found.tolist())

    def forgotten(self, command: Command) -> Answer | None:
        """The refusal of an id without a time that some partition may have run and forgotten before its days were over. Asked of
        what is `suspected` alone."""
        if isinstance(command, OpenAccount) or have_time(id_words(np.frombuffer(command.id, np.uint8)))[0]:
            return None
        if not self._forgot_keys() or any(each.ran(command.id) is not None for each in self._outcomes.values()):
            return None
        return _refused("id_memory_full", id=format_transfer_id(command.id))

    async def answer(self, home: int, command: Routed, suspected: bool) -> Answer | None:
        """The refusal of a command that `home` would decide; None for what is its to say. suspected: by `suspected`."""
        for asset in _assets(command):
            if not _is_written_as_now(asset) and not self._has(asset):
                return _asset_refused(asset, None if isinstance(command, OpenAccount) else command.id)
        if isinstance(command, OpenAccount) or not suspected:
            return None
        if self._outcomes[home].ran(command.id) is not None:
            return None  # home says what became of it
        for partition, outcomes in self._outcomes.items():
            place = outcomes.ran(command.id)
            if place is not None:
                outcomes.require()
                await outcomes.block(place.sequence)  # a writer's state is ahead of what is accepted
                position = str(Position(partition, place.sequence))
                return _refused(_REUSED, id=format_transfer_id(command.id), position=position)
        if not self._are_old(id_words(np.frombuffer(command.id, np.uint8)))[0]:
            return None
        return _refused(
            "id_expired", id=format_transfer_id(command.id), remembered_from=format_time(self._cut_off_us())
        )

    async def any_of(self, batch: CommandBatch, homes: npt.NDArray[np.int64]) -> bool:
        """Whether a row of plain transfers may have to be refused: then each is asked for by `forgotten` and `answer`."""
        if not all(_is_written_as_now(asset) or self._has(asset) for asset in batch.assets):
            return True
        ids = id_words(batch.ids)
        if self._forgot_keys() and not have_time(ids).all():
            return True
        if len(self._outcomes) == 1:
            return False
        timeless = ~have_time(ids)
        mixed = ids[:, 0] * _SPREAD ^ ids[:, 1]
        if np.unique(mixed).size < len(mixed):
            return True  # most likely one id twice
        for partition, outcomes in self._outcomes.items():
            found = homes == partition  # what it ran itself it says
            noted = int(found.sum())
            outcomes.known.ids.note_seen(ids, found)
            await _note_forgotten(outcomes, ids, timeless, found)
            if found.sum() > noted:
                return True
        return bool(self._are_old(ids).any())

    def _forgot_keys(self) -> bool:
        now_us = self._clock.wall_us()
        return any(outcomes.forgot_keys(now_us) for outcomes in self._outcomes.values())

    def _are_old(self, ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Which ids carry a time that some partition does not remember any more. ids: uint64[n, 2]."""
        found = np.zeros(len(ids), np.bool_)
        note_older(ids, self._cut_off_us(), found)
        return found

    def _cut_off_us(self) -> int:
        return max(outcomes.known.chained.refuse_ids_before_us for outcomes in self._outcomes.values())

    def _has(self, asset: str) -> bool:
        return any(outcomes.state.asset_number(asset) >= 0 for outcomes in self._outcomes.values())


async def _note_forgotten(
    outcomes: Outcomes,
    ids: npt.NDArray[np.uint64],
    timeless: npt.NDArray[np.bool_],
    found: npt.NDArray[np.bool_],
) -> None:
    """Note ids without a time that a partition ran and remembers no more, where it finds them again. ids: uint64[n, 2]; timeless:
    bool[n], which have none; found: bool[n], those that are noted already."""
    if outcomes.ids is None:
        return
    asked = np.flatnonzero(timeless & ~found)
    if not asked.size:
        return
    left = np.ones(asked.size, np.bool_)
    if asked.size <= LOOKED_UP_AT_ONCE:
        outcomes.ids.find(ids[asked], left)
    else:
        await asyncio.to_thread(outcomes.ids.find, ids[asked], left)
    found[asked[~left]] = True


def used_before_in_request(homes: Sequence[int], commands: Sequence[Command]) -> dict[int, Answer]:
    """By its place, the refusal of each command whose id an earlier one of the same request takes to another partition."""
    first: dict[bytes, int] = {}
    return {
        at: _refused(_REUSED, id=format_transfer_id(command.id))
        for at, (home, command) in enumerate(zip(homes, commands, strict=True))
        if not isinstance(command, OpenAccount) and first.setdefault(command.id, home) != home
    }


def transfers_of(batch: CommandBatch) -> list[Transfer]:
    """The rows of a batch of plain transfers, as values."""
    return [
        Transfer(batch.ids[row].tobytes(), debit, credit, int(batch.amount[row]), batch.assets[batch.asset[row]])
        for row, (debit, credit) in enumerate(zip(batch.debit.to_pylist(), batch.credit.to_pylist(), strict=True))
    ]


@lru_cache(1024)
def _is_written_as_now(asset: str) -> bool:
    try:
        parse_new_asset(asset)
    except Malformed:
        return False
    return True


def _assets(command: Routed) -> Iterable[str]:
    if isinstance(command, Change):
        return ()
    if isinstance(command, OpenAccount | Transfer):
        return (command.asset,)
    return {leg.asset for leg in command.legs}


def _asset_refused(asset: str, id16: bytes | None) -> Answer:
    try:
        parse_new_asset(asset)
    except Malformed as refusal:
        detail = f"{refusal.field} {refusal.detail}. {PROBLEMS[refusal.code].detail}"
        id = None if id16 is None else format_transfer_id(id16)
        return _refused(refusal.code, field=refusal.field, detail=detail, id=id)
    raise AssertionError("an asset that is written as now is not refused")


def _refused(word: str, **more: object) -> Answer:
    return Answer(PROBLEMS[word].status, problem_document(word, result="refused", **more))
