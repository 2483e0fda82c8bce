"""When a partition has work and does not get on: each step by itself, and never for what is quiet or moves."""

from __future__ import annotations

import pytest

from read_side.contract.how_far import Place
from read_side.follow.standstill import STANDSTILL_S, Marks, Standstill

WEEK_S = 7 * 24 * 3600
AT = Place(7, 7)
WELL = Marks(7, AT, AT, 7)
STANDS = {
    "were not read": (WELL, 3),
    "were not folded": (WELL._replace(accepted=9), 0),
    "were not written to the view": (WELL._replace(folded=Place(8, 8), accepted=8), 0),
    "were not pushed": (WELL._replace(pushed=6), 0),
}


def _us(seconds: float) -> int:
    return int(seconds * 1_000_000)


@pytest.mark.parametrize("said", STANDS)
def test_a_step_that_has_work_and_does_not_move_is_named_with_how_long(said: str) -> None:
    marks, unread = STANDS[said]
    standstill = Standstill()
    standstill.note(_us(100), marks, unread, False)
    standstill.note(_us(100 + STANDSTILL_S), marks, unread, False)
    assert standstill.reason(_us(100 + STANDSTILL_S)) is None
    reason = standstill.reason(_us(100 + STANDSTILL_S + 5))
    assert reason is not None
    assert said in reason
    assert reason.endswith("for 35 s")


@pytest.mark.parametrize("said", STANDS)
def test_work_after_an_idle_week_has_its_time_from_when_it_came(said: str) -> None:
    marks, unread = STANDS[said]
    standstill = Standstill()
    standstill.note(0, WELL, 0, False)
    standstill.note(_us(WEEK_S), WELL, 0, False)
    assert standstill.reason(_us(WEEK_S)) is None
    standstill.note(_us(WEEK_S), marks, unread, False)
    assert standstill.reason(_us(WEEK_S + STANDSTILL_S)) is None
    assert standstill.reason(_us(WEEK_S + STANDSTILL_S + 1)) is not None
    standstill.note(_us(WEEK_S + STANDSTILL_S + 2), WELL, 0, False)
    assert standstill.reason(_us(2 * WEEK_S)) is None


def test_who_is_far_behind_and_moves_is_well_however_long_it_takes() -> None:
    standstill = Standstill()
    for at in range(100):
        place = Place(at, at)
        now_us = _us(at * (STANDSTILL_S - 1))
        standstill.note(now_us, Marks(at + 5, Place(at + 2, at + 2), place, at - 1), 10**9, False)
        assert standstill.reason(now_us) is None


def test_who_catches_up_and_may_not_push_before_is_well_while_it_moves() -> None:
    standstill = Standstill()
    for at in range(10, 100):
        place = Place(at, at)
        standstill.note(_us(10 * at), Marks(at, place, place, 7), 5, True)
        assert standstill.reason(_us(10 * at)) is None
    stands = Marks(99, Place(99, 99), Place(99, 99), 7)
    standstill.note(_us(10 * 99), stands, 0, True)
    assert "not pushed" in str(standstill.reason(_us(10 * 99 + STANDSTILL_S + 1)))


def test_a_view_that_a_rebuild_has_brought_further_waits_for_nothing() -> None:
    standstill = Standstill()
    standstill.note(0, WELL._replace(stored=Place(70, 70)), 0, False)
    assert standstill.reason(_us(WEEK_S)) is None
