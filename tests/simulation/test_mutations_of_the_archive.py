"""The simulation bites at what a log is trimmed by: what is forgotten must be in the archive, whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from read_side.whole_log import trim
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.archive import archiver
from write_side.contract.archive.archived_run import Piece, RunName
from write_side.contract.archive.archiver import Archiver
from write_side.contract.log.log import Record

Patch = pytest.MonkeyPatch


def trim_to_the_snapshot_whatever_is_archived(patch: Patch) -> None:
    """Nobody asks how far the archive is."""

    async def without_the_archive(needs: Any, told: Any, _: Any, **_more: Any) -> None:
        at, _ = await trim._start_at(needs, told.partition)
        if at >= 0:
            await needs.log.trim(told.partition, at)

    patch.setattr(trim, "_trim", without_the_archive)


def leave_out_a_record_where_two_files_meet(patch: Patch) -> None:
    """The next file begins one record too late."""
    take = archiver._Gathering.take

    def leaving_out(self: Any, run: Sequence[Record]) -> list[tuple[RunName, Piece]]:
        full = take(self, run)
        return [(name, records.cut(1)[1] if name.after >= 0 else records) for name, records in full]

    patch.setattr(archiver._Gathering, "take", leaving_out)


def believe_a_copy(patch: Patch) -> None:
    """A file is not read back when it was put, nor compared before the log forgets."""
    archive_all = Archiver._archive_all

    class Unread:
        """An archive as its archiver alone sees it."""

        records = staticmethod(_nothing)

        def __init__(self, archive: Any) -> None:
            self.archive = archive

        def __getattr__(self, name: str) -> Any:
            return getattr(self.archive, name)

    async def not_read_back(self: Any, partition: int) -> None:
        archive = self._archive
        self._archive = Unread(archive)
        try:
            await archive_all(self, partition)
        finally:
            self._archive = archive

    async def is_same(*_: Any) -> bool:
        return True

    patch.setattr(Archiver, "_archive_all", not_read_back)
    patch.setattr(Archiver, "_is_same", is_same)
    patch.setattr(trim, "compare_with_log", _nothing)


async def _nothing(*_: Any, **__: Any) -> int:
    return 0


MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    trim_to_the_snapshot_whatever_is_archived,
    leave_out_a_record_where_two_files_meet,
    believe_a_copy,
)


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_what_is_trimmed_wrongly_is_found(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    assert seeds_until_found(mistake=mutate) <= SEEDS_MAX
