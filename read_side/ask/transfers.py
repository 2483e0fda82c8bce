"""What became of a transfer: its place in the log from memory, its outcome from the log itself; and which are under way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from read_side.ask.balances import BalanceReader
from read_side.ask.stale import stale_since
from read_side.contract.how_far import NOTHING_WANTED, Wanted, check_partitions
from read_side.contract.no_answer import (
    Ambiguous,
    Elsewhere,
    HistoryUnavailable,
    NotFound,
    NotReached,
    PartitionUnavailable,
    Unanswerable,
)
from read_side.fold.phase_table import (
    OpenHold,
    OpenTransfer,
    open_hold,
    open_transfer,
    open_transfers,
    reversal_of,
)
from read_side.follow.projector import Projector
from read_side.history import past
from read_side.tell.step_accounts import accounts_after
from read_side.tell.transfer_documents import hold_members, open_transfer_document, pending_document
from read_side.tell.transfer_legs import Names, leg_documents, names_known, names_told, process_legs
from write_side.contract.block.block import decode
from write_side.contract.log.block_offsets import fetch_block
from write_side.contract.log.log import Log
from write_side.contract.state.pending_columns import Phase
from write_side.contract.state.state import Place, State
from write_side.contract.tell.answers import Answer, BlockAnswers
from write_side.contract.tell.outcome import Outcome
from write_side.contract.tell.pending_row import KeyedLeg
from write_side.contract.tell.whole_answer import beginning, home_blocks_before, told_whole
from write_side.contract.words.atoms import format_transfer_id
from write_side.contract.words.codes import Code, Kind
from write_side.contract.words.position import Position, format_positions
from write_side.contract.words.times import format_time

BLOCKS_KEPT: Final = 16
"""Decoded blocks: whoever asks for an outcome mostly asks for a recent one. Some MB at most in all."""


class NotKnown(Exception):
    """Nothing has this id as far as is folded: whether anything has was not looked at."""


class Transfers:
    """Transfers and holds of the partitions that this process projects. now_us: the wall clock, UTC microseconds."""

    def __init__(
        self, projectors: Mapping[int, Projector], balances: BalanceReader, log: Log, now_us: Callable[[], int]
    ) -> None:
        self._projectors = projectors
        self._balances = balances
        self._log = log
        self._now_us = now_us
        self._kept: OrderedDict[tuple[int, int], BlockAnswers] = OrderedDict()

    async def outcome(self, transfer_id: bytes, wanted: Wanted = NOTHING_WANTED) -> Answer:
        """The answer that the command of this id got, and what has become of it since; of a transfer under way its phase.

        Raises NotFound, Ambiguous, NotReached, Unanswerable, Malformed. That there is no such transfer is said only when every
        partition of the log was asked: it may have moved money in any of them.
        """
        partition, place = await self.where(transfer_id, wanted)
        if isinstance(place, OpenTransfer):
            names = await self.names(partition, place.begun, place.id, place.link, place.legs)
            begun = beginning((await self.answers(partition, place.begun)).outcomes, transfer_id)
            answer = Answer(202, pending_document(place, names, self._now_us()) | _asked(begun))
        else:
            answer = await self._finished(partition, place, transfer_id)
        return await self._told(answer, partition, transfer_id)

    async def wait_for(self, ids: Sequence[bytes], wanted: Wanted = NOTHING_WANTED) -> None:
        """What `where` would wait for of each of these, once. Raises NotReached, Unanswerable, Malformed."""
        await self._reach(wanted)
        places = [self._find(each) for each in ids]
        await self._reach_written(wanted, {partition for each in places for partition in each})
        if not all(places):
            await self._caught_up()

    async def where_known(self, transfer_id: bytes) -> tuple[int, Place | OpenTransfer]:
        """As `where`, of what is known by now. Raises NotKnown, Ambiguous."""
        places = self._find(transfer_id)
        if len(places) > 1:
            raise Ambiguous
        alone = len(self._projectors) == 1
        if not places or not (alone or self._forgotten_before_us(transfer_id) is None):
            raise NotKnown  # one partition may have forgotten what another one remembers
        [found] = places.items()
        return found

    async def where(
        self, transfer_id: bytes, wanted: Wanted = NOTHING_WANTED, *, waited: bool = False
    ) -> tuple[int, Place | OpenTransfer]:
        """The home of the transfer, and the place of what became of it, or how it stands there. waited: by `wait_for`. Raises as
        `outcome` does."""
        await self._reach(wanted)
        places = self._find(transfer_id)
        if await self._reach_written(wanted, places):
            places = self._find(transfer_id)
        if not places and not waited:
            await self._caught_up()
            places = self._find(transfer_id)
        if len(places) == 1 < len(self._projectors) and self._forgotten_before_us(transfer_id) is not None:
            # One partition may have forgotten what another one remembers.
            places = (await asyncio.to_thread(self._find_long_ago, transfer_id))[0] | places
        if len(places) > 1:
            raise Ambiguous
        if not places:
            self.all_asked(range(self._balances.partitions))
            places, everywhere = await asyncio.to_thread(self._find_long_ago, transfer_id)
            if not places:
                raise NotFound(self._positions(), None if everywhere else self._forgotten_before_us(transfer_id))
        if len(places) > 1:
            raise Ambiguous
        [found] = places.items()
        return found

    async def _told(self, answer: Answer, partition: int, transfer_id: bytes) -> Answer:
        """With the accounts after each step, as far as this process projects their partitions; and since when nothing is known of
        what becomes of it: where it was refused that is nothing."""
        self.all_asked((partition,))
        document: dict[str, Any] = dict(answer.document)
        if "steps" in document:
            document["step_accounts"] = [await self._accounts_after(step, transfer_id) for step in document["steps"]]
        if document.get("result") != "refused":
            document |= stale_since(self._balances.here(partition))
        return Answer(answer.status, document)

    async def _accounts_after(self, step: Mapping[str, Any], transfer_id: bytes) -> list[dict[str, Any]] | None:
        """None where this process does not know, which is not the same as none."""
        partition, sequence = (int(part) for part in step["position"].split(":"))
        projector = self._projectors.get(partition)
        if projector is None or projector.refusal() is not None or sequence >= len(projector.fold.replay.offsets):
            return None
        block = await self.answers(partition, sequence)
        return accounts_after(block.outcomes, transfer_id, step["step"], projector.fold.state)

    async def under_way(
        self,
        phases: Collection[Phase],
        older_than_s: int,
        limit: int,
        wanted: Wanted = NOTHING_WANTED,
        partitions: Collection[int] | None = None,
    ) -> dict[str, Any]:
        """The oldest transfers across partitions in one of these phases that began that long ago, oldest first.

        partitions: whose; None: of all, so that a list is never shorter than it looks. Raises NotReached, Unanswerable,
        Malformed.
        """
        chosen = await self.ready(wanted, partitions)
        now_us = self._now_us()
        found: list[OpenTransfer] = []
        for partition in chosen:
            state = self._projectors[partition].fold.state
            found += open_transfers(state, phases, now_us - older_than_s * 1_000_000, limit)
        self.all_asked(chosen)
        found.sort(key=lambda transfer: (transfer.begun_at_us, transfer.id))
        documents = [open_transfer_document(transfer, now_us) for transfer in found[:limit]]
        return {"transfers": documents, "position": self._positions()}

    async def ready(self, wanted: Wanted, partitions: Collection[int] | None) -> Collection[int]:
        """These partitions (None: all), once what is wanted is reached and each of them answers here. Raises NotReached,
        Unanswerable, Malformed."""
        await self._reach(wanted)
        chosen = range(self._balances.partitions) if partitions is None else partitions
        self.all_asked(chosen)
        await self._reach_written(wanted, chosen)
        return chosen

    async def _reach(self, wanted: Wanted) -> None:
        """Wait for the wanted positions. One of a partition that is not here is never taken as reached."""
        check_partitions(wanted.positions, self._balances.partitions)
        self.all_asked(wanted.positions)
        deadline = asyncio.get_running_loop().time() + wanted.wait_s
        for partition, sequence in wanted.positions.items():
            projector = self._projectors[partition]
            left_s = deadline - asyncio.get_running_loop().time() if projector.stopped is None else 0.0
            if not await projector.shown.sequence.reach(sequence, left_s):
                if reason := projector.held_up():
                    raise PartitionUnavailable(partition, reason=reason)
                raise NotReached("position_not_reached", self._positions())

    async def _reach_written(self, wanted: Wanted, partitions: Collection[int]) -> bool:
        """Wait, in these partitions, for what was answered to writes; False where all of it is shown. What a damaged log has is
        not waited for. Raises Behind."""
        waited, deadline = False, asyncio.get_running_loop().time() + wanted.wait_s
        for partition in wanted.written.keys() & partitions:
            projector, sequence = self._projectors[partition], wanted.written[partition]
            shown = projector.shown
            if shown.sequence.value >= sequence or projector.stopped is not None:
                continue
            waited = True
            self._balances.refuse_if_crowded(partition, self._positions())
            with self._balances.waiting(partition):
                reached = await shown.sequence.reach(sequence, deadline - asyncio.get_running_loop().time())
            if not reached:
                await self._balances.refuse_if_behind(partition, shown.offset.value, self._positions(), wanted)
        return waited

    async def _caught_up(self) -> None:
        """Wait until all that is in the log now is folded, of every partition that answers here. Raises Unanswerable."""
        here = [p for p, projector in self._projectors.items() if projector.refusal() is None]
        waits = (self._balances.caught_up(p, self._projectors[p].how_far.shown.offset) for p in here)
        for answer in await asyncio.gather(*waits, return_exceptions=True):
            if isinstance(answer, BaseException):
                raise answer

    def all_asked(self, partitions: Collection[int]) -> None:
        """Raises Unanswerable unless each of these partitions is projected here, and answers. Asked again once the state was
        read: a check may have failed meanwhile, in the middle of a block."""
        elsewhere = []
        for partition in partitions:
            projector = self._projectors.get(partition)
            refusal: Unanswerable | None = Elsewhere(partition) if projector is None else projector.refusal_of_fold()
            if isinstance(refusal, Elsewhere):
                elsewhere.append(partition)
            elif refusal is not None:
                raise refusal
        if elsewhere:
            raise Elsewhere(*elsewhere)

    def _find_long_ago(self, transfer_id: bytes) -> tuple[dict[int, Place | OpenTransfer], bool]:
        """As `_find`, of what memory no longer has, in the histories that can be asked; and whether every one could be."""
        places: dict[int, Place | OpenTransfer] = {}
        everywhere = True
        for partition, projector in self._projectors.items():
            try:
                parts = projector.past()
            except HistoryUnavailable:
                everywhere = False
                continue
            place = past.telling(parts, transfer_id)
            if place is not None and place.sequence < len(projector.fold.replay.offsets):
                places[partition] = place
        return places, everywhere

    def _ended(self, partition: int, hold: bytes) -> list[dict[str, Any]]:
        """What moved or ended a hold, in order, as far as the history of its partition can be asked."""
        projector = self._projectors[partition]
        try:
            parts = projector.past()
        except HistoryUnavailable:
            return []
        known = len(projector.fold.replay.offsets)
        found = past.about(parts, hold) + [each for each in past.outcomes_of(parts, hold) if each.kind is Kind.EXPIRE]
        return [
            {
                "id": format_transfer_id(each.id16),
                "kind": each.kind.name.lower(),
                "position": str(Position(partition, each.place.sequence)),
                "at": format_time(each.at_us),
            }
            for each in sorted(found, key=lambda each: each.place)
            if past.end_of(parts, each).code is Code.DONE and each.place.sequence < known
        ]

    def _forgotten_before_us(self, transfer_id: bytes) -> int | None:
        """Up to when ids are forgotten, if one like this may be among them: without a time, or with one that is as old."""
        states, at_us = [projector.fold.state for projector in self._projectors.values()], _time_of(transfer_id)
        if at_us is None:
            return max(state.ids.timeless_from_us for state in states) or None
        cut_off_us = max(state.chained.refuse_ids_before_us for state in states)
        return cut_off_us if at_us < cut_off_us else None

    async def _finished(self, partition: int, place: Place, transfer_id: bytes) -> Answer:
        """The outcome's own answer, and beside it what the outcome alone does not know."""
        answers = await self.answers(partition, place.sequence)
        answer = answers.answer(place.row)
        if isinstance(answer, Place):
            raise AssertionError("a remembered place is never that of a repeat")
        outcome, state = answers.outcomes[place.row], self._projectors[partition].fold.state
        code, command = outcome.code, outcome
        document = dict(answer.document)
        if outcome.kind in (Kind.ANSWER, Kind.TIMEOUT):
            earlier = home_blocks_before(outcome)
            blocks = [await self.answers(partition, sequence) for sequence in earlier]
            document = dict(told_whole(answer, transfer_id, (*blocks, answers)).document)
            command = beginning(blocks[0].outcomes, transfer_id)
            legs, link = process_legs(command), command.link or bytes(16)
            document["legs"] = leg_documents(legs, await self.names(partition, earlier[0], transfer_id, link, legs))
        elif outcome.kind is Kind.HOLD and code is Code.DONE:
            hold: OpenHold | None = open_hold(state, transfer_id)
            document |= hold_members(hold, names_told(answers.outcomes, transfer_id))
            if ended := await asyncio.to_thread(self._ended, partition, transfer_id):
                document["ended"] = ended
        if code is Code.DONE and (reversal := reversal_of(state, transfer_id)) is not None:
            document["reversed_by"] = format_transfer_id(reversal)
        return Answer(answer.status, document | _asked(command))

    def _find(self, transfer_id: bytes) -> dict[int, Place | OpenTransfer]:
        """Where the transfer is known. One under way is a row of its home, however old its id is."""
        places: dict[int, Place | OpenTransfer] = {}
        for partition, projector in self._projectors.items():
            if projector.refusal_of_fold() is not None:
                continue
            fold = projector.fold
            # A block has its offset once all its checks are made; before that its outcomes are not told.
            known = len(fold.replay.offsets)
            pending = open_transfer(fold.state, transfer_id)
            if pending is not None and pending.begun < known:
                places[partition] = pending
                continue
            place = fold.state.find_transfer(transfer_id)
            if place is not None and place.sequence < known:
                places[partition] = place
        return places

    async def names(
        self, partition: int, begun: int, transfer_id: bytes, link: bytes, legs: Sequence[KeyedLeg]
    ) -> Names:
        """Who the legs are: by this partition's own accounts, the command, and of a capture of everything the hold's command."""
        state = self._projectors[partition].fold.state
        names = names_known(state, legs) | names_told((await self.answers(partition, begun)).outcomes, transfer_id)
        if any((leg.key, leg.asset_hash) not in names for leg in legs):
            place = state.find_transfer(link)
            if place is not None:
                names |= names_told((await self.answers(partition, place.sequence)).outcomes, link)
        return names

    def _positions(self) -> str:
        shown = {p: projector.how_far.shown.sequence for p, projector in self._projectors.items()}
        return format_positions({p: sequence for p, sequence in shown.items() if sequence >= 0})

    def state(self, partition: int) -> State:
        """As it is folded now, of a partition that was answered for."""
        return self._projectors[partition].fold.state

    async def outcome_at(self, partition: int, place: Place) -> Outcome:
        return (await self.answers(partition, place.sequence)).outcomes[place.row]

    async def answers(self, partition: int, sequence: int) -> BlockAnswers:
        """Of one block."""
        key = (partition, sequence)
        answers = self._kept.get(key)
        if answers is None:
            fold = self._projectors[partition].fold
            data = await fetch_block(self._log, partition, fold.replay.offsets, sequence)
            answers = self._kept[key] = BlockAnswers(decode(data), fold.state)
            if len(self._kept) > BLOCKS_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(key)
        return answers


def _asked(command: Outcome) -> dict[str, Any]:
    """Who asked for it first, where somebody is named: a repeat changes nothing about that."""
    return {"asked_by": command.asked_by} if command.asked_by else {}


def _time_of(transfer_id: bytes) -> int | None:
    """The UTC microseconds in a UUIDv7 (RFC 9562, 5.7); None for an id without a time."""
    if transfer_id[6] >> 4 != 7 or transfer_id[8] >> 6 != 2:
        return None
    return int.from_bytes(transfer_id[:6], "big") * 1_000
