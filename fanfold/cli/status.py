"""The command `status`: how far each partition is, and how far readers are behind the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from fanfold.answers import Refusal
from fanfold.api.answers.positions import PartitionNow, PartitionProgress, PositionsNow
from fanfold.api.values import told_of
from fanfold.cli.asking import DEFAULT_URL, NOT_ANSWERED, Url, ask, check_url, fail_refused, run
from fanfold.cli.output import complain, is_terminal, laid_out, say, say_next
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client, NotAnswered

REFRESH_S: Final = 1.0
"""The service looks at the end of the log no more often than that."""
WELL: Final = "well"
EXACT_MS: Final = 10_000
"""From here on an age is told in seconds."""

COLUMNS: Final = (
    Column("partition", right=True),
    Column("position"),
    *(Column(name, right=True) for name in ("unread", "unfolded", "unstored", "unpushed", "oldest")),
    Column("state", folds=True),
)


def status(
    watch: Annotated[bool, typer.Option("--watch", help="go on, each second, until Ctrl-C")] = False,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object; with --watch one a line")] = False,
) -> None:
    """Show how far each partition is behind its log. Ends with 2 when one of them does not get on.

    A line is a partition: what readers see of it, and what waits before each step on the way to them. The log has unread records
    (bytes, of a file log); blocks that are read wait to be folded, then to be stored in the view, then to be pushed to gateways.
    The oldest is the age of the oldest block that readers do not see. Where nothing happens all of it is 0. A partition whose
    log is damaged is stale: it is served as of the last block that could be read.

    Examples:

      fanfold status

      fanfold status --watch
    """
    if watch:
        address = check_url(url)
        run(_draw(address) if is_terminal() and not as_json else _print(address, as_json))
        return
    now = ask(url, lambda client: client.positions())
    if isinstance(now, Refusal):
        fail_refused(now)
    say(json.dumps(document_of(now)) if as_json else _told(now))
    if not is_well(now):
        raise typer.Exit(NOT_ANSWERED)


def is_well(now: PositionsNow) -> bool:
    """Whether every partition gets on, or has nothing to do."""
    return all(each.reason is None for each in now.partitions)


def sheet_of(partitions: Sequence[PartitionNow]) -> Sheet:
    return Sheet(COLUMNS, [_cells(each) for each in partitions])


def document_of(now: PositionsNow) -> dict[str, Any]:
    """As the service told it."""
    return {"partitions": [told_of(each) for each in now.partitions], "elsewhere": list(now.elsewhere)}


def drawing(now: PositionsNow | None, trouble: str | None, width: int, height: int) -> list[str]:
    """The table as lines, and under it what is not in it. Partitions for which there is no room are counted, never cut.

    now: the last answer, None before there is one. trouble: why there is no newer one.
    """
    notes = [] if trouble is None else [f"NOT live: {trouble}"]
    if now is None:
        return notes or ["asking"]
    notes = [*_elsewhere(now), *notes]
    # Who has room for some only wants to see those that do not get on.
    first = sorted(now.partitions, key=lambda each: each.reason is None)
    for shown in range(len(first), 0, -1):
        left = first[shown:]
        held = sum(each.reason is not None for each in left)
        more = [f"and {len(left)} more partitions, {held} of them not well: make the window taller"] if left else []
        table = sheet_of(sorted(first[:shown], key=lambda each: each.partition)).lines(width)
        lines = [*table, *more, *notes]
        if sum(max(1, -(-len(line) // width)) for line in lines) < height or shown == 1:
            return lines
    return notes or ["no partition is projected here"]


def _told(now: PositionsNow) -> str:
    return "\n".join([laid_out(sheet_of(now.partitions)), *_elsewhere(now)])


def _elsewhere(now: PositionsNow) -> list[str]:
    if not now.elsewhere:
        return []
    return [f"projected by other processes: {', '.join(map(str, now.elsewhere))}"]


def _cells(now: PartitionNow) -> tuple[str, ...]:
    unread = "unknown" if now.unread is None else f"{now.unread} {now.unit}"
    steps = (now.unfolded, now.unstored, now.unpushed)
    oldest = "unknown" if now.oldest_unapplied_ms is None else _age(now.oldest_unapplied_ms)
    return (str(now.partition), now.position or "-", unread, *map(str, steps), oldest, _state(now))


def _state(now: PartitionNow) -> str:
    state = now.reason or WELL if now.stale_since is None else f"stale since {now.stale_since}: {now.reason}"
    return state if now.progress is None else f"{state} ({_how_far(now.progress)})"


def _how_far(progress: PartitionProgress) -> str:
    of = "" if progress.total is None else f" of about {progress.total}"
    left = "" if progress.seconds_left is None else f", about {progress.seconds_left:.0f} s left"
    return f"{progress.what}: {progress.done}{of} {progress.unit}{left}"


def _age(ms: int) -> str:
    return f"{ms} ms" if ms < EXACT_MS else f"{ms // 1000} s"


async def _newest(client: Client) -> PositionsNow | str:
    """Or why there is none."""
    try:
        now = await client.positions()
    except NotAnswered as failure:
        return f"no answer. {failure}"
    return f"{now.title} ({now.code})" if isinstance(now, Refusal) else now


async def _print(url: str, as_json: bool) -> None:
    if not as_json:
        say_next("\t".join(column.name for column in COLUMNS))
    async with Client(url) as client:
        while True:
            now = await _newest(client)
            if isinstance(now, str):
                complain(now)
            elif as_json:
                say_next(json.dumps(document_of(now)))
            elif now.partitions:
                say_next("\n".join(sheet_of(now.partitions).lines(None)[1:]))
            await asyncio.sleep(REFRESH_S)


async def _draw(url: str) -> None:
    now: PositionsNow | None = None
    trouble: str | None = None
    console = Console(highlight=False)

    def drawn() -> Text:
        return Text("\n".join(drawing(now, trouble, console.width, console.height)), no_wrap=False)

    with Live(console=console, get_renderable=drawn, auto_refresh=False) as live:
        async with Client(url) as client:
            while True:
                newest = await _newest(client)
                now, trouble = (now, newest) if isinstance(newest, str) else (newest, None)
                live.refresh()
                await asyncio.sleep(REFRESH_S)
