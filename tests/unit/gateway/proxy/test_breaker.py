"""When a side is not asked, and when it is asked again."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.proxy.breaker import PASS, Breaker, Probe, Refused
from gateway.proxy.retry_budget import SAVED_MAX, RetryBudget

FAILURES_MAX, OPEN_S, PROBE_S = 3, 1.0, 4.0


def opened(now_s: float = 0.0) -> Breaker:
    breaker = Breaker(FAILURES_MAX, OPEN_S, PROBE_S)
    for _ in range(FAILURES_MAX):
        breaker.failed(now_s)
    return breaker


def test_failures_in_a_row_open_it_and_an_answer_between_does_not() -> None:
    breaker = Breaker(FAILURES_MAX, OPEN_S, PROBE_S)
    for _ in range(10):
        breaker.failed(0.0)
        breaker.failed(0.0)
        breaker.answered()
    assert breaker.admit(0.0) == PASS
    for _ in range(FAILURES_MAX):
        breaker.failed(0.0)
    assert breaker.admit(0.25) == Refused(0.75)


def test_when_the_time_is_over_one_probe_is_under_way() -> None:
    breaker = opened()
    assert isinstance(breaker.admit(1.0), Probe)
    assert breaker.admit(1.0) == Refused(PROBE_S)
    assert breaker.admit(4.5) == Refused(0.5)


@pytest.mark.parametrize("answered", [True, False])
def test_the_probe_says_whether_it_closes(answered: bool) -> None:
    breaker = opened()
    probe = breaker.admit(1.0)
    assert isinstance(probe, Probe)
    breaker.probed(probe, answered=answered, now_s=1.5)
    assert breaker.admit(1.5) == (PASS if answered else Refused(OPEN_S))


def test_a_probe_of_which_nobody_hears_is_followed_by_another_and_its_failure_says_nothing_then() -> None:
    breaker = opened()
    first, second = breaker.admit(1.0), breaker.admit(5.0)
    assert isinstance(first, Probe)
    assert isinstance(second, Probe)
    breaker.probed(first, answered=False, now_s=5.5)
    assert breaker.admit(5.5) == Refused(3.5)
    breaker.probed(first, answered=True, now_s=5.5)
    assert breaker.admit(5.5) == PASS


def test_what_was_under_way_when_it_opened_does_not_keep_it_open() -> None:
    breaker = opened()
    breaker.failed(0.9)
    assert isinstance(breaker.admit(1.0), Probe)


def test_an_answer_of_before_proves_that_the_side_is_there() -> None:
    breaker = opened()
    breaker.answered()
    assert breaker.admit(0.1) == PASS


class Bounded(RuleBasedStateMachine):
    """Whatever happens in whatever order: it opens only after failures in a row, never for longer than its time without asking,
    and one probe is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(FAILURES_MAX, OPEN_S, PROBE_S)
        self.now_s = 0.0
        self.failures = 0
        self.probes: list[Probe] = []
        self.asked_s = 0.0
        """When somebody was last let through, or a probe was begun or ended, or it opened."""

    @rule(seconds=st.floats(0.0, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def asks(self) -> None:
        before, verdict = self.breaker.state, self.breaker.admit(self.now_s)
        if verdict == PASS:
            assert before == "closed"
        elif isinstance(verdict, Refused):
            assert before != "closed"
            assert 0 < verdict.retry_after_s <= (OPEN_S if before == "open" else PROBE_S) + 1e-6
            assert self.now_s + verdict.retry_after_s <= self.asked_s + max(OPEN_S, PROBE_S) + 1e-6
        else:
            assert before == "open" or self.now_s - self.asked_s >= PROBE_S - 1e-6, "one at a time"
            self.probes.append(verdict)
            self.asked_s = self.now_s

    @rule()
    def is_answered(self) -> None:
        self.breaker.answered()
        self.failures = 0
        assert self.breaker.state == "closed"

    @rule()
    def fails(self) -> None:
        before = self.breaker.state
        self.breaker.failed(self.now_s)
        if before == "closed":
            self.failures += 1
            assert (self.breaker.state == "open") == (self.failures >= FAILURES_MAX)
            if self.breaker.state == "open":
                self.failures, self.asked_s = 0, self.now_s
        else:
            assert self.breaker.state == before

    @rule(data=st.data(), answered=st.booleans())
    def a_probe_ends(self, data: st.DataObject, answered: bool) -> None:
        if not self.probes:
            return
        probe = self.probes.pop(data.draw(st.integers(0, len(self.probes) - 1)))
        before = self.breaker.state
        self.breaker.probed(probe, answered=answered, now_s=self.now_s)
        if answered:
            self.failures = 0
            assert self.breaker.state == "closed"
        elif before != "half-open":
            assert self.breaker.state == before
        elif self.breaker.state == "open":
            self.asked_s = self.now_s

    @invariant()
    def it_is_never_shut_for_ever(self) -> None:
        later = self.now_s + OPEN_S + PROBE_S
        assert self.breaker.state == "closed" or self.breaker._until_s <= later


TestBounded = Bounded.TestCase
TestBounded.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_tenth_of_the_requests_may_be_sent_again_and_a_few_at_once() -> None:
    budget = RetryBudget()
    assert sum(budget.take() for _ in range(100)) == SAVED_MAX
    again = 0
    for _ in range(1_000):
        budget.asked()
        again += budget.take()
    assert 95 <= again <= 100
