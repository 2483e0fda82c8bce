"""What every partition did for one transfer, step by step: told from the blocks of all partitions, with the balances around it.

A partition's log is replayed; of the blocks that mention the id the outcomes are told, with each account before and after. Steps
of several partitions are in order of time: what follows from a block is always later than it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from read_side.fold.phase_table import Waiting, waiting_for
from write_side.contract.block.block import Block
from write_side.contract.log.log import Record
from write_side.contract.state.pending_columns import Action, Phase, StepState
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes, Outcome
from write_side.contract.tell.pending_row import PendingRow
from write_side.contract.words.atoms import TRANSIT, format_transfer_id
from write_side.contract.words.codes import REFUSALS, Code, Kind, word_of
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time

Int64s = npt.NDArray[np.int64]


class Entry(NamedTuple):
    """One account around one outcome. Minor units."""

    account: str
    asset: str
    posted_before: int
    posted: int
    held_before: int
    held: int
    version: int


class Did(NamedTuple):
    """An action that was done for a step, and by whom."""

    step: int
    action: Action
    partition: int
    code: Code


@dataclass(frozen=True)
class Happened:
    """One outcome. phase: where the transfer stands after it (home), or the step (elsewhere); None where neither is so.

    id: of the outcome; another one than the transfer's when that command was about it (a capture of a hold, a reversal).
    did: by this partition; heard: of others, told to home here; asks: what home waits for now. asked_by: "" for nobody.
    """

    id: bytes
    partition: int
    sequence: int
    row: int
    at_us: int
    kind: Kind
    code: Code
    phase: str | None
    protocol: str | None
    did: tuple[Did, ...]
    heard: tuple[Did, ...]
    asks: tuple[Waiting, ...]
    entries: tuple[Entry, ...]
    asked_by: str = ""


class Transit(NamedTuple):
    """The transit accounts of a partition since a moment: posted by asset."""

    at_us: int
    posted: dict[str, int]


@dataclass
class PartitionTrace:
    """One partition's part. `take` every record of its log, in order; raises as `Replay.take`.

    linked: ids of commands about this one (captures of a hold, a reversal), which are told in full too.
    """

    partition: int
    id: bytes
    linked: frozenset[bytes] = frozenset()
    happened: list[Happened] = field(default_factory=list)
    transit: list[Transit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._replay = Replay(State(self.partition))
        self._seen: set[tuple[bytes, int, int]] = set()

    def take(self, record: Record) -> None:
        state = self._replay.state
        # Ids lie in a block as they are, so a block without these 16 bytes has nothing to tell and is only folded.
        data = bytes(record.data)
        mentions = any(id in data for id in (self.id, *self.linked))
        before = (state.posted[: state.count].copy(), state.held[: state.count].copy()) if mentions else None
        folded = self._replay.take(record)
        if folded is None:
            return
        if before is not None:
            self._tell(folded.block, *before)
        self._note_transit(folded.block.header.created_at_us)

    def _note_transit(self, at_us: int) -> None:
        state = self._replay.state
        numbers = state.transit[: len(state.asset_names)]
        posted = dict(zip(state.asset_names, state.posted[numbers].tolist(), strict=True))
        if not self.transit or self.transit[-1].posted != posted:
            self.transit.append(Transit(at_us, posted))

    def _tell(self, block: Block, posted: Int64s, held: Int64s) -> None:
        outcomes = BlockOutcomes(block)
        found = [*outcomes.about(self.id), *(each for id in (self.id, *self.linked) for each in outcomes.of_id(id))]
        rows = sorted({each.row for each in found if each.kind is not Kind.OPEN})
        entries = self._entries(outcomes, rows, posted, held)
        self.happened += [self._outcome(outcomes[row], entries[row]) for row in rows]

    def _entries(
        self, outcomes: BlockOutcomes, rows: list[int], posted: Int64s, held: Int64s
    ) -> dict[int, list[Entry]]:
        """The entries of some outcomes; others of the block may have changed the same accounts before them."""
        state = self._replay.state
        now: dict[int, tuple[int, int]] = {}
        entries: dict[int, list[Entry]] = {row: [] for row in rows}
        for row in range(rows[-1] + 1 if rows else 0):
            for number, after, version, held_after, _ in outcomes.entries(row):
                known = (int(posted[number]), int(held[number])) if number < len(posted) else (0, 0)
                posted_before, held_before = now.get(number, known)
                now[number] = after, held_before if held_after is None else held_after
                if row in entries:
                    name, asset = state.names[number], state.assets[number]
                    entries[row].append(Entry(name, asset, posted_before, after, held_before, now[number][1], version))
        return entries

    def _outcome(self, outcome: Outcome, entries: list[Entry]) -> Happened:
        id, code = outcome.id, outcome.code
        phase = protocol = None
        did, heard = self._steps(outcome)
        asks: tuple[Waiting, ...] = ()
        for row in outcome.pending:
            if row.id != id:
                continue
            if row.is_process:
                phase, protocol = outcome.phase(row).name.lower(), row.protocol
                asks = self._asks(outcome, row) if row.state else ()
            elif row.is_step:
                phase, protocol = StepState(row.state).name.lower(), row.protocol
                if code is not Code.STALE:
                    did += (Did(row.step, row.action, self.partition, code),)
        header = outcome.of.block.header
        return Happened(
            id=id, partition=self.partition, sequence=header.sequence, row=outcome.row, at_us=header.created_at_us,
            kind=outcome.kind, code=code, phase=phase, protocol=protocol, did=did, heard=heard, asks=asks,
            entries=tuple(entries), asked_by=outcome.asked_by,
        )  # fmt: skip

    def _steps(self, outcome: Outcome) -> tuple[tuple[Did, ...], tuple[Did, ...]]:
        """What home did itself and what it heard with this outcome. The last outcome has every step again: those were told."""
        did: list[Did] = []
        heard: list[Did] = []
        for done in outcome.steps:
            if (outcome.id, done.step, done.action) not in self._seen:
                self._seen.add((outcome.id, done.step, done.action))
                told = Did(done.step, done.action, done.partition, done.code)
                (did if done.partition == self.partition else heard).append(told)
        return tuple(did), tuple(heard)

    def _asks(self, outcome: Outcome, row: PendingRow) -> tuple[Waiting, ...]:
        partitions = {leg.step: leg.partition for leg in outcome.of.legs(row)}
        if not partitions:
            return ()
        return waiting_for(Phase(row.state), row.debits, row.steps, row.cursor, row.mask, partitions)


class Step(NamedTuple):
    """What happened, and where the money was after it, by asset: in flight for this transfer, and in flight at all (the sum of
    the transit accounts of all partitions at the end of that block)."""

    happened: Happened
    own: dict[str, int]
    transit: dict[str, int]


def linked_ids(traces: Sequence[PartitionTrace]) -> frozenset[bytes]:
    """The ids of the commands about the explained one."""
    return frozenset(each.id for trace in traces for each in trace.happened if each.id != trace.id)


def steps_of(traces: Sequence[PartitionTrace]) -> list[Step]:
    """The steps of all partitions in order of time."""
    happened = [each for trace in traces for each in trace.happened]
    assets = sorted({entry.asset for each in happened for entry in each.entries})
    own = dict.fromkeys(assets, 0)
    steps = []
    for each in sorted(happened, key=lambda each: (each.at_us, each.partition, each.row)):
        for entry in each.entries:
            if entry.account == TRANSIT:
                own[entry.asset] += entry.posted - entry.posted_before
        total = {asset: sum(_posted(trace.transit, each.at_us, asset) for trace in traces) for asset in assets}
        steps.append(Step(each, dict(own), total))
    return steps


def _posted(transit: Sequence[Transit], at_us: int, asset: str) -> int:
    """A partition's transit account at the end of its last block not later than `at_us`."""
    since = bisect_right(transit, at_us, key=lambda each: each.at_us)
    return transit[since - 1].posted.get(asset, 0) if since else 0


