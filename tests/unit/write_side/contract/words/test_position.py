"""The position token."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.malformed import Malformed
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.words.position import TOKEN_BYTES_MAX, Position, format_positions, parse_positions


@given(st.dictionaries(st.integers(0, 99_999), st.integers(0, 10**18 - 1), min_size=1, max_size=PARTITIONS_MAX))
def test_a_token_comes_back_as_the_positions_it_says(positions: dict[int, int]) -> None:
    assert parse_positions(format_positions(positions)) == positions


def test_a_token_names_partitions_in_order() -> None:
    assert format_positions({3: 9, 0: 17}) == "0:17,3:9"
    assert str(Position(0, 17)) == "0:17"
    assert parse_positions("3:9,0:17") == {0: 17, 3: 9}


@pytest.mark.parametrize(
    "text",
    [
        "", ",", ":", "0", "0:", ":0", "0:1,", ",0:1", "0:1,,1:1", "0:1;1:1", "0:1 ", " 0:1", "0: 1", "00:1", "0:01", "-1:0",
        "0:-1",
        "+0:1", "0:1:2", "a:1", "0:x", "0:1.0", "0:1e3", "\u0660:1", "0:\u0661", "0:1\n", "0:1,0:2", "0:1,0:1", "100000:0",
        "0:1" + "0" * 18,         "0:" + "9" * 5000, ",".join(f"{n}:0" for n in range(PARTITIONS_MAX + 1)),
        "0:1," * 100_000, "0:1\0", "null",
    ],
)  # fmt: skip
def test_anything_else_is_malformed(text: str) -> None:
    with pytest.raises(Malformed) as error:
        parse_positions(text)
    assert error.value.code == "position_malformed"


def test_a_token_may_name_as_many_partitions_as_its_bound() -> None:
    text = ",".join(f"{n}:{n}" for n in range(PARTITIONS_MAX))
    assert len(parse_positions(text)) == PARTITIONS_MAX


def test_a_token_of_every_partition_of_the_largest_log_is_taken_again() -> None:
    positions = dict.fromkeys(range(PARTITIONS_MAX), 10**18 - 1)
    text = format_positions(positions)
    assert len(text) <= TOKEN_BYTES_MAX
    assert parse_positions(text) == positions
