"""The outcomes of a batch of plain transfers as columns: what `POST /v1/transfers:batch` answers to an Arrow stream."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fanfold.api.problems import PROBLEMS
from write_side.contract.tell.answers import PENDING_STATUS, Answer
from write_side.contract.words.codes import REFUSALS, Code, word_of
from write_side.contract.words.position import Position
from write_side.owner.outcomes import ANSWERS_A_TURN, Decided, Outcomes

_STATUSES: Final = np.array(
    [PROBLEMS[REFUSALS[Code(code)]].status if code in REFUSALS else 201 for code in range(max(Code) + 1)], np.uint16
)
_WORDS: Final = np.array([word_of(Code(code)) for code in range(max(Code) + 1)], object)
_STATUSES[Code.PENDING], _WORDS[Code.PENDING] = PENDING_STATUS, "pending"


class BatchOutcome(NamedTuple):
    """n outcomes in the order of the request. status uint16[n]; code, position: n texts; repeated: bool[n], see
    `Answer.is_repeat`."""

    status: npt.NDArray[np.uint16]
    code: npt.NDArray[Any]
    position: npt.NDArray[Any]
    repeated: npt.NDArray[np.bool_]

    @property
    def refused(self) -> bool:
        """Whether one of them is a refusal."""
        return bool(np.any(self.status >= 400))

    @staticmethod
    def joined(parts: Sequence[BatchOutcome]) -> BatchOutcome:
        """Several, one behind the other."""
        return BatchOutcome._make(np.concatenate(columns) for columns in zip(*parts, strict=True))

    @staticmethod
    def gathered(rows: Sequence[npt.NDArray[np.intp]], parts: Sequence[BatchOutcome]) -> BatchOutcome:
        """Several whose rows stand at these places of the request."""
        order = np.argsort(np.concatenate(rows))
        return BatchOutcome._make(column[order] for column in BatchOutcome.joined(parts))

    @staticmethod
    def told(answers: Sequence[Answer]) -> BatchOutcome:
        """Of answers given one by one."""
        columns = zip(*map(_told, answers), strict=True)
        dtypes = (np.uint16, object, object, np.bool_)
        return BatchOutcome._make(np.array(column, dtype) for column, dtype in zip(columns, dtypes, strict=True))

    def encode(self) -> bytes:
        """An Arrow IPC stream of status, code, position and repeated."""
        columns = {
            "status": pa.array(self.status),
            "code": pa.array(self.code, pa.utf8()).dictionary_encode(),
            "position": pa.array(self.position, pa.utf8()).dictionary_encode(),
            "repeated": pa.array(self.repeated),
        }
        batch = pa.RecordBatch.from_pydict(columns)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue())


async def outcome_columns(outcomes: Outcomes, decided: Decided, n: int, until_s: float) -> BatchOutcome:
    """What became of n commands. Repeated ones are few, and are asked for one by one.

    until_s: how long to wait for the end of those across partitions, in the loop's time.
    """
    block = decided.answers.block
    rows = slice(decided.first_row, decided.first_row + n)
    code = block.outcomes["code"][rows]
    position = str(Position(block.header.partition, block.header.sequence))
    found = BatchOutcome(_STATUSES[code], _WORDS[code], np.full(n, position, object), np.zeros(n, np.bool_))
    await _tell_repeated(outcomes, decided, np.flatnonzero(code == Code.REPEATED), found, until_s)
    await _tell_ends(outcomes, block.outcomes["id"][rows], np.flatnonzero(code == Code.PENDING), found, until_s)
    return found


async def _tell_ends(
    outcomes: Outcomes, ids: npt.NDArray[np.uint8], pending: npt.NDArray[np.intp], found: BatchOutcome, until_s: float
) -> None:
    """Write how those rows ended that did in time; the others are pending. ids: uint8[n, 16]."""
    if not pending.size:
        return
    rows = {ids[row].tobytes(): row for row in pending.tolist()}
    ends = await outcomes.ends(list(rows), until_s)
    for told, (id16, end) in enumerate(ends.items()):
        if told % ANSWERS_A_TURN == ANSWERS_A_TURN - 1:
            await asyncio.sleep(0)
        row, code = rows[id16], end.answers.outcomes.codes[end.first_row]
        found.status[row], found.code[row] = _STATUSES[code], _WORDS[code]
        found.position[row] = end.answers.reached(end.first_row)


async def _tell_repeated(
    outcomes: Outcomes, decided: Decided, repeated: npt.NDArray[np.intp], found: BatchOutcome, until_s: float
) -> None:
    for row in repeated.tolist():
        [answer] = await outcomes.answers(decided, (row,), whole=False)
        if answer.status == PENDING_STATUS:
            at = 16 * (decided.first_row + row)
            ended = await outcomes.ended(decided.answers.outcomes.ids[at : at + 16], until_s)
            answer = answer if ended is None else ended.again()
        found.status[row], found.code[row], found.position[row], found.repeated[row] = _told(answer)


def _told(answer: Answer) -> tuple[int, object, object, bool]:
    document = answer.document
    word = document.get("code") or ("pending" if answer.status == PENDING_STATUS else "done")
    # A line that no partition was asked for has no position.
    return answer.status, word, document.get("position", ""), answer.is_repeat
