"""A tiny wallet in memory, standing in for both sides where a test is about the gateway only: REST in, feed batches out."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from blake3 import blake3

from fanfold.api.problems import problem_document
from read_side.contract.feed import FeedBatch
from read_side.contract.phases import NO_PHASES, PhaseRows
from read_side.contract.rows import AccountRow, AccountRows
from read_side.feed.feed_memory import MemoryFeed
from write_side.contract.words.atoms import WORLD


class WalletStub:
    """One partition. Every accepted command is one block, told to the feed at once (unless `mute`)."""

    def __init__(self) -> None:
        self.feed = MemoryFeed()
        self.rows: dict[str, AccountRow] = {}
        self.sequence = -1
        self.published = -1
        self.boot = "first"
        self.mute = False
        self.available = True
        self.stale = False
        """Whether the log is damaged behind what is told."""
        self.lag: dict[str, int | None] = {}
        """What is not 0 of the lag that is told."""
        self.reason: str | None = None
        """Why the partition does not get on."""
        self.unread: list[dict[str, Any]] = []
        """What the read side's `/readyz` says of partitions that cannot be read."""
        self.stale_partitions: list[dict[str, Any]] = []
        """And of partitions whose logs are damaged."""
        self.stale_since: str | None = None
        """Since when answers are old."""
        self.unreadable: dict[str, str] = {}
        """Accounts that cannot be read, as those of one partition, and the code that says why."""
        self.behind = False
        """Whether what is missing may be in what is not folded yet."""
        self.history: str | None = None
        """Which history of its log it says that it has."""
        self.requests: list[str] = []
        self.transfers: dict[str, dict[str, Any]] = {}
        """What is told of transfers, by id."""
        self.progress: dict[str, Any] | None = None
        """How far a start or a rebuild is."""
        self.entries: list[dict[str, Any]] = []
        """The statement of every account, the newest first."""
        self.holds: list[dict[str, Any]] = []
        """What is held of every account."""
        self._done: dict[str, dict[str, Any]] = {}

    @staticmethod
    async def of_alice_and_bob() -> WalletStub:
        """Alice has 1000, Bob nothing."""
        wallet = WalletStub()
        await wallet.open("alice")
        await wallet.open("bob")
        await wallet.transfer("@world", "alice", 1000)
        return wallet

    async def open(self, account: str, asset: str = "USD/2") -> None:
        self.sequence += 1
        self.rows[account] = AccountRow(account, asset, 0, 0, 0, 0, self.sequence)
        await self._publish([account])

    async def transfer(self, source: str, target: str, amount: int) -> None:
        self.sequence += 1
        changed = [name for name in (source, target) if name != WORLD]
        for name in changed:
            row = self.rows[name]
            posted = row.posted + (amount if name == target else -amount)
            self.rows[name] = row._replace(posted=posted, version=row.version + 1, at_us=self.sequence)
        await self._publish(changed)

    async def flag(self, account: str, flags: int) -> None:
        self.sequence += 1
        row = self.rows[account]
        self.rows[account] = row._replace(flags=flags, version=row.version + 1, at_us=self.sequence)
        await self._publish([account])

    async def tell_phase(self, account: str, transfer: bytes, phase: str) -> None:
        """A block in which a transfer across partitions went on and no balance changed."""
        self.sequence += 1
        phases = PhaseRows([blake3(account.encode()).digest(16)], [transfer], [phase])
        await self._send(self.published, self.sequence, [], phases)

    async def heartbeat(self) -> None:
        await self._send(self.published, self.sequence, [])

    def far(self) -> dict[str, Any]:
        """How far the partition is, as it is told."""
        marks = dict.fromkeys(("accepted", "folded", "stored", "pushed"), self.sequence)
        lag = dict.fromkeys(("unread", "unfolded", "unstored", "unpushed", "oldest_unapplied_ms"), 0)
        reason = {} if self.reason is None else {"reason": self.reason}
        return {
            "partition": 0,
            "position": f"0:{self.sequence}",
            **marks,
            **lag,
            **self.lag,
            "unit": "records",
            **reason,
            **({} if self.progress is None else {"progress": self.progress}),
            **({} if self.stale_since is None else {"stale_since": self.stale_since}),
        }

    async def _publish(self, accounts: list[str]) -> None:
        if not self.mute:
            await self._send(self.published, self.sequence, accounts)

    async def _send(self, after: int, upto: int, accounts: list[str], phases: PhaseRows = NO_PHASES) -> None:
        rows = AccountRows.of([self.rows[name] for name in accounts])
        self.published = upto
        await self.feed.publish(FeedBatch(0, 1, self.boot, after, upto, rows, phases))

    # The ASGI application: both sides at once.

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        assert scope["type"] == "http"
        self.requests.append(f"{scope['method']} {scope['path']}")
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = dict(parse_qsl(scope["query_string"].decode()))
        status, document = await self._answer(scope["method"], scope["path"], query, bytes(body))
        answer = json.dumps(document).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> tuple[int, dict[str, Any]]:
        position = f"0:{self.sequence}"
        match method, path:
            case "GET", "/readyz":
                return 200, {
                    "status": "ready", "partitions_of_log": 1, "partitions": [{"partition": 0}], "unread": self.unread,
                    "stale": self.stale_partitions,
                }  # fmt: skip
            case "POST", "/internal/balances" if not self.available:
                return 503, problem_document("view_rebuilding")
            case "POST", "/internal/balances" if codes := [
                self.unreadable[name] for name in json.loads(body)["accounts"] if name in self.unreadable
            ]:
                return 503, problem_document(codes[0], reason="it is damaged")
            case "POST", "/internal/balances":
                found = [self.rows.get(account) for account in json.loads(body)["accounts"]]
                undecided = [i for i, row in enumerate(found) if row is None] if self.behind else []
                histories = {"histories": {"0": self.history}} if self.history else {}
                return 200, histories | {
                    "positions": position if self.sequence >= 0 else "",
                    "accounts": [None if row is None else row.document(position) for row in found],
                } | ({"undecided": undecided} if undecided else {}) | ({"stale": [0]} if self.stale else {})
            case "POST", "/v1/transfers":
                return await self._transfer(json.loads(body))
            case "GET", "/v1/accounts":
                return 200, self._listed(query, position)
            case "GET", "/v1/system":
                world = -sum(row.posted for row in self.rows.values() if row.asset == query["asset"])
                sums = {"asset": query["asset"], "world": str(world), "transit": "0"}
                return 200, sums | {"positions": position, "partitions": []}
            case "GET", _ if path.endswith("/holds"):
                return 200, {"account": path.split("/")[3], "holds": self.holds, "more": False, "position": position}
            case "GET", "/v1/positions":
                return 200, {"partitions": [self.far()], "elsewhere": []}
            case "GET", _ if path.endswith("/entries"):
                old = {} if self.stale_since is None else {"stale_since": self.stale_since}
                page = {"account": path.split("/")[3], "asset": "USD/2", "entries": self.entries, "position": position}
                return 200, page | old
            case "GET", _ if path.startswith("/v1/transfers/"):
                told = self.transfers.get(path.rpartition("/")[2])
                return (404, problem_document("transfer_not_found")) if told is None else (200, told)
            case "PUT", _:
                account, asked = path.rpartition("/")[2], json.loads(body)
                await self.open(account, asked["asset"])
                return 201, asked | {"account": account, "result": "opened", "position": f"0:{self.sequence}"}
            case _:
                row = self.rows.get(path.rpartition("/")[2])
                return (404, problem_document("account_not_found")) if row is None else (200, row.document(position))

    def _listed(self, query: dict[str, str], position: str) -> dict[str, Any]:
        """A page of the accounts whose names begin so; its cursor is the last name of it."""
        after = query.get("cursor", "")
        names = sorted(name for name in self.rows if name.startswith(query.get("prefix", "")) and name > after)
        page = names[: int(query["limit"])]
        more = {"next": page[-1]} if len(page) < len(names) else {}
        return {"accounts": [self.rows[name].document(position) for name in page], "positions": position} | more

    async def _transfer(self, command: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if command["id"] in self._done:
            return 201, self._done[command["id"]]
        source, amount = command["from"], int(command["amount"])
        if source != WORLD and self.rows[source].posted < amount:
            return 422, problem_document("insufficient_available", available=str(self.rows[source].posted))
        await self.transfer(source, command["to"], amount)
        self._done[command["id"]] = {"id": command["id"], "result": "done", "position": f"0:{self.sequence}"}
        return 201, self._done[command["id"]]
