"""`fanfold verify`: does the log hold together, and is what was made from it what it says?"""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

import typer
from rich.progress import ProgressColumn, TextColumn, TimeElapsedColumn

from deploy.named_log import archive_place, derived_of, open_log_to_read, snapshots_of, view_place
from fanfold.cli.known_failures import UNREADABLE, failures_told
from fanfold.cli.output import NOT_TOLD, laid_out, say
from fanfold.cli.progress import kept, progress_line
from fanfold.cli.sheet import Column, Sheet
from read_side.contract.how_far import check_partitions
from read_side.wiring import PartitionVerdict, Verdict, verify_log
from write_side.contract.log.log import LogDamaged
from write_side.contract.words.position import parse_positions
from write_side.wiring import LogDecidedAgain, PartitionDecidedAgain, decide_log_again

BROKEN: Final = 1
"""Exit code: something does not hold. It says more than that nobody could be told."""


class Against(StrEnum):
    """What is made from the log and can be compared with it."""

    VIEW = "view"
    SNAPSHOT = "snapshot"
    ARCHIVE = "archive"
    LOG_ARCHIVE = "log-archive"


def verify(
    from_snapshot: Annotated[
        bool, typer.Option(help="check from the newest snapshot on; blocks before it are believed and not read")
    ] = False,
    from_position: Annotated[
        str,
        typer.Option(
            "--from", help="check all behind these positions, such as 0:17,1:9, from the newest snapshot before each on"
        ),
    ] = "",
    against: Annotated[
        list[Against] | None,
        typer.Option(
            help="compare this with the log as well: `view`, the balances that readers are told; `snapshot`, what starts begin "
            "at; `archive`, the history that statements are told from; `log-archive`, the copies of the log, all that is left of "
            "what was trimmed"
        ),
    ] = None,
    code_change: Annotated[
        bool,
        typer.Option(
            help="decide every recorded command again with this version of fanfold, at its recorded time, and compare"
        ),
    ] = False,
    view: Annotated[str, typer.Option(help="where the view is, such as redis://host:6379; default FANFOLD_VIEW")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the verdict as one JSON object")] = False,
) -> None:
    """Replay the log and check every block: hash, chain, versions, zero sums, state digest. Changes nothing.

    Ends with 0 when everything holds, with 1 when not (or history is decided otherwise now), with 2 when the log, a partition
    of it or what is compared cannot be read. May run beside the service.

    Examples:

      fanfold verify

      fanfold verify --against archive --against snapshot

      fanfold verify --code-change --from 0:20000 --json | jq .code_change

      FANFOLD_LOG=kafka://localhost:9092 fanfold verify --against view --view redis://localhost:6379 --json
    """
    with failures_told(UNREADABLE):
        if from_position and from_snapshot:
            raise ValueError("say --from or --from-snapshot: the first is for a snapshot of before a position")
        behind = parse_positions(from_position, "--from") if from_position else None
        wishes = _Wishes(against or [], view, from_snapshot or behind is not None, behind, code_change)
        verdict, again = asyncio.run(_verify(wishes, quiet=as_json))
        words = {verdict.word} if again is None else {verdict.word, again.word}
        code = BROKEN if words & {"broken", "different"} else UNREADABLE if "unread" in words else 0
        told = json.dumps(_document(verdict, again)) if as_json else _told(verdict, again, wishes)
    say(told, code=NOT_TOLD if code == 0 else code)
    raise typer.Exit(code)


def progress_figures() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.completed:,.0f} outcomes", table_column=kept()),
        TimeElapsedColumn(table_column=kept()),
    )


class _Wishes(NamedTuple):
    """What is to be verified."""

    against: list[Against]
    view: str
    from_snapshot: bool
    behind: dict[int, int] | None
    code_change: bool


async def _verify(wishes: _Wishes, *, quiet: bool) -> tuple[Verdict, LogDecidedAgain | None]:
    async with AsyncExitStack() as stack:
        try:
            log = await open_log_to_read()
        except LogDamaged as damage:
            return Verdict([], str(damage)), None
        stack.push_async_callback(log.close)
        check_partitions(wishes.behind or {}, log.partitions, "--from")
        derived = await derived_of(
            log,
            stack,
            archive=Against.ARCHIVE in wishes.against,
            snapshots=Against.SNAPSHOT in wishes.against,
            view=Against.VIEW in wishes.against,
            view_address=wishes.view,
            log_archive=Against.LOG_ARCHIVE in wishes.against,
        )
        progress = stack.enter_context(progress_line("verifying", *progress_figures(), quiet=quiet))
        advance = partial(progress.advance, progress.add_task("verify", total=None))
        snapshots = snapshots_of(log)
        verdict = await verify_log(
            log, advance, snapshots, begin=wishes.from_snapshot, behind=wishes.behind, against=derived
        )
        if not wishes.code_change:
            return verdict, None
        # Of a log that does not hold nobody knows what was decided.
        good = [found.partition for found in verdict.partitions if found.problem is None]
        begun = snapshots if wishes.from_snapshot else None
        return verdict, await decide_log_again(log, good, advance, begun, wishes.behind)


