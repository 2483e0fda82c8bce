"""`fanfold log clock`: is a log's time ahead of the clock, and what is to be done then?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from rich.progress import MofNCompleteColumn

from deploy.named_log import log_is_in_kafka, log_times_of_environment
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from write_side.contract.state.ids import WINDOW_US
from write_side.contract.words.times import format_time
from write_side.wiring import LogTime, PartitionTime

AHEAD: Final = 1
"""Exit code: the log's time is ahead of the clock. It says more than that a partition could not be read."""

COLUMNS: Final = (
    Column("partition", right=True),
    Column("position"),
    Column("last block at"),
    Column("that is", right=True),
    Column("a writer", folds=True),
)
_SAYS: Final = {
    LogTime.FINE: "takes it",
    LogTime.ACCEPTED: "goes on at the log's time",
    LogTime.REFUSED: "REFUSES it",
    None: "unread",
}
_UNITS: Final = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def clock(
    as_json: Annotated[bool, typer.Option("--json", help="print what was found as one JSON object")] = False,
) -> None:
    """Tell whether the log's time is ahead of this machine's clock, and how to go on then. Changes nothing.

    A block that a wrong clock has stamped stays in the log, and time in a log never falls. A writer does not start on a log that
    is ahead of its clock, since a clock that is behind would be as dangerous; this finds what it would find, in the same way.

    Ends with 0 when no partition is ahead, with 1 when one is (also where FANFOLD_ACCEPT_LOG_TIME says to go on), with 2 when the
    log or a partition of it cannot be read. May run beside the service.

    Examples:

      fanfold log clock

      FANFOLD_LOG=kafka://localhost:9092 fanfold log clock --json
    """
    with failures_told(UNREADABLE):
        with progress_line("reading", MofNCompleteColumn(table_column=kept()), quiet=as_json) as progress:
            task = progress.add_task("reading", total=None)
            found = asyncio.run(
                log_times_of_environment(lambda done, of: progress.update(task, completed=done, total=of))
            )
        start = "fanfold write-side" if log_is_in_kafka() else "fanfold up"
    newest = newest_ahead(found)
    code = AHEAD if newest is not None else UNREADABLE if any(each.problem for each in found) else 0
    told = json.dumps(document_of(found, start)) if as_json else told_of(found, start)
    say(told, code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def newest_ahead(found: Sequence[PartitionTime]) -> PartitionTime | None:
    """Of the partitions that are ahead the one with the latest block: a setting that takes it takes all."""
    ahead = [each for each in found if each.verdict in (LogTime.ACCEPTED, LogTime.REFUSED)]
    return max(ahead, key=lambda each: each.last_us or 0, default=None)


def document_of(found: Sequence[PartitionTime], start: str) -> dict[str, Any]:
    newest = newest_ahead(found)
    unread = any(each.problem for each in found)
    return {
        "verdict": "unread" if newest is None and unread else str(_worst(found)),
        "clock": format_time(time.time_ns() // 1000),
        "command": None if newest is None else command_of(newest, start),
        "until": None if newest is None else _last_at(newest),
        "partitions": [each.document() for each in found],
    }


def told_of(found: Sequence[PartitionTime], start: str) -> str:
    lines = [f"this machine's clock: {format_time(time.time_ns() // 1000)}", laid_out(Sheet(COLUMNS, _rows(found)))]
    lines += [f"partition {each.partition}: {each.problem}" for each in found if each.problem]
    newest = newest_ahead(found)
    if newest is None:
        unread = any(each.problem for each in found)
        return "\n".join([*lines, _UNREAD if unread else "good: no partition is ahead of this machine's clock"])
    ahead = in_words(newest.ahead_us or 0)
    lines += ["", f"AHEAD by {ahead} at {newest.position}: {_MEANS}", ""]
    if _worst(found) is LogTime.REFUSED:
        read = " that could be read" if any(each.problem for each in found) else ""
        lines += [f"{_CHOICE}\n\n  {command_of(newest, start)}\n", _SERVES_ALL.format(read=read)]
    else:
        lines += ["A writer goes on at the log's time, for FANFOLD_ACCEPT_LOG_TIME says so."]
    lines += [_UNTIL.format(until=_last_at(newest), ahead=ahead)]
    if (newest.ahead_us or 0) > WINDOW_US:
        lines += [_IDS.format(until=format_time((newest.last_us or 0) - WINDOW_US))]
    return "\n".join(lines)


def command_of(newest: PartitionTime, start: str) -> str:
    return f"FANFOLD_ACCEPT_LOG_TIME={_last_at(newest)} {start}"


def in_words(us: int) -> str:
    """A time span by its two largest units that are not zero: `365 days 2 hours`."""
    left, said = abs(us) // 1_000_000, []
    for name, seconds in _UNITS:
        count, left = divmod(left, seconds)
        if count:
            said.append(f"{count:,} {name}{'s' * (count != 1)}")
    return " ".join(said[:2]) or "less than a second"


def _rows(found: Sequence[PartitionTime]) -> list[tuple[str, ...]]:
    return [
        (str(each.partition), each.position or "-", _last_at(each), _difference(each), _SAYS[each.verdict])
        for each in found
    ]


def _difference(found: PartitionTime) -> str:
    if found.ahead_us is None:
        return "no block yet" if found.problem is None else "-"
    return f"{in_words(found.ahead_us)} {'ahead' if found.ahead_us > 0 else 'ago'}"


def _last_at(found: PartitionTime) -> str:
    return "-" if found.last_us is None else format_time(found.last_us)


def _worst(found: Sequence[PartitionTime]) -> LogTime:
    verdicts = {each.verdict for each in found}
    return next(each for each in (LogTime.REFUSED, LogTime.ACCEPTED, LogTime.FINE) if each in verdicts)


_UNREAD: Final = "NOT ALL READ: see above; no partition that was read is ahead of this machine's clock"
_MEANS: Final = """when that block was written a clock was ahead, or this machine's clock is behind now.
No money is affected and nothing is lost: what the log has stays, and every balance is right."""
_CHOICE: Final = """If this machine's clock is wrong, set it right and start again: nothing else is to be done.
If it is right, go on at the log's time, with your other settings as they are:"""
_SERVES_ALL: Final = "That is the time of the newest block of all partitions{read}, so it serves each of them."
_UNTIL: Final = """Every start needs it until {until}, when the clock has caught up; take it away then.
Until then the log's time all but stands still. New blocks, answers and statements tell it, {ahead} ahead;
balances are as ever, and those as of a time of now are from before the blocks that are ahead. A deadline
before the log's time has passed at once; one behind it ends its hold when the clock gets there."""
_IDS: Final = """Ids that carry a time of now (UUIDv7, as the client and these commands make them) are refused as id_expired
until {until}: give an Idempotency-Key or an id without a time (UUIDv4: --id $(uuidgen -r))."""
