"""What may be asked of the past of an account: its statement, and the account as of a moment. HTTP is not known here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fanfold.api.questions import OfEntries
from read_side.ask.balances import BalanceReader, Found
from read_side.ask.moment import Cut, Moment, block_hash, check_named, cut, moment_of, row_at, row_of, time_of
from read_side.contract.how_far import Wanted
from read_side.contract.no_answer import Elsewhere, NotFound, NotReached, Unanswerable
from read_side.contract.rows import AccountRow
from read_side.follow.projector import Projector
from read_side.history import past
from read_side.history.counterparties import Across
from read_side.history.cursor import cursor_of, version_of
from read_side.history.segment import FLAGS_AS_BEFORE, Segment
from read_side.history.statement import Line, Page, page_of
from write_side.contract.state.state import State
from write_side.contract.words.atoms import available, format_transfer_id, partition_of
from write_side.contract.words.codes import Kind, flag_words
from write_side.contract.words.position import Position
from write_side.contract.words.times import format_time


class _Known(NamedTuple):
    """An account whose past can be asked. row: as it is shown; sequence: the block that answers reflect."""

    partition: int
    number: int
    row: AccountRow
    sequence: int
    state: State
    parts: list[Segment]

    @property
    def position(self) -> str:
        return str(Position(self.partition, self.sequence))


class Past:
    """The past of accounts of the partitions that this process projects."""

    def __init__(self, projectors: Mapping[int, Projector], balances: BalanceReader) -> None:
        self._projectors = projectors
        self._balances = balances

    async def entries(self, account: str, asked: OfEntries, wanted: Wanted) -> dict[str, Any]:
        """A page of the account's statement, as a document. Raises NotFound, NotReached, Unanswerable, Malformed."""
        since_us = None if asked.since is None else time_of(asked.since, "since")
        before_us = None if asked.before is None else time_of(asked.before, "before")
        question = "|".join(
            map(str, (account, asked.order, asked.since, asked.before, asked.direction, asked.transfer))
        )
        behind = None if asked.cursor is None else version_of(asked.cursor, question)
        known = await self._known(account, wanted)
        across = Across(known.partition, self._parts_of)
        return await asyncio.to_thread(_page, known, asked, since_us, before_us, behind, question, across)

    async def as_of(self, account: str, text: str, wanted: Wanted) -> dict[str, Any]:
        """The account as it was at a version, a position or a time, as a document. Raises NotFound, NotReached, Unanswerable,
        Malformed."""
        moment = int(text) if text.isdigit() else moment_of(text, self._balances.partitions)
        known = await self._known(account, wanted)
        if isinstance(moment, Moment):
            check_named(moment, (known.partition,), "where the account is")
        try:
            return await asyncio.to_thread(_as_of, known, moment)
        except NotReached:
            # It may be in the log, or in what is damaged of it: nothing is said not to be before everything there was looked at.
            shown = self._projectors[known.partition].shown
            await self._balances.caught_up(known.partition, shown.offset.value)
        return await asyncio.to_thread(_as_of, await self._known(account, wanted), moment)

    async def system(
        self, asset: str, text: str, wanted: Wanted, partitions: Sequence[int] | None
    ) -> list[tuple[Found, dict[str, Any]]]:
        """The system accounts of an asset as they were at a time or at positions, and what is told besides of each partition.

        Of a partition that had no block by then there are no rows. Raises NotFound, NotReached, Unanswerable, Malformed.
        """
        moment = moment_of(text, self._balances.partitions)
        now = await self._balances.system(asset, wanted, partitions)
        check_named(moment, (each.partition for each in now), "which is asked as well")
        return [await asyncio.to_thread(_system_as_of, each, *self._history_of(each.partition), moment) for each in now]

    def _history_of(self, partition: int) -> tuple[Projector, list[Segment]]:
        """Raises Unanswerable."""
        projector = self._projectors.get(partition)
        if projector is None or isinstance(projector.refusal(), Elsewhere):
            raise Elsewhere(partition)
        return projector, projector.past()

    def _parts_of(self, partition: int) -> Sequence[Segment]:
        """The history of another partition, for names that only its log has; empty where it cannot be asked here."""
        try:
            return self._history_of(partition)[1]
        except Unanswerable:
            return ()

    async def _known(self, account: str, wanted: Wanted) -> _Known:
        partition = partition_of(account, self._balances.partitions)
        row, position = await self._balances.account(account, wanted)
        projector, parts = self._history_of(partition)
        number = projector.fold.state.number_of(account)
        # A view that another process wrote may be ahead of what is folded here.
        sequence = min(int(position.partition(":")[2]), parts[0].last if parts else -1)
        if number is None or wanted.positions.get(partition, -1) > sequence:
            raise NotReached("position_not_reached", str(Position(partition, sequence)))
        return _Known(partition, number, row, sequence, projector.fold.state, parts)


