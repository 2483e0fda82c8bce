"""Lists: accounts by name, the holds open on an account, what has a reference. HTTP is not known here."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from fanfold.api.malformed import Malformed
from fanfold.api.questions import OfAccounts
from read_side.ask.balances import BalanceReader
from read_side.ask.transfers import Transfers
from read_side.contract.how_far import Wanted
from read_side.contract.no_answer import HistoryUnavailable
from read_side.contract.rows import AccountRow
from read_side.fold.account_order import AccountOrder
from read_side.fold.balances import rows_of
from read_side.fold.phase_table import holds_on
from read_side.follow.projector import Projector
from read_side.history import past
from read_side.tell.transfer_documents import hold_document
from write_side.contract.tell.answers import format_time
from write_side.contract.words.atoms import format_transfer_id, parse_account, partition_of
from write_side.contract.words.codes import Code, word_of
from write_side.contract.words.position import Position, format_positions

LOOKED_AT_MAX: Final = 20_000
"""Accounts that one page of one partition looks at, where few are of the asset or owner asked for."""


class _Listed(NamedTuple):
    """Of one partition: rows with the owner of each, and behind which name it was not looked; None when nothing is left."""

    rows: list[tuple[AccountRow, str]]
    behind: str | None


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
        # What a partition was not looked at behind this name is not told of the others either.
        limit = min((each.behind for each in found if each.behind is not None), default=None)
        rows = sorted(row for each in found for row in each.rows if limit is None or row[0].account <= limit)
        page = rows[: asked.limit]
        last = page[-1][0].account if len(page) < len(rows) else limit
        positions = self._positions(chosen)
        document: dict[str, Any] = {
            "accounts": [
                row.document(str(Position(p, positions[p]))) | ({"owner": owner} if owner else {})
                for row, owner in page
                for p in (partition_of(row.account, self._balances.partitions),)
            ],
            "positions": format_positions(positions),
        }
        return document if last is None else document | {"next": _cursor_of(last)}

    async def holds(self, account: str, limit: int, wanted: Wanted) -> dict[str, Any]:
        """The holds that are open on an account, the oldest first. Raises NotFound, NotReached, Unanswerable."""
        partition = partition_of(account, self._balances.partitions)
        await self._balances.account(account, wanted)
        await self._transfers.ready(wanted, (partition,))
        state = self._projectors[partition].fold.state
        found = await asyncio.to_thread(holds_on, state, account, limit + 1)
        return {
            "account": account,
            "holds": [hold_document(hold, amount) for hold, amount in found[:limit]],
            "more": len(found) > limit,
            "position": str(Position(partition, state.chained.sequence)),
        }

    async def with_reference(
        self, reference: str, limit: int, wanted: Wanted, partitions: Collection[int] | None
    ) -> dict[str, Any]:
        """The outcomes of commands that had this reference, the newest first. Raises NotReached, Unanswerable, Malformed."""
        chosen = await self._transfers.ready(wanted, partitions)
        found = await asyncio.gather(*(asyncio.to_thread(self._referred, p, reference) for p in chosen))
        outcomes = sorted(
            ((each.at_us, p, each) for p, several in zip(chosen, found, strict=True) for each in several),
            key=lambda each: (each[0], each[1], each[2].place),
            reverse=True,
        )
        return {
            "outcomes": [
                {
                    "id": format_transfer_id(each.id16),
                    "kind": each.kind.name.lower(),
                    "result": _result_of(each.code),
                    **({} if each.code in (Code.DONE, Code.PENDING) else {"code": word_of(each.code)}),
                    "position": str(Position(partition, each.place.sequence)),
                    "at": format_time(at_us),
                }
                for at_us, partition, each in outcomes[:limit]
            ],
            "more": len(outcomes) > limit,
            "positions": format_positions(self._positions(chosen)),
        }

    def _of_partition(self, partition: int, asked: OfAccounts, after: str) -> _Listed:
        state = self._projectors[partition].fold.state
        order = self._orders.get(partition)
        if order is None or order.state is not state:
            order = self._orders[partition] = AccountOrder(state)
        rows: list[tuple[AccountRow, str]] = []
        looked_at = 0
        while len(rows) <= asked.limit and looked_at < LOOKED_AT_MAX:
            numbers = order.numbers(asked.prefix, after, asked.limit + 1)
            if not len(numbers):
                return _Listed(rows, None)
            owners = state.owners
            with state.lock:
                found = rows_of(state, numbers)
            for row, number in zip(found.each(), numbers.tolist(), strict=True):
                owner = owners[number]
                if asked.asset in (None, row.asset) and asked.owner in (None, owner):
                    rows.append((row, owner))
            after = found.accounts[-1]
            looked_at += len(numbers)
        return _Listed(rows, after)

    def _referred(self, partition: int, reference: str) -> list[past.Found]:
        projector = self._projectors[partition]
        history = projector.history
        parts = "no history is kept here: FANFOLD_ARCHIVE is off" if history is None else history.whole()
        if isinstance(parts, str):
            raise HistoryUnavailable(partition, reason=parts)
        known = len(projector.fold.replay.offsets)
        return [each for each in past.with_reference(parts, reference) if each.place.sequence < known]

    def _positions(self, partitions: Collection[int]) -> dict[int, int]:
        return {p: self._projectors[p].fold.folded.sequence for p in partitions}


def _result_of(code: Code) -> str:
    return {Code.DONE: "done", Code.PENDING: "pending"}.get(code, "refused")


def _cursor_of(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).rstrip(b"=").decode()


def _name_of(cursor: str) -> str:
    try:
        return parse_account(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (binascii.Error, UnicodeDecodeError, Malformed):
        raise Malformed("cursor_malformed", "cursor", "must be `next` of the page before") from None
