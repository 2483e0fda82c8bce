"""Servers that somebody gave, instead of those that a comparison starts: whether they will do, how an address is told without its
password, and that nothing of ours stays in them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import redis.asyncio
from kazoo.client import KazooClient
from kazoo.exceptions import NoNodeError
from redis.exceptions import RedisError

WAIT_S: Final = 10.0
_PREPARED: Final = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, $1)"
_SCHEMAS: Final = "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)"


class ServerUnfit(Exception):
    """A server that was given does not answer, or cannot do what a design needs. Nothing was measured."""


def without_password(address: str) -> str:
    """Of a URL who and with what password is left out, and its parameters, which may have one as well."""
    return re.sub(r"//.*@", "//", address).partition("?")[0]


async def check_postgres(addresses: Sequence[str], *, prepares: bool) -> None:
    """prepares: whether transactions will be prepared there. Raises ServerUnfit."""
    for address in addresses:
        connection = await _connected(address)
        try:
            if prepares and int(await connection.fetchval("SHOW max_prepared_transactions")) == 0:
                raise ServerUnfit(
                    f"PostgreSQL at {without_password(address)} takes no prepared transactions, which two-phase commit needs: "
                    "set max_prepared_transactions to 100 there, and start it again"
                )
        finally:
            await connection.close()


async def check_redis(addresses: Sequence[str]) -> None:
    """Raises ServerUnfit."""
    for address in addresses:
        try:
            async with redis.asyncio.Redis.from_url(address, socket_timeout=WAIT_S) as client:
                await client.ping()
        except (RedisError, OSError, ValueError) as failure:
            raise _unfit("Redis", address, failure) from None


async def clear(
    postgres: Sequence[str], redis_addresses: Sequence[str], zookeeper: str, prefix: str, key: str, path: str
) -> None:
    """Take away what begins with `prefix` in PostgreSQL, the key in Redis and the znode. What does not answer keeps it."""
    with suppress(ServerUnfit, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        for address in postgres:
            connection = await _connected(address)
            try:
                for row in await connection.fetch(_PREPARED, prefix):
                    await connection.execute(f"ROLLBACK PREPARED '{row[0]}'")
                for row in await connection.fetch(_SCHEMAS, prefix):
                    await connection.execute(f'DROP SCHEMA "{row[0]}" CASCADE')
            finally:
                await connection.close()
    with suppress(RedisError, OSError):
        for address in redis_addresses:
            async with redis.asyncio.Redis.from_url(address, socket_timeout=WAIT_S) as client:
                await client.delete(key)
    if zookeeper:
        await asyncio.to_thread(_delete_znode, zookeeper, path)


async def _connected(address: str) -> Any:
    try:
        return await asyncpg.connect(address, timeout=WAIT_S, command_timeout=WAIT_S)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        raise _unfit("PostgreSQL", address, failure) from None


def _unfit(what: str, address: str, failure: Exception) -> ServerUnfit:
    """By the failure's name: its words may have a part of the address in them, and so of a password."""
    return ServerUnfit(
        f"{what} at {without_password(address)} cannot be used ({type(failure).__name__}). See its address, user and password "
        "(what is no letter or digit in a password is written as %XX), and whether it runs"
    )


def _delete_znode(hosts: str, path: str) -> None:
    client = KazooClient(hosts=hosts)
    try:
        client.start(timeout=WAIT_S)
        with suppress(NoNodeError):
            client.delete(path)
    except Exception:  # kazoo has a word of its own for each way of being away
        return
    finally:
        client.stop()
        client.close()
