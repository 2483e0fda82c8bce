"""The simulation bites where an id that ran is not found any more, however long ago it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tests.simulation.simulation
import write_side.ledger.deciding.decide
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.state.state import State
from write_side.id_runs import runs
from write_side.id_runs.run import IdRun
from write_side.id_runs.runs import IdRuns
from write_side.ledger.deciding.look_back import look_back
from write_side.ledger.rules.ran_before import ROW_WIDTH, RanBefore

Patch = pytest.MonkeyPatch


def find_nothing(patch: Patch) -> None:
    """What memory has forgotten is looked for, and nowhere found: it runs again, or is called too old."""
    patch.setattr(IdRuns, "find", lambda self, ids, wanted: np.empty((len(ids), ROW_WIDTH), np.uint64))


def find_what_is_written_alone(patch: Patch) -> None:
    """What no file has yet is left out."""

    def written(self: IdRuns) -> list[IdRun]:
        return [each.run for each in reversed(self.folder.sealed)]

    patch.setattr(IdRuns, "_runs", written)


def go_on_from_any_snapshot(patch: Patch) -> None:
    """A snapshot that is ahead of the files is begun at, whatever it has forgotten since."""
    patch.setattr(IdRuns, "goes_on_from", lambda self, state: True)


def leave_out_what_a_snapshot_remembers(patch: Patch) -> None:
    """Between the end of the files and the snapshot nothing is taken up."""

    def begin(self: IdRuns, state: State) -> None:
        self._unsealed, self._parts, self._rows_in_parts = (), [], 0
        self._before = self._end = self.folder.end

    patch.setattr(IdRuns, "begin", begin)


def keep_how_it_began_alone(patch: Patch) -> None:
    """How a transfer across partitions ended is not noted."""
    patch.setattr(runs, "_ENDING", np.zeros(256, np.bool_))


def look_back_too_early(patch: Patch) -> None:
    """What a block itself forgets is not looked up for it."""

    def early(*arguments: Any, forgets: bool) -> RanBefore:
        return look_back(*arguments, forgets=False)

    patch.setattr(write_side.ledger.deciding.decide, "look_back", early)


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    find_nothing,
    find_what_is_written_alone,
    go_on_from_any_snapshot,
    leave_out_what_a_snapshot_remembers,
    keep_how_it_began_alone,
    look_back_too_early,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_what_ran_long_ago_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    monkeypatch.setattr(tests.simulation.simulation, "EVER", 1.0)
    monkeypatch.setattr(tests.simulation.simulation, "IDS_MAX", (16, 4))
    assert seeds_until_found(mistake=mistake) <= SEEDS_MAX
