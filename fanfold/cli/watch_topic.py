"""`watch --topic`: what the question of a projection is answered with, as it changes."""

from __future__ import annotations

import json
from contextlib import aclosing

from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.answers import ConnectionState, TopicAnswer
from fanfold.api.problems import PROBLEMS
from fanfold.cli.asking import ConnectionTold
from fanfold.cli.output import say_next
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client


async def print_topic(url: str, topic: str) -> None:
    """A line of JSON for every answer; what becomes of the connection on standard error."""
    connection = ConnectionTold()
    async with Client(url) as client, aclosing(client.watch_topic(topic)) as updates:
        async for update in updates:
            if isinstance(update, TopicAnswer):
                say_next(json.dumps(update._asdict()))
            else:
                connection.tell(update)


async def draw_topic(url: str, topic: str) -> None:
    answer: TopicAnswer | None = None
    state = ConnectionState(False, "connecting")
    console = Console(highlight=False)

    def drawn() -> Text:
        return Text("\n".join(drawing(answer, state, console.width, console.height)), no_wrap=False)

    with Live(console=console, get_renderable=drawn, refresh_per_second=10):
        async with Client(url) as client, aclosing(client.watch_topic(topic)) as updates:
            async for update in updates:
                if isinstance(update, TopicAnswer):
                    answer = update
                else:
                    state = update


def drawing(answer: TopicAnswer | None, state: ConnectionState, width: int, height: int) -> list[str]:
    """The rows as lines, as many as there is room for, and under them how far they are."""
    last = f"live: {state.reason}" if state.live else f"NOT live: {state.reason}"
    if answer is None:
        return [last]
    told = [f"up to {answer.positions}" if answer.positions else "of an empty log", last]
    if answer.rows is None:
        title = PROBLEMS[answer.code].title if answer.code in PROBLEMS else "It is not told"
        return [f"{title} ({answer.code})", *told]
    if not answer.rows:
        return ["no rows", *told]
    columns = tuple(Column(name, right=_is_number(value)) for name, value in answer.rows[0].items())
    rows = [tuple("-" if value is None else str(value) for value in row.values()) for row in answer.rows]
    lines = Sheet(columns, rows).lines(width)
    left = len(lines) - max(1, height - 4)
    more = [f"and {left} more lines: make the window taller, or use --json"] if left > 0 else []
    return [*(lines[:-left] if left > 0 else lines), *more, *told]


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, str) and value.removeprefix("-").isdecimal())
