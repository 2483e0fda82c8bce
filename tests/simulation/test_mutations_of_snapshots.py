"""The simulation bites at what is kept beside the log: snapshots that forget, histories that leave out or mix up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from read_side.history import folder, history
from read_side.history.gathering import joined
from read_side.history.history import History
from read_side.history.segment import Segment
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.ids import IdTable
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.snapshot import Snapshot

Patch = pytest.MonkeyPatch


def begin_without_the_ids(patch: Patch) -> None:
    """What a snapshot remembers of ids is not there."""
    newest = Snapshots.newest

    async def forgetful(snapshots: Snapshots, *arguments: Any, **more: Any) -> Snapshot | None:
        found = await newest(snapshots, *arguments, **more)
        if found is not None:
            found.replay.state.ids = IdTable()
        return found

    patch.setattr(Snapshots, "newest", forgetful)


def begin_without_what_is_pending(patch: Patch) -> None:
    """Holds and transfers under way are not there."""
    newest = Snapshots.newest

    async def forgetful(snapshots: Snapshots, *arguments: Any, **more: Any) -> Snapshot | None:
        found = await newest(snapshots, *arguments, **more)
        if found is not None:
            found.replay.state.pending = PendingTable()
        return found

    patch.setattr(Snapshots, "newest", forgetful)


def join_in_the_wrong_order(patch: Patch) -> None:
    """Two segments that become one change places."""

    def swapped(segments: Sequence[Segment]) -> Segment:
        return joined([*segments[1::-1], *segments[2:]])

    for module in (folder, history):
        patch.setattr(module, "joined", swapped)


def never_read_what_lies_before(patch: Patch) -> None:
    """What lies between the sealed files and the first block that was noted is taken for told."""

    async def at_once(kept: History, _log: Any, _rest: Any = None) -> None:
        kept.unavailable = None

    patch.setattr(History, "fill", at_once)


MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    begin_without_the_ids,
    begin_without_what_is_pending,
    join_in_the_wrong_order,
    never_read_what_lies_before,
)


@pytest.mark.parametrize("mutate", MUTATIONS)
def test_what_is_kept_wrongly_is_found(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    assert seeds_until_found() <= SEEDS_MAX
