"""The simulation bites where an id is taken for another, or for one that never was."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tests.simulation.simulation
import write_side.contract.state.fold_ids
import write_side.ledger.deciding.decide
import write_side.ledger.deciding.next_block
import write_side.owner.writer
from fanfold.api import body_checks
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from write_side.contract.state.state import State
from write_side.contract.tell.answers import Answer
from write_side.intake import refused_ahead
from write_side.intake.refused_ahead import RefusedAhead
from write_side.intake.subjects import Subjects, _knows
from write_side.ledger.commands.commands import Command
from write_side.ledger.deciding.decide import Decision, decide

Patch = pytest.MonkeyPatch


def forget_keys_for_want_of_room(patch: Patch) -> None:
    """Whoever forgets forgets ids without a time by the cut-off of the others: the same key then pays again."""
    forget = write_side.contract.state.fold_ids.forget_before

    def alike(state: State, cut_off_us: int, _timeless_from_us: int) -> None:
        forget(state, cut_off_us, cut_off_us)

    patch.setattr(write_side.ledger.deciding.decide, "forget_before", alike)
    patch.setattr(write_side.contract.state.fold_ids, "forget_before", alike)


def never_say_that_the_memory_is_full(patch: Patch) -> None:
    """The table has its bound, and grows beyond it."""

    def endless(state: State, *arguments: Any, ids_max: int, **more: Any) -> Decision:
        return decide(state, *arguments, ids_max=2 * ids_max, **more)

    patch.setattr(write_side.ledger.deciding.next_block, "decide", endless)


def look_for_an_id_at_home_alone(patch: Patch) -> None:
    """Nobody asks whether another partition ran it."""

    async def unsuspected(_: RefusedAhead, commands: Sequence[Command]) -> list[bool]:
        return [False] * len(commands)

    patch.setattr(RefusedAhead, "suspected", unsuspected)


def look_for_an_id_in_the_memory_of_others_alone(patch: Patch) -> None:
    """What another partition ran and has forgotten since, an id without a time, runs here."""

    async def none_noted(*_: object) -> None: ...

    patch.setattr(refused_ahead, "_note_forgotten", none_noted)


def tell_a_repeat_as_if_it_had_run_now(patch: Patch) -> None:
    """Two clients are each told that their request has moved the money."""
    patch.setattr(Answer, "again", lambda self: self)


def run_what_another_partition_has_forgotten(patch: Patch) -> None:
    """Ids are looked for in all partitions, and how far back each remembers is not looked at."""
    patch.setattr(RefusedAhead, "_are_old", lambda self, ids: np.zeros(len(ids), np.bool_))


def ask_for_the_subject_before_the_id(patch: Patch) -> None:
    """Where a hold or transfer is over and forgotten, the command that was about it is unknown too, and decided anywhere."""

    async def subject_first(self: Subjects, own: bytes, subject: bytes) -> int | None:
        for partition, outcomes in self._outcomes.items():
            if (await outcomes.ask(lambda state: _knows(state, own, subject)))[1]:
                return partition
        return None

    patch.setattr(Subjects, "_where", subject_first)
    patch.setattr(tests.simulation.simulation, "IDS_MAX", (16, 4))
    patch.setattr(Subjects, "_most_forgetful", lambda self: 0)


def take_a_key_as_it_is_written(patch: Patch) -> None:
    """A blank behind an Idempotency-Key is a part of it, and so is how a UUID is written."""

    def as_written(key: str, principal: str = body_checks.PRINCIPAL) -> str:
        return str(uuid.uuid5(body_checks.KEY_NAMESPACE, f"{principal}\n{key}"))

    patch.setattr(body_checks, "id_of_key", as_written)


def take_an_asset_as_it_is_written(patch: Patch) -> None:
    """`USD/02` is opened beside `USD/2`."""
    patch.setattr(refused_ahead, "_is_written_as_now", lambda asset: True)


MISTAKES: tuple[Callable[[Patch], None], ...] = (
    forget_keys_for_want_of_room,
    never_say_that_the_memory_is_full,
    look_for_an_id_at_home_alone,
    look_for_an_id_in_the_memory_of_others_alone,
    tell_a_repeat_as_if_it_had_run_now,
    run_what_another_partition_has_forgotten,
    ask_for_the_subject_before_the_id,
    take_a_key_as_it_is_written,
    take_an_asset_as_it_is_written,
)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_with_ids_is_found(mistake: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mistake(monkeypatch)
    assert seeds_until_found(partitions=(2, 3, 4), mistake=mistake) <= SEEDS_MAX
