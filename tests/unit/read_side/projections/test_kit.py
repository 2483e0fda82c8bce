"""The test kit: what is right passes, and each way in which a projection can be wrong is found."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from read_side.projections.examples.leaderboard import Leaderboard
from read_side.projections.examples.monthly_totals import MonthlyTotals
from read_side.projections.kit import check, entry, given, opened
from read_side.projections.projection import NoProjection, declared

JANUARY, FEBRUARY = "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"


def test_monthly_totals_are_what_came_and_what_went() -> None:
    given(
        opened("alice", at=JANUARY),
        entry("alice", 1000, at=JANUARY),
        entry("alice", -250, at=JANUARY),
        entry("alice", 5, at=FEBRUARY),
    ).when(MonthlyTotals).then({("alice", "2026-01"): (1000, 250), ("alice", "2026-02"): (5, 0)})


def test_the_leaderboard_tells_the_best_of_people() -> None:
    given(
        entry("@world:PT/0", -9, asset="PT/0"),
        entry("alice", 7, asset="PT/0"),
        entry("bob", 9, asset="PT/0", partition=1),
        entry("bob", -3, asset="PT/0", partition=1),
    ).when(Leaderboard).then({("PT/0", "alice"): 7, ("PT/0", "bob"): 6}).then_answers(
        [
            {"asset": "PT/0", "account": "alice", "score": 7},
            {"asset": "PT/0", "account": "bob", "score": 6},
        ]
    )


ACCOUNTS = st.sampled_from([("alice", 0), ("bob", 1), ("carol", 0)])
MOMENTS = st.sampled_from([JANUARY, FEBRUARY])
ENTRIES = st.lists(st.tuples(ACCOUNTS, st.integers(-(10**12), 10**12), MOMENTS), max_size=12)


@pytest.mark.parametrize("projection", [MonthlyTotals, Leaderboard])
@drawn(entries=ENTRIES, chance=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_any_split_repeat_crash_and_interleaving_comes_to_the_same_rows(
    projection: Any, entries: list[Any], chance: random.Random
) -> None:
    events = given(*(entry(name, amount, partition=p, at=at) for (name, p), amount, at in entries))
    check(projection, events.partitions, chance)


class Wrong:
    name, version = "wrong", 1
    key = {"account": str}
    row = {"n": int}


class CountsRuns(Wrong):
    def evolve(self, rows: Any, events: Any) -> None:
        for account in set(events["account"].to_pylist()):
            rows[account] = rows.get(account, 0) + 1


class RemembersOutsideOfItsRows(Wrong):
    def __init__(self) -> None:
        self.seen = 0

    def evolve_one(self, rows: Any, event: Any) -> None:
        self.seen += 1
        rows[event.subject] = self.seen


class NewestOfAllPartitions(Wrong):
    def evolve_one(self, rows: Any, event: Any) -> None:
        rows["newest"] = event.data.amount


@pytest.mark.parametrize("wrong", [CountsRuns, RemembersOutsideOfItsRows, NewestOfAllPartitions])
def test_rows_that_depend_on_the_delivery_are_found(wrong: Any) -> None:
    events = given(*(entry("alice", n, partition=n % 2) for n in range(12)))
    with pytest.raises(AssertionError, match="depend on how its events are delivered"):
        events.when(wrong)


def test_other_rows_than_expected_fail() -> None:
    with pytest.raises(AssertionError):
        given(entry("alice", 1)).when(Leaderboard).then({("USD/2", "alice"): 2})


class NoName:
    version, key, row = 1, {"a": str}, {"b": int}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"name": "Two Words"}, "is no word"),
        ({"name": "fanfold_x"}, "is no word"),
        ({"version": "1"}, "no whole number"),
        ({"key": {}}, "no table of columns"),
        ({"row": {"share": float}}, "neither str nor int"),
        ({"row": {"account": int}}, "share a column"),
        ({"evolve_one": print, "evolve": print}, "either `evolve` or `evolve_one`"),
        ({}, "either `evolve` or `evolve_one`"),
        ({"evolve": print, "question": 7}, "no text"),
    ],
)
def test_what_is_no_projection_is_told(more: dict[str, Any], said: str) -> None:
    with pytest.raises(NoProjection, match=said):
        declared(type("Made", (Wrong,), more))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(NoProjection, match="lacks name"):
        declared(NoName)
