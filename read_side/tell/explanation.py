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
from write_side.contract.state.pending_columns import (
    CREDIT_BIT,
    LAST_BIT,
    STEP_SHIFT,
    TCC_BIT,
    Action,
    Phase,
    StepState,
    What,
)
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.answers import format_time
from write_side.contract.words.atoms import TRANSIT, format_transfer_id
from write_side.contract.words.codes import REFUSALS, Code, Kind, word_of
from write_side.contract.words.position import Position

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
    did: by this partition; heard: of others, told to home here; asks: what home waits for now.
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
        own = np.frombuffer(self.id, np.uint8)
        rows = set(block.links["outcome"][(block.links["id"] == own).all(axis=1)].tolist())
        for id in (self.id, *self.linked):
            rows |= set(np.flatnonzero((block.outcomes["id"] == np.frombuffer(id, np.uint8)).all(axis=1)).tolist())
        rows = {row for row in rows if block.outcomes["kind"][row] != Kind.OPEN}
        entries = self._entries(block, rows, posted, held)
        self.happened += [self._outcome(block, row, entries[row]) for row in sorted(rows)]

    def _entries(self, block: Block, rows: set[int], posted: Int64s, held: Int64s) -> dict[int, list[Entry]]:
        """The entries of some outcomes; others of the block may have changed the same accounts before them."""
        state, told = self._replay.state, block.entries
        accounts = np.unique(told["account"][np.isin(told["outcome"], list(rows))])
        held_after = dict(zip(block.held["entry"].tolist(), block.held["held"].tolist(), strict=True))
        now = {
            number: (int(posted[number]), int(held[number])) if number < len(posted) else (0, 0)
            for number in accounts.tolist()
        }
        entries: dict[int, list[Entry]] = {row: [] for row in rows}
        for entry in np.flatnonzero(np.isin(told["account"], accounts)).tolist():
            number, outcome, after = (int(told[name][entry]) for name in ("account", "outcome", "posted"))
            posted_before, held_before = now[number]
            now[number] = after, held_after.get(entry, held_before)
            if outcome in entries:
                name, asset, version = state.names[number], state.assets[number], int(told["version"][entry])
                entries[outcome].append(Entry(name, asset, posted_before, after, held_before, now[number][1], version))
        return entries

    def _outcome(self, block: Block, row: int, entries: list[Entry]) -> Happened:
        kind, code = Kind(int(block.outcomes["kind"][row])), Code(int(block.outcomes["code"][row]))
        id = block.outcomes["id"][row].tobytes()
        of_outcome = np.flatnonzero(
            (block.pending["outcome"] == row) & (block.pending["id"] == block.outcomes["id"][row]).all(axis=1)
        )
        phase = protocol = None
        did, heard = self._steps(block, row, id)
        asks: tuple[Waiting, ...] = ()
        for at in of_outcome.tolist():
            what, state, option = (int(block.pending[name][at]) for name in ("what", "state", "option"))
            if what == What.PROCESS:
                over = Phase.DONE if code is Code.DONE else Phase.REFUSED
                phase = (Phase(state) if state else over).name.lower()
                asks = self._asks(block, at, Phase(state)) if state else ()
            elif what & 255 == What.STEP:
                phase = StepState(state).name.lower()
                if code is not Code.STALE:
                    did += (Did(what >> STEP_SHIFT, _action_of(StepState(state), option), self.partition, code),)
            else:
                continue
            protocol = "tcc" if option & TCC_BIT else "saga"
        header = block.header
        return Happened(
            id, self.partition, header.sequence, row, header.created_at_us, kind, code, phase, protocol, did, heard, asks,
            tuple(entries),
        )  # fmt: skip

    def _steps(self, block: Block, row: int, id: bytes) -> tuple[tuple[Did, ...], tuple[Did, ...]]:
        """What home did itself and what it heard with this outcome. The last outcome has every step again: those were told."""
        did: list[Did] = []
        heard: list[Did] = []
        for at in np.flatnonzero(block.steps["outcome"] == row).tolist():
            step, partition, action, code = (
                int(block.steps[name][at]) for name in ("step", "partition", "action", "code")
            )
            if (id, step, action) not in self._seen:
                self._seen.add((id, step, action))
                (did if partition == self.partition else heard).append(Did(step, Action(action), partition, Code(code)))
        return tuple(did), tuple(heard)

    def _asks(self, block: Block, at: int, phase: Phase) -> tuple[Waiting, ...]:
        legs, pending = block.pending_legs, block.pending
        rows = legs["pending"] == at
        partitions = dict(zip(legs["step"][rows].tolist(), legs["partition"][rows].tolist(), strict=True))
        debits, steps, cursor, mask = (int(pending[name][at]) for name in ("debits", "steps", "cursor", "mask"))
        return waiting_for(phase, debits, steps, cursor, mask, partitions) if partitions else ()


def _action_of(state: StepState, option: int) -> Action:
    """What brought a step to a state: a saga's last credit is done by its try."""
    if state in (StepState.HELD, StepState.REJECTED):
        return Action.TRY
    if state is StepState.DONE:
        last = option & LAST_BIT and option & CREDIT_BIT and not option & TCC_BIT
        return Action.TRY if last else Action.CONFIRM
    return Action.CANCEL


class Step(NamedTuple):
    """What happened, and where the money was after it, by asset: in flight for this transfer, and in flight at all (the sum of
    the transit accounts of all partitions at the end of that block)."""

    happened: Happened
    own: dict[str, int]
    transit: dict[str, int]


def linked_ids(traces: Sequence[PartitionTrace]) -> frozenset[bytes]:
    """The ids of the commands about the explained one."""
    return frozenset(each.id for trace in traces for each in trace.happened if each.id != trace.id)


def explain(traces: Sequence[PartitionTrace]) -> list[Step]:
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
    return {
        "step": each.step,
        "action": each.action.name.lower(),
        "partition": each.partition,
        "code": word(each.code),
    }
