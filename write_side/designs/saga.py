"""A saga over PostgreSQL nodes: one local transaction after the other, and a compensation where the second is refused.

Garcia-Molina and Salem, Sagas (1987); System Design Interview vol. 2, Digital Wallet: orchestrated, in a line, the debit first.
Its phase status table lies in the payer's node. Money that has left is not taken back because somebody died: the credit is tried
again until it is done or refused, and only a refusal is compensated.

    debited -> credited
            -> compensated
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import asyncpg

from write_side.designs.design import Capabilities, Result, Transfer, Witness
from write_side.designs.postgres_nodes import PostgresNodes, nodes_away_told

SCHEMA: Final = "saga"
DEBITED: Final = "debited"
CREDITED: Final = "credited"
COMPENSATED: Final = "compensated"
ENDED: Final = "ended"
TABLES: Final = "CREATE INDEX IF NOT EXISTS under_way ON transfer (phase) WHERE phase = 'debited';"

_DEBIT: Final = """
WITH taken AS (UPDATE account SET balance = balance - $4
    WHERE id = $2 AND balance >= $4 AND NOT EXISTS (SELECT FROM transfer WHERE id = $1) RETURNING id)
INSERT INTO transfer SELECT $1, $2, $3, $4, 'debited' FROM taken"""
# What became of it is written once, a refusal too: or two coordinators could find the payee missing, and there.
_CREDIT: Final = """
WITH new AS (INSERT INTO step
        SELECT $1, CASE WHEN EXISTS (SELECT FROM account WHERE id = $2) THEN 'credited' ELSE 'refused' END
        ON CONFLICT DO NOTHING RETURNING state),
    given AS (UPDATE account SET balance = balance + $3
        WHERE id = $2 AND EXISTS (SELECT FROM new WHERE state = 'credited') RETURNING id)
SELECT state FROM new UNION ALL SELECT state FROM step WHERE id = $1"""
_COMPENSATE: Final = """
WITH ended AS (UPDATE transfer SET phase = 'compensated' WHERE id = $1 AND phase = 'debited' RETURNING payer, amount)
UPDATE account SET balance = balance + ended.amount FROM ended WHERE account.id = ended.payer"""
_END: Final = "UPDATE transfer SET phase = 'credited' WHERE id = $1 AND phase = 'debited'"


class Saga:
    """The orchestrator. Every one of its requests may be made again; so another one can go on from the phase status table."""

    capabilities = Capabilities(
        steps=(DEBITED, CREDITED, ENDED),
        durable=True,
        once=True,
        past_balance=False,
        unbalanced_at=frozenset({DEBITED}),
    )

    def __init__(self, nodes: PostgresNodes, witness: Witness) -> None:
        self._nodes = nodes
        self._witness = witness

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        await self._nodes.put_in(accounts)

    def crosses(self, payer: str, payee: str) -> bool:
        return self._nodes.node_of(payer) != self._nodes.node_of(payee)

    async def transfer(self, transfer: Transfer) -> Result:
        if not self.crosses(transfer.payer, transfer.payee):
            return await self._nodes.move_inside(transfer, CREDITED)
        with nodes_away_told():
            async with self._nodes.at_once:
                if await self._debit(transfer):
                    self._witness.reached(DEBITED)
                    return await self._go_on(transfer)
                return await self._again(transfer)

    async def balances(self) -> dict[str, int]:
        with nodes_away_told():
            return await self._nodes.balances()

    async def recover(self) -> int:
        """Each that was debited and did not end goes on with its credit."""
        asked = "SELECT id, payer, payee, amount FROM transfer WHERE phase = 'debited'"
        count = 0
        with nodes_away_told():
            for node in self._nodes.all:
                for row in await self._nodes.rows(node, "read phases", asked):
                    await self._go_on(Transfer(*row))
                    count += 1
        return count

    async def close(self) -> None:
        await self._nodes.close()

    async def _debit(self, transfer: Transfer) -> bool:
        """Whether it has begun now. False: refused, or begun before."""
        try:
            home = self._nodes.node_of(transfer.payer)
            return await self._nodes.changed(home, "debit, write debited", _DEBIT, *transfer) == 1
        except asyncpg.UniqueViolationError:  # the same id at the same moment, and the other one was first
            return False

    async def _again(self, transfer: Transfer) -> Result:
        """An id that was sent before, or one that is refused now."""
        home = self._nodes.node_of(transfer.payer)
        rows = await self._nodes.rows(home, "read phase", "SELECT phase FROM transfer WHERE id = $1", transfer.id)
        phase = rows[0]["phase"] if rows else None
        if phase == DEBITED:
            return await self._go_on(transfer)
        return Result.DONE if phase == CREDITED else Result.REFUSED

    async def _go_on(self, transfer: Transfer) -> Result:
        home, node = self._nodes.node_of(transfer.payer), self._nodes.node_of(transfer.payee)
        found: list[str] = []
        while not found:  # none: another one wrote it while we asked, and the next look finds it
            given = (transfer.id, transfer.payee, transfer.amount)
            found = [row["state"] for row in await self._nodes.rows(node, "credit", _CREDIT, *given, forced=True)]
        if found[0] == CREDITED:
            self._witness.reached(CREDITED)
            await self._nodes.changed(home, "write credited", _END, transfer.id)
            self._witness.reached(ENDED)
            return Result.DONE
        await self._nodes.changed(home, "compensate: give back, write compensated", _COMPENSATE, transfer.id)
        self._witness.reached(ENDED)
        return Result.REFUSED
