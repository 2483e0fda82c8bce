"""Commands over one WebSocket: as many in flight as a program likes, each answered when it is in the log.

What got no answer is sent again with the same ids, on the next connection where this one is lost, so that nothing runs twice.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from websockets.asyncio.client import ClientConnection

from fanfold.answers import ConnectionState, Opened, Refusal, refusal_of
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.frames.asked import Submit
from fanfold.api.frames.written import written_as
from fanfold.api.problems import NOT_TAKEN, PROBLEMS
from fanfold.api.requests import Command, Open
from fanfold.http_requests import line_of
from fanfold.not_answered import ATTEMPTS_MAX, WAITS, NotAnswered, naming, result_of
from fanfold.stream_connection import StreamEnded, kept_connected, messages

IN_FLIGHT_MAX: Final = 4_096
IN_FLIGHT_BYTES_MAX: Final = 512 * 1024
"""Commands on the way at once: half of what a gateway lets wait. More wait here, and are not refused as too many there."""

MESSAGE_COMMANDS_MAX: Final = 1_024
MESSAGE_BYTES_MAX: Final = 128 * 1024
"""Of one message, half of what a gateway takes. A longer list goes in several, in order."""

_AGAIN: Final = NOT_TAKEN | {code for code, problem in PROBLEMS.items() if problem.status >= 500}
"""Of the codes of an `error` those that refuse nothing: asked again, as a 5xx is over HTTP."""
_NEVER_SENT: Final = NOT_TAKEN | {"upstream_unavailable"}
"""Of those the ones that say that nothing was done, where no ids are named."""

_submit: Final = written_as(Submit)

Result = Opened | Moved | Pending | Refusal


class _Asked:
    """Commands of one message until they are answered. sent: on this connection; may_be_done: by an attempt that failed."""

    def __init__(self, id: int, items: Sequence[Open | Command], lines: Sequence[bytes]) -> None:
        self.id = id
        self.items = items
        self.text = msgspec.json.encode(_submit(id, [msgspec.Raw(line) for line in lines]))
        self.answers: asyncio.Future[list[Result]] = asyncio.get_running_loop().create_future()
        self.attempts = 0
        self.sent = False
        self.may_be_done = False


class CommandStream:
    """Made by `Client.stream`; use as `async with`. At its end whoever still waits is told NotAnswered."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._token = token
        self._ids = count(1)
        self._unanswered: dict[int, _Asked] = {}
        self._unsent: deque[_Asked] = deque()
        self._wake = asyncio.Event()
        self._commands = self._bytes = 0
        """On the way."""
        self._running: asyncio.Task[None] | None = None
        self._ended: str | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        self._end(f"{self._url}: the stream was left before the answer came.")

    async def submit(self, command: Open | Command) -> Result:
        """Run one command. Raises NotAnswered, after as many attempts as `Client.ask` makes.

        Commands are run in the order in which they were submitted; one that had to be sent again comes behind others.
        A transfer across partitions is `Pending`: ask for its end, or watch it.
        """
        [result] = await self.submit_batch((command,))
        return result

    async def submit_batch(self, items: Sequence[Open | Command]) -> list[Result]:
        """Run these, in this order, and nothing between those of one message (1,024); one answer each. Raises NotAnswered."""
        if self._ended is not None or self._running is None:
            raise NotAnswered(self._ended or "The stream is not open: use it as `async with`.", not_taken=True)
        parts = [_Asked(next(self._ids), *part) for part in _messages(items)]
        for asked in parts:
            self._unanswered[asked.id] = asked
            self._unsent.append(asked)
        self._wake.set()
        with naming(items):
            try:
                told = await asyncio.gather(*(asked.answers for asked in parts))
            except NotAnswered as failure:  # the others are waited for: what is told of all ids must be so of each
                others = await asyncio.gather(*(asked.answers for asked in parts), return_exceptions=True)
                not_taken = all(isinstance(each, NotAnswered) and each.not_taken for each in others)
                raise NotAnswered(str(failure), problem=failure.problem, not_taken=not_taken) from None
            finally:
                for asked in parts:  # of those that nobody waits for any more what has not left does not leave
                    if asked.answers.cancelled() and not asked.sent:
                        self._unanswered.pop(asked.id, None)
        return [result for each in told for result in each]

    async def _run(self) -> None:
        try:
            async with aclosing(kept_connected(self._url, self._connected, self._token)) as states:
                async for state in states:
                    if not state.live:
                        self._lost(state.reason)
            self._end("The stream has ended.")
        except StreamEnded as ended:
            self._end(str(ended))

    async def _connected(self, connection: ClientConnection) -> AsyncIterator[ConnectionState]:
        """All of one connection."""
        self._unsent = deque(asked for asked in self._unanswered.values() if not asked.answers.done())
        self._commands = self._bytes = 0
        sending = asyncio.create_task(self._send(connection))
        try:
            yield ConnectionState(True, "connected")
            async for message in messages(connection):
                self._take(message)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, connection: ClientConnection) -> None:
        """Whatever is to be sent, in order, as far as there is room for it on the way."""
        while True:
            while self._unsent and (not self._commands or self._has_room(self._unsent[0])):
                asked = self._unsent.popleft()
                if asked.answers.done():
                    self._unanswered.pop(asked.id, None)
                    continue
                asked.sent = True
                self._commands += len(asked.items)
                self._bytes += len(asked.text)
                await connection.send(asked.text, text=True)
            self._wake.clear()
            await self._wake.wait()

    def _has_room(self, asked: _Asked) -> bool:
        return (
            self._commands + len(asked.items) <= IN_FLIGHT_MAX and self._bytes + len(asked.text) <= IN_FLIGHT_BYTES_MAX
        )

    def _take(self, message: dict[str, Any]) -> None:
        asked = self._unanswered.get(message["id"]) if message["op"] in ("answers", "error") else None
        if asked is None or not asked.sent:
            return  # a newer gateway may say more
        asked.sent = False
        self._commands -= len(asked.items)
        self._bytes -= len(asked.text)
        self._wake.set()
        if message["op"] == "answers":
            results = map(result_of, asked.items, message["answers"])
            self._done(asked, list(results))
        elif message["code"] in _AGAIN or message.get("ids"):
            # Where it names ids they may be done, whatever word a newer gateway has for that.
            is_taken = bool(message.get("ids")) or message["code"] not in _NEVER_SENT
            asked.may_be_done = asked.may_be_done or is_taken
            self._failed(asked, f"{message['title']}", message)
        else:
            status = PROBLEMS[message["code"]].status if message["code"] in PROBLEMS else 400
            self._done(asked, [refusal_of(message, status)] * len(asked.items))

    def _done(self, asked: _Asked, results: list[Result]) -> None:
        del self._unanswered[asked.id]
        if not asked.answers.done():
            asked.answers.set_result(results)

    def _lost(self, reason: str) -> None:
        """A connection was lost, or not made: everything is asked again on the next one, but not for ever."""
        for asked in list(self._unanswered.values()):
            asked.may_be_done = asked.may_be_done or asked.sent
            asked.sent = False
            asked.attempts += 1
            if asked.attempts >= ATTEMPTS_MAX:
                self._give_up(asked, reason, None)

    def _failed(self, asked: _Asked, reason: str, problem: dict[str, Any]) -> None:
        asked.attempts += 1
        if asked.attempts >= ATTEMPTS_MAX:
            self._give_up(asked, reason, problem)
        else:
            wait_s = WAITS.before(asked.attempts, random.random())
            asyncio.get_running_loop().call_later(wait_s, self._again, asked)

    def _again(self, asked: _Asked) -> None:
        if asked.id in self._unanswered and not asked.sent and asked not in self._unsent:
            self._unsent.append(asked)
            self._wake.set()

    def _give_up(self, asked: _Asked, reason: str, problem: dict[str, Any] | None) -> None:
        self._unanswered.pop(asked.id, None)
        if not asked.answers.done():
            told = f"{self._url}: {reason}, after {ATTEMPTS_MAX} attempts."
            asked.answers.set_exception(NotAnswered(told, problem=problem, not_taken=not asked.may_be_done))

    def _end(self, reason: str) -> None:
        self._ended = self._ended or reason
        for asked in list(self._unanswered.values()):
            del self._unanswered[asked.id]
            if not asked.answers.done():
                unsent = not asked.may_be_done and not asked.sent
                asked.answers.set_exception(NotAnswered(reason, not_taken=unsent))


def _messages(items: Sequence[Open | Command]) -> Iterator[tuple[Sequence[Open | Command], list[bytes]]]:
    """What goes into one message each: the commands and how they are written."""
    first, size = 0, 0
    lines: list[bytes] = []
    for at, item in enumerate(items):
        line = msgspec.json.encode(line_of(item))
        if lines and (len(lines) == MESSAGE_COMMANDS_MAX or size + len(line) > MESSAGE_BYTES_MAX):
            yield items[first:at], lines
            first, size, lines = at, 0, []
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield items[first:], lines
