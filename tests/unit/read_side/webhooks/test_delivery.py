"""The table of a delivery, for any run of answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from read_side.webhooks.delivery import (
    DEAD_MAX,
    RETRY_AFTER_MAX_S,
    WAIT_MOST_S,
    WAITS,
    Answer,
    Lane,
    Then,
    judge,
    resumed,
)
from read_side.whole_log.event_place import Place
from tests.unit.read_side.webhooks.webhook_stage import hook

ENDS, HASH = Place(17, 3, 1), b"h" * 32
answers = st.builds(
    Answer,
    st.one_of(st.none(), st.integers(100, 599)),
    st.text(max_size=400),
    st.one_of(st.none(), st.floats(0, 1e12)),
)


@given(
    st.lists(answers, min_size=1, max_size=60), st.sampled_from(["go-on", "pause"]), st.integers(1, 50), st.floats(0, 1)
)
def test_a_place_moves_only_behind_what_was_taken_or_is_a_dead_letter(
    said: list[Answer], exhausted: str, attempts: int, chance: float
) -> None:
    told, lane, now_us = hook(exhausted=exhausted, attempts=attempts), Lane(Place(16, 0, 0), b"b" * 32), 1_000_000
    for answer in said:
        verdict = judge(told, lane, ENDS, HASH, answer, now_us, chance, 0)
        if answer.is_taken or verdict.then is Then.DEAD_LETTER:
            assert verdict.lane == Lane(ENDS, HASH), "and nothing of the failures stays"
            return
        assert (verdict.lane.place, verdict.lane.block_hash, verdict.lane.until) == (lane.place, lane.block_hash, ENDS)
        assert 0 < verdict.lane.next_at_us - now_us <= WAIT_MOST_S * 1e6
        assert verdict.lane.failures == lane.failures + 1 <= attempts
        assert (verdict.then is Then.PAUSE) == (answer.status == 410 or verdict.lane.failures == attempts)
        if verdict.then is Then.PAUSE:
            assert resumed(verdict.lane) == Lane(lane.place, lane.block_hash, ENDS), "the same delivery, at once"
            return
        lane, now_us = verdict.lane, verdict.lane.next_at_us


@given(
    st.lists(st.tuples(st.sampled_from([200, 500, None]), st.booleans(), st.integers(1, 4)), max_size=60),
    st.integers(1, 4),
)
def test_whatever_is_answered_cut_and_killed_every_change_is_taken_or_a_letter_before_the_next_one_is_sent(
    turns: list[tuple[int | None, bool, int]], attempts: int
) -> None:
    """A turn: what is answered, whether the process dies before that is stored, and how many changes a delivery has then."""
    told, stored, now_us = hook(attempts=attempts), Lane(), 1
    taken, letters = set[int](), set[int]()
    for status, dies, size in turns:
        first = stored.place.sequence + 1
        ends = stored.until or Place(first + size - 1, 0, 0)
        sent = range(first, ends.sequence + 1)
        assert set(range(first)) <= taken | letters, "nothing below what is sent is missing"
        answer = Answer(status)
        if answer.is_taken:
            taken |= set(sent)
        verdict = judge(told, stored, ends, HASH, answer, now_us, 1.0, len(letters))
        if not dies:  # a letter and the place behind it are stored together
            letters |= set(sent) if verdict.then is Then.DEAD_LETTER else set()
            stored = verdict.lane
        now_us += 1
    assert set(range(stored.place.sequence + 1)) <= taken | letters


def test_what_fails_for_so_many_hours_is_given_up_before_its_last_try_by_number() -> None:
    told, lane, now_us, tries = hook(attempts=1_000, hours=2.0), Lane(), 1, 0
    while (verdict := judge(told, lane, ENDS, HASH, Answer(None, "x"), now_us, 1.0, 0)).then is Then.GO_ON:
        lane, now_us, tries = verdict.lane, verdict.lane.next_at_us, tries + 1
    assert verdict.then is Then.DEAD_LETTER
    assert now_us <= 2 * 3_600e6 + 1
    assert tries > 10


def test_with_a_full_list_the_webhook_pauses_and_loses_nothing() -> None:
    verdict = judge(hook(attempts=1), Lane(), ENDS, HASH, Answer(500), 1, 1.0, DEAD_MAX)
    assert (verdict.then, verdict.lane.place) == (Then.PAUSE, Lane().place)
    assert "dead letters" in verdict.reason


def test_a_resume_is_no_beginning_for_a_lane_that_has_none() -> None:
    assert not resumed(Lane(begun=False, error="it was trimmed away")).begun


def test_retry_after_is_waited_for_and_no_longer_than_the_longest_wait() -> None:
    asked = judge(hook(), Lane(), ENDS, HASH, Answer(429, retry_after_s=120), 0, 0.0, 0)
    assert asked.lane.next_at_us == 120_000_000
    for_ever = judge(hook(), Lane(), ENDS, HASH, Answer(503, retry_after_s=1e12), 0, 0.0, 0)
    assert for_ever.lane.next_at_us == RETRY_AFTER_MAX_S * 1e6 == WAITS.most_s * 1e6


def test_time_in_which_nobody_tried_is_none_in_which_it_failed() -> None:
    """The machine was off for two days, or its clock was put forward."""
    failed = judge(hook(), Lane(), ENDS, HASH, Answer(None, "x"), 1, 1.0, 0).lane
    two_days_later = failed.next_at_us + 48 * 3_600_000_000
    verdict = judge(hook(), failed, ENDS, HASH, Answer(None, "x"), two_days_later, 1.0, 0)
    assert (verdict.then, verdict.lane.failures) == (Then.GO_ON, 2)
    assert two_days_later - verdict.lane.failing_since_us < 3_600_000_000
