"""Quotas against what they promise: no more than granted in any time, nothing refused that is granted, bounded memory."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.limits.rates import SECOND_NS, Meter, Quota, Rates

QUOTAS = st.builds(Quota, st.integers(1, 10_000_000), st.integers(1, 3_600))
STEPS = st.lists(st.tuples(st.integers(0, 20 * SECOND_NS), st.integers(1, 80)), max_size=60)


@given(QUOTAS, STEPS)
def test_in_any_time_no_more_is_granted_than_the_quota_and_what_came_back(
    quota: Quota, steps: list[tuple[int, int]]
) -> None:
    rates, now, granted = Rates(quota), 0, list[tuple[int, int]]()
    for wait, units in steps:
        now += wait
        if not rates.take("alice", units, now).wait_ns:
            granted.append((now, min(units, quota.units)))
    for first in range(len(granted)):
        used = 0
        for at, units in granted[first:]:
            used += units
            assert used <= quota.units + (at - granted[first][0]) // quota.unit_ns + 1


@given(QUOTAS, STEPS)
def test_what_is_refused_is_granted_after_the_wait_that_was_told_and_not_before(
    quota: Quota, steps: list[tuple[int, int]]
) -> None:
    rates, now = Rates(quota), 0
    for wait, units in steps:
        now += wait
        before = rates.left("alice", now)
        taken = rates.take("alice", units, now)
        if taken.wait_ns:
            assert taken.left == before == rates.left("alice", now), "what is refused costs nothing"
            assert taken.next_ns <= taken.wait_ns
            assert before < units
            assert rates.take("alice", units, now + taken.wait_ns - 1).wait_ns
            now += taken.wait_ns
            assert not rates.take("alice", units, now).wait_ns
        else:
            assert taken.left == before - min(units, quota.units)


@given(QUOTAS, st.integers(1, 10**9))
def test_all_of_it_is_there_at_once_and_again_after_the_window_also_for_what_is_larger_than_it(
    quota: Quota, units: int
) -> None:
    rates = Rates(quota)
    assert not rates.take("alice", quota.units + units, 5).wait_ns
    assert rates.take("alice", 1, 5).wait_ns
    assert not rates.take("bob", quota.units, 5).wait_ns, "each has his own"
    assert rates.left("alice", 5 + quota.window_s * SECOND_NS) == quota.units


HALVES = st.integers(0, 6).map(lambda halves: halves * SECOND_NS // 2)


@example(
    Quota(4, 4), [(2 * SECOND_NS, "a", 4), (SECOND_NS // 2, "b", 1), (5 * SECOND_NS // 2, "b", 1), (0, "a", 4)]
).via("who was written in the middle of one generation, and looked for in the next but one")
@given(
    st.builds(Quota, st.integers(1, 4), st.integers(1, 4)),
    st.lists(st.tuples(HALVES, st.sampled_from("ab"), st.integers(1, 4)), max_size=20),
)
def test_who_is_forgotten_had_all_of_his_quota(quota: Quota, steps: list[tuple[int, str, int]]) -> None:
    """Beside one that forgets nobody, as long as fewer ask than are kept."""
    rates, kept, now = Rates(quota, keys_max=3), dict[str, int](), 0
    most = quota.unit_ns * quota.units
    for wait, key, units in steps:
        now += wait
        full = max(kept.get(key, 0), now) + min(units, quota.units) * quota.unit_ns
        taken = rates.take(key, units, now)
        assert taken.wait_ns == max(0, full - now - most)
        if not taken.wait_ns:
            kept[key] = full
        assert taken.left == (most - max(0, kept.get(key, 0) - now)) // quota.unit_ns


def test_memory_is_bounded_whoever_asks_and_who_asks_now_is_counted_all_the_same() -> None:
    rates = Rates(Quota(10, 1), keys_max=1_000)
    for number in range(50_000):
        rates.take(f"10.{number}", 1, 7)
        assert len(rates) <= 2_000
    assert [rates.take("alice", 5, 7).wait_ns > 0 for _ in range(3)] == [False, False, True]
    for number in range(100):
        rates.take(f"late {number}", 1, 10 * SECOND_NS + number)
    rates.take("one more", 1, 20 * SECOND_NS)
    assert len(rates) <= 101, "of who asks no more nothing is kept"


@given(QUOTAS, STEPS)
def test_what_is_owed_is_the_whole_quota_at_most(quota: Quota, steps: list[tuple[int, int]]) -> None:
    rates, now = Rates(quota), 0
    for wait, units in steps:
        now += wait
        before = rates.left("alice", now)
        rates.owe("alice", units, now)
        assert rates.left("alice", now) == max(0, before - units)


@given(QUOTAS, STEPS)
def test_a_meter_waits_just_as_long_as_more_is_owed_than_the_quota(quota: Quota, steps: list[tuple[int, int]]) -> None:
    meter, now, full = Meter(quota), 0, 0
    for wait, units in steps:
        now += wait
        full = max(full, now) + units * quota.unit_ns
        assert meter.charge(units, now) == max(0, full - now - quota.units * quota.unit_ns)
