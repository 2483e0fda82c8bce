"""A command that is being asked: what `Client.transfer` and its siblings give, to be awaited like any coroutine.

It keeps the command, and with it the id. So whoever stops waiting can go on: `await` the same thing once more, or `ask` its
command, and money moves once. A coroutine would take the id with it when it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import Any

from fanfold.answers import Refusal
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.requests import Command

Answer = Moved | Pending | Refusal


class Asked(Coroutine[Any, Any, Answer]):
    """Nothing is asked before it is awaited (or made a task); each time that it is awaited, the same command is asked.

    command: what is asked, with its `id`. Raises what `Client.ask` does.
    """

    def __init__(self, command: Command, ask: Callable[[Command], Coroutine[Any, Any, Answer]]) -> None:
        self.command = command
        self._ask = ask
        # Made now, so that Python warns of one that nobody awaited: its money has not moved.
        self._first: Coroutine[Any, Any, Answer] | None = ask(command)
        self._steps: Generator[Any, Any, Answer] | None = None

    @property
    def id(self) -> str:
        return str(self.command.id)

    def __await__(self) -> Generator[Any, Any, Answer]:
        asking, self._first = self._first or self._ask(self.command), None
        return asking.__await__()

    # What asyncio.create_task and asyncio.run step through.

    def send(self, value: Any) -> Any:
        return self._stepped(lambda steps: steps.send(value))

    def throw(self, kind: Any, error: BaseException | object = None, trace: TracebackType | None = None) -> Any:
        thrown = error if isinstance(error, BaseException) else kind
        return self._stepped(lambda steps: steps.throw(thrown))

    def close(self) -> None:
        if self._first is not None:
            self._first.close()
        if self._steps is not None:
            self._steps.close()
        self._first = self._steps = None

    def _stepped(self, step: Callable[[Generator[Any, Any, Answer]], Any]) -> Any:
        if self._steps is None:
            self._steps = self.__await__()
        try:
            return step(self._steps)
        except BaseException:
            self._steps = None  # it ended, with an answer or without: the next step asks again
            raise
