"""Two-phase commit over PostgreSQL nodes: PREPARE TRANSACTION in both, a decision that is written once, COMMIT PREPARED in both.

Gray, Notes on Data Base Operating Systems (1978); presumed abort as Mohan, Lindsay and Obermarck, R* (1986): what is
prepared without a decision is taken back. System Design Interview vol. 2, Digital Wallet; PostgreSQL's manual on PREPARE
TRANSACTION, which warns of what `locked_at` shows: a prepared transaction keeps its locks for as long as nobody ends it, over
restarts too.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any, Final
from uuid import uuid4

import asyncpg

from write_side.designs.design import NODE_PAUSED, Capabilities, Result, Transfer
from write_side.designs.over_postgres import TAKE, OverPostgres
from write_side.designs.postgres_nodes import nodes_away_told

SCHEMA: Final = "two_phase_commit"
COMMIT: Final = "commit"
ABORT: Final = "abort"

ONE_PREPARED: Final = "one_prepared"
PREPARED: Final = "prepared"
DECIDED: Final = "decided"
ONE_COMMITTED: Final = "one_committed"
COMMITTED: Final = "committed"

TABLES: Final = """
-- What the coordinator has decided, by the name of the attempt: an id may be tried again, and what was decided of one attempt is
-- nothing of another.
CREATE TABLE IF NOT EXISTS decision (attempt text PRIMARY KEY, decision text NOT NULL);
"""

_GIVE: Final = "UPDATE account SET balance = balance + $2 WHERE id = $1"
_DECIDE: Final = "INSERT INTO decision VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING decision"
_DECISION: Final = "SELECT decision FROM decision WHERE attempt = $1"
_PREPARED: Final = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, $1)"
_RAN: Final = "SELECT FROM transfer WHERE id = $1"


class TwoPhaseCommit(OverPostgres):
    """The coordinator. What it decided lies in the payer's node, which its transactions name, so that another one can go on."""

    capabilities = Capabilities(
        steps=(ONE_PREPARED, PREPARED, DECIDED, ONE_COMMITTED, COMMITTED),
        durable=True,
        once=True,
        past_balance=False,
        unbalanced_at=frozenset({ONE_COMMITTED}),
        locked_at=frozenset({ONE_PREPARED, PREPARED, DECIDED, ONE_COMMITTED, NODE_PAUSED}),
    )

    async def transfer(self, transfer: Transfer) -> Result:
        if not self.crosses(transfer.payer, transfer.payee):
            return await self._nodes.move_inside(transfer, COMMIT)
        home, payee = self._nodes.node_of(transfer.payer), self._nodes.node_of(transfer.payee)
        attempt = f"{self._nodes.schema}:{home}:{uuid4()}"
        with nodes_away_told():
            async with self._nodes.at_once:
                if not await self._prepare(home, attempt, transfer):
                    # Refused, or it ran before.
                    ran = await self._nodes.rows(home, "read id", _RAN, transfer.id)
                    return Result.DONE if ran else Result.REFUSED
                self._witness.reached(PREPARED)
                # From here on a failure leaves it in doubt: whether the decision was written, only the payer's node knows.
                decision = await self._decide(home, attempt, COMMIT)
                self._witness.reached(DECIDED)
                await self._end_both((home, payee), attempt, decision)
                self._witness.reached(COMMITTED)
                return Result.DONE if decision == COMMIT else Result.REFUSED

    async def recover(self) -> int:
        """What is prepared is ended as decided; where nothing is decided, `abort` is written first: a coordinator that
        still lives finds it in the place of its commit."""
        ended = set[str]()
        with nodes_away_told():
            for node in self._nodes.all:
                for row in await self._nodes.rows(node, "read prepared", _PREPARED, f"{self._nodes.schema}:"):
                    attempt: str = row["gid"]
                    home = int(attempt.split(":")[1])
                    await self._end(node, attempt, await self._decide(home, attempt, ABORT))
                    ended.add(attempt)
        return len(ended)

    # -- the first phase ------------------------------------------------------------------------------------------

    async def _prepare(self, home: int, attempt: str, transfer: Transfer) -> bool:
        """Whether both nodes have prepared; where one refuses, nothing is left of it."""
        parts: list[tuple[str, str, tuple[object, ...]]] = [
            (transfer.payer, TAKE, (*transfer, COMMIT)),
            (transfer.payee, _GIVE, (transfer.payee, transfer.amount)),
        ]
        async with AsyncExitStack() as held:
            at: list[tuple[int, Any]] = []
            # By the account's name, whoever pays: two transfers that wait for each other in different nodes no node would see.
            for account, statement, values in sorted(parts):
                node = self._nodes.node_of(account)
                at.append((node, await held.enter_async_context(self._nodes.connection(node))))
                if not await self._begin(*at[-1], statement, values):
                    for begun, connection in at:
                        await connection.execute("ROLLBACK")
                        self._witness.request(begun, "rollback")
                    return False
            await self._prepare_both(home, attempt, at)
        return True

    async def _begin(self, node: int, connection: Any, statement: str, values: tuple[object, ...]) -> bool:
        await connection.execute("BEGIN")
        self._witness.request(node, "begin")
        try:
            status: str = await connection.execute(statement, *values)
        except asyncpg.UniqueViolationError:  # the same id at the same moment, and the other one was first
            return False
        self._witness.request(node, "update")
        return status.endswith(" 1")

    async def _prepare_both(self, home: int, attempt: str, at: list[tuple[int, Any]]) -> None:
        prepared: list[int] = []

        async def prepare(node: int, connection: Any) -> None:
            await connection.execute(f"PREPARE TRANSACTION '{attempt}'")
            self._witness.request(node, "prepare", forced=True)
            prepared.append(node)
            if len(prepared) == 1:
                self._witness.reached(ONE_PREPARED)

        failed = await self._witness.both(*(partial(prepare, *part) for part in at))
        if failed:
            # Nothing is decided and nobody else will: what was prepared is taken back, what cannot be reached by `recover`.
            for node, _ in at:
                with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    await self._end(node, attempt, ABORT)
            raise failed[0]

    # -- the decision and the second phase ------------------------------------------------------------------------

    async def _decide(self, home: int, attempt: str, decision: str) -> str:
        """Written once: where one is there already, it stays, and is returned."""
        if await self._nodes.rows(home, f"write {decision}", _DECIDE, attempt, decision, forced=True):
            return decision
        [row] = await self._nodes.rows(home, "read decision", _DECISION, attempt)
        return str(row["decision"])

    async def _end_both(self, nodes: tuple[int, int], attempt: str, decision: str) -> None:
        ended: list[int] = []

        async def end(node: int) -> None:
            await self._end(node, attempt, decision)
            ended.append(node)
            if len(ended) == 1:
                self._witness.reached(ONE_COMMITTED)

        # A node that is away is told by `recover`: what is decided stays decided.
        await self._witness.both(*(partial(end, node) for node in nodes))

    async def _end(self, node: int, attempt: str, decision: str) -> None:
        word = "COMMIT" if decision == COMMIT else "ROLLBACK"
        # Undefined: another one has ended it, the same way, for the decision is one.
        with suppress(asyncpg.UndefinedObjectError):
            await self._nodes.changed(node, f"{word.lower()} prepared", f"{word} PREPARED '{attempt}'")
