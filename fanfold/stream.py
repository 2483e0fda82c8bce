"""Watching balances over the gateway's WebSocket: connects again by itself and goes on from the version it has."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
import websockets
from websockets.asyncio.client import ClientConnection, connect

from fanfold.answers import BalanceChange, ConnectionState, PhasesMissed, TransferPhase, optional_int

SUBPROTOCOL: Final = "wallet.v1"
ACCOUNTS_PER_MESSAGE_MAX: Final = 1_000
"""What the gateway takes in one subscribe; more accounts go in several."""

OPEN_SECONDS_MAX: Final = 10.0
PING_SECONDS: Final = 20.0
"""A connection that answers no ping for this long is dead, though nobody said so; it is made again."""

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""More than a thousand accounts take in one frame."""

WAIT_SECONDS_MAX: Final = 5.0
"""Between two attempts to connect: 0.1, 0.2 ... 5 s, with chance, for ever. A watcher has nothing better to do."""

_TERMINAL: Final = frozenset({1000, 1002, 1003, 1007, 1009, 1010})


class StreamEnded(Exception):
    """The gateway refused what was asked, or ended the stream for good: connecting again would change nothing."""


async def watch(url: str, accounts: Sequence[str]) -> AsyncGenerator[BalanceChange | ConnectionState, None]:
    """Every account as it is now, then each time it changes, newest only, versions rising; and the connection's state.

    An account that does not exist yet is watched all the same: its first state comes when it is opened.
    Raises StreamEnded.
    """
    async with aclosing(watch_transfers(url, accounts, transfers=False)) as updates:
        async for update in updates:
            if not isinstance(update, TransferPhase | PhasesMissed):
                yield update


async def watch_transfers(
    url: str, accounts: Sequence[str], *, transfers: bool = True
) -> AsyncGenerator[BalanceChange | TransferPhase | PhasesMissed | ConnectionState, None]:
    """As `watch`, and each phase that a transfer across partitions of these accounts goes to, newest only.

    After a lost connection, and where it says PhasesMissed, phases may have gone by: who waits for a transfer asks for it.
    """
    versions: dict[str, int] = {}
    assets: dict[str, str] = {}
    attempt = 0
    while True:
        try:
            async with connect(
                "ws" + url.removeprefix("http") + "/v1/stream",
                subprotocols=[websockets.Subprotocol(SUBPROTOCOL)],
                open_timeout=OPEN_SECONDS_MAX,
                proxy=None,  # like the requests beside it: what stands in the environment is not asked
                ping_interval=PING_SECONDS,
                ping_timeout=PING_SECONDS,
                max_size=FRAME_BYTES_MAX,
            ) as connection:
                await _subscribe(connection, accounts, versions, transfers)
                yield ConnectionState(True, "connected")
                attempt = 0
                async for update in _updates(connection, versions, assets):
                    yield update
                reason = "the connection was closed"
        except websockets.ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd is not None else 1006
            if code in _TERMINAL or 4500 <= code <= 4999:
                raise StreamEnded(
                    f"The gateway ended the stream ({code}): {closed.reason or 'no reason given'}."
                ) from None
            reason = "the connection was lost"
        except websockets.InvalidStatus as refused:
            if refused.response.status_code < 500:
                raise StreamEnded(f"{url} has no balance stream (HTTP {refused.response.status_code}).") from None
            reason = "the gateway is not available"
        except (OSError, TimeoutError, websockets.InvalidHandshake):
            reason = "the gateway cannot be reached"
        yield ConnectionState(False, reason)
        await asyncio.sleep(min(WAIT_SECONDS_MAX, 0.1 * 2**attempt) * (0.5 + random.random() / 2))
        attempt = min(attempt + 1, 10)


async def _subscribe(
    connection: ClientConnection, accounts: Sequence[str], versions: Mapping[str, int], transfers: bool
) -> None:
    for number, first in enumerate(range(0, len(accounts), ACCOUNTS_PER_MESSAGE_MAX)):
        wanted = [
            {"account": account, "since": versions[account]} if account in versions else {"account": account}
            for account in accounts[first : first + ACCOUNTS_PER_MESSAGE_MAX]
        ]
        message: dict[str, Any] = {"op": "subscribe", "id": number, "accounts": wanted}
        if transfers:
            message["transfers"] = True
        await connection.send(msgspec.json.encode(message).decode())


async def _updates(
    connection: ClientConnection, versions: dict[str, int], assets: dict[str, str]
) -> AsyncIterator[BalanceChange | TransferPhase | PhasesMissed | ConnectionState]:
    accounts: dict[int, str] = {}
    async for frame in connection:
        message: dict[str, Any] = msgspec.json.decode(frame)
        match message["op"]:
            case "ack":
                accounts |= {row["sub"]: row["account"] for row in message.get("accounts", ())}
            case "balances":
                for item in message["items"]:
                    account = accounts[item["sub"]]
                    versions[account] = item["v"]
                    if "asset" in item:  # only the first item of a subscription says it: an account has one for ever
                        assets[account] = item["asset"]
                    yield _change(account, assets.get(account, ""), item)
            case "transfer":
                yield TransferPhase(accounts[message["sub"]], message["id"], message["phase"])
            case "transfers_missed":
                yield PhasesMissed(accounts[message["sub"]])
            case "status":
                live = bool(message["live"])
                yield ConnectionState(live, "up to date" if live else "the feed behind the gateway is silent")
            case "error":
                raise StreamEnded(f"The gateway refused to watch: {message.get('title')}: {message.get('detail')}.")
            case _:
                pass  # a newer gateway may say more


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