def _document(verdict: Verdict, again: LogDecidedAgain | None) -> dict[str, Any]:
    return verdict.document() | ({} if again is None else {"code_change": again.document()})


def _told(verdict: Verdict, again: LogDecidedAgain | None, wishes: _Wishes) -> str:
    lines = [laid_out(sheet_of(verdict))] if verdict.partitions else []
    lines += verdict.problems
    for found in verdict.partitions:
        lines += _begun(found) if wishes.from_snapshot else []
        lines += _of_archive(found, archive_place())
        lines += _of_log_archive(found)
        lines += _of_view(found, wishes.view)
        lines += _of_snapshots(found)
    read = "every block that was read" if any(found.begun_after for found in verdict.partitions) else "every block"
    for each in again.partitions if again is not None else ():
        lines += _of_code(each)
    lines.append(_LAST_LINES[verdict.word].format(read=read))
    if again is not None and again.word != "same":
        lines.append(_CODE_LINES[again.word])
    return "\n".join(lines)


def _begun(found: PartitionVerdict) -> list[str]:
    if found.begun_after is None:
        return [f"partition {found.partition} has no snapshot that could be begun at: every block was read"]
    return [
        f"partition {found.partition} was begun at the snapshot of {found.begun_after}: blocks up to it were not read"
    ]


def _of_archive(found: PartitionVerdict, place: str) -> list[str]:
    p, last = found.partition, found.archived
    if last is None or found.problem is not None:
        return []
    if last < 0:
        return [f"partition {p}: no history is sealed in {place}, so none was compared"]
    return [f"partition {p}: the history in {place} says the same, up to block {p}:{last}"]


def _of_log_archive(found: PartitionVerdict) -> list[str]:
    p, last = found.partition, found.log_archived
    if last is None:
        return []
    if last < 0:
        return [f"partition {p}: nothing of the log is archived yet, so nothing was compared"]
    return [f"partition {p}: the archive of the log says the same, up to offset {last}"]


def _of_view(found: PartitionVerdict, address: str) -> list[str]:
    if found.view is None:
        return []
    lines = [
        f"  {each.account}: version {_told_as(each.view_version)} in the view, {_told_as(each.log_version)} by the log; "
        f"{each.column} {_told_as(each.view)}, by the log {_told_as(each.log)}"
        for each in found.view.differences[:SHOWN_MAX]
    ]
    if found.view.different > len(lines):
        lines.append(
            f"  and {found.view.different - len(lines):,} more; --json tells {len(found.view.differences)} of all"
        )
    if found.view.problem is None:
        lines.append(
            f"partition {found.partition}: the view {view_place(address)} says the same in {found.view.rows:,} rows, at "
            f"{found.view.position}"
        )
    return lines


def _of_snapshots(found: PartitionVerdict) -> list[str]:
    if found.snapshots is None:
        return []
    same = found.snapshots.compared
    if not same:
        return (
            []
            if found.snapshots.problem
            else [f"partition {found.partition}: there is no snapshot, so none was compared"]
        )
    return [f"partition {found.partition}: {name} is what the log says" for name in same]


def _of_code(again: PartitionDecidedAgain) -> list[str]:
    p, same = again.partition, f"{again.outcomes:,} outcomes decided again, as the log has them"
    lines = [f"partition {p}: {same}"]
    if again.begun_after is not None:
        lines[0] += f", behind the snapshot of {again.begun_after}"
    lines += [f"  not decided again: {count:,} ({why})" for why, count in again.untold.items()]
    if again.problem is not None:
        lines.append(f"partition {p}: {again.problem}")
    return lines


def _told_as(value: object) -> str:
    return "not there" if value is None else str(value)


SHOWN_MAX: Final = 20
"""Accounts below the table; `--json` tells more."""
_LAST_LINES: Final = {
    "good": "good: {read} follows from the ones before it",
    "broken": "BROKEN: see above",
    "unread": "NOT ALL READ: see above; what was read is good",
}
_CODE_LINES: Final = {
    "different": "CHANGED: this version decides history otherwise, see above",
    "unread": "NOT ALL DECIDED AGAIN: see above; what was is the same",
}
FIGURES: Final = ("blocks", "outcomes", "entries", "accounts", "skipped")


def sheet_of(verdict: Verdict) -> Sheet:
    columns = (
        Column("partition", right=True),
        Column("position"),
        *(Column(name, right=True) for name in FIGURES),
        Column("digest"),
        Column("verdict"),
    )
    rows = [
        (
            str(found.partition),
            found.position or "-",
            *(f"{getattr(found, name):,}" for name in FIGURES),
            found.digest,
            "good" if found.problem is None else "unread" if found.unread else "BROKEN",
        )
        for found in verdict.partitions
    ]
    return Sheet(columns, rows)
