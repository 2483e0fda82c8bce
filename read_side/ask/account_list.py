"""Which accounts there are, or were at a moment: by name, asset and owner, page by page, or some ids. HTTP is not known here.

What an account is called, its asset, owner and floor never change, so they are read where it is folded, for the past as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from fanfold.api.malformed import Malformed
from fanfold.api.questions import ACCOUNTS_MAX, ENTRIES_DEFAULT, OfAccounts
from read_side.ask.balances import BalanceReader
from read_side.ask.moment import Cut, Moment, block_hash, check_named, cut, moment_of, row_at
from read_side.ask.stale import stale_partitions, stale_since
from read_side.ask.transfers import Transfers
from read_side.contract.how_far import Wanted
from read_side.contract.no_answer import NotReached
from read_side.contract.rows import AccountRow, Int64s
from read_side.fold.account_order import AccountOrder
from read_side.fold.balances import rows_of
from read_side.follow.projector import Projector
from read_side.history.cursor import bytes_of, text_of
from read_side.history.past import accounts_at
from read_side.history.segment import Segment
from write_side.contract.state.state import State
from write_side.contract.words.atoms import parse_account, partition_of
from write_side.contract.words.position import Position

LOOKED_AT_MAX: Final = 20_000
"""Accounts that one page of one partition looks at, where few are of the asset or owner asked for."""


class _Row(NamedTuple):
    """An account as it was at a position."""

    row: AccountRow
    owner: str
    position: Position


class _Then(NamedTuple):
    """A partition as of a moment, and the hash of its last block of then; "" where it had none."""

    parts: Sequence[Segment]
    cut: Cut
    block_hash: str


class _Listed(NamedTuple):
    """Of one partition: its rows; those of the ids asked for that are not there; behind which name it was not looked, None when
    nothing is left; the block that all of it reflects at least; and which moment it is of, None for now."""

    rows: list[_Row]
    absent: Sequence[str]
    behind: str | None
    sequence: int
    then: _Then | None

    @property
    def final(self) -> bool:
        """Whether nothing can come that belongs to it."""
        return self.then is not None and self.then.cut.final


class AccountList:
    """Of the partitions that this process projects; a list is refused rather than told in part."""

    def __init__(self, projectors: Mapping[int, Projector], balances: BalanceReader, transfers: Transfers) -> None:
        self._projectors = projectors
        self._balances = balances
        self._transfers = transfers
        self._orders: dict[int, AccountOrder] = {}

    async def document(self, asked: OfAccounts, wanted: Wanted, partitions: Collection[int] | None) -> dict[str, Any]:
        """A page of accounts in the order of their names, or those of `ids`. Raises NotReached, Unanswerable, Malformed."""
        after = "" if asked.cursor is None else _name_of(asked.cursor)
        moment = None if asked.as_of is None else moment_of(asked.as_of, self._balances.partitions)
        names = None if asked.ids is None else _by_partition(asked, self._balances.partitions)
        if names is not None:
            partitions = [p for p in sorted(names) if partitions is None or p in partitions]
        chosen = await self._transfers.ready(wanted, partitions)
        if moment is not None:
            check_named(moment, chosen, "which is asked as well")
        found = await asyncio.gather(
            *(self._listed(p, asked, wanted, after, moment, None if names is None else names[p]) for p in chosen)
        )
        self._transfers.all_asked(chosen)
        listed = dict(zip(chosen, found, strict=True))
        # What a partition was not looked at behind this name is not told of the others either.
        limit = min((each.behind for each in found if each.behind is not None), default=None)
        rows = sorted(each for one in found for each in one.rows if limit is None or each.row.account <= limit)
        page = rows if names is not None else rows[: asked.limit or ENTRIES_DEFAULT]
        last = page[-1].row.account if len(page) < len(rows) else limit
        return self._document(page, listed) | ({} if last is None else {"next": text_of(last.encode())})

    def _document(self, page: list[_Row], listed: Mapping[int, _Listed]) -> dict[str, Any]:
        told = {partition: self._told_of(partition, each) for partition, each in listed.items()}
        positions = {p: str(Position(p, each.sequence)) for p, each in listed.items() if each.sequence >= 0}
        document: dict[str, Any] = {
            "accounts": [
                each.row.document(str(each.position))
                | ({"owner": each.owner} if each.owner else {})
                | told[each.position.partition]
                for each in page
            ],
            "positions": ",".join(positions.values()),
        }
        absent = {name: p for p, each in listed.items() for name in each.absent}
        if absent:
            document["absent"] = [
                {"account": name} | ({"position": positions[absent[name]]} if absent[name] in positions else {})
                for name in sorted(absent)
            ]
        if then := [p for p, each in listed.items() if each.then is not None]:
            document["partitions"] = [{"partition": p, "position": positions.get(p)} | told[p] for p in then]
        if stale := stale_partitions(self._balances.here(p) for p, each in listed.items() if not each.final):
            document["stale"] = stale
        return document

    def _told_of(self, partition: int, listed: _Listed) -> dict[str, Any]:
        """What a partition and each account of it say beside what they are: the block of their moment, and since when they are
        old; of what is final nothing is."""
        told: dict[str, Any] = {} if listed.final else stale_since(self._balances.here(partition))
        if listed.then is None:
            return told
        return {"final": listed.final} | ({"block_hash": listed.then.block_hash} if listed.sequence >= 0 else {}) | told

    async def _listed(
        self,
        partition: int,
        asked: OfAccounts,
        wanted: Wanted,
        after: str,
        moment: Moment | None,
        names: Sequence[str] | None,
    ) -> _Listed:
        """Of one partition. That something is not there is said only once everything in the log was looked at: it may be there,
        or in what is damaged of it. Of a moment that is final, nothing can come."""

        def listed() -> _Listed:
            then = None if moment is None else self._then(partition, moment, wanted)
            if names is None:
                return self._by_name(partition, asked, after, then)
            return self._these(partition, names, then)

        try:
            found = await asyncio.to_thread(listed)
            if not found.absent or found.final:
                return found
        except NotReached:
            pass
        await self._balances.caught_up(partition, self._projectors[partition].shown.offset.value)
        return await asyncio.to_thread(listed)

    def _then(self, partition: int, moment: Moment, wanted: Wanted) -> _Then:
        """Raises NotReached, HistoryUnavailable."""
        projector = self._projectors[partition]
        parts = projector.past()
        # A view that another process wrote may be ahead of what is folded here.
        shown = min(projector.shown.sequence.value, parts[0].last if parts else -1)
        if wanted.positions.get(partition, -1) > shown:
            raise NotReached("position_not_reached", str(Position(partition, shown)) if shown >= 0 else None)
        found = cut(moment, partition, parts, shown)
        return _Then(parts, found, block_hash(parts, found.sequence) if found.sequence >= 0 else "")

    def _these(self, partition: int, names: Sequence[str], then: _Then | None) -> _Listed:
        state = self._projectors[partition].fold.state
        numbers = [number for name in names if (number := state.number_of(name)) is not None]
        rows, sequence = _rows(partition, state, np.array(numbers, np.int64), then)
        there = {each.row.account for each in rows}
        return _Listed(rows, [name for name in names if name not in there], None, sequence, then)

    def _by_name(self, partition: int, asked: OfAccounts, after: str, then: _Then | None) -> _Listed:
        state = self._projectors[partition].fold.state
        order = self._orders.get(partition)
        if order is None or order.state is not state:
            order = self._orders[partition] = AccountOrder(state)
        limit = asked.limit or ENTRIES_DEFAULT
        rows: list[_Row] = []
        looked_at, least = 0, state.chained.sequence if then is None else then.cut.sequence
        while len(rows) <= limit and looked_at < LOOKED_AT_MAX:
            numbers = order.numbers(asked.prefix, after, limit + 1)
            if not len(numbers):
                return _Listed(rows, (), None, least, then)
            rows += _rows(partition, state, numbers, then, asked)[0]
            after = state.names[int(numbers[-1])]
            looked_at += len(numbers)
        return _Listed(rows, (), after, least, then)


def _rows(
    partition: int, state: State, numbers: Int64s, then: _Then | None, asked: OfAccounts | None = None
) -> tuple[list[_Row], int]:
    """These accounts, as far as they were there and are of the asset and owner that are asked for; and the block they are of."""
    if then is not None:
        numbers = numbers[numbers < accounts_at(then.parts, then.cut.sequence)]
    with state.lock:
        found = rows_of(state, numbers)
        sequence = state.chained.sequence if then is None else then.cut.sequence
    rows, owners, position = [], state.owners, Position(partition, sequence)
    for row, number in zip(found.each(), numbers.tolist(), strict=True):
        owner = owners[number]
        if asked is not None and (asked.asset not in (None, row.asset) or asked.owner not in (None, owner)):
            continue
        was = row if then is None else row_at(then.parts, row, number, sequence)
        if was is not None:
            rows.append(_Row(was, owner, position))
    return rows, sequence


def _by_partition(asked: OfAccounts, partitions: int) -> dict[int, list[str]]:
    """The ids that are asked for, by where they live. Raises Malformed."""
    names = (asked.ids or "").split(",")
    if asked.prefix or any(each is not None for each in (asked.asset, asked.owner, asked.limit, asked.cursor)):
        raise Malformed(
            "parameter_malformed",
            "ids",
            "takes no prefix, asset, owner, limit or cursor beside it: all of them are told",
        )
    if len(names) > ACCOUNTS_MAX:
        raise Malformed("parameter_malformed", "ids", f"must not be more than {ACCOUNTS_MAX}")
    if len(set(names)) < len(names):
        raise Malformed("parameter_malformed", "ids", "must name each account once")
    found: dict[int, list[str]] = {}
    for name in names:
        found.setdefault(partition_of(name, partitions), []).append(name)
    return found


def _name_of(cursor: str) -> str:
    try:
        return parse_account(bytes_of(cursor).decode())
    except ValueError:  # Malformed too
        raise Malformed("cursor_malformed", "cursor", "must be `next` of the page before") from None
