"""A clock that jumps stops a writer; one that was put right, and stays right, does not stop it for ever."""

from __future__ import annotations

import pytest

from tests.unit.write_side.running import SimulatedClock
from write_side.owner.clock import MENDED_US, STEADY_US, ClockStepped, SteppedClockGuard

STEP_US = 5_000_000


@pytest.mark.parametrize("jump_us", [10_000_000, -10_000_000, MENDED_US, -MENDED_US])
def test_a_clock_that_was_put_right_is_followed_once_it_has_been_steady(jump_us: int) -> None:
    clock = SimulatedClock()
    guard = SteppedClockGuard(clock, STEP_US)
    clock.set_wall(jump_us)
    for _ in range(3):
        with pytest.raises(ClockStepped, match="after 60 s"):
            guard.now_us()
        clock.pass_us(STEADY_US // 3 - 1)
    clock.pass_us(3)
    assert guard.now_us() == clock.wall_us()
    clock.set_wall(-jump_us)
    with pytest.raises(ClockStepped):
        guard.now_us()


def test_a_clock_that_goes_on_jumping_is_never_followed() -> None:
    clock = SimulatedClock()
    guard = SteppedClockGuard(clock, STEP_US)
    for _ in range(10):
        clock.set_wall(2 * STEP_US)
        with pytest.raises(ClockStepped):
            guard.now_us()
        clock.pass_us(STEADY_US)


@pytest.mark.parametrize("jump_us", [MENDED_US + 1, -MENDED_US - 1, 365 * 86_400_000_000])
def test_a_jump_that_no_mending_makes_waits_for_a_person(jump_us: int) -> None:
    clock = SimulatedClock()
    guard = SteppedClockGuard(clock, STEP_US)
    clock.set_wall(jump_us)
    for _ in range(5):
        with pytest.raises(ClockStepped):
            guard.now_us()
        clock.pass_us(STEADY_US)
    clock.set_wall(-jump_us)
    assert guard.now_us() == clock.wall_us(), "set right again, it goes on at once"
