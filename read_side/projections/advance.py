"""One step of a projection: the events of some blocks into its rows, once, whatever is told twice."""

from __future__ import annotations

import traceback

import numpy as np

from read_side.projections.kept_rows import Checkpoint, Generation, KeptRows
from read_side.projections.projection import Rows, WrongRow
from read_side.projections.state_connection import CannotProject, StateUnavailable
from read_side.whole_log.event_runs import BlockEvents
from write_side.contract.words.position import Position


def advance(file: KeptRows, generation: Generation, partition: int, blocks: BlockEvents) -> int:
    """Rows and checkpoint after these blocks, in one transaction; how many events were new. What is there is passed over.

    Raises CannotProject, StateUnavailable; then nothing of these blocks is stored.
    """
    declared = file.declared
    with file.transaction():
        before = file.checkpoint(generation, partition).sequence
        last = blocks.first + len(blocks.at_us) - 1
        if last <= before:
            return 0
        if blocks.first > before + 1:
            raise CannotProject(
                f"{declared.name} has the blocks of partition {partition} up to {before}, and was told {blocks.first} next: "
                "what lies between is missing. Nothing of it was stored."
            )
        events = blocks.events
        if blocks.first <= before:
            events = events.slice(int(np.searchsorted(np.asarray(events["sequence"].combine_chunks()), before + 1)))
        rows = Rows(declared, lambda key: file.stored(generation, key))
        if len(events):
            try:
                declared.evolve(rows, events)
            except (CannotProject, StateUnavailable):
                raise
            except (Exception, SystemExit) as wrong:  # also one that calls sys.exit(): it is no business of its process
                raise CannotProject(
                    f"{declared.name} failed in the blocks {Position(partition, before + 1)} to {Position(partition, last)}: "
                    f"{_told(wrong)}. Nothing of them was stored. Correct it and run it again: it goes on there."
                ) from wrong
        file.store(generation, partition, Checkpoint(last, blocks.hashes[-1].tobytes()), rows.changed)
    return len(events)


def _told(wrong: BaseException) -> str:
    """What was raised, and where in the projection's own code."""
    if isinstance(wrong, WrongRow):
        said = str(wrong)
    else:
        said = f"{type(wrong).__name__}: {wrong}" if str(wrong) else type(wrong).__name__
    frames = [each for each in traceback.extract_tb(wrong.__traceback__) if not each.filename.startswith(_HERE)]
    return f"{said} ({frames[-1].filename}:{frames[-1].lineno})" if frames else said


_HERE = __file__.rpartition("/")[0] + "/"
