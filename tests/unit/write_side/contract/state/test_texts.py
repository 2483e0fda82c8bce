"""Texts in one piece of memory are what a list of them would be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from write_side.contract.state import repeated_texts
from write_side.contract.state.repeated_texts import RepeatedTexts
from write_side.contract.state.texts import FEW, GROUP, Joined, Texts

SOME = st.lists(st.lists(st.text(max_size=70), max_size=3 * GROUP), max_size=5)


@given(SOME)
def test_texts_are_read_as_they_were_put_in(parts: list[list[str]]) -> None:
    texts, held = Texts(), [text for part in parts for text in part]
    for part in parts:
        texts.extend(part)
    assert list(texts) == held
    assert len(texts) == len(held)
    assert [texts[number] for number in range(len(held))] == held
    picked = np.arange(len(held), dtype=np.int64)[::-1]
    assert texts.take(picked) == held[::-1]
    assert texts[3:40:2] == held[3:40:2]


@given(SOME)
def test_texts_put_in_by_their_columns_are_equal(parts: list[list[str]]) -> None:
    texts, again = Texts(), Texts()
    for part in parts:
        texts.extend(part)
    again.put(texts.joined())
    assert again == texts
    again.extend(["one more"])
    assert again != texts


def test_texts_stay_where_they_are_while_the_arrays_grow() -> None:
    texts, names = Texts(), [f"user:{number:09d}" for number in range(20_000)]
    for first in range(0, len(names), 777):
        texts.extend(names[first : first + 777])
    assert texts.take(np.arange(len(names))) == names
    assert texts.take(np.arange(FEW)) == names[:FEW]


def test_no_text_lies_before_the_first_or_behind_the_last() -> None:
    texts, repeated = Texts(), RepeatedTexts()
    texts.extend(["a"])
    repeated.extend(["a"])
    for number in (-1, 1):
        with pytest.raises(IndexError):
            texts[number]
        with pytest.raises(IndexError):
            repeated[number]


def test_a_text_that_no_end_can_tell_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        Texts().extend(["a" * 70_000])


@pytest.mark.parametrize("known_max", [2, 10_000])
@given(st.lists(st.lists(st.text(alphabet="ab", max_size=3), max_size=40), max_size=5))
def test_repeated_texts_are_read_as_they_were_put_in(known_max: int, parts: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeated_texts, "KNOWN_MAX", known_max)
        texts, held = RepeatedTexts(), [text for part in parts for text in part]
        for part in parts:
            texts.extend(part)
        assert list(texts) == held
        assert len(texts) == len(held)
        again = RepeatedTexts()
        again.texts.put(texts.texts.joined())
        again.put(texts.numbers)
        assert again == texts


def test_a_few_different_texts_take_a_byte_each_and_many_are_told_apart() -> None:
    texts = RepeatedTexts()
    texts.extend(["", "owner"] * 500)
    assert texts.numbers.itemsize == 1
    names = [f"owner-{number}" for number in range(70_000)]
    texts.extend(names)
    assert texts.numbers.itemsize == 4
    assert texts[1_000:] == names
    assert texts[0:2] == ["", "owner"]


@given(st.lists(st.text(max_size=10), max_size=100), st.integers(0, 100), st.integers(0, 100))
def test_texts_of_two_are_kept_together_as_long_as_they_are_the_same(held: list[str], ahead: int, first: int) -> None:
    texts, ahead = Texts(), min(ahead, len(held))
    texts.extend(held[:ahead])
    first = min(first, ahead)
    assert texts.put_at(first, Joined.of(held[first:]))
    assert list(texts) == held
    if first < len(held):
        assert not texts.put_at(first, Joined.of([held[first] + "!", "more"]))
        assert list(texts) == held