_WORDS: Final = {Code.PENDING: "pending", Code.REPEATED: "repeated", Code.STALE: "stale", Code.EXISTS: "exists"}


def word(code: Code) -> str:
    """The word of any code, also of those that refuse nothing."""
    return word_of(code) if code in REFUSALS else _WORDS.get(code, "done")


def document_of(id: bytes, steps: Sequence[Step]) -> dict[str, Any]:
    """For `--json`. Amounts are digit strings, as everywhere outside."""
    return {"id": format_transfer_id(id), "steps": [_step(step) for step in steps]}


def _step(step: Step) -> dict[str, Any]:
    told = step.happened
    document: dict[str, Any] = {
        "id": format_transfer_id(told.id),
        "partition": told.partition,
        "position": str(Position(told.partition, told.sequence)),
        "at": format_time(told.at_us),
        "kind": told.kind.name.lower(),
        "code": word(told.code),
        "asked_by": told.asked_by or None,
        "protocol": told.protocol,
        "phase": told.phase,
        "did": [_did(each) for each in told.did],
        "heard": [_did(each) for each in told.heard],
        "asks": [each._asdict() | {"action": each.action.name.lower()} for each in told.asks],
        "entries": [
            {
                name: value if name in ("account", "asset", "version") else str(value)
                for name, value in each._asdict().items()
            }
            for each in told.entries
        ],
        "in_flight": {asset: str(amount) for asset, amount in step.own.items()},
        "transit": {asset: str(amount) for asset, amount in step.transit.items()},
    }
    return {name: value for name, value in document.items() if value not in (None, [])}


def _did(each: Did) -> dict[str, Any]:
    return each._asdict() | {"action": each.action.name.lower(), "code": word(each.code)}
