"""How far back a partition remembers ids right now, from values that its writer has published: no lock, no pass over a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from write_side.contract.state.ids import WINDOW_US
from write_side.contract.state.state import State


class IdWindow(NamedTuple):
    """seconds: an id that carries its time and is younger than this is remembered; one that is older is refused, never run again.
    timeless: ids without a time that are remembered; timeless_room: how many more there is room for, where none is found again
    once it is forgotten."""

    seconds: int
    timeless: int
    timeless_room: int


def id_window(state: State, ids_max: int) -> IdWindow:
    """Of one partition. The seconds are at most those that are promised, and fewer where the table had to make room."""
    reached_us = state.chained.created_at_us - state.chained.refuse_ids_before_us
    timeless = state.ids.timeless
    return IdWindow(min(reached_us, WINDOW_US) // 1_000_000, timeless, max(0, ids_max - timeless))


def told_ready(states: Iterable[State], ids_max: int, *, for_ever: bool) -> dict[str, object]:
    """What `/readyz` says of ids: what memory holds in every partition that serves (`states` are theirs), and whether what ran is
    found at any age; for how long and how many without a time are taken matters where it is not. A partition that does not serve
    has no window: nothing is run there, and a state that is empty or half folded says nothing of what its log remembers."""
    windows = [id_window(state, ids_max) for state in states]
    if not windows:
        return {}
    told: dict[str, object] = {"window_seconds": min(window.seconds for window in windows), "for_ever": for_ever}
    if not for_ever:
        told["timeless_window_seconds"] = WINDOW_US // 1_000_000
        told["timeless_room"] = min(window.timeless_room for window in windows)
    return {"ids": told}
