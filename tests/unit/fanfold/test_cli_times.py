"""Times as `fanfold statement` and `fanfold export` take them."""

from __future__ import annotations

import pytest

from fanfold.api.malformed import Malformed
from fanfold.cli.times import time_of
from write_side.contract.words.times import time_us

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("1970-01-03", 2 * DAY_US),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-02T02:00:00+02:00", DAY_US),
    ],
)
def test_a_day_begins_in_utc_and_a_time_has_a_zone(text: str, expected: int | None) -> None:
    moment = time_of(text, "--since")
    assert (None if moment is None else time_us(moment)) == expected
    assert time_of(None, "--since") is None


@pytest.mark.parametrize("text", ["yesterday", "2026-02-30", "2026-01-01T00:00:00", "20", "0001-01-01T00:00:00+05:00"])
def test_what_is_no_time_or_has_no_zone_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        time_of(text, "--since")
    assert refused.value.field == "--since"
