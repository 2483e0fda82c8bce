"""What fails for a while is tried again, after waits that grow to a bound; what fails otherwise is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.retry import InARow, Waits, retry

WAITS = Waits(0.1, 3.0)


class Passing(Exception):
    pass


class Story:
    """An attempt that fails some times; what was told, and how long it slept, without any time passing."""

    def __init__(self, *failures: Exception) -> None:
        self.left = list(failures)
        self.told: list[Exception] = []
        self.slept_s: list[float] = []

    async def attempt(self) -> str:
        if self.left:
            raise self.left.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)

    async def run(self, attempts_max: int | None = None, chance: float = 1.0) -> str:
        return await retry(
            self.attempt, Passing, WAITS, self.sleep, self.told.append, attempts_max=attempts_max, chance=lambda: chance
        )


async def test_what_works_is_tried_once() -> None:
    story = Story()
    assert await story.run() == "done"
    assert (story.told, story.slept_s) == ([], [])


async def test_every_failure_is_told_and_waits_double_to_their_bound() -> None:
    failures = [Passing(str(number)) for number in range(7)]
    story = Story(*failures)
    assert await story.run() == "done"
    assert story.told == failures
    assert story.slept_s == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.0, 3.0])


async def test_after_the_last_attempt_nobody_waits_and_the_last_failure_is_raised() -> None:
    story = Story(Passing("first"), Passing("last"), Passing("never"))
    with pytest.raises(Passing, match="last"):
        await story.run(attempts_max=2)
    assert (len(story.told), len(story.slept_s)) == (2, 1)


async def test_what_does_not_pass_is_raised_at_once() -> None:
    story = Story(Passing(), ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        await story.run()
    assert (len(story.told), len(story.slept_s)) == (1, 1)


async def test_chance_takes_up_to_half_of_a_wait() -> None:
    story = Story(Passing())
    await story.run(chance=0.0)
    assert story.slept_s == pytest.approx([0.05])


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waits_grow_and_never_pass_their_bound(again: int, chance: float) -> None:
    assert 0 < WAITS.before(again, chance) <= WAITS.most_s
    assert WAITS.before(again, chance) <= 2 * WAITS.before(again + 1, chance)


async def test_who_has_worked_once_more_waits_as_after_the_first_failure() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    in_a_row = InARow(WAITS, sleep)
    for _ in range(3):
        await in_a_row.wait()
    in_a_row.worked()
    await in_a_row.wait()
    assert slept == [0.1, 0.2, 0.4, 0.1]
