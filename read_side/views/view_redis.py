"""A view store in Redis: any process reads it. Each atomic operation is one Lua script, in the file of its name.

Keys of partition p, all with the hash tag {p} so that a cluster keeps them together, and the layout's number before it:
    fanfold:2:{p}:owners        hash: generation -> the owner's token
    fanfold:2:{p}:checkpoints   hash: generation -> "sequence block_hash log_offset at_us"
    fanfold:2:{p}:live          the live generation
    fanfold:2:{p}:kept          the one that was live before the last switch
    fanfold:2:{p}:loaded        hash: generation -> how many rows were loaded since it was cleared
    fanfold:2:{p}:rows:G        hash: account -> posted, held, floor, version, at_us, flags as int64 little endian, asset
and of all partitions:
    fanfold:2:{0}:reserved      hash: token, until_us, unfinished of whoever makes generations or brings one back
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final

import numpy as np
from redis.commands.core import AsyncScript

from read_side.contract.rows import NUMBERS, AccountRow, AccountRows
from read_side.contract.view import (
    Checkpoint,
    CheckpointMismatch,
    Owner,
    OwnerStale,
    Reserved,
    ViewUnavailable,
    claimed_at,
)
from read_side.views.redis_client import FAILURES, RedisClient, close_client, infos, open_client

LAYOUT: Final = 2
"""What is packed into a row; part of every key, so that rows of another layout are never read: the view is made again from
the log under the new keys. Those of layout 1 (without flags) have no number: `fanfold:{p}:...`."""
_NUMBERS: Final = struct.Struct(f"<{len(NUMBERS)}q")
ROWS_PER_LOAD: Final = 10_000
"""One call of `load`: about 20 ms of the server, so that readers are not kept waiting while a view is written."""
SCAN_ROWS: Final = 5_000
CONNECTIONS_MAX: Final = 32
"""One read is one short call, so 32 at once are far above what one process can use; more wait for a free one."""
TIMEOUT_S: Final = 5.0
"""Connecting, one call, and waiting for a free connection: longer than any call here takes."""
RETRIES: Final = 2
"""A server that was restarted leaves dead connections in the pool; the first call on each needs another try."""


class RedisViewStore:
    """`ViewStore` (read_side/contract/view.py). Make one with `connect`."""

    shared = True

    def __init__(self, client: RedisClient, prefix: str = "fanfold") -> None:
        self._client = client
        self._prefix = prefix
        fence = _script("fence")
        self._claim = client.register_script(_script("claim"))
        self._apply = client.register_script(fence + _script("apply"))
        self._load = client.register_script(fence + _script("load"))
        self._clear = client.register_script(fence + _script("clear"))
        self._switch = client.register_script(fence + _script("switch"))
        self._reserve = client.register_script(_script("reserve"))
        self._read = client.register_script(_script("read"))
        self._guessed: dict[int, str] = {}
        """By partition: which generation was live when it was read last, so that a read can name its key beforehand."""

    @classmethod
    async def connect(cls, url: str, prefix: str = "fanfold") -> RedisViewStore:
        """Connect and check the server's settings. Raises ViewUnavailable."""
        with _unavailable():
            client = await open_client(
                url, connections_max=CONNECTIONS_MAX, connect_s=TIMEOUT_S, answer_s=TIMEOUT_S, retries=RETRIES
            )
        store = cls(client, prefix)
        try:
            await store._check_policy()
        except ViewUnavailable:
            await store.close()
            raise
        return store

    async def claim(self, partition: int, generation: int) -> Owner:
        await self._check_policy()
        with _unavailable():
            token = await self._claim(
                keys=[self._key(partition, name) for name in ("owners", "loaded")],
                args=[str(generation), secrets.token_hex(16)],
            )
        return Owner(partition, generation, token.decode())

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        stored, _ = await self.read(partition, [], generation)
        return stored

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        keys = [*self._fence_keys(owner), self._key(owner.partition, "live"), *self._row_keys(owner)]
        pair = (_checkpoint_text(expected) if expected else "", _checkpoint_text(checkpoint))
        return int(await self._write(self._apply, owner, keys, [*pair, loaded, *_pack_rows(rows)]))

    async def clear(self, owner: Owner) -> None:
        await self._write(self._clear, owner, [*self._fence_keys(owner), *self._row_keys(owner)], [])

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        keys = [*self._fence_keys(owner), *self._row_keys(owner)]
        packed = _pack_rows(rows)
        for first in range(0, max(len(packed), 1), 2 * ROWS_PER_LOAD):
            await self._write(self._load, owner, keys, packed[first : first + 2 * ROWS_PER_LOAD])

    async def live(self, partition: int) -> int | None:
        return await self._number(partition, "live")

    async def kept(self, partition: int) -> int | None:
        return await self._number(partition, "kept")

    async def generations(self, partition: int) -> list[int]:
        with _unavailable():
            found = {int(number) for number in await self._client.hkeys(self._key(partition, "checkpoints"))}
            for number in map(int, await self._client.hkeys(self._key(partition, "owners"))):
                if number not in found and await self._client.exists(self._key(partition, f"rows:{number}")):
                    found.add(number)
        return sorted(found)

    async def switch(self, owner: Owner, replaces: int) -> None:
        keys = [*self._fence_keys(owner), *(self._key(owner.partition, name) for name in ("live", "kept"))]
        await self._write(self._switch, owner, keys, [str(replaces)])

    async def reserve(self, token: str, for_s: float, unfinished: str | None = None) -> Reserved:
        args = [token, int(for_s * 1_000_000), *(() if unfinished is None else (unfinished,))]
        with _unavailable():
            is_ours, until_us, left = await self._reserve(keys=[self._key(0, "reserved")], args=args)
        return Reserved(bool(is_ours), int(until_us), left.decode())

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        checkpoint, found = await self._packed(partition, accounts, generation)
        return checkpoint, [
            None if row is None else _unpack_row(account, row) for account, row in zip(accounts, found, strict=True)
        ]

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        checkpoint, found = await self._packed(partition, accounts, generation)
        if None in found:
            accounts = [account for account, row in zip(accounts, found, strict=True) if row is not None]
        return checkpoint, _unpack_rows(accounts, [row for row in found if row is not None])

    async def _number(self, partition: int, name: str) -> int | None:
        with _unavailable():
            number = await self._client.get(self._key(partition, name))
        return None if number is None else int(number)

    async def _packed(
        self, partition: int, accounts: Sequence[str], generation: int | None
    ) -> tuple[Checkpoint | None, list[bytes | None]]:
        """As `read`, the rows as they are stored."""
        found: Any = [b"moved"]
        while len(found) == 1:  # another generation went live since the last read: asked again with that one's key
            number = self._guessed.get(partition, "1") if generation is None else str(generation)
            keys = [self._key(partition, name) for name in ("live", "checkpoints", f"rows:{number}")]
            live = "live" if generation is None else ""
            with _unavailable():
                found = await self._read(keys=keys, args=[number, live, *accounts])
            if len(found) == 1:
                self._guessed[partition] = found[0].decode()
        if not found:
            return None, [None] * len(accounts)
        return _checkpoint(int(found[0]), found[1]), found[2:]

    async def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        key = self._key(partition, f"rows:{generation}")
        cursor = 0
        while True:
            with _unavailable():
                answer: tuple[int, Any] = await self._client.hscan(key, cursor, count=SCAN_ROWS)
            cursor, found = answer
            if found:
                yield _unpack_rows([account.decode() for account in found], list(found.values()))
            if cursor == 0:
                return

    async def close(self) -> None:
        await close_client(self._client)

    async def _check_policy(self) -> None:
        """Under any other policy Redis drops rows when memory is short, and a balance would read as not found."""
        with _unavailable():
            policies = {server.get("maxmemory_policy") for server in await infos(self._client, "memory")}
        if others := policies - {"noeviction"}:
            raise ViewUnavailable(
                f"Redis runs with maxmemory-policy {others.pop()}: it would forget balances when memory is short. "
                "No money is affected. Set maxmemory-policy noeviction."
            )

    async def _write(self, script: AsyncScript, owner: Owner, keys: list[str], args: Sequence[Any]) -> Any:
        with _unavailable():
            answer = await script(keys=keys, args=[str(owner.generation), owner.token, *args])
        verdict, *more = answer
        if verdict == b"done":
            return more[0] if more else None
        told = more[1] if len(more) > 1 else None
        if verdict == b"stale":
            stored = _checkpoint(owner.generation, more[0]) if more[0] is not None else None
            raise OwnerStale(stored, claimed_at((told or b"").decode()) > claimed_at(owner.token))
        number = owner.generation if told is None else int(told)
        raise CheckpointMismatch(_checkpoint(number, more[0]) if more and more[0] is not None else None)

    def _key(self, partition: int, name: str) -> str:
        return f"{self._prefix}:{LAYOUT}:{{{partition}}}:{name}"

    def _fence_keys(self, owner: Owner) -> list[str]:
        return [self._key(owner.partition, "owners"), self._key(owner.partition, "checkpoints")]

    def _row_keys(self, owner: Owner) -> list[str]:
        return [self._key(owner.partition, name) for name in (f"rows:{owner.generation}", "loaded")]


