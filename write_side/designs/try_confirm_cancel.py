"""Try-Confirm/Cancel over PostgreSQL nodes: local transactions only, a phase status table in the payer's node.

System Design Interview vol. 2, Digital Wallet; Helland, Life beyond Distributed Transactions (2007); Pardon and Pautasso,
Atomic Distributed Transactions: a RESTful Design (2014). The order that is valid: the payer's money leaves in the try, and
arrives in the confirm. Credited in the try it could be spent before a cancel; both moved in the try, a cancel could not take
the credit back.

    trying -> confirming -> confirmed          written by the coordinator into the payer's node, each once
           -> cancelling -> cancelled
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from write_side.designs.design import Capabilities, Result, Transfer, Unanswered
from write_side.designs.over_postgres import OverPostgres
from write_side.designs.postgres_nodes import nodes_away_told

SCHEMA: Final = "try_confirm_cancel"
TRYING: Final = "trying"
CONFIRMING: Final = "confirming"
CONFIRMED: Final = "confirmed"
CANCELLING: Final = "cancelling"
CANCELLED: Final = "cancelled"
TABLES: Final = """
CREATE INDEX IF NOT EXISTS under_way ON transfer (phase) WHERE phase IN ('trying', 'confirming', 'cancelling');
"""

PAYER_TRIED: Final = "payer_tried"
PAYEE_TRIED: Final = "payee_tried"
DECIDED: Final = "decided"
PAYEE_CONFIRMED: Final = "payee_confirmed"
ENDED: Final = "ended"

_TRY_PAYEE: Final = """
INSERT INTO step SELECT $1, 'tried' WHERE EXISTS (SELECT FROM account WHERE id = $2) ON CONFLICT DO NOTHING"""
_CONFIRM_PAYEE: Final = """
WITH turned AS (UPDATE step SET state = 'confirmed' WHERE id = $1 AND state = 'tried' RETURNING id)
UPDATE account SET balance = balance + $3 WHERE id = $2 AND EXISTS (SELECT FROM turned)"""
# Without a try it leaves a fence: a try that was on its way meanwhile finds it.
_CANCEL_PAYEE: Final = """
INSERT INTO step VALUES ($1, 'cancelled') ON CONFLICT (id) DO UPDATE SET state = 'cancelled' WHERE step.state = 'tried'"""
_CANCEL_PAYER: Final = """
WITH ended AS (UPDATE transfer SET phase = 'cancelled' WHERE id = $1 AND phase = 'cancelling' RETURNING payer, amount)
UPDATE account SET balance = balance + ended.amount FROM ended WHERE account.id = ended.payer"""
_UNDER_WAY: Final = """
SELECT id, payer, payee, amount, phase FROM transfer WHERE phase IN ('trying', 'confirming', 'cancelling')"""
_TURN: Final = "UPDATE transfer SET phase = $3 WHERE id = $1 AND phase = $2"


class TryConfirmCancel(OverPostgres):
    """The coordinator. Every one of its requests may be made again; so another one can go on from the phase status table."""

    capabilities = Capabilities(
        steps=(PAYER_TRIED, PAYEE_TRIED, DECIDED, PAYEE_CONFIRMED, ENDED),
        durable=True,
        once=True,
        past_balance=False,
        unbalanced_at=frozenset({PAYER_TRIED, PAYEE_TRIED, DECIDED}),
    )

    async def transfer(self, transfer: Transfer) -> Result:
        if not self.crosses(transfer.payer, transfer.payee):
            return await self._nodes.move_inside(transfer, CONFIRMED)
        with nodes_away_told():
            async with self._nodes.at_once:
                if not await self._take("try: take, write trying", transfer, TRYING):
                    return await self._again(transfer)
                self._witness.reached(PAYER_TRIED)
                tried = await self.try_payee(transfer)
                self._witness.reached(PAYEE_TRIED)
                return await self._end(transfer, await self._decide(transfer, CONFIRMING if tried else CANCELLING))

    async def recover(self) -> int:
        """What was being tried is cancelled: whoever asked was told nothing. What was decided is ended as decided."""
        count = 0
        with nodes_away_told():
            for node in self._nodes.all:
                for row in await self._nodes.rows(node, "read phases", _UNDER_WAY):
                    transfer = Transfer(*(row[:4]))
                    decision = await self._decide(transfer, CANCELLING) if row["phase"] == TRYING else row["phase"]
                    await self._end(transfer, decision)
                    count += 1
        return count

    # -- try ------------------------------------------------------------------------------------------------------

    async def try_payee(self, transfer: Transfer) -> bool:
        """Whether the payee is there and nothing was cancelled before."""
        node = self._nodes.node_of(transfer.payee)
        if await self._nodes.changed(node, "try: may be given", _TRY_PAYEE, transfer.id, transfer.payee) == 1:
            return True
        rows = await self._nodes.rows(node, "read step", "SELECT state FROM step WHERE id = $1", transfer.id)
        return bool(rows) and rows[0]["state"] != CANCELLED

    async def _again(self, transfer: Transfer) -> Result:
        """An id that was sent before, or one that is refused now."""
        phase = await self._phase(transfer)
        if phase is None:
            return Result.REFUSED
        if phase == TRYING:
            raise Unanswered("it is being tried; ask again when that has ended, or was recovered")
        return await self._end(transfer, phase)

    # -- the decision, and confirm or cancel ----------------------------------------------------------------------

    async def _decide(self, transfer: Transfer, decision: str) -> str:
        """Written once: where another coordinator has decided, that stays, and is returned."""
        home = self._nodes.node_of(transfer.payer)
        if await self._nodes.changed(home, f"write {decision}", _TURN, transfer.id, TRYING, decision) == 0:
            phase = await self._phase(transfer)
            assert phase is not None, "it was written with the try"
            decision = phase
        self._witness.reached(DECIDED)
        return decision

    async def _end(self, transfer: Transfer, phase: str) -> Result:
        home = self._nodes.node_of(transfer.payer)
        if phase == CONFIRMING:
            node = self._nodes.node_of(transfer.payee)
            await self._nodes.changed(node, "confirm: give", _CONFIRM_PAYEE, *_given(transfer))
            self._witness.reached(PAYEE_CONFIRMED)
            await self._nodes.changed(home, f"write {CONFIRMED}", _TURN, transfer.id, CONFIRMING, CONFIRMED)
            self._witness.reached(ENDED)
        elif phase == CANCELLING:
            await self.cancel_payee(transfer)
            await self._nodes.changed(home, "cancel: give back, write cancelled", _CANCEL_PAYER, transfer.id)
            self._witness.reached(ENDED)
        return Result.DONE if phase in (CONFIRMING, CONFIRMED) else Result.REFUSED

    async def cancel_payee(self, transfer: Transfer) -> None:
        await self._nodes.changed(self._nodes.node_of(transfer.payee), "cancel", _CANCEL_PAYEE, transfer.id)


def _given(transfer: Transfer) -> tuple[UUID, str, int]:
    return transfer.id, transfer.payee, transfer.amount
