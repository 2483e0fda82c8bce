"""A saga over PostgreSQL nodes: one local transaction after the other, and a compensation where the second is refused.

Garcia-Molina and Salem, Sagas (1987); System Design Interview vol. 2, Digital Wallet: orchestrated, in a line, the debit first.
Its phase status table lies in the payer's node. Money that has left is not taken back because somebody died: the credit is tried
again until it is done or refused, and only a refusal is compensated.

    debited -> credited
            -> compensated
"""

from __future__ import annotations

from typing import Final

from write_side.designs.design import Capabilities, Result, Transfer
from write_side.designs.over_postgres import OverPostgres
from write_side.designs.postgres_nodes import nodes_away_told

SCHEMA: Final = "saga"
DEBITED: Final = "debited"
CREDITED: Final = "credited"
COMPENSATED: Final = "compensated"
ENDED: Final = "ended"
TABLES: Final = "CREATE INDEX IF NOT EXISTS under_way ON transfer (phase) WHERE phase = 'debited';"

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


class Saga(OverPostgres):
    """The orchestrator. Every one of its requests may be made again; so another one can go on from the phase status table."""

    capabilities = Capabilities(
        steps=(DEBITED, CREDITED, ENDED),
        durable=True,
        once=True,
        past_balance=False,
        unbalanced_at=frozenset({DEBITED}),
    )

    async def transfer(self, transfer: Transfer) -> Result:
        if not self.crosses(transfer.payer, transfer.payee):
            return await self._nodes.move_inside(transfer, CREDITED)
        with nodes_away_told():
            async with self._nodes.at_once:
                if await self._take("debit, write debited", transfer, DEBITED):
                    self._witness.reached(DEBITED)
                    return await self._go_on(transfer)
                return await self._again(transfer)

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

    async def _again(self, transfer: Transfer) -> Result:
        """An id that was sent before, or one that is refused now."""
        phase = await self._phase(transfer)
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
