"""Watching balances over the gateway's WebSocket: connects again by itself and goes on from the version it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec
from websockets.asyncio.client import ClientConnection

from fanfold.answers import AccountStatus, BalanceChange, ConnectionState, PhasesMissed, TransferPhase, optional_int
from fanfold.api.frames.asked import ACCOUNTS_PER_MESSAGE_MAX, Subscribe, Unsubscribe, Wanted
from fanfold.api.frames.written import written_as
from fanfold.api.problems import PASSING
from fanfold.stream_connection import SILENT, Passing, StreamEnded, kept_connected, messages

_subscribe: Final = written_as(Subscribe)
_unsubscribe: Final = written_as(Unsubscribe)
_wanted: Final = written_as(Wanted)

Update = BalanceChange | TransferPhase | PhasesMissed | AccountStatus | ConnectionState


async def watch(
    url: str, accounts: Sequence[str], token: str = "", *, max_rate_hz: int | None = None
) -> AsyncGenerator[BalanceChange | ConnectionState, None]:
    """Every account as it is now, then each time it changes, newest only, versions rising; and the connection's state.

    Connected means that every account is watched, and told of if its partition can be read (`watch_accounts` says of which it
    cannot). An outage, however long, of the gateway or of what is behind it shows as a
    state, and the watch goes on when it is over. A version falls only when the service's data was replaced by another history.
    An account that does not exist yet is watched all the same: its first state comes when it is opened. token: who watches, where
    the service asks that. max_rate_hz: at most so often a second (1 to 1,000), the newest then; None: as they come.
    Raises StreamEnded.
    """
    async with aclosing(_watch(url, accounts, _Wish(token, max_rate_hz=max_rate_hz))) as updates:
        async for update in updates:
            if isinstance(update, BalanceChange | ConnectionState):
                yield update


async def watch_accounts(
    url: str, accounts: Sequence[str], token: str = "", *, max_rate_hz: int | None = None
) -> AsyncGenerator[BalanceChange | AccountStatus | ConnectionState, None]:
    """As `watch`, and of each account of which nothing can be told why that is, whenever that changes.

    A BalanceChange of an account takes back what an AccountStatus said of it.
    """
    async with aclosing(_watch(url, accounts, _Wish(token, max_rate_hz=max_rate_hz))) as updates:
        async for update in updates:
            if isinstance(update, BalanceChange | AccountStatus | ConnectionState):
                yield update


async def watch_transfers(
    url: str, accounts: Sequence[str], token: str = ""
) -> AsyncGenerator[BalanceChange | TransferPhase | PhasesMissed | ConnectionState, None]:
    """As `watch`, and each phase that a transfer across partitions of these accounts goes to, newest only.

    After a lost connection, and where it says PhasesMissed, phases may have gone by: who waits for a transfer asks for it.
    """
    async with aclosing(_watch(url, accounts, _Wish(token, transfers=True))) as updates:
        async for update in updates:
            if not isinstance(update, AccountStatus):
                yield update


async def watch_prefix(
    url: str, prefix: str, token: str = "", *, max_rate_hz: int | None = None
) -> AsyncGenerator[BalanceChange | AccountStatus | ConnectionState, None]:
    """As `watch_accounts`, of every account whose name begins with `prefix`, also those that open later.

    Where a connection may not watch so many: StreamEnded when there are too many at once; of those that open later and have no
    room a ConnectionState says so, and the others go on.
    """
    wish = _Wish(token, max_rate_hz=max_rate_hz, prefix=prefix)
    async with aclosing(_watch(url, (), wish)) as updates:
        async for update in updates:
            if isinstance(update, BalanceChange | AccountStatus | ConnectionState):
                yield update


class _Wish(NamedTuple):
    """What is asked besides the accounts. prefix: "" for none."""

    token: str
    transfers: bool = False
    max_rate_hz: int | None = None
    prefix: str = ""

    def message(self, id: int, accounts: Iterable[Wanted] = (), prefix: str | None = None) -> str:
        asked = _subscribe(id, list(accounts), transfers=self.transfers, max_rate_hz=self.max_rate_hz, prefix=prefix)
        return msgspec.json.encode(asked).decode()


async def _watch(url: str, accounts: Sequence[str], wish: _Wish) -> AsyncGenerator[Update, None]:
    """Everything that is told. Raises StreamEnded."""
    known = _Known({}, {}, {}, {}, {})
    async with aclosing(
        kept_connected(url, lambda connection: _updates(connection, accounts, known, wish), wish.token)
    ) as updates:
        async for update in updates:
            yield update


class _Known(NamedTuple):
    """What outlives a connection: of each account the newest version told and what it was, its asset, why nothing is told of it,
    and which history of the log the version is of."""

    versions: dict[str, int]
    newest: dict[str, BalanceChange]
    assets: dict[str, str]
    codes: dict[str, str]
    histories: dict[str, str]

    def acknowledged(self, row: Mapping[str, Any]) -> None:
        """Of another history no version counts: what comes next is the state, whatever its version is."""
        account, history = row["account"], row.get("history")
        if history is not None:
            if self.histories.get(account, history) != history:
                self.versions.pop(account, None)
            self.histories[account] = history

    def wanted(self, account: str) -> Wanted:
        """As a subscribe names it."""
        since = self.versions.get(account)
        return _wanted(account, since, None if since is None else self.histories.get(account))

    def status_of(self, row: Mapping[str, Any]) -> AccountStatus | None:
        """What an account of an ack changes in what was told of it; None for nothing."""
        account = row["account"]
        code = row.get("code", "account_not_found") if row["version"] is None else None
        if code == self.codes.get(account):
            return None
        if code is None:
            del self.codes[account]
        else:
            self.codes[account] = code
        return AccountStatus(account, code)


async def _updates(
    connection: ClientConnection, wanted: Sequence[str], known: _Known, wish: _Wish
) -> AsyncIterator[Update]:
    """All of one connection. Raises Passing, StreamEnded, websockets.ConnectionClosed."""
    names: dict[int, str] = {}
    ids = count()
    unanswered: set[int] = set()

    async def subscribe(accounts: Sequence[str]) -> None:
        for first in range(0, len(accounts), ACCOUNTS_PER_MESSAGE_MAX):
            id = next(ids)
            unanswered.add(id)
            part = accounts[first : first + ACCOUNTS_PER_MESSAGE_MAX]
            await connection.send(wish.message(id, map(known.wanted, part)))

    prefix_id = -1
    if wish.prefix:
        # Of what it knows it says what it has, so that no version goes back; then whatever else begins so.
        await subscribe(list(known.versions))
        unanswered.add(prefix_id := next(ids))
        await connection.send(wish.message(prefix_id, prefix=wish.prefix))
    else:
        await subscribe(wanted)
    connected, live = False, True
    statuses: list[AccountStatus] = []
    async for message in messages(connection):
        match message["op"]:
            case "ack":
                rows = message.get("accounts", ())
                names |= {row["sub"]: row["account"] for row in rows}
                for row in rows:
                    known.acknowledged(row)
                if replaced := [row for row in rows if _is_of_another_history(row, known)]:
                    # A view that is behind is refused, so this is another log: begin again with what it says.
                    unsubscribe = _unsubscribe(next(ids), [row["sub"] for row in replaced])
                    await connection.send(msgspec.json.encode(unsubscribe).decode())
                    for row in replaced:
                        del known.versions[row["account"]]
                    await subscribe([row["account"] for row in replaced])
                unanswered.discard(message["id"])
                if not unanswered and not connected:
                    connected = True
                    yield ConnectionState(live, "connected" if live else SILENT)
                statuses += [status for row in rows if (status := known.status_of(row)) is not None]
                if connected:
                    for status in statuses:
                        yield status
                    statuses.clear()
            case "balances":
                for item in message["items"]:
                    account = names.get(item["sub"])
                    if account is None:
                        continue  # a newer gateway may say more
                    known.codes.pop(account, None)
                    if "asset" in item:  # only the first item of a subscription says it: an account has one for ever
                        known.assets[account] = item["asset"]
                    change = _change(account, known.assets.get(account, ""), item)
                    # A state counts whatever its version: of another history, or of a view that was replaced. What is known
                    # already another subscribe asked for.
                    same = known.newest.get(account) == change._replace(snapshot=False)
                    if same or (item["v"] <= known.versions.get(account, -1) and not change.snapshot):
                        continue
                    known.versions[account], known.newest[account] = item["v"], change._replace(snapshot=False)
                    yield change
            case "transfer" if message["sub"] in names:
                yield TransferPhase(names[message["sub"]], message["id"], message["phase"])
            case "transfers_missed" if message["sub"] in names:
                yield PhasesMissed(names[message["sub"]])
            case "status":
                live = bool(message["live"])
                if connected:
                    yield ConnectionState(live, "up to date" if live else SILENT)
            case "error" if message["id"] == prefix_id and prefix_id not in unanswered:
                yield ConnectionState(live, f"some accounts are left out: {message.get('detail')}")
            case "error" if message.get("code") in PASSING:
                raise Passing("the gateway cannot read the balances now")
            case "error":
                raise StreamEnded(f"The gateway refused to watch: {message.get('title')}: {message.get('detail')}.")
            case _:
                pass  # a newer gateway may say more


def _is_of_another_history(row: Mapping[str, Any], known: _Known) -> bool:
    """Whether the service holds less of an account than it has told: its data was removed or replaced."""
    told = known.versions.get(row["account"])
    if told is None:
        return False
    return row.get("code") == "account_not_found" if row["version"] is None else bool(row["version"] < told)


def _change(account: str, asset: str, item: Mapping[str, Any]) -> BalanceChange:
    return BalanceChange(
        account,
        asset,
        item["v"],
        int(item["posted"]),
        int(item["held"]),
        optional_int(item["available"]),
        item["at"],
        bool(item.get("snapshot", False)),
        tuple(item.get("flags", ())),
    )