def _script(name: str) -> str:
    return resources.files("read_side.views").joinpath(f"{name}.lua").read_text("utf-8") + "\n"


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise ViewUnavailable(
            f"Redis failed ({type(error).__name__}: {error}). No money is affected; the view follows once it is back."
        ) from error


def _pack_rows(rows: AccountRows) -> list[Any]:
    """account, row, account, row, ... as the scripts take them."""
    columns = np.stack([getattr(rows, name) for name in NUMBERS], axis=1).astype("<i8", copy=False)
    numbers, size = columns.tobytes(), _NUMBERS.size
    encoded = {asset: asset.encode() for asset in set(rows.assets)}
    packed: list[Any] = [None] * (2 * len(rows))
    packed[0::2] = rows.accounts
    packed[1::2] = [
        numbers[at : at + size] + encoded[asset]
        for at, asset in zip(range(0, len(numbers), size), rows.assets, strict=True)
    ]
    return packed


def _unpack_row(account: str, row: bytes) -> AccountRow:
    return AccountRow(account, row[_NUMBERS.size :].decode(), *_NUMBERS.unpack_from(row))


def _unpack_rows(accounts: list[str], rows: list[bytes]) -> AccountRows:
    size = _NUMBERS.size
    numbers = np.frombuffer(b"".join(row[:size] for row in rows), "<i8").reshape(-1, len(NUMBERS))
    return AccountRows(accounts, [row[size:].decode() for row in rows], *numbers.T)


def _checkpoint_text(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.sequence} {checkpoint.block_hash.hex()} {checkpoint.log_offset} {checkpoint.at_us}"


def _checkpoint(generation: int, text: bytes) -> Checkpoint:
    sequence, block_hash, log_offset, at_us = text.decode().split(" ")
    return Checkpoint(generation, int(sequence), bytes.fromhex(block_hash), int(log_offset), int(at_us))
