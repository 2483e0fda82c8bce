"""A client of the wallet service: open accounts, move money, read and watch balances.

Money is safe to ask for again: every command has its id from the moment that it is made, and whatever failed on the way is
repeated with the same id, which never runs twice.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec

from fanfold.answers import (
    AccountStatus,
    BalanceChange,
    ConnectionState,
    Opened,
    PhasesMissed,
    Refusal,
    SystemState,
    TopicAnswer,
    TransferPhase,
    accounts_of,
    entries_of,
    open_transfers_of,
    opened_of,
    outcome_of,
    positions_of,
    refusal_of,
    state_of,
    system_of,
)
from fanfold.api import routes
from fanfold.api.answers.accounts import Accounts, AccountState
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.answers.positions import PositionsNow
from fanfold.api.answers.statement import Entries
from fanfold.api.answers.under_way import OpenTransfers
from fanfold.api.ids import new_id
from fanfold.api.questions import BatchMode, Direction, Order
from fanfold.api.requests import BATCH_LINES_MAX, Capture, Command, Hold, Open, Reverse, Transfer, Void, between
from fanfold.api.routes import NDJSON, Route
from fanfold.api.words.beside import moment_text
from fanfold.asked import Asked
from fanfold.command_stream import CommandStream
from fanfold.http_answers import Http, waiting
from fanfold.http_requests import line_of, path_of, request_of
from fanfold.not_answered import ATTEMPTS_MAX, WAITS, NotAnswered, naming, result_of
from fanfold.statement import Statement
from fanfold.stream import watch, watch_accounts, watch_prefix, watch_transfers
from fanfold.topic_stream import watch_topic

__all__ = ["ATTEMPTS_MAX", "WAITS", "Client", "NotAnswered"]

BATCH_ITEMS_MAX: Final = BATCH_LINES_MAX
"""What the service takes in one batch request."""

TOKEN_VARIABLE: Final = "FANFOLD_TOKEN"
"""Never an argument of a command: those are shown to everybody on the machine."""

T = TypeVar("T")


class Client:
    """`url` is the gateway's, such as http://127.0.0.1:8080. Use as `async with Client(url) as client:`.

    token: a token or key that says who asks, where the service asks that; None: what FANFOLD_TOKEN says, if it says anything.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._token = (os.environ.get(TOKEN_VARIABLE, "") if token is None else token).strip()
        self._http = Http(self.url, self._token)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.close()

    async def open_account(
        self, account: str, asset: str, *, floor: int | None = 0, owner: str | None = None
    ) -> Opened | Refusal:
        """Open an account, or find it open with the same terms. Raises NotAnswered."""
        request = request_of(Open(account, asset, floor, owner))
        return await self._http.ask(request.method, request.path, opened_of, json=request.body)

    async def ask(
        self, command: Command, *, dry_run: bool = False, wait_seconds: int | None = None
    ) -> Moved | Pending | Refusal:
        """Any command with an id, such as `Hold(...)`; the same value again is the same command. Raises NotAnswered.

        dry_run: tell what would become of it, change nothing. wait_seconds: answer after so long, at most 30, even when a
        transfer across partitions is not over (`Pending`); None leaves it to the service.
        """
        request = request_of(command)
        more: dict[str, Any] = {"json": request.body | ({"dry_run": True} if dry_run else {})}
        with naming([command]):
            return await self._http.ask(request.method, request.path, outcome_of, **more, **waiting(wait_seconds))

    def transfer(self, from_: str, to: str, amount: int, asset: str, *, id: str | None = None) -> Asked:
        """Move `amount` minor units from one account to another; the same `id` never runs twice. Raises NotAnswered.

        Like `hold` to `reverse` below it gives an `Asked`, to be awaited. Who stops waiting (a time-out, a cancelled task) awaits
        it again, or asks its `command`, and money moves once.
        """
        return self._asked(Transfer(from_, to, amount, asset, _id_of(id)))

    def hold(
        self,
        from_: str,
        to: str,
        amount: int,
        asset: str,
        *,
        deadline: datetime.datetime | str | None = None,
        id: str | None = None,
    ) -> Asked:
        """Hold `amount` of one account for another; the answer's `id` is what to capture or void. Raises NotAnswered."""
        return self._asked(Hold(between(from_, to, amount, asset), _id_of(id), deadline))

    def capture(self, hold: str, amount: int | None = None, *, final: bool = False, id: str | None = None) -> Asked:
        """Move what is held, all that is left or `amount` of it; `final` lets the rest go. Raises NotAnswered."""
        return self._asked(Capture(hold, amount, final=final, id=_id_of(id)))

    def void(self, hold: str, *, id: str | None = None) -> Asked:
        """Let a hold go. Raises NotAnswered."""
        return self._asked(Void(hold, _id_of(id)))

    def reverse(self, transfer: str, *, id: str | None = None) -> Asked:
        """Move a done transfer the other way round, at most once. Raises NotAnswered."""
        return self._asked(Reverse(transfer, _id_of(id)))

    async def transfer_batch(
        self, items: Sequence[Open | Command], *, mode: BatchMode = "continue", wait_seconds: int | None = None
    ) -> list[Opened | Moved | Pending | Refusal]:
        """Up to `BATCH_ITEMS_MAX` in one request, done in this order, one answer each. Raises NotAnswered.

        The same items again are the same commands: their ids were made with them.
        mode: what a refusal means for the others: nothing, that those behind it are not run, or that none is.
        """
        if len(items) > BATCH_ITEMS_MAX:
            raise ValueError(f"a batch has at most {BATCH_ITEMS_MAX} items")
        if not items:
            return []
        more = waiting(wait_seconds)
        more["headers"] = {"content-type": NDJSON} | more.get("headers", {})
        with naming(items):
            answer = await self._http.send(
                routes.BATCH.method,
                routes.BATCH.path,
                params={} if mode == "continue" else {"mode": mode},
                data=msgspec.json.Encoder().encode_lines([line_of(item) for item in items]),
                **more,
            )
        if answer.status != 200:
            return [refusal_of(answer.document(), answer.status)] * len(items)
        with naming(items), self._http.understanding():
            results = msgspec.json.Decoder().decode_lines(answer.body)
            return [result_of(item, result) for item, result in zip(items, results, strict=True)]

    def stream(self) -> CommandStream:
        """One connection for many commands, thousands of them in flight: `async with client.stream() as stream:`."""
        return CommandStream(self.url, self._token)

    async def balance(
        self,
        account: str,
        *,
        as_of: datetime.datetime | str | int | None = None,
        min_position: str | None = None,
        min_version: int | None = None,
        after_version: int | None = None,
        wait_s: float | None = None,
    ) -> AccountState | Refusal:
        """An account, not older than the position or version given. Raises NotAnswered.

        after_version: answered when the account has a newer version than this one, or when `wait_s` is over (2 s where it is not
        given, 10 at most), then as it is.

        as_of: the account as it was at a time, a position (`"0:17"`) or a version (12), with the block that says so; `final` is
        false while something could still come that belongs to that time. Raises ValueError for a time without a time zone.
        """
        parameters: dict[str, str] = {}
        if as_of is not None:
            parameters["as_of"] = str(as_of) if isinstance(as_of, int) else moment_text(as_of, "as_of")
        if min_position is not None:
            parameters["min_position"] = min_position
        if min_version is not None:
            parameters["min_version"] = str(min_version)
        if after_version is not None:
            parameters["after_version"] = str(after_version)
        if wait_s is not None:
            parameters["wait_ms"] = str(round(wait_s * 1000))
        return await self._read(routes.ACCOUNT, state_of, parameters, account=account)

    async def balances(
        self,
        accounts: Sequence[str],
        *,
        as_of: datetime.datetime | str | None = None,
        min_position: str | None = None,
        partitions: Sequence[int] | None = None,
    ) -> Accounts | Refusal:
        """Some accounts, 1,000 at most, each partition's from one moment; those that are not there are `absent`.

        as_of: as they were at a time, or at a position of each of their partitions (`"0:17,1:3"`); `partitions` of the answer
        tells the block of each that says so. Raises NotAnswered; ValueError for a time without a time zone.

        partitions: only of accounts that live in these; None: of all, and then one that cannot answer keeps the others from being
        told.
        """
        parameters = {"ids": ",".join(accounts)}
        if as_of is not None:
            parameters["as_of"] = moment_text(as_of, "as_of")
        if min_position is not None:
            parameters["min_position"] = min_position
        if partitions is not None:
            parameters["partitions"] = ",".join(map(str, partitions))
        return await self._read(routes.ACCOUNTS, accounts_of, parameters)

    def entries(
        self,
        account: str,
        *,
        order: Order = "newest",
        limit: int | None = None,
        since: datetime.datetime | str | None = None,
        before: datetime.datetime | str | None = None,
        direction: Direction | None = None,
        transfer: str | None = None,
        cursor: str | None = None,
        min_position: str | None = None,
    ) -> Statement:
        """The statement of an account: awaited a page of it, by `async for` every page from there on. Raises NotAnswered.

        since, before: of that time or later, of before that time. direction: `in`, what it received, or `out`, what it gave.
        transfer: of that transfer or command. limit: entries of a page, 1,000 at most. cursor: `next` of the page before, to go
        on with the same question. Raises ValueError for a time without a time zone.
        """
        given = {
            "order": None if order == "newest" else order,
            "limit": None if limit is None else str(limit),
            "since": None if since is None else moment_text(since, "since"),
            "before": None if before is None else moment_text(before, "before"),
            "direction": direction,
            "transfer": transfer,
            "min_position": min_position,
        }
        parameters = {name: text for name, text in given.items() if text is not None}

        async def page(behind: str | None) -> Entries | Refusal:
            more = {} if behind is None else {"cursor": behind}
            return await self._read(routes.ENTRIES, entries_of, parameters | more, account=account)

        return Statement(page, cursor)

    async def transfer_outcome(self, id: str, *, min_position: str | None = None) -> Moved | Pending | Refusal:
        """What became of a transfer, or how far it is. Raises NotAnswered."""
        parameters = {} if min_position is None else {"min_position": min_position}
        return await self._read(routes.OUTCOME, outcome_of, parameters, transfer=id)

    async def open_transfers(
        self,
        *,
        phases: Sequence[str] = ("open",),
        older_than_seconds: int = 0,
        limit: int | None = None,
        partitions: Sequence[int] | None = None,
    ) -> OpenTransfers | Refusal:
        """Transfers under way in one of these phases (`open`: any) for so long at least. Raises NotAnswered.

        `stale` of the answer names partitions whose logs are damaged: what is under way there may be over, or more may be.

        partitions: whose; None: of all, and then one that cannot answer keeps the others from being told.
        """
        parameters = {"phase": ",".join(phases), "older_than": str(older_than_seconds)}
        if limit is not None:
            parameters["limit"] = str(limit)
        if partitions is not None:
            parameters["partitions"] = ",".join(map(str, partitions))
        return await self._read(routes.UNDER_WAY, open_transfers_of, parameters)

    async def system(
        self,
        asset: str,
        *,
        min_position: str | None = None,
        partitions: Sequence[int] | None = None,
        as_of: datetime.datetime | str | None = None,
    ) -> SystemState | Refusal:
        """The system accounts of an asset: a trial balance of every partition. Raises NotAnswered.

        as_of: as it was at a time, or at a position of every partition (`"0:17,1:3"`).

        partitions: whose; None: of all, and then one that cannot answer keeps the others from being told; sums are of these.
        """
        parameters = {"asset": asset} | ({} if min_position is None else {"min_position": min_position})
        if partitions is not None:
            parameters["partitions"] = ",".join(map(str, partitions))
        if as_of is not None:
            parameters["as_of"] = moment_text(as_of, "as_of")
        return await self._read(routes.SYSTEM, system_of, parameters)

    async def positions(self) -> PositionsNow | Refusal:
        """How far each partition is, and how far readers are behind the log. Raises NotAnswered."""
        return await self._read(routes.POSITIONS, positions_of, {})

    def watch(self, accounts: Sequence[str]) -> AsyncGenerator[BalanceChange | ConnectionState, None]:
        """Every account as it is now, then each time it changes, for ever; see `fanfold.stream.watch`.

        An account named twice is watched once.
        """
        return watch(self.url, list(dict.fromkeys(accounts)), self._token)

    def watch_accounts(
        self, accounts: Sequence[str]
    ) -> AsyncGenerator[BalanceChange | AccountStatus | ConnectionState, None]:
        """As `watch`, and why nothing is told of an account; see `fanfold.stream.watch_accounts`."""
        return watch_accounts(self.url, list(dict.fromkeys(accounts)), self._token)

    def watch_prefix(self, prefix: str) -> AsyncGenerator[BalanceChange | AccountStatus | ConnectionState, None]:
        """Every account whose name begins so, also those that open later; see `fanfold.stream.watch_prefix`."""
        return watch_prefix(self.url, prefix, self._token)

    def watch_transfers(
        self, accounts: Sequence[str]
    ) -> AsyncGenerator[BalanceChange | TransferPhase | PhasesMissed | ConnectionState, None]:
        """As `watch`, and the phases of their transfers across partitions; see `fanfold.stream.watch_transfers`."""
        return watch_transfers(self.url, list(dict.fromkeys(accounts)), self._token)

    def watch_topic(self, topic: str) -> AsyncGenerator[TopicAnswer | ConnectionState, None]:
        """What a topic's question is answered with, whole, now and at each change; see `fanfold.topic_stream.watch_topic`."""
        return watch_topic(self.url, topic, self._token)

    def _asked(self, command: Command) -> Asked:
        return Asked(command, self.ask)

    async def _read(
        self, route: Route, read: Callable[[Mapping[str, Any]], T], parameters: Mapping[str, str], **named: str
    ) -> T | Refusal:
        return await self._http.ask(route.method, path_of(route, **named), read, params=parameters)


def _id_of(id: str | None) -> str:
    return new_id() if id is None else id
