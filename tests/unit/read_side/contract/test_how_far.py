"""Every mark of a partition has one name, and each name is of one mark."""

from __future__ import annotations

import re

from read_side.contract import how_far
from read_side.contract.how_far import HowFar


def marks() -> list[str]:
    page = how_far.__doc__ or ""
    return [
        name.strip() for name in re.findall(r"^    ([a-z ]{9}[a-z ]?) +(?:offset|place|sequence) ", page, re.MULTILINE)
    ]


def test_no_name_is_of_two_marks() -> None:
    assert len(marks()) == 13
    assert len(set(marks())) == len(marks())


def test_the_marks_of_a_projector_stand_on_the_page_under_their_names() -> None:
    assert set(HowFar._fields) <= set(marks())
