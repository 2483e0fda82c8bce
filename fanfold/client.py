"""A client of the wallet service: open accounts, move money, read and watch balances.

Money is safe to ask for again: every transfer has an id before it is sent, and whatever failed on the way is repeated
with the same id, which never runs twice.
"""

from __future__ import annotations

import asyncio
import random
import urllib.parse
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

import aiohttp
import msgspec

from fanfold.answers import (
    AccountState,
    BalanceChange,
    ConnectionState,
    Moved,
    Opened,
    Refusal,
    moved_of,
    opened_of,
    refusal_of,
    state_of,
)
from fanfold.ids import uuid7
from fanfold.stream import watch

ATTEMPTS_MAX: Final = 7
FIRST_WAIT_SECONDS: Final = 0.1
WAIT_SECONDS_MAX: Final = 3.0
"""0.1, 0.2, 0.4 ... 3 s, with chance: some 6 s in all, enough for a service to restart, and then the caller decides."""

REQUEST_SECONDS_MAX: Final = 30.0
"""Longer than the service waits for an outcome (10 s), so its own answer comes first."""

BATCH_ITEMS_MAX: Final = 8_192
"""What the service takes in one batch request."""

T = TypeVar("T")


class NotAnswered(Exception):
    """The service gave no answer within all attempts. What was asked may have been done: asking again is safe."""


class Open(NamedTuple):
    """Open an account. `floor`: the lowest balance in minor units, 0 for no debts, None for no limit."""

    account: str
    asset: str
    floor: int | None = 0
    owner: str | None = None


class Transfer(NamedTuple):
    """Move `amount` minor units. `@world` as debit is a deposit, as credit a withdrawal. `id`: a UUID, made by default."""

    debit: str
    credit: str
    amount: int
    asset: str
    id: str | None = None


class Client:
    """`url` is the gateway's, such as http://127.0.0.1:8080. Use as `async with Client(url) as client:`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._session.close()

    async def open_account(
        self, account: str, asset: str, *, floor: int | None = 0, owner: str | None = None
    ) -> Opened | Refusal:
        """Open an account, or find it open with the same terms. Raises NotAnswered."""
        body = _terms(Open(account, asset, floor, owner))
        return await self._ask("PUT", f"/v1/accounts/{_quoted(account)}", opened_of, json=body)

    async def transfer(
        self, debit: str, credit: str, amount: int, asset: str, *, id: str | None = None
    ) -> Moved | Refusal:
        """Move `amount` minor units from `debit` to `credit`; the same `id` never runs twice. Raises NotAnswered."""
        body = _body(Transfer(debit, credit, amount, asset, id or str(uuid7())))
        return await self._ask("POST", "/v1/transfers", moved_of, json=body)

    async def transfer_batch(self, items: Sequence[Open | Transfer]) -> list[Opened | Moved | Refusal]:
        """Up to `BATCH_ITEMS_MAX` in one request, done in this order, one answer each. Raises NotAnswered."""
        if len(items) > BATCH_ITEMS_MAX:
            raise ValueError(f"a batch has at most {BATCH_ITEMS_MAX} items")
        if not items:
            return []
        lines = [{"open": _terms(item, True)} if isinstance(item, Open) else _body(_named(item)) for item in items]
        answer = await self._send(
            "POST",
            "/v1/transfers:batch",
            data=msgspec.json.Encoder().encode_lines(lines),
            headers={"content-type": "application/x-ndjson"},
        )
        if answer.status != 200:
            return [refusal_of(answer.document(), answer.status)] * len(items)
        results = msgspec.json.Decoder().decode_lines(answer.body)
        return [_result(item, result) for item, result in zip(items, results, strict=True)]

    async def balance(
        self, account: str, *, min_position: str | None = None, min_version: int | None = None
    ) -> AccountState | Refusal:
        """An account, not older than the position or version given. Raises NotAnswered."""
        parameters: dict[str, str] = {}
        if min_position is not None:
            parameters["min_position"] = min_position
        if min_version is not None:
            parameters["min_version"] = str(min_version)
        return await self._ask("GET", f"/v1/accounts/{_quoted(account)}", state_of, params=parameters)

    async def transfer_outcome(self, id: str, *, min_position: str | None = None) -> Moved | Refusal:
        """What became of a transfer. Raises NotAnswered."""
        parameters = {} if min_position is None else {"min_position": min_position}
        return await self._ask("GET", f"/v1/transfers/{_quoted(id)}", moved_of, params=parameters)

    def watch(self, accounts: Sequence[str]) -> AsyncGenerator[BalanceChange | ConnectionState, None]:
        """Every account as it is now, then each time it changes, for ever; see `fanfold.stream.watch`."""
        return watch(self.url, accounts)

    async def _ask(self, method: str, path: str, read: Callable[[Mapping[str, Any]], T], **request: Any) -> T | Refusal:
        answer = await self._send(method, path, **request)
        document = answer.document()
        if answer.status >= 400 or document.get("result") == "refused":
            return refusal_of(document, int(document.get("status", answer.status)))
        return read(document)

    async def _send(self, method: str, path: str, **request: Any) -> _Reply:
        """One request, sent again with the same content while there is no answer or only a 5xx."""
        failure = "it did not answer"
        for attempt in range(ATTEMPTS_MAX):
            if attempt:
                await asyncio.sleep(wait_seconds(attempt, random.random()))
            try:
                async with self._session.request(method, self.url + path, **request) as response:
                    reply = _Reply(response.status, await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                failure = f"it cannot be reached ({type(error).__name__})"
                continue
            if reply.status < 500:
                return reply
            failure = str(reply.document().get("title") or "it is not available")
        raise NotAnswered(f"{self.url}: {failure}, after {ATTEMPTS_MAX} attempts.")


class _Reply(NamedTuple):
    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none (a proxy's own page, say)."""
        try:
            document = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return document if isinstance(document, dict) else {}


def wait_seconds(attempt: int, chance: float) -> float:
    """Before attempt 1, 2, ...: doubling up to the maximum, at least half of it. `chance` 0..1 spreads clients apart."""
    most = min(WAIT_SECONDS_MAX, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
    return most * (0.5 + chance / 2)


def _named(item: Transfer) -> Transfer:
    return item if item.id is not None else item._replace(id=str(uuid7()))


def _body(item: Transfer) -> dict[str, Any]:
    return {"id": item.id, "from": item.debit, "to": item.credit, "amount": str(item.amount), "asset": item.asset}


def _terms(item: Open, named: bool = False) -> dict[str, Any]:
    terms = {"asset": item.asset, "floor": None if item.floor is None else str(item.floor)}
    if named:
        terms["account"] = item.account
    if item.owner is not None:
        terms["owner"] = item.owner
    return terms


def _result(item: Open | Transfer, result: Mapping[str, Any]) -> Opened | Moved | Refusal:
    if result["status"] >= 400:
        return refusal_of(result, result["status"])
    return opened_of(result) if isinstance(item, Open) else moved_of(result)


def _quoted(segment: str) -> str:
    """Ids have no character that a path needs quoted; anything else is quoted, for the service to refuse."""
    return urllib.parse.quote(segment, safe="")
