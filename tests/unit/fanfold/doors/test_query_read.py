"""Parameters of an address are read by the class that declares them; an address without any is read once for all."""

from __future__ import annotations

import pytest

from fanfold.api import questions
from fanfold.api.malformed import Malformed
from fanfold.doors.request import read_query


def test_an_address_without_parameters_asks_what_one_with_the_defaults_asks() -> None:
    for kind in (questions.OfAccount, questions.OfHolds, questions.OfTransfers, questions.Waiting):
        asked = read_query(kind, b"", bytes_max=100)
        assert asked == kind()
        assert read_query(kind, b"", bytes_max=100) is asked
    assert read_query(questions.OfHolds, b"limit=7", bytes_max=100) == questions.OfHolds(limit=7)
    assert read_query(questions.OfHolds, b"", bytes_max=100) == questions.OfHolds()


def test_a_parameter_that_is_needed_is_asked_for_each_time() -> None:
    for _ in range(2):
        with pytest.raises(Malformed) as wrong:
            read_query(questions.OfReference, b"", bytes_max=100)
        assert wrong.value.field == "reference"
