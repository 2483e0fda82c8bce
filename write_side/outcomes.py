"""Who waits for what: connects the accepted blocks of a partition with the requests whose commands they decided.

A command is named by its place in the queue (record offset, row). Everything is told from accepted blocks only, so an answer is
never given before its outcome is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from write_side.contract.answers import Answer, BlockAnswers
from write_side.contract.block import Block, decode
from write_side.contract.log import Log
from write_side.contract.replay import Replay
from write_side.contract.state import Place

RECENT_BLOCKS = 16
"""Kept for requests that learn their record's offset only after its block was accepted (a slow acknowledgement)."""
REMEMBERED_BLOCKS = 16
"""Decoded blocks kept for answering repeated commands: a client that retries does so soon."""


class OutcomeUnknown(Exception):
    """The outcome was not seen in time. The command may run still, or has run: asking again with the same id is safe."""


class Decided(NamedTuple):
    """The outcomes of one record: its rows begin at `first_row` of the block."""

    answers: BlockAnswers
    first_row: int


class Outcomes:
    """One partition. `accepted` is called for each accepted block in order, on the event loop; `wait` by intakes."""

    def __init__(self, partition: int, replay: Replay, log: Log) -> None:
        self._partition = partition
        self._replay = replay
        self._log = log
        self._waiting: dict[int, asyncio.Future[Decided]] = {}
        self._recent: deque[tuple[int, dict[int, int], BlockAnswers]] = deque(maxlen=RECENT_BLOCKS)
        self._remembered: dict[int, BlockAnswers] = {}
        self._failure: Exception | None = None

    def accepted(self, block: Block, offset: int) -> None:
        """Tell everyone who waits for a command of this block."""
        first_rows = _first_rows(block)
        answers = BlockAnswers(block, self._replay.state)
        self._recent.append((block.header.consumed_to, first_rows, answers))
        for record in self._waiting.keys() & first_rows.keys():
            future = self._waiting.pop(record)
            if not future.done():
                future.set_result(Decided(answers, first_rows[record]))

    def fail(self, failure: Exception) -> None:
        """The partition's writer ended: whoever waits, now or later, is told that the outcome is unknown."""
        self._failure = failure
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(OutcomeUnknown())

    async def wait(self, record: int, timeout_s: float) -> Decided:
        """The outcomes of one record of the queue. Raises OutcomeUnknown after `timeout_s`."""
        for consumed_to, first_rows, answers in reversed(self._recent):
            if record in first_rows:
                return Decided(answers, first_rows[record])
            if consumed_to <= record:
                break
        if self._failure is not None:
            raise OutcomeUnknown
        future = self._waiting.setdefault(record, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout_s)
        except TimeoutError:
            raise OutcomeUnknown from None
        finally:
            self._waiting.pop(record, None)

    async def answers(self, decided: Decided, rows: Sequence[int]) -> list[Answer]:
        """The answers to these rows of the record; repeated commands get their first outcome again, read from the log."""
        found: list[Answer] = []
        for row in rows:
            answer = decided.answers.answer(decided.first_row + row)
            while isinstance(answer, Place):
                answer = (await self._block(answer.sequence)).answer(answer.row)
            found.append(answer)
        return found

    async def _block(self, sequence: int) -> BlockAnswers:
        known = self._remembered.get(sequence)
        if known is None:
            if sequence >= len(
                self._replay.offsets
            ):  # the first outcome is in a block behind the one being told: not yet noted
                raise AssertionError("a repeated command names a block that is not accepted yet")
            data = await self._log.fetch(self._partition, self._replay.offsets[sequence])
            known = BlockAnswers(decode(data), self._replay.state)
            if len(self._remembered) >= REMEMBERED_BLOCKS:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[sequence] = known
        return known


def _first_rows(block: Block) -> dict[int, int]:
    """Offset of each record in the block -> the row of its first outcome. Rows of a record lie side by side."""
    back = block.outcomes["back"]
    if len(back) == 0:
        return {}
    starts = np.concatenate(([0], np.flatnonzero(back[1:] != back[:-1]) + 1))
    offsets = block.header.consumed_to - back[starts]
    return dict(zip(offsets.tolist(), starts.tolist(), strict=True))
