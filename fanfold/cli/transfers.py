"""The command `transfers`: what is under way between partitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Final, NamedTuple

import typer

from fanfold.answers import Refusal
from fanfold.api.answers.stale import StalePartition
from fanfold.api.answers.under_way import OpenTransfer, OpenTransfers
from fanfold.cli.asking import DEFAULT_URL, NOT_ANSWERED, AsJson, Url, check_url, fail, fail_refused, run, stale
from fanfold.cli.output import laid_out, say
from fanfold.cli.partitions import Unanswered, of_those_that_answer, told
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
    partitions: Annotated[
        str | None, typer.Option(metavar="0,2", help="only of these partitions, some with commas")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
) -> None:
    """List transfers under way, oldest first, and what each waits for.

    They end by themselves: a partition that was away goes on where it stopped. `fanfold explain` tells one in full. Where a
    partition cannot answer, those of the others are told, and the command ends with 2. So it does where a damaged log keeps a
    partition from being told as it is now.

    Examples:

      fanfold transfers --stuck

      fanfold transfers --phase trying,compensating --older-than 5
    """
    age = max(older_than, STUCK_SECONDS) if stuck else older_than
    asked = Asked(tuple(phase.split(",")), age, limit)
    parts, unanswered = run(_open_transfers(check_url(url), asked, _numbers(partitions)))
    if isinstance(parts, Refusal):
        fail_refused(parts)
    found = _oldest([each for part in parts for each in part.transfers], limit)
    old = [each for part in parts for each in part.stale]
    if as_json:
        say(json.dumps([_document(each) for each in found]))
    elif found:
        say(laid_out(sheet_of(found)))
    else:
        where = " in the partitions that answer" if unanswered else ", as far as it is known" if old else ""
        say(f"Nothing is under way{where}." if not age else f"Nothing has been under way for {age} s{where}.")
    if unanswered or old:
        fail("\n".join([*told(unanswered), *map(_old, old)]), NOT_ANSWERED)


class Asked(NamedTuple):
    """Which transfers: in one of the phases, as old as `age` seconds at least, so many at most."""

    phases: tuple[str, ...]
    age: int
    limit: int


async def _open_transfers(
    url: str, asked: Asked, partitions: Sequence[int] | None
) -> tuple[list[OpenTransfers] | Refusal, Unanswered]:
    """What is under way, of all partitions at once or of each that answers; the partitions that did not answer. Raises
    NotAnswered when nobody answers."""
    async with Client(url) as client:

        async def ask(some: Sequence[int] | None) -> OpenTransfers | Refusal:
            return await client.open_transfers(
                phases=asked.phases, older_than_seconds=asked.age, limit=asked.limit, partitions=some
            )

        return await of_those_that_answer(ask, partitions)


def _oldest(found: Sequence[OpenTransfer], limit: int) -> list[OpenTransfer]:
    return sorted(found, key=lambda each: -each.age_ms)[:limit]


def _old(each: StalePartition) -> str:
    return f"partition {each.partition} is {stale(each.stale_since)}"


def _numbers(partitions: str | None) -> list[int] | None:
    if partitions is None:
        return None
    numbers = partitions.split(",")
    if not all(number.isascii() and number.isdigit() and len(number) < 5 for number in numbers):
        fail("--partitions must be numbers with commas, such as 0,2.", NOT_ANSWERED)
    return [int(number) for number in numbers]


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
