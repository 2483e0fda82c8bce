"""Every id of a partition that ever ran, with its fingerprint and where its first outcome is: what the memory of ids has
forgotten is found here, at any age.

Whoever folds or decides the partition tells it the ids of every block that counts (`add`). They are in memory until they are a
run's worth, or the state has forgotten some of them; then they are sorted and written (`tidy`, in a thread of its own). The
first are written at once, however few: no start begins at a snapshot where there is no file, and what it would read instead may
lie in an archive that is away. Nothing waits for that: what is not written yet is asked as well, and is in the log. `find` is
asked before a block is decided, and only for ids that the state does not remember: that of the last block are there still.

A start goes on where the files end: from a snapshot before that, or from a later one in whose state nothing was forgotten since
(`goes_on_from`); else from the beginning of the log.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from write_side.contract.block.block import Block
from write_side.contract.block.columns import OUTCOMES
from write_side.contract.block.run_bytes import SEQUENCE
from write_side.contract.state.fold_ids import KINDS, REMEMBERED, id_words
from write_side.contract.state.ids import PLACE as PLACE_IN_TABLE
from write_side.contract.state.ids import ROW_BITS
from write_side.contract.state.replay import Folded, FoldedBlocks
from write_side.contract.state.state import Place, State
from write_side.contract.words.codes import Code, Kind
from write_side.id_runs.folder import BEGINNING, SEALED_BLOCKS, SEALED_ROWS, Mark, RunFolder
from write_side.id_runs.run import IdRun, Merged, find_in_run, run_of
from write_side.ledger.rules.ran_before import ID_A, ID_B, PLACE, REFUSED_BIT, ROW_WIDTH, remembered_rows

Uint64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]

_ENDING: Final = np.array([kind in (Kind.ANSWER, Kind.TIMEOUT) for kind in range(256)])
_GOING_ON: Final = np.array([code in (Code.PENDING, Code.STALE) for code in range(256)])
_NO_ROWS: Final = np.empty((0, ROW_WIDTH), np.uint64)

_log = structlog.get_logger(__name__)


class Ran(NamedTuple):
    """The ids of a block. rows: of those that began or ended in it; late: of those that ended in it and had been forgotten while
    they were under way, the id and the place alone; mark: where the chain and the memory of ids are behind it."""

    rows: Uint64s
    late: Uint64s
    mark: Mark


class _Unsealed:
    """Rows that are to be a file, and are sorted by whoever needs them first: nobody who adds others waits for that."""

    def __init__(self, before: Mark, end: Mark, parts: Sequence[Uint64s], secret: np.uint64) -> None:
        self.before, self.end, self._parts, self._secret = before, end, parts, secret

    @cached_property
    def run(self) -> IdRun:
        return run_of(self._parts, self._secret)


class IdRuns:
    """One partition. `open` once, then `begin`; `add` and `tidy` may run in two threads, and `find` beside both."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._before = BEGINNING
        self._end = BEGINNING
        self._remembers = BEGINNING.remembers
        self._forgot_at = -1
        self._parts: list[Uint64s] = []
        self._rows_in_parts = 0
        self._late: deque[Uint64s] = deque()
        self._unsealed: tuple[_Unsealed, ...] = ()

    def open(self) -> None:
        """Find what is written. Blocks. A folder that cannot be read is told and counts as empty: the log has all of it."""
        try:
            self.folder.open()
            self.folder.sweep()
        except OSError as failure:
            self._tell(failure)

    def goes_on_from(self, state: State) -> bool:
        """Whether a fold that begins with this state can go on where the files end: what came since then it still remembers."""
        end = self.folder.end
        return state.chained.sequence <= end.sequence or (
            end.sequence >= 0 and not end.strays and _remembers(state) == end.remembers
        )

    def begin(self, state: State) -> None:
        """Behind this state every block is added; what it remembers of blocks behind the files is taken from it."""
        with self._lock:
            self._unsealed, self._parts, self._rows_in_parts = (), [], 0
            self._late.clear()
            self._before = self._end = self.folder.end
            self._remembers, self._forgot_at = _remembers(state), state.chained.sequence
        if state.chained.sequence > self._end.sequence:
            rows = state.ids.rows[: state.ids.used]
            since = (rows[:, PLACE_IN_TABLE] >> np.uint64(ROW_BITS)).astype(np.int64) > self._end.sequence
            found, known = remembered_rows(state, np.ascontiguousarray(rows[since, : ID_B + 1]))
            self.add(Ran(found[known], _NO_ROWS, self._mark_of(state)))

    def forget(self) -> None:
        """Use nothing of what is written: it is of another log. Blocks."""
        self.folder.sealed = ()
        try:
            self.folder.sweep()
        except OSError as failure:
            self._tell(failure)

    def add_folded(self, state: State, folded: Folded | FoldedBlocks) -> None:
        """Blocks that were just folded into this state; those that are written already are passed over."""
        if state.chained.sequence <= self._end.sequence:
            return
        if isinstance(folded, Folded):
            self.add(self.ran(state, folded.block))
            return
        run = folded.run
        firsts = run.of[OUTCOMES.number, :-1]

        def places(taken: Int64s) -> Int64s:
            at = np.searchsorted(firsts, taken, side="right") - 1
            found: Int64s = (run.headers[at, SEQUENCE] << ROW_BITS) | (taken - firsts[at])
            return found

        self.add(self._ran(state, run.kind, run.code, run.rows(OUTCOMES).ids, places))

    def ran(self, state: State, block: Block) -> Ran:
        """What is to be added once this block counts, the state's last one."""
        outcomes, first = block.outcomes, block.header.sequence << ROW_BITS
        return self._ran(
            state, outcomes["kind"], outcomes["code"], id_words(outcomes["id"]), lambda taken: first | taken
        )

    def add(self, ran: Ran) -> None:
        """A block that counts, or several, the next of the partition."""
        ended = self._ended(ran.late)
        with self._lock:
            for rows in (ran.rows, ended):
                if len(rows):
                    self._parts.append(rows)
                    self._rows_in_parts += len(rows)
            self._end = ran.mark
            if len(ran.late):
                self._gather()  # no state remembers these
                self._late.popleft()

    def find(self, ids: Uint64s, wanted: npt.NDArray[np.bool_]) -> Uint64s:
        """See `EveryId` in `ledger/deciding/look_back.py`."""
        found = np.empty((len(ids), ROW_WIDTH), np.uint64)
        for run in self._runs():
            if not wanted.any():
                break
            find_in_run(run, ids, wanted, found)
        for late in [*self._late]:
            for row in late:
                found[(ids[:, 0] == row[ID_A]) & (ids[:, 1] == row[ID_B]), PLACE] = row[PLACE]
        return found

    def place_of(self, id16: bytes) -> Place | None:
        """Where the outcome is that tells what became of an id; None where it never ran, or is in the state still."""
        wanted = np.ones(1, np.bool_)
        rows = self.find(id_words(np.frombuffer(id16, np.uint8)), wanted)
        if wanted[0]:
            return None
        place = int(rows[0, PLACE] & ~REFUSED_BIT)
        return Place(place >> ROW_BITS, place & ((1 << ROW_BITS) - 1))

    def tidy(self) -> bool:
        """Write and join what is due; whether anything was. Blocks. Raises OSError."""
        with self._lock:
            if self._is_due():
                self._gather()
            due = self._unsealed
        for each in due:
            self.folder.seal(each.before, each.end, each.run)
            with self._lock:
                self._unsealed = self._unsealed[1:]
            while self.folder.join():
                pass
        return bool(due)

    def _is_due(self) -> bool:
        if self._rows_in_parts >= SEALED_ROWS or self._end.remembers != self._before.remembers:
            return True
        return self._rows_in_parts > 0 and (
            self._before.sequence < 0 or self._end.sequence - self._before.sequence >= SEALED_BLOCKS
        )

    def _tell(self, failure: OSError) -> None:
        _log.warning(
            "ids cannot be read", partition=self.folder.partition, place=self.folder.place, reason=str(failure)
        )

    def _runs(self) -> list[IdRun]:
        """The newest first."""
        with self._lock:
            if self._parts and self._remembers != self._before.remembers:
                self._gather()
            unsealed, sealed = self._unsealed, self.folder.sealed
        return [*(each.run for each in reversed(unsealed)), *(each.run for each in reversed(sealed))]

    def _gather(self) -> None:
        self._unsealed += (_Unsealed(self._before, self._end, self._parts, self.folder.secret),)
        self._parts, self._rows_in_parts, self._before = [], 0, self._end

    def _ran(
        self,
        state: State,
        kind: npt.NDArray[np.uint8],
        code: npt.NDArray[np.uint8],
        words: Uint64s,
        places: Callable[[Int64s], Int64s],
    ) -> Ran:
        """Of the outcomes of a block, or of several, the state's last ones. places: of outcomes, by their number."""
        mark = self._mark_of(state)
        ends = _ENDING[kind] & ~_GOING_ON[code]
        taken = np.flatnonzero((KINDS[kind] & REMEMBERED[code]) | ends)
        if not taken.size:
            return Ran(_NO_ROWS, _NO_ROWS, mark)
        rows, known = remembered_rows(state, words.take(taken, axis=0))
        late = _NO_ROWS
        if not known.all():
            at = np.flatnonzero(~known & ends[taken])
            late = np.zeros((len(at), ROW_WIDTH), np.uint64)
            late[:, : ID_B + 1] = words[taken[at]]
            late[:, PLACE] = places(taken[at]).astype(np.uint64)
            late[:, PLACE] |= np.where(code[taken[at]] == Code.DONE, np.uint64(0), REFUSED_BIT)
            if len(late):
                self._late.append(
                    late
                )  # from here on, though the block may not count yet, as with what a state remembers
            rows = np.ascontiguousarray(rows[known])
        return Ran(rows, late, mark)

    def _ended(self, late: Uint64s) -> Uint64s:
        """The rows of ids that name their ends from now on."""
        if not len(late):
            return late
        wanted = np.ones(len(late), np.bool_)
        rows = self.find(np.ascontiguousarray(late[:, : ID_B + 1]), wanted)
        rows[:, PLACE] = late[:, PLACE]
        return np.ascontiguousarray(rows[~wanted])

    def _mark_of(self, state: State) -> Mark:
        """Also of a block that does not count yet: the state has forgotten already."""
        chained, remembers = state.chained, _remembers(state)
        if remembers != self._remembers:
            self._remembers, self._forgot_at = remembers, chained.sequence
        begun = state.pending.first_begun()
        strays = begun is not None and begun <= self._forgot_at
        return Mark(chained.sequence, chained.block_hash, *remembers, strays)


def _remembers(state: State) -> tuple[int, int]:
    return state.chained.refuse_ids_before_us, state.ids.timeless_from_us


def compile_id_runs() -> None:
    """Compile what is compiled here, before somebody waits for it."""
    one = np.ones((1, ROW_WIDTH), np.uint64)
    run, state = run_of([one], np.uint64(1)), State(0)
    for _ in Merged([run, run]).rows():
        pass
    find_in_run(run, one[:, : ID_B + 1].copy(), np.ones(1, np.bool_), one)
    remembered_rows(state, one[:, : ID_B + 1].copy())
