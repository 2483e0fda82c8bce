"""Asking the partitions one by one, where one that cannot answer keeps the others from being told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from fanfold.answers import Refusal
from fanfold.client import NotAnswered
from write_side.contract.words.position import PARTITIONS_MAX

T = TypeVar("T")

OF_SOME_PARTITIONS: Final = frozenset(
    {"partition_elsewhere", "partition_unavailable", "starting", "view_rebuilding", "history_unavailable"}
)
"""Answers that say nothing of the partitions that are well."""
AT_ONCE: Final = 16
"""Partitions asked at once: one that cannot answer is tried for some seconds."""

Unanswered = list[tuple[int, NotAnswered]]


def chosen_partitions(text: str) -> tuple[int, ...] | None:
    """Of an option `--partitions`; None where none are named. Raises ValueError."""
    if not text:
        return None
    words = text.split(",")
    if not all(word.isascii() and word.isdigit() and len(word) < 6 for word in words):
        raise ValueError("--partitions must be numbers with commas, such as 0,2")
    return tuple(map(int, words))


async def of_those_that_answer(
    ask: Callable[[Sequence[int] | None], Awaitable[T | Refusal]], partitions: Sequence[int] | None = None
) -> tuple[list[T] | Refusal, Unanswered]:
    """What is answered of all at once, or of each that answers; and those that do not, with the reason.

    partitions: whose; None: of all. Raises NotAnswered when nobody answers.
    """

    async def tried(some: Sequence[int] | None) -> T | Refusal | NotAnswered:
        try:
            return await ask(some)
        except NotAnswered as failure:
            return failure

    whole = await tried(partitions)
    if isinstance(whole, Refusal):
        return whole, []
    if not isinstance(whole, NotAnswered):
        return [whole], []
    if not is_of_some_partitions(whole):
        raise whole
    found: list[T] = []
    unanswered: Unanswered = []
    numbers = range(PARTITIONS_MAX) if partitions is None else partitions
    for first in range(0, len(numbers), AT_ONCE):
        some = numbers[first : first + AT_ONCE]
        for number, each in zip(some, await asyncio.gather(*(tried([number]) for number in some)), strict=True):
            if isinstance(each, Refusal):  # there are no more partitions
                return found, unanswered
            if isinstance(each, NotAnswered):
                unanswered.append((number, each))
            else:
                found.append(each)
    return found, unanswered


def is_of_some_partitions(failure: NotAnswered) -> bool:
    """Whether the service did answer, and only some partitions cannot."""
    return failure.problem is not None and failure.problem["code"] in OF_SOME_PARTITIONS


def told(unanswered: Unanswered) -> list[str]:
    """A sentence for each."""
    return [f"partition {number} did not answer: {failure}" for number, failure in unanswered]