def _page(
    known: _Known,
    asked: OfEntries,
    since_us: int | None,
    before_us: int | None,
    behind: int | None,
    question: str,
    across: Across,
) -> dict[str, Any]:
    newest = asked.order == "newest"
    versions = _versions(known, since_us, before_us)
    if behind is not None and newest:
        versions = range(versions.start, min(versions.stop, behind))
    elif behind is not None:
        versions = range(max(versions.start, behind + 1), versions.stop)
    if asked.transfer is not None:
        lines, rest = _of_transfer(known, asked.transfer, versions, asked.limit, newest, asked.direction)
    else:
        lines, rest = page_of(
            known.parts, known.number, versions, asked.limit, newest_first=newest, direction=asked.direction
        )
    document: dict[str, Any] = {
        "account": known.row.account,
        "asset": known.row.asset,
        "entries": [_document(known, line, across) for line in lines],
        "position": known.position,
    }
    return document if rest is None else document | {"next": cursor_of(rest, question)}


def _versions(known: _Known, since_us: int | None, before_us: int | None) -> range:
    """The versions of the account from 1 on whose blocks are of these times."""
    last = past.last_version(known.parts, known.number, known.sequence) or 0
    first = 1
    if before_us is not None:
        block = min(past.last_block(known.parts, before_us - 1), known.sequence)
        last = past.last_version(known.parts, known.number, block) or 0
    if since_us is not None:
        block = past.last_block(known.parts, since_us - 1)
        first = 1 + (past.last_version(known.parts, known.number, block) or 0)
    return range(first, last + 1)


def _of_transfer(
    known: _Known, transfer: str, versions: range, limit: int, newest: bool, direction: str | None
) -> Page:
    """The account's entries of one command; of a transfer across partitions they may be in several blocks."""
    id16 = bytes.fromhex(transfer.replace("-", ""))
    lines = []
    for place in (each.place for each in past.outcomes_of(known.parts, id16)):
        before = past.last_version(known.parts, known.number, place.sequence - 1) or 0
        after = past.last_version(known.parts, known.number, place.sequence) or 0
        within = range(max(versions.start, before + 1), min(versions.stop, after + 1))
        page = page_of(known.parts, known.number, within, len(within), newest_first=False, direction=direction)
        lines += [line for line in page.lines if line.id16 == id16]
    unique = {line.version: line for line in lines}
    found = [unique[version] for version in sorted(unique, reverse=newest)]
    told = found[:limit]
    return Page(told, told[-1].version if len(told) < len(found) else None)


def _document(known: _Known, line: Line, across: Across) -> dict[str, Any]:
    segment, number = line.segment, line.number
    others = [each for each in across.accounts(segment, number) if each != known.row.account]
    if not others:
        others = [known.state.row_name(each) for each in segment.accounts_of(number) if each != known.number]
    spendable = available(line.posted, line.held, known.row.floor)
    document: dict[str, Any] = {
        "version": line.version,
        "at": format_time(line.at_us),
        "position": str(Position(known.partition, line.sequence)),
        "transfer": format_transfer_id(line.id16),
        "kind": Kind(int(segment.kind[number])).name.lower(),
        "amount": str(line.amount),
        "posted": str(line.posted),
        "held": str(line.held),
        "available": None if spendable is None else str(spendable),
        "accounts": others,
    }
    document |= {"held_change": str(line.held_change)} if line.held_change else {}
    document |= {"flags": flag_words(line.flags)} if line.flags != FLAGS_AS_BEFORE else {}
    reference, metadata = segment.note_of(number)
    document |= {"reference": reference} if reference else {}
    return document | ({"metadata": json.loads(metadata)} if metadata else {})


def _as_of(known: _Known, moment: int | Moment) -> dict[str, Any]:
    """moment: a version, or what else names it."""
    row: AccountRow | None
    if isinstance(moment, int):
        was = past.state_at(known.parts, known.number, moment)
        if was is None or was.sequence > known.sequence:
            raise NotReached("version_unknown", known.position, known.row.version)
        row, (sequence, final) = row_of(known.row, was), Cut(was.sequence, True)
    else:
        sequence, final = cut(moment, known.partition, known.parts, known.sequence)
        row = row_at(known.parts, known.row, known.number, sequence)
        if row is None:
            raise NotFound(str(Position(known.partition, sequence)) if sequence >= 0 else None)
    document = row.document(str(Position(known.partition, sequence)))
    return document | {"block_hash": block_hash(known.parts, sequence), "final": final}


def _system_as_of(
    now: Found, projector: Projector, parts: list[Segment], moment: Moment
) -> tuple[Found, dict[str, Any]]:
    shown = min(now.checkpoint.sequence, parts[0].last if parts else -1)
    sequence, final = cut(moment, now.partition, parts, shown)
    checkpoint = now.checkpoint._replace(sequence=sequence)
    if sequence < 0:
        return now._replace(checkpoint=checkpoint, rows=[None, None]), {"final": final}
    numbers = [None if row is None else projector.fold.state.number_of(row.account) for row in now.rows]
    rows = [
        None if row is None or number is None else row_at(parts, row, number, sequence)
        for row, number in zip(now.rows, numbers, strict=True)
    ]
    told = {"block_hash": block_hash(parts, sequence), "final": final}
    return now._replace(checkpoint=checkpoint, rows=rows), told
