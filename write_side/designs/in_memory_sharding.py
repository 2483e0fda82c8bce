"""In-memory sharding: balances in several Redis nodes, dealt by the account's hash; a stateless service, two commands a transfer.

System Design Interview vol. 2, Digital Wallet, its first design; the count of partitions and the addresses are in ZooKeeper
(`node_map.py`). Where both accounts share a node one Lua script moves the money, which Redis runs whole (its manual, Scripting
with Lua). Between two nodes nothing holds the two commands together: it is here to show that.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio
from redis.exceptions import RedisError

from write_side.contract.words.atoms import partition_of
from write_side.designs.design import (
    MAP_CHANGED,
    NODE_KILLED,
    NODE_PAUSED,
    Capabilities,
    Result,
    Transfer,
    Unanswered,
    Witness,
)
from write_side.designs.node_map import NodeMap

DEBITED: Final = "debited"
CREDITED: Final = "credited"

CONNECTIONS_A_NODE: Final = 64
"""One more transfer waits for one of them to come free."""

_MOVE: Final = """
local balance = redis.call('HGET', KEYS[1], ARGV[1])
if not balance or tonumber(balance) < tonumber(ARGV[3]) or redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], -ARGV[3])
redis.call('HINCRBY', KEYS[1], ARGV[2], ARGV[3])
return 1"""
_DEBIT: Final = """
local balance = redis.call('HGET', KEYS[1], ARGV[1])
if not balance or tonumber(balance) < tonumber(ARGV[2]) then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], -ARGV[2])
return 1"""
_CREDIT: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
return 1"""


class InMemorySharding:
    """The wallet service. key: of the hash of balances, the same in every node. secrets: of addresses as the map has them those
    with their passwords. Ids are not looked at: nothing remembers them."""

    capabilities = Capabilities(
        steps=(DEBITED, CREDITED),
        durable=False,
        once=False,
        past_balance=False,
        loses_money_at=frozenset({DEBITED, NODE_KILLED, MAP_CHANGED}),
        may_lose_money_at=frozenset({NODE_PAUSED}),
        unbalanced_at=frozenset({DEBITED}),
        locked_at=frozenset({MAP_CHANGED}),
    )

    def __init__(
        self, nodes: NodeMap, key: str, witness: Witness, answer_wait_s: float, secrets: Mapping[str, str]
    ) -> None:
        self._secrets = secrets
        self._answer_wait_s = answer_wait_s
        self.nodes = nodes
        self._key = key
        self._witness = witness
        self._clients: dict[str, redis.asyncio.Redis] = {}

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        dealt: dict[int, dict[str, int]] = {}
        for account, money in accounts.items():
            dealt.setdefault(self._node_of(account), {})[account] = money
        for node, own in dealt.items():
            async with self._answered(node) as client:
                await client.hset(self._key, mapping=own)

    def crosses(self, payer: str, payee: str) -> bool:
        return self._node_of(payer) != self._node_of(payee)

    async def transfer(self, transfer: Transfer) -> Result:
        payer, payee = self._node_of(transfer.payer), self._node_of(transfer.payee)
        if payer == payee:
            moved = await self._run(payer, "move", _MOVE, transfer.payer, transfer.payee, transfer.amount)
            return Result.DONE if moved else Result.REFUSED
        if not await self._run(payer, "debit", _DEBIT, transfer.payer, transfer.amount):
            return Result.REFUSED
        self._witness.reached(DEBITED)
        if not await self._run(payee, "credit", _CREDIT, transfer.payee, transfer.amount):
            await self._run(payer, "give back", _CREDIT, transfer.payer, transfer.amount)
            return Result.REFUSED
        self._witness.reached(CREDITED)
        return Result.DONE

    async def balances(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for node in range(len(self.nodes.addresses)):
            async with self._answered(node) as client:
                rows: dict[bytes, bytes] = await client.hgetall(self._key)
            self._witness.request(node, "read balances")
            found.update({account.decode(): int(balance) for account, balance in rows.items()})
        return found

    async def recover(self) -> int:
        """Nothing: no node knows what was under way."""
        return 0

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        await self.nodes.close()

    def _node_of(self, account: str) -> int:
        return partition_of(account, len(self.nodes.addresses))

    async def _run(self, node: int, what: str, script: str, *values: str | int) -> bool:
        async with self._answered(node) as client:
            done = await client.register_script(script)(keys=[self._key], args=values)
        self._witness.request(node, what)
        return bool(done)

    @asynccontextmanager
    async def _answered(self, node: int) -> AsyncIterator[Any]:
        """The client of a node, by the newest map."""
        address = self.nodes.addresses[node]
        if address not in self._clients:
            # Not tried again: a command whose answer was lost may have been run, and would be run twice.
            pool = redis.asyncio.BlockingConnectionPool.from_url(
                self._secrets.get(address, address),
                max_connections=CONNECTIONS_A_NODE,
                timeout=None,
                retry=None,
                socket_timeout=self._answer_wait_s,
            )
            self._clients[address] = redis.asyncio.Redis.from_pool(pool)
        try:
            yield self._clients[address]
        except (RedisError, OSError) as away:
            raise Unanswered(f"node {node} does not answer, and nobody can tell whether it ran: {away!r}") from away
