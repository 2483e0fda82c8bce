"""The command `transfers`: what is under way between partitions."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Final

import typer

from fanfold.answers import Refusal
from fanfold.api.answers import OpenTransfer
from fanfold.cli.asking import DEFAULT_URL, AsJson, Url, check_url, fail_refused, run
from fanfold.cli.saying import laid_out, say
from fanfold.cli.sheet import Column, Sheet
from fanfold.client import Client

STUCK_SECONDS: Final = 60
"""A transfer takes milliseconds, and a try of tcc is given up after ten seconds: what is still open after a minute waits for a
partition that is down, or for room under a limit."""


def transfers(
    phase: Annotated[
        str, typer.Option(help="some phases with commas, such as trying,compensating; open: all")
    ] = "open",
    older_than: Annotated[int, typer.Option(min=0, help="only those that began so many seconds ago")] = 0,
    stuck: Annotated[bool, typer.Option("--stuck", help=f"only those older than {STUCK_SECONDS} s")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="the oldest so many")] = 100,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List transfers under way, oldest first, and what each waits for.

    They end by themselves: a partition that was away goes on where it stopped. `fanfold explain` tells one in full.

    Examples:

      fanfold transfers --stuck

      fanfold transfers --phase trying,compensating --older-than 5
    """
    age = max(older_than, STUCK_SECONDS) if stuck else older_than
    found = run(_open_transfers(check_url(url), phase, age, limit))
    if isinstance(found, Refusal):
        fail_refused(found)
    if as_json:
        say(json.dumps([_document(each) for each in found]))
    elif not found:
        say("Nothing is under way." if not age else f"Nothing has been under way for {age} s.")
    else:
        say(laid_out(sheet_of(found)))


async def _open_transfers(url: str, phase: str, age: int, limit: int) -> list[OpenTransfer] | Refusal:
    async with Client(url) as client:
        return await client.open_transfers(phases=phase.split(","), older_than_seconds=age, limit=limit)


COLUMNS: Final = (
    Column("transfer"),
    Column("protocol"),
    Column("phase"),
    Column("begun"),
    Column("age", right=True),
    Column("waits for", folds=True),
)


def sheet_of(found: list[OpenTransfer]) -> Sheet:
    rows = []
    for each in found:
        waits = ", ".join(f"{w.action} of step {w.step} in partition {w.partition}" for w in each.waiting_for)
        rows.append((each.id, each.protocol, each.phase, each.begun, _age(each.age_ms), waits or "-"))
    return Sheet(COLUMNS, rows)


def _age(age_ms: int) -> str:
    seconds = age_ms // 1000
    if seconds < 120:
        return f"{age_ms / 1000:.1f} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"


def _document(each: OpenTransfer) -> dict[str, object]:
    return asdict(each)
