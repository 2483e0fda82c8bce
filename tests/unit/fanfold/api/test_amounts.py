"""Amounts and floors as they come: digit strings of minor units, and nothing that only looks like one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from fanfold.api.grammar import UNITS_MAX, units_of
from fanfold.api.values import read
from fanfold.api.words.amounts import Amount, Floor, SignedAmount

NO_TEXT: list[object] = [None, True, False, 0, 1, 1.0, float("nan"), [], {}, ("a",), b"a"]
BAD_DIGITS: list[object] = [
    *NO_TEXT, "", "-", "+1", "-0", "00", "01", "-01", "1.0", "1e3", "1_000", "1,000", " 1", "1 ", "1\n", "0x1", "NaN", "inf",
    "\u0661", "\uff11", "\xb2", "1\0", "--1", "1" * 20, "1" * 5000, str(UNITS_MAX + 1), str(-UNITS_MAX - 1), str(2**63),
    str(2**64), "null",
]  # fmt: skip

NO_UNITS: list[object] = [value for value in BAD_DIGITS if type(value) is not int]
"""In a program, amounts are whole numbers; in JSON those are told apart before (`strict_json.Number`)."""


def taken(kind: Any, value: object) -> object:
    return read(kind, value)


def refused(kind: Any, value: object) -> tuple[str, str]:
    """The code, and what is said."""
    with pytest.raises(ValidationError) as wrong:
        read(kind, value)
    [error] = wrong.value.errors()
    assert not isinstance(value, str) or len(value) < 4 or value not in error["msg"], "nothing is echoed"
    return error["type"], error["msg"]


@pytest.mark.parametrize("value", [0, 1, -1, 999, UNITS_MAX, -UNITS_MAX])
def test_integers_come_as_digit_strings(value: int) -> None:
    assert units_of(str(value)) == value


@pytest.mark.parametrize("text", BAD_DIGITS)
def test_anything_else_is_no_integer(text: object) -> None:
    with pytest.raises(ValueError, match="must"):
        units_of(text)


@pytest.mark.parametrize("text", [str(UNITS_MAX + 1), "1" * 20, "007"])
def test_digits_that_are_refused_are_told_why(text: str) -> None:
    _, said = refused(Amount, text)
    assert "10^18" in said
    assert not text.startswith("0") or "leading zero" in said


@pytest.mark.parametrize("text", [*NO_UNITS, "0", "-1", str(-UNITS_MAX)])
def test_an_amount_is_positive_too(text: object) -> None:
    assert refused(Amount, text)[0] == "amount_malformed"


def test_amounts_reach_ten_to_eighteen() -> None:
    assert (taken(Amount, "1"), taken(Amount, str(UNITS_MAX))) == (1, UNITS_MAX)


def test_an_amount_with_a_sign_is_anything_but_zero() -> None:
    assert (taken(SignedAmount, "-1"), taken(SignedAmount, str(UNITS_MAX))) == (-1, UNITS_MAX)
    assert refused(SignedAmount, "0")[0] == "amount_malformed"


def test_a_floor_is_an_integer_or_none() -> None:
    assert (taken(Floor, None), taken(Floor, "0"), taken(Floor, "-5")) == (None, 0, -5)
    for text in NO_UNITS:
        if text is not None:
            assert refused(Floor, text)[0] == "floor_malformed"
