"""Which parameters a query names: the same that whoever reads it finds."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.doors.query_names import naming

NAMES = ("min_position", "after_version")
names_one = naming(*NAMES)

PIECES = (
    "min",
    "_",
    "position",
    "after",
    "version",
    "%5F",
    "%5f",
    "%6D",
    "%",
    "=",
    "&",
    "%26",
    "%3D",
    "%255F",
    "+",
    ";",
    "\n",
    "x",
)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (b"", False),
        (b"min_position=0:1", True),
        (b"min%5Fposition=0:1", True),
        (b"wait_ms=1&%6din_%70osition=0:1", True),
        (b"after_version", True),
        (b"min%255Fposition=0:1", False),
        (b"prefix=min_position=", False),
        (b"prefix=a%26min_position=1", False),
        (b"xmin_position=1", False),
        (b"min_positions=1", False),
        (b"MIN_POSITION=1", False),
    ],
)
def test_a_parameter_is_known_in_every_spelling(query: bytes, found: bool) -> None:
    assert names_one(query) is found


@given(
    st.lists(st.sampled_from([*PIECES, "min_position", "after_version", "&min_position="]), max_size=12).map("".join)
)
def test_it_is_what_the_reader_of_the_query_finds(query: str) -> None:
    found = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    assert names_one(query.encode()) is not found.isdisjoint(NAMES)
