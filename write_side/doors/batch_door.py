"""Many commands in one request: lines of JSON or an Arrow stream in, as many results out, in the same order.

What a line that cannot be read means for the others is the mode's to say, as if the ledger had refused it: nothing
(`continue`), that those behind it are not run (`stop`), or that none is (`atomic`). Those are asked for all the same: what ran
before, by whatever request, is told as it was.
"""

from __future__ import annotations

import asyncio
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Final, Protocol, get_args

from prometheus_client import CollectorRegistry, Histogram

from fanfold.api.body_checks import plain_transfers
from fanfold.api.malformed import Malformed
from fanfold.api.questions import BatchMode
from fanfold.api.requests import BATCH_BYTES_MAX, BATCH_LINES_MAX, BODY_BYTES_MAX
from fanfold.doors.answer import ARROW, NDJSON, Response, encode_line, encode_lines, malformed_document
from fanfold.doors.batch_lines import asked_by, in_turns, lines_of
from fanfold.doors.incoming import Incoming
from fanfold.doors.request import Scope, media_type, read_body, read_headers
from write_side.contract.tell.answers import Answer
from write_side.contract.tell.done_lines import DoneLine
from write_side.contract.words.position import joined_positions
from write_side.doors.answer_headers import position_headers
from write_side.doors.arrow_batch import decode_arrow
from write_side.doors.asked_commands import command_of, plain_commands
from write_side.doors.prefer_header import wait_preference
from write_side.intake.outcome_columns import BatchOutcome
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Mode

ANSWERS_A_TURN: Final = 64
"""Answers written before other requests get a turn: some 0.4 ms of transfers with 32 legs."""

PLAIN_A_TURN: Final = 512
"""Plain transfers read before other requests get a turn: some 1 ms."""

ITEMS: Final = (1, 8, 64, 256, 1024, 4096, 8192)
_MODES: Final = {word: Mode[word.upper()] for word in get_args(BatchMode)}

Document = dict[str, object]


class BatchIntake(Protocol):
    """What this door needs of `write_side/intake/intake.py`."""

    async def submit(
        self,
        commands: Sequence[Command],
        mode: Mode = Mode.CONTINUE,
        wait_s: float | None = None,
        runs: int | None = None,
        asked_by: str = "",
    ) -> list[Answer]:
        """One answer per command, in order, from the log; `wait_s`: how long to wait for those across partitions. asked_by: the
        principal whose they are, "" for nobody.

        runs: how many of the first may be run; None: all. The others are told what became of them before, or that they were not.

        Raises Overloaded, Stopping and OutcomeUnknown, and Malformed for an atomic batch that cannot be one.
        """
        ...

    async def submit_plain(
        self, batch: CommandBatch, wait_s: float | None, asked_by: str = ""
    ) -> list[Answer | DoneLine]:
        """The same for plain transfers that do not hang together, with most answers as the text that they are sent as."""
        ...

    async def submit_batch(
        self, batch: CommandBatch, mode: Mode, wait_s: float | None, asked_by: str = ""
    ) -> BatchOutcome:
        """The same for columns."""
        ...


