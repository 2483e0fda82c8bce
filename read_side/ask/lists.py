"""Lists: accounts by name, the holds open on an account, what has a reference. HTTP is not known here."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from fanfold.api.malformed import Malformed
from fanfold.api.questions import OfAccounts
from read_side.ask.balances import BalanceReader
from read_side.ask.stale import stale_since
from read_side.ask.transfers import Transfers
from read_side.contract.how_far import Wanted
from read_side.contract.rows import AccountRow
from read_side.fold.account_order import AccountOrder
from read_side.fold.balances import rows_of
from read_side.fold.phase_table import OpenHold, holds_on
from read_side.follow.projector import Projector
from read_side.history import past
from read_side.history.cursor import bytes_of, text_of
from read_side.tell.transfer_documents import hold_document
from write_side.contract.state.state import Place, State
from write_side.contract.words.atoms import format_transfer_id, parse_account, partition_of
from write_side.contract.words.codes import Code, word_of
from write_side.contract.words.position import Position, format_positions
from write_side.contract.words.times import format_time

LOOKED_AT_MAX: Final = 20_000
"""Accounts that one page of one partition looks at, where few are of the asset or owner asked for."""


class _Row(NamedTuple):
    """An account as it was at a position."""

    row: AccountRow
    owner: str
    position: Position


class _Listed(NamedTuple):
    """Of one partition: its rows, and behind which name it was not looked; None when nothing is left. sequence: the block that
    all of it reflects at least."""

    rows: list[_Row]
    behind: str | None
    sequence: int


class _Referred(NamedTuple):
    """Of one partition: outcomes with the time and the place of each, which are all different; and the last block looked at."""

    outcomes: list[tuple[int, tuple[int, Place], dict[str, Any]]]
    sequence: int


class Lists:
    """Of the partitions that this process projects; a list is refused rather than told in part."""

    def __init__(self, projectors: Mapping[int, Projector], balances: BalanceReader, transfers: Transfers) -> None:
        self._projectors = projectors
        self._balances = balances
        self._transfers = transfers
        self._orders: dict[int, AccountOrder] = {}

    async def accounts(self, asked: OfAccounts, wanted: Wanted, partitions: Collection[int] | None) -> dict[str, Any]:
        """A page of accounts in the order of their names. Raises NotReached, Unanswerable, Malformed."""
        after = "" if asked.cursor is None else _name_of(asked.cursor)
        chosen = await self._transfers.ready(wanted, partitions)
        found = await asyncio.gather(*(asyncio.to_thread(self._of_partition, p, asked, after) for p in chosen))
        self._transfers.all_asked(chosen)
        # What a partition was not looked at behind this name is not told of the others either.
        limit = min((each.behind for each in found if each.behind is not None), default=None)
        rows = sorted(each for listed in found for each in listed.rows if limit is None or each.row.account <= limit)
        page = rows[: asked.limit]
        last = page[-1].row.account if len(page) < len(rows) else limit
        positions = {p: listed.sequence for p, listed in zip(chosen, found, strict=True) if listed.sequence >= 0}
        document: dict[str, Any] = {
            "accounts": [self._document(each) for each in page],
            "positions": format_positions(positions),
        }
        return document if last is None else document | {"next": text_of(last.encode())}

    async def holds(self, account: str, limit: int, wanted: Wanted) -> dict[str, Any]:
        """The holds that are open on an account, the oldest first. Raises NotFound, NotReached, Unanswerable."""
        partition = partition_of(account, self._balances.partitions)
        await self._balances.account(account, wanted)
        await self._transfers.ready(wanted, (partition,))
        found, sequence = await asyncio.to_thread(
            _holds_now, self._projectors[partition].fold.state, account, limit + 1
        )
        self._transfers.all_asked((partition,))
        return {
            "account": account,
            "holds": [hold_document(hold, amount) for hold, amount in found[:limit]],
            "more": len(found) > limit,
            "position": str(Position(partition, sequence)),
        }

    async def with_reference(
        self, reference: str, limit: int, wanted: Wanted, partitions: Collection[int] | None
    ) -> dict[str, Any]:
        """The outcomes of commands that had this reference, the newest first. Raises NotReached, Unanswerable, Malformed."""
        chosen = await self._transfers.ready(wanted, partitions)
        found = await asyncio.gather(*(asyncio.to_thread(self._referred, p, reference, limit + 1) for p in chosen))
        outcomes = sorted((each for referred in found for each in referred.outcomes), reverse=True)
        positions = {p: referred.sequence for p, referred in zip(chosen, found, strict=True) if referred.sequence >= 0}
        return {
            "outcomes": [document for _, _, document in outcomes[:limit]],
            "more": len(outcomes) > limit,
            "positions": format_positions(positions),
        }

    def _document(self, listed: _Row) -> dict[str, Any]:
        document = listed.row.document(str(listed.position)) | ({"owner": listed.owner} if listed.owner else {})
        return document | stale_since(self._balances.here(listed.position.partition))

    def _of_partition(self, partition: int, asked: OfAccounts, after: str) -> _Listed:
        state = self._projectors[partition].fold.state
        order = self._orders.get(partition)
        if order is None or order.state is not state:
            order = self._orders[partition] = AccountOrder(state)
        rows: list[_Row] = []
        looked_at, least = 0, state.chained.sequence
        while len(rows) <= asked.limit and looked_at < LOOKED_AT_MAX:
            numbers = order.numbers(asked.prefix, after, asked.limit + 1)
            if not len(numbers):
                return _Listed(rows, None, least)
            owners = state.owners
            with state.lock:
                found, position = rows_of(state, numbers), Position(partition, state.chained.sequence)
            for row, number in zip(found.each(), numbers.tolist(), strict=True):
                owner = owners[number]
                if asked.asset in (None, row.asset) and asked.owner in (None, owner):
                    rows.append(_Row(row, owner, position))
            after = found.accounts[-1]
            looked_at += len(numbers)
        return _Listed(rows, after, least)

    def _referred(self, partition: int, reference: str, most: int) -> _Referred:
        parts = self._projectors[partition].past()
        sequence = parts[0].last if parts else -1
        outcomes = []
        for begun in past.with_reference(parts, reference, most):
            end = past.end_of(parts, begun)
            document: dict[str, Any] = {
                "id": format_transfer_id(begun.id16),
                "kind": begun.kind.name.lower(),
                "result": {Code.DONE: "done", Code.PENDING: "pending"}.get(end.code, "refused"),
                "position": str(Position(partition, end.place.sequence)),
                "at": format_time(end.at_us),
            }
            if document["result"] == "refused":
                document["code"] = word_of(end.code)
            outcomes.append((begun.at_us, (partition, begun.place), document))
        return _Referred(outcomes, sequence)


def _holds_now(state: State, account: str, most: int) -> tuple[list[tuple[OpenHold, int]], int]:
    """The open holds, and the block that they are of."""
    with state.lock:
        return holds_on(state, account, most), state.chained.sequence


def _name_of(cursor: str) -> str:
    try:
        return parse_account(bytes_of(cursor).decode())
    except ValueError:  # Malformed too
        raise Malformed("cursor_malformed", "cursor", "must be `next` of the page before") from None
