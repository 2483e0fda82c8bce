"""What the designs over PostgreSQL nodes do alike: accounts, reads, and the first local transaction, in the payer's node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from write_side.designs.design import Transfer, Witness
from write_side.designs.postgres_nodes import PostgresNodes, nodes_away_told

TAKE: Final = """
WITH taken AS (UPDATE account SET balance = balance - $4
    WHERE id = $2 AND balance >= $4 AND NOT EXISTS (SELECT FROM transfer WHERE id = $1) RETURNING id)
INSERT INTO transfer SELECT $1, $2, $3, $4, $5 FROM taken"""
"""The payer's money and the id with its phase ($5), together: what has left is always money whose way is written down, and an id
is there when and only when its transfer ran."""


class OverPostgres:
    """The part of a design that does not depend on how two nodes agree."""

    def __init__(self, nodes: PostgresNodes, witness: Witness) -> None:
        self._nodes = nodes
        self._witness = witness

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        await self._nodes.put_in(accounts)

    def crosses(self, payer: str, payee: str) -> bool:
        return self._nodes.node_of(payer) != self._nodes.node_of(payee)

    async def balances(self) -> dict[str, int]:
        with nodes_away_told():
            return await self._nodes.balances()

    async def close(self) -> None:
        await self._nodes.close()

    async def _take(self, what: str, transfer: Transfer, phase: str) -> bool:
        """Whether it has begun now, in this phase. False: refused, or begun before."""
        try:
            home = self._nodes.node_of(transfer.payer)
            return await self._nodes.changed(home, what, TAKE, *transfer, phase) == 1
        except asyncpg.UniqueViolationError:  # the same id at the same moment, and the other one was first
            return False

    async def _phase(self, transfer: Transfer) -> str | None:
        """As the payer's node has it; None for an id that never began."""
        home = self._nodes.node_of(transfer.payer)
        rows = await self._nodes.rows(home, "read phase", "SELECT phase FROM transfer WHERE id = $1", transfer.id)
        return rows[0]["phase"] if rows else None