class BatchMetrics:
    """How large batches are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._items = Histogram(
            "fanfold_write_http_batch_items", "Lines of a batch request.", buckets=ITEMS, registry=registry
        )

    def batch(self, items: int) -> None:
        self._items.observe(items)


class BatchDoor:
    """`POST /v1/transfers:batch`."""

    def __init__(self, intake: BatchIntake, metrics: BatchMetrics) -> None:
        self._intake = intake
        self._metrics = metrics

    async def __call__(self, scope: Scope, incoming: Incoming) -> Response:
        headers = read_headers(scope["headers"])
        if b"idempotency-key" in headers:
            raise Malformed(
                "parameter_malformed",
                "Idempotency-Key",
                "is for one command; each line of a batch has an id of its own",
            )
        given = media_type(headers, NDJSON, ARROW)
        mode = _mode(scope.get("query_string", b""))
        wait_s, asked_by = wait_preference(scope["headers"]), incoming.whose or ""
        body = await read_body(headers, incoming, bytes_max=BATCH_BYTES_MAX)
        if given == ARROW:
            return await self._columns(body, mode, wait_s, asked_by)
        return await self._lines(body, mode, wait_s, asked_by)

    async def _lines(self, body: bytes, mode: Mode, wait_s: float | None, asked_by: str) -> Response:
        lines = lines_of(body)
        self._metrics.batch(len(lines))
        if mode is Mode.CONTINUE and (plain := await _plain(lines, body)) is not None:
            return _told(await self._intake.submit_plain(plain, wait_s, asked_by))
        items = await _parse(lines)
        commands = [item for item in items if not isinstance(item, dict)]
        runs = _runs(items, mode)
        answers = await self._intake.submit(commands, mode, wait_s, runs, asked_by) if commands else []
        # All lines are there before the head is sent: the answer has one length, and its position stands before it.
        position = joined_positions({str(answer.document.get("position", "")) for answer in answers})
        return Response(200, NDJSON, await _render(items, iter(answers)), headers=position_headers(position))

    async def _columns(self, body: bytes, mode: Mode, wait_s: float | None, asked_by: str) -> Response:
        batch = decode_arrow(body)
        if len(batch) > BATCH_LINES_MAX:
            raise Malformed("body_too_large", "body", f"must not have more than {BATCH_LINES_MAX} rows")
        self._metrics.batch(len(batch))
        outcome = await self._intake.submit_batch(batch, mode, wait_s, asked_by)
        position = joined_positions(outcome.position.tolist())
        return Response(200, ARROW, outcome.encode(), headers=position_headers(position))


def _mode(query: bytes) -> Mode:
    """The query's `mode`, `continue` without one. Raises Malformed."""
    if not query:
        return Mode.CONTINUE
    parameters = urllib.parse.parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    if any(name != "mode" for name, _ in parameters):
        raise Malformed("parameter_malformed", "query", "has a parameter that is unknown; known here: mode")
    words = [word for _, word in parameters] or ["continue"]
    if len(words) > 1 or words[0] not in _MODES:
        raise Malformed("mode_malformed", "mode", f"must be one of {', '.join(_MODES)}")
    return _MODES[words[0]]


async def _plain(lines: list[bytes], body: bytes) -> CommandBatch | None:
    """The commands, when all of them are plain transfers. lines: of the body."""
    if len(lines) <= PLAIN_A_TURN and len(body) <= BODY_BYTES_MAX:
        asked = plain_transfers(body, len(lines))
        return None if asked is None else plain_commands(asked)
    found: list[CommandBatch] = []
    for first in range(0, len(lines), PLAIN_A_TURN):
        turn = lines[first : first + PLAIN_A_TURN]
        asked = None if max(map(len, turn)) > BODY_BYTES_MAX else plain_transfers(b"\n".join(turn), len(turn))
        if asked is None:
            return None
        found.append(plain_commands(asked))
        if first + PLAIN_A_TURN < len(lines):
            await asyncio.sleep(0)
    return CommandBatch.concatenated(found)


def _told(answers: Sequence[Answer | DoneLine]) -> Response:
    """The results of plain transfers. Encoding a refusal or two more needs no turns."""
    lines, positions = zip(
        *[_as_text(answer) if isinstance(answer, Answer) else answer for answer in answers], strict=True
    )
    return Response(200, NDJSON, b"\n".join(lines) + b"\n", headers=position_headers(joined_positions(positions)))


def _as_text(answer: Answer) -> DoneLine:
    return DoneLine(encode_line(_line(answer)), str(answer.document.get("position", "")))


async def _parse(lines: list[bytes]) -> list[Command | Document]:
    """The command of each line, or its refusal."""
    items: list[Command | Document] = []
    async for line in in_turns(lines):
        try:
            items.append(command_of(asked_by(line)))
        except Malformed as refusal:
            items.append(malformed_document(refusal))
    return items


def _runs(items: Sequence[Command | Document], mode: Mode) -> int | None:
    """How many of the commands may be run, for another line cannot be read; None: all."""
    unread = next((number for number, item in enumerate(items) if isinstance(item, dict)), None)
    if unread is None or mode is Mode.CONTINUE:
        return None
    return unread if mode is Mode.STOP else 0


async def _render(items: list[Command | Document], answers: Iterator[Answer]) -> bytes:
    """A result for each line: its refusal or the next answer, for there is one for each line that was not refused."""
    pieces: list[bytes] = []
    for first in range(0, len(items), ANSWERS_A_TURN):
        turn = items[first : first + ANSWERS_A_TURN]
        pieces.append(encode_lines([item if isinstance(item, dict) else _line(next(answers)) for item in turn]))
        await asyncio.sleep(0)
    return b"".join(pieces)


def _line(answer: Answer) -> Document:
    return {"status": answer.status} | answer.document
