"""Accounts in several PostgreSQL nodes: connections, tables, and the transfer between two accounts of one node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg

from write_side.contract.words.atoms import partition_of
from write_side.designs.design import Result, Transfer, Unanswered, Witness

TRANSFERS_AT_ONCE: Final = 64
"""Each holds at most one connection to a node, and one that waits for a second node keeps its first: so this bounds the transfers
and not the connections, or all could wait for each other."""

_TABLES: Final = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS account (id text PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
-- The phase status table: what the payer's node knows of a transfer, for ever; so an id runs once.
CREATE TABLE IF NOT EXISTS transfer
    (id uuid PRIMARY KEY, payer text NOT NULL, payee text NOT NULL, amount bigint NOT NULL, phase text NOT NULL);
-- What the payee's node did for a transfer of another node; so a step runs once, and none after its cancel.
CREATE TABLE IF NOT EXISTS step (id uuid PRIMARY KEY, state text NOT NULL);
-- Both accounts in one node: one local transaction, rows locked in one order so that two of these never wait for each other.
CREATE OR REPLACE FUNCTION move_inside(transfer_id uuid, from_id text, to_id text, sum bigint, done text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE known text;
BEGIN
    PERFORM FROM account WHERE id IN (from_id, to_id) ORDER BY id FOR UPDATE;
    SELECT phase INTO known FROM transfer WHERE id = transfer_id;
    IF FOUND THEN RETURN known; END IF;
    IF NOT EXISTS (SELECT FROM account WHERE id = to_id)
        OR NOT EXISTS (SELECT FROM account WHERE id = from_id AND balance >= sum) THEN RETURN 'refused'; END IF;
    UPDATE account SET balance = balance - sum WHERE id = from_id;
    UPDATE account SET balance = balance + sum WHERE id = to_id;
    INSERT INTO transfer VALUES (transfer_id, from_id, to_id, sum, done);
    RETURN done;
END $$;
"""


class PostgresNodes:
    """schema: of the design's own tables, so that several designs share the nodes. tables: what it has beside the common ones.
    lock_wait_ms: how long to wait for a lock; one that is held longer is of a transfer in doubt, and whoever waits is told so.
    answer_wait_s: how long a node that hangs is waited for."""

    def __init__(
        self,
        addresses: Sequence[str],
        schema: str,
        tables: str,
        witness: Witness,
        lock_wait_ms: int,
        answer_wait_s: float,
    ) -> None:
        self._addresses = addresses
        self._lock_wait_ms = lock_wait_ms
        self._answer_wait_s = answer_wait_s
        self.schema = schema
        self._tables = _TABLES.format(schema=schema) + tables
        self._idle: list[list[Any]] = [[] for _ in addresses]
        self._witness = witness
        self.at_once = asyncio.Semaphore(TRANSFERS_AT_ONCE)

    @property
    def all(self) -> range:
        return range(len(self._addresses))

    def node_of(self, account: str) -> int:
        return partition_of(account, len(self._addresses))

    async def make_tables(self) -> None:
        """Where they are not there yet."""
        for node in self.all:
            async with self.connection(node) as connection:
                await connection.execute(self._tables)

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        for node in self.all:
            own = [(account, money) for account, money in accounts.items() if self.node_of(account) == node]
            async with self.connection(node) as connection:
                await connection.copy_records_to_table("account", records=own, schema_name=self.schema)

    async def balances(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for node in self.all:
            found.update(await self.rows(node, "read balances", "SELECT id, balance FROM account"))
        return found

    async def move_inside(self, transfer: Transfer, done: str) -> Result:
        """Both accounts in one node. done: the phase that says so in this design."""
        asked = "SELECT move_inside($1, $2, $3, $4, $5)"
        with nodes_away_told():
            async with self.at_once:
                rows = await self.rows(self.node_of(transfer.payer), "move", asked, *transfer, done, forced=True)
        return Result.DONE if rows[0][0] == done else Result.REFUSED

    async def rows(self, node: int, what: str, statement: str, *values: object, forced: bool = False) -> list[Any]:
        """One statement that is a transaction of its own."""
        async with self.connection(node) as connection:
            found: list[Any] = await connection.fetch(statement, *values)
        self._witness.request(node, what, forced=forced)
        return found

    async def changed(self, node: int, what: str, statement: str, *values: object, forced: bool = True) -> int:
        """As `rows`; how many rows it has changed, 0 where it is not about rows."""
        async with self.connection(node) as connection:
            status: str = await connection.execute(statement, *values)
        self._witness.request(node, what, forced=forced)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    @asynccontextmanager
    async def connection(self, node: int) -> AsyncIterator[Any]:
        """Of the block alone. One whose block fails is broken off, and the node takes back what it had not committed."""
        idle = self._idle[node]
        while idle and idle[-1].is_closed():
            idle.pop()
        connection = idle.pop() if idle else await self._connect(node)
        try:
            yield connection
        except BaseException:
            connection.terminate()
            raise
        idle.append(connection)

    async def _connect(self, node: int) -> Any:
        settings = {"search_path": self.schema, "lock_timeout": str(self._lock_wait_ms)}
        wait_s = self._answer_wait_s
        return await asyncpg.connect(
            self._addresses[node], server_settings=settings, timeout=wait_s, command_timeout=wait_s
        )

    async def close(self) -> None:
        for idle in self._idle:
            while idle:
                await idle.pop().close()


@contextmanager
def nodes_away_told() -> Iterator[None]:
    """A node that is away, or a lock that is not to be had, as Unanswered."""
    try:
        yield
    except asyncpg.LockNotAvailableError as locked:
        raise Unanswered("an account is locked by another transfer; nothing was done") from locked
    except (OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.CannotConnectNowError) as away:
        raise Unanswered(f"a node is away, and nobody can tell yet whether it ran: {away!r}") from away
    except asyncpg.OperatorInterventionError as stopping:
        raise Unanswered("a node is stopping, and nobody can tell yet whether it ran") from stopping
