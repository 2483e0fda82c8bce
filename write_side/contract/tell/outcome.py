"""One outcome of a block as a value: what it is, and the rows of every section that it brings along, under their names.

Pure. Whoever tells, projects or explains outcomes reads them here, and knows nothing of columns and bits. A block keeps its
grammar (`block/grammar.py`): the rows of every section rise by outcome, so that those of one are found by binary search. What is
asked of every outcome is made into lists at the first question, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.pending_columns import Action, Phase
from write_side.contract.state.state import Place
from write_side.contract.tell.pending_row import KeyedLeg, PendingRow, StepDone
from write_side.contract.words.codes import Code, Kind


class Entry(NamedTuple):
    """One account after the outcome. account: its number; held: None where nothing is and was held; flags: None where they are
    as before. Minor units."""

    account: int
    posted: int
    version: int
    held: int | None
    flags: int | None


class ToldLeg(NamedTuple):
    """A leg of the command, told again where entries do not show it."""

    account: str
    amount: int
    asset: str


class Outcome(NamedTuple):
    """One outcome: `row` of the outcomes of a block. What it brings along is read when it is asked for."""

    of: BlockOutcomes
    row: int

    @property
    def id(self) -> bytes:
        """16 bytes: of the transfer; of an opening, the key of the account."""
        return self.of.ids[16 * self.row : 16 * self.row + 16]

    @property
    def kind(self) -> Kind:
        return Kind(self.of.kinds[self.row])

    @property
    def code(self) -> Code:
        return Code(self.of.codes[self.row])

    @property
    def first(self) -> Place:
        """Of a repeated command: where its first outcome is."""
        repeats = self.of.block.repeats
        at = _rows(repeats, self.row).start
        return Place(int(repeats["sequence"][at]), int(repeats["row"][at]))

    @property
    def entries(self) -> list[Entry]:
        return self.of.entries(self.row)

    @property
    def legs(self) -> list[ToldLeg]:
        legs = self.of.block.legs
        rows = _rows(legs, self.row)
        if rows.start == rows.stop:
            return []
        columns = legs["account"][rows], legs["amount"][rows].tolist(), legs["asset"][rows]
        return list(map(ToldLeg, *columns))

    @property
    def legs_with_conditions(self) -> list[ToldLeg]:
        told = self.of.block.conditions["leg"]
        rows = _rows(self.of.block.legs, self.row)
        legs = self.legs
        return [
            legs[each - rows.start]
            for each in told[np.searchsorted(told, rows.start) : np.searchsorted(told, rows.stop)]
        ]

    @property
    def available(self) -> int:
        """What could have been spent of the account that a refusal is about; `NOT_TOLD` where it does not matter."""
        at = _first(self.of.block.legs, self.row)
        return NOT_TOLD if at is None else int(self.of.block.legs["available"][at])

    @property
    def steps(self) -> list[StepDone]:
        """Steps whose end home learned with this outcome; the last outcome of a transfer has them all again."""
        steps = self.of.block.steps
        columns = [steps[name][_rows(steps, self.row)].tolist() for name in StepDone._fields]
        return [
            StepDone(step, Action(action), partition, Code(code), sequence, at_us)
            for step, action, partition, code, sequence, at_us in zip(*columns, strict=True)
        ]

    @property
    def pending(self) -> list[PendingRow]:
        """The rows of the pending table that it made, moved or ended."""
        return self.of.pending(_rows(self.of.block.pending, self.row))

    @property
    def process(self) -> PendingRow | None:
        """The transfer across partitions that it began, moved or ended, at its home."""
        return next((each for each in self.pending if each.is_process), None)

    def phase(self, process: PendingRow) -> Phase:
        """Where a transfer stands after this outcome."""
        return Phase(process.state or (Phase.DONE if self.code is Code.DONE else Phase.REFUSED))

    @property
    def link(self) -> bytes | None:
        """The other id that it names: the hold that it captures or voids, the transfer that it reverses."""
        at = _first(self.of.block.links, self.row)
        return None if at is None else self.of.block.links["id"][at].tobytes()

    @property
    def asked_by(self) -> str:
        """Who asked for it, "" where nobody is named: what follows from a command, or from time, has no asker of its own."""
        askers = self.of.block.askers
        if not len(askers["outcome"]) or self.kind > Kind.CHANGE:
            return ""
        at = int(askers["outcome"].searchsorted(self.row, "right")) - 1
        return "" if at < 0 else str(askers["name"][at])

    @property
    def note(self) -> tuple[str, str]:
        """Reference and metadata (JSON), "" where the client gave none."""
        details = self.of.block.details
        at = _first(details, self.row)
        return ("", "") if at is None else (details["reference"][at], details["metadata"][at])


class BlockOutcomes:
    """The outcomes of a decoded block that keeps its grammar, in order."""

    def __init__(self, block: Block) -> None:
        self.block = block

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, row: int) -> Outcome:
        return Outcome(self, row)

    def __iter__(self) -> Iterator[Outcome]:
        return (Outcome(self, row) for row in range(len(self)))

    def of_id(self, id16: bytes) -> list[Outcome]:
        """Every outcome of this id (or of the opening of the account with this key)."""
        words, own = self.block.outcomes["id"].view("<u8"), np.frombuffer(id16, "<u8")
        rows = np.flatnonzero((words[:, 0] == own[0]) & (words[:, 1] == own[1]))
        return [Outcome(self, row) for row in rows.tolist()]

    def about(self, id16: bytes) -> list[Outcome]:
        """The outcomes of commands about this hold or transfer."""
        links = self.block.links
        rows = links["outcome"][(links["id"] == np.frombuffer(id16, np.uint8)).all(axis=1)]
        return [Outcome(self, row) for row in rows.tolist()]

    def entries(self, row: int) -> list[Entry]:
        """The accounts that outcome `row` changed, in order; one may be there more than once."""
        first, accounts, posted, versions, held, flags = self.entry_columns
        return [
            Entry(accounts[i], posted[i], versions[i], held.get(i), flags.get(i))
            for i in range(first[row], first[row + 1])
        ]

    def pending(self, rows: slice = slice(None)) -> list[PendingRow]:
        """Rows of the pending section, all of them if not told which."""
        section = self.block.pending
        if not len(section["outcome"]):
            return []
        ids, numbers = section["id"][rows].tobytes(), self._pending[:, rows].tolist()
        return list(map(PendingRow, (ids[at : at + 16] for at in range(0, len(ids), 16)), *numbers))

    def legs(self, pending: PendingRow) -> list[KeyedLeg]:
        """The legs of a pending row, as far as this block tells them."""
        legs, rows = self.block.pending_legs, slice(pending.first_leg, pending.end_leg)
        keys = [key.tobytes() for key in legs["key"][rows]]
        numbers = (legs[name][rows].tolist() for name in ("asset", "amount", "step", "partition"))
        return [KeyedLeg(*each) for each in zip(keys, *numbers, strict=True)]

    def leg_keys(self, pending: PendingRow, partition: int) -> list[bytes]:
        """The keys of the accounts of one partition among the legs of a pending row; those of a step are all of partition 0."""
        legs, rows = self.block.pending_legs, slice(pending.first_leg, pending.end_leg)
        partitions = legs["partition"][rows].tolist()
        return [key.tobytes() for key, other in zip(legs["key"][rows], partitions, strict=True) if other == partition]

    @cached_property
    def ids(self) -> bytes:
        return bytes(self.block.outcomes["id"].tobytes())

    @cached_property
    def codes(self) -> list[int]:
        return list(self.block.outcomes["code"].tolist())

    @cached_property
    def kinds(self) -> list[int]:
        return list(self.block.outcomes["kind"].tolist())

    @cached_property
    def has_details(self) -> bool:
        """Whether an outcome has a reference or metadata."""
        return bool(len(self.block.details["outcome"]))

    @cached_property
    def entry_columns(self) -> tuple[list[int], list[int], list[int], list[int], dict[int, int], dict[int, int]]:
        """By outcome its first entry; by entry account, posted, version, and held and flags where they are told."""
        entries, held, flags = self.block.entries, self.block.held, self.block.flags
        first = np.searchsorted(entries["outcome"], np.arange(len(self) + 1)).tolist()
        account, posted, version = (entries[name].tolist() for name in ("account", "posted", "version"))
        told_held = dict(zip(held["entry"].tolist(), held["held"].tolist(), strict=True))
        told_flags = dict(zip(flags["entry"].tolist(), flags["flags"].tolist(), strict=True))
        return first, account, posted, version, told_held, told_flags

    @cached_property
    def _pending(self) -> Any:
        """int64[numbers of a `PendingRow`, pending rows]."""
        section = self.block.pending
        ends = np.cumsum(section["legs"])
        return np.stack([*(section[name] for name in PendingRow._fields[1:-2]), ends - section["legs"], ends])


def _first(section: dict[str, Any], row: int) -> int | None:
    """The first row of a section that outcome `row` brings along."""
    outcomes = section["outcome"]
    if not len(outcomes):
        return None
    at = int(outcomes.searchsorted(row))
    return at if at < len(outcomes) and outcomes[at] == row else None


def _rows(section: dict[str, Any], row: int) -> slice:
    """The rows of a section that outcome `row` brings along."""
    outcomes = section["outcome"]
    if not len(outcomes):
        return slice(0, 0)
    return slice(int(outcomes.searchsorted(row)), int(outcomes.searchsorted(row + 1)))
