"""A topic: a projection kept at the end of the log beside whatever else its process does, its newest answer told to gateways.

Nothing of it may reach further: what it raises, what its file or its code lacks is told by `degraded`, and what was told last
goes on being shown. What `fanfold project` tries again is tried again here; what ends that command ends the topic, until the
service starts again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from fanfold.api.frames.pushed import TOPIC_BYTES_MAX
from fanfold.api.retry import retry
from read_side.contract.topics import TopicAnswer, TopicFeed, without_answer
from read_side.projections.kept_rows import Answer
from read_side.projections.named import named
from read_side.projections.project import WAITS, project
from read_side.projections.projection import Declared, NoProjection
from read_side.projections.state_connection import CannotProject, StateUnavailable
from write_side.contract.log.log import Log
from write_side.contract.snapshots.snapshots import Snapshots

REST_S: Final = 0.1
"""Between two runs of few events: as long as between two answers."""
ROWS_MAX: Final = TOPIC_BYTES_MAX // 8
"""Of an answer that are looked at: no row has fewer bytes, so of more they are too many."""

_log = structlog.get_logger(__name__)


class KeptTopic:
    """`announce`, then `run`. text: where the projection is, `my_module:Leaderboard`; its module is read at once.

    folder: where its file is, `NAME.db`, which `fanfold project` understands.
    """

    def __init__(
        self, text: str, folder: Path, feed: TopicFeed, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self.name = text
        self._feed, self._sleep = feed, sleep
        self._declared: Declared | None = None
        self._troubles: dict[int | str, str] = {}
        self._told, self._caught_up = without_answer(text), False
        try:
            declared = named(text)
            if declared.question is None:
                raise NoProjection(f"{text} has no `question`, whose answer is what a topic tells")
            self._declared, self.name = declared, declared.name
        except NoProjection as missing:
            self._stop(str(missing))
        self._path = folder / f"{self.name}.db"

    def announce(self) -> None:
        """That there is such a topic, before there is an answer."""
        if self._declared is not None:
            self._feed.tell(without_answer(self.name))

    def degraded(self) -> list[str]:
        """Why it is not what the log says, or not told: a sentence or more each."""
        return [
            f"topic {self.name}: {f'partition {what}: ' if isinstance(what, int) else ''}{reason}"
            for what, reason in sorted(self._troubles.items(), key=str)
        ]

    async def run(self, log: Log, snapshots: Snapshots | None) -> None:
        """For ever, or until no partition goes on. Raises nothing."""
        if (declared := self._declared) is None:
            return

        async def attempt() -> None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as failed:
                raise StateUnavailable(f"the folder {self._path.parent} cannot be made ({failed.strerror})") from failed
            await project(
                log,
                snapshots,
                declared,
                self._path,
                once=False,
                sleep=self._sleep,
                answer_rows_max=ROWS_MAX,
                rest_s=REST_S,
                on_answer=self._tell,
                on_trouble=self._trouble,
                on_caught_up=self._tell_caught_up,
            )

        def tell(failure: Exception) -> None:
            self._troubles["file"] = str(failure)
            _log.warning("topic not kept now, tried again", topic=self.name, reason=str(failure))

        try:
            await retry(attempt, StateUnavailable, WAITS, self._sleep, tell)
        except CannotProject as stopped:
            self._stop(str(stopped))
        except Exception as bug:
            self._stop(f"{type(bug).__name__}: {bug}")
            _log.exception("topic failed", topic=self.name)

    def _stop(self, reason: str) -> None:
        self._troubles["stopped"] = f"{reason} It is not kept any more until the service starts again."
        self._feed.withdraw(self.name)
        _log.error("topic not kept any more", topic=self.name, reason=reason)

    def _trouble(self, partition: int | None, reason: str | None) -> None:
        what = "question" if partition is None else partition
        if reason is None:
            self._troubles.pop(what, None)
        else:
            self._troubles[what] = reason

    def _tell(self, answer: Answer) -> None:
        self._troubles.pop("file", None)  # it answers
        rows = msgspec.json.encode([_as_told(row) for row in answer.rows])
        told = TopicAnswer(self.name, answer.history, answer.number, answer.positions, rows)
        if len(rows) > TOPIC_BYTES_MAX:
            self._troubles["size"] = (
                f"its answer has {len(rows):,} bytes of JSON, more than {TOPIC_BYTES_MAX:,}, and is not told. LIMIT its question."
            )
            told = TopicAnswer(self.name, answer.history, answer.number, answer.positions, None, "topic_too_large")
        else:
            self._troubles.pop("size", None)
        self._told = told
        self._feed.tell(told, catching_up=not self._caught_up)

    def _tell_caught_up(self) -> None:
        self._caught_up = True
        self._feed.tell(self._told)


def _as_told(row: dict[str, Any]) -> dict[str, Any]:
    """Whole numbers as strings of digits: what reads JSON elsewhere would make floats of them."""
    return {name: str(value) if isinstance(value, int) else value for name, value in row.items()}
