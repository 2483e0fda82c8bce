"""One suite on every design of the chapter: each keeps what its table of capabilities promises, and breaks where it says so.

A design that loses money under a fault is expected to: where it stops losing, its table is wrong and the test fails.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.servers import PostgresServer, RedisServer, ZooKeeperEnsemble, ZooKeeperServer, running_redis, unique_name
from write_side.contract.words.atoms import partition_of
from write_side.designs import node_map
from write_side.designs.design import (
    MAP_CHANGED,
    NODE_KILLED,
    NODE_PAUSED,
    Design,
    KeepsHistory,
    Result,
    Transfer,
    Unanswered,
    Witness,
)
from write_side.designs.in_memory_sharding import InMemorySharding
from write_side.designs.killed_service import run_until
from write_side.designs.load import Load
from write_side.designs.map_faults import AWAY, FOLLOWER_KILLED, LEADER_KILLED, SESSION_EXPIRED, map_faults
from write_side.designs.money import judge
from write_side.designs.sequence import sequence
from write_side.designs.try_confirm_cancel import TryConfirmCancel
from write_side.designs.wiring import Name, Places, capabilities, open_design, publish_nodes, read_balances

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.zookeeper]

NODES = 2
MONEY = 1_000
AMOUNT = 300
CAPABILITIES = {name: capabilities(name) for name in Name}
OVER_KAFKA = pytest.param(Name.EVENT_SOURCING_KAFKA, marks=pytest.mark.kafka)
OTHERS = [Name.IN_MEMORY_SHARDING, Name.TWO_PHASE_COMMIT, Name.TRY_CONFIRM_CANCEL, Name.SAGA]
EVERY_DESIGN = pytest.mark.parametrize("name", [*OTHERS, Name.EVENT_SOURCING])
EVERY_DESIGN_AND_LOG = pytest.mark.parametrize("name", [*OTHERS, Name.EVENT_SOURCING, OVER_KAFKA])
# What becomes of ours without its broker is tried where Kafka's log is.
EVERY_DESIGN_OVER_SERVERS = pytest.mark.parametrize("name", OTHERS)
KILLS = [
    pytest.param(name, step, marks=[pytest.mark.kafka] if name is Name.EVENT_SOURCING_KAFKA else [])
    for name, told in CAPABILITIES.items()
    # Over Kafka it is the same code over another log, and each kill takes seconds.
    for step in (told.steps[:1] if name is Name.EVENT_SOURCING_KAFKA else told.steps)
]


def _accounts(node: int, how_many: int) -> list[str]:
    names = (f"account-{number}" for number in count())
    return [next(name for name in names if partition_of(name, NODES) == node) for _ in range(how_many)]


PAYER, BESIDE_PAYER = _accounts(0, 2)
PAYEE, BESIDE_PAYEE = _accounts(1, 2)
PUT_IN = dict.fromkeys((PAYER, BESIDE_PAYER, PAYEE, BESIDE_PAYEE), MONEY)


def _transfer(payer: str, payee: str, amount: int = AMOUNT) -> Transfer:
    return Transfer(uuid.uuid4(), payer, payee, amount)


@pytest.fixture(scope="module")
def redis_nodes() -> Iterator[list[RedisServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(running_redis()) for _ in range(NODES)]


@pytest.fixture
async def places(
    redis_url: str,  # skips where there is no Redis
    redis_nodes: list[RedisServer],
    postgres_servers: list[PostgresServer],
    zookeeper_server: ZooKeeperServer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Places:
    """Empty: a prefix of this test's own."""
    over_kafka = request.node.get_closest_marker("kafka") is not None
    places = Places(
        postgres=tuple(server.dsn for server in postgres_servers),
        lock_wait_ms=200,
        zookeeper=zookeeper_server.hosts,
        folder=str(tmp_path / "log"),
        kafka=request.getfixturevalue("kafka_bootstrap") if over_kafka else "",
        prefix=unique_name("test").replace("-", "_") + "_",
    )
    await publish_nodes(places, [server.url for server in redis_nodes])
    return places


@asynccontextmanager
async def opened(name: Name, places: Places, witness: Witness | None = None) -> AsyncIterator[Design]:
    design = await open_design(name, places, witness or Witness())
    try:
        yield design
    finally:
        await design.close()


# -- without faults -----------------------------------------------------------------------------------------------


@EVERY_DESIGN_AND_LOG
@pytest.mark.parametrize("payee", [BESIDE_PAYER, PAYEE], ids=["inside", "across"])
async def test_a_transfer_moves_its_amount_and_no_more(name: Name, places: Places, payee: str) -> None:
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        assert design.crosses(PAYER, payee) == (payee == PAYEE)
        assert await design.transfer(_transfer(PAYER, payee)) is Result.DONE
        assert await design.balances() == PUT_IN | {PAYER: MONEY - AMOUNT, payee: MONEY + AMOUNT}


@EVERY_DESIGN
@pytest.mark.parametrize("payee", [BESIDE_PAYER, PAYEE], ids=["inside", "across"])
async def test_a_payer_never_gives_more_than_it_has(name: Name, places: Places, payee: str) -> None:
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        assert await design.transfer(_transfer(PAYER, payee, MONEY + 1)) is Result.REFUSED
        assert await design.balances() == PUT_IN
        assert await design.transfer(_transfer(PAYER, payee, MONEY)) is Result.DONE


@EVERY_DESIGN
async def test_a_payee_that_is_not_there_is_given_nothing_and_the_payer_keeps_its_money(
    name: Name, places: Places
) -> None:
    missing = [next(n for n in map(str, count()) if partition_of(n, NODES) == node) for node in range(NODES)]
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        for payee in missing:
            assert await design.transfer(_transfer(PAYER, payee)) is Result.REFUSED
        assert await design.balances() == PUT_IN
        assert await design.recover() == 0


@EVERY_DESIGN_AND_LOG
@pytest.mark.parametrize("payee", [BESIDE_PAYER, PAYEE], ids=["inside", "across"])
async def test_an_id_that_is_sent_again_is_paid_as_often_as_the_design_says(
    name: Name, places: Places, payee: str
) -> None:
    transfer = _transfer(PAYER, payee, MONEY // 2)
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        results = [await design.transfer(transfer) for _ in range(3)]
        paid = MONEY - (await design.balances())[PAYER]
    if CAPABILITIES[name].once:
        assert (results, paid) == ([Result.DONE] * 3, MONEY // 2)
    else:
        assert (results, paid) == ([Result.DONE, Result.DONE, Result.REFUSED], MONEY)


@EVERY_DESIGN_AND_LOG
async def test_transfers_in_both_directions_at_once_end_and_keep_the_money(name: Name, places: Places) -> None:
    async with opened(name, places._replace(lock_wait_ms=30_000)) as design:
        await design.put_in(PUT_IN)
        pairs = [(PAYER, PAYEE), (PAYEE, PAYER), (BESIDE_PAYEE, PAYER), (PAYER, BESIDE_PAYER), (BESIDE_PAYER, PAYER)]
        results = await asyncio.gather(*(design.transfer(_transfer(*pair, 5)) for pair in pairs * 20))
        assert results == [Result.DONE] * len(results)
        assert judge(PUT_IN, await design.balances()).right
        assert await design.recover() == 0


@EVERY_DESIGN
async def test_one_id_asked_many_times_at_once_is_paid_once_where_the_design_says_so(
    name: Name, places: Places
) -> None:
    transfer = _transfer(PAYER, PAYEE, MONEY // 2)
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        asked = await asyncio.gather(*(design.transfer(transfer) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(each, Result | Unanswered) for each in asked), asked
        assert await design.transfer(transfer) is (Result.DONE if CAPABILITIES[name].once else Result.REFUSED)
        balances = await design.balances()
    paid = MONEY // 2 if CAPABILITIES[name].once else MONEY
    assert balances == PUT_IN | {PAYER: MONEY - paid, PAYEE: MONEY + paid}


# -- killed at every step -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "step"), KILLS)
async def test_a_kill_at_any_step_leaves_what_the_table_says(name: Name, step: str, places: Places) -> None:
    told, transfer = CAPABILITIES[name], _transfer(PAYER, PAYEE)
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
    assert await run_until(name, places, transfer, step) == -9

    seen = judge(PUT_IN, await read_balances(name, places))
    assert seen.right == (step not in told.unbalanced_at), seen
    async with opened(name, places) as design:
        assert await _locked(design) == (step in told.locked_at)

        await design.recover()
        assert not await _locked(design)
        ended = judge(PUT_IN, await design.balances())
        assert ended.right == (step not in told.loses_money_at), ended
        assert await design.recover() == 0

        before = _paid(await design.balances())
        results = [await design.transfer(transfer) for _ in range(2)]
        after = _paid(await design.balances())
    if told.once:
        assert results[0] is results[1]
        assert after == ((AMOUNT, AMOUNT) if results[0] is Result.DONE else (0, 0))
    else:
        assert after == (before[0] + 2 * AMOUNT, before[1] + 2 * AMOUNT), "it remembers no id, so it pays again"


def _paid(balances: Mapping[str, int]) -> tuple[int, int]:
    """What has left the accounts of the payer's node, and what has come to those of the payee's."""
    left, come = (2 * MONEY - balances[one] - balances[other] for one, other in _BESIDE)
    return left, -come


_BESIDE = ((PAYER, BESIDE_PAYER), (PAYEE, BESIDE_PAYEE))


async def _locked(design: Design) -> bool:
    """Whether one of the two accounts cannot be used."""
    asked = (design.transfer(_transfer(*pair, 1)) for pair in _BESIDE)
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert all(each is Result.DONE or isinstance(each, Unanswered) for each in found), found
    return any(isinstance(each, Unanswered) for each in found)


# -- nodes that are killed, or away -------------------------------------------------------------------------------


@EVERY_DESIGN_OVER_SERVERS
async def test_a_node_that_is_killed_takes_with_it_what_the_table_says_and_a_transfer_meanwhile_ends(
    name: Name, places: Places, redis_nodes: list[RedisServer], postgres_servers: list[PostgresServer]
) -> None:
    told, meanwhile = CAPABILITIES[name], _transfer(PAYER, PAYEE)
    node = redis_nodes[1] if name is Name.IN_MEMORY_SHARDING else postgres_servers[1]
    async with opened(name, places) as design:
        await design.put_in(PUT_IN)
        assert await design.transfer(_transfer(PAYER, PAYEE)) is Result.DONE
        node.kill()
        with pytest.raises(Unanswered):
            await design.transfer(meanwhile)
        node.start()
    async with opened(name, places) as design:
        await design.recover()
        balances = await design.balances()
        assert judge(PUT_IN, balances).right == (NODE_KILLED not in told.loses_money_at)
        if told.durable:
            paid = 2 * AMOUNT if await design.transfer(meanwhile) is Result.DONE else AMOUNT
            assert (await design.balances())[PAYER] == MONEY - paid
            assert (await design.balances())[PAYEE] == MONEY + paid
        else:
            assert PAYEE not in balances, "it was done, and is gone"


@EVERY_DESIGN
async def test_a_past_balance_can_be_asked_where_the_design_says_so(name: Name, places: Places) -> None:
    async with opened(name, places) as design:
        assert isinstance(design, KeepsHistory) == CAPABILITIES[name].past_balance
        if isinstance(design, KeepsHistory):
            await design.put_in(PUT_IN)
            noon_us = time.time_ns() // 1_000
            assert await design.transfer(_transfer(PAYER, PAYEE)) is Result.DONE
            assert await design.past_balances(noon_us) == PUT_IN
            assert (await design.past_balances(time.time_ns() // 1_000))[PAYER] == MONEY - AMOUNT


@EVERY_DESIGN_OVER_SERVERS
async def test_a_node_that_hangs_holds_nothing_up_but_what_the_table_says(
    name: Name, places: Places, redis_nodes: list[RedisServer], postgres_servers: list[PostgresServer]
) -> None:
    transfer, told = _transfer(PAYER, PAYEE), CAPABILITIES[name]
    node = redis_nodes[1] if name is Name.IN_MEMORY_SHARDING else postgres_servers[1]
    async with opened(name, places._replace(answer_wait_s=1.0)) as design:
        await design.put_in(PUT_IN)
        node.pause()
        try:
            asked = asyncio.create_task(design.transfer(transfer))
            await asyncio.sleep(0.2)  # it has got as far as it gets
            [beside] = await asyncio.gather(design.transfer(_transfer(PAYER, BESIDE_PAYER, 1)), return_exceptions=True)
            assert isinstance(beside, Unanswered) == (NODE_PAUSED in told.locked_at)
            with pytest.raises(Unanswered):
                await asked
        finally:
            node.resume()
        await design.recover()
        if NODE_PAUSED not in told.may_lose_money_at:
            assert judge(PUT_IN, await design.balances()).right
        assert await design.recover() == 0


# -- what is told of one design -----------------------------------------------------------------------------------


async def test_a_try_that_comes_after_its_cancel_finds_the_fence(places: Places) -> None:
    transfer = _transfer(PAYER, PAYEE)
    async with opened(Name.TRY_CONFIRM_CANCEL, places) as design:
        assert isinstance(design, TryConfirmCancel)
        await design.put_in(PUT_IN)
        await design.cancel_payee(transfer)
        assert not await design.try_payee(transfer)
        assert await design.transfer(transfer) is Result.REFUSED
        assert await design.balances() == PUT_IN


async def test_a_coordinator_that_was_taken_for_dead_finds_that_its_transfer_was_aborted(places: Places) -> None:
    async with opened(Name.TWO_PHASE_COMMIT, places) as other:

        class TakenForDead(Witness):
            async def both(self, *requests: Callable[[], Awaitable[None]]) -> list[Exception]:
                failed = await super().both(*requests)
                await other.recover()
                return failed

        await other.put_in(PUT_IN)
        async with opened(Name.TWO_PHASE_COMMIT, places, TakenForDead()) as design:
            assert await design.transfer(_transfer(PAYER, PAYEE)) is Result.REFUSED
        assert await other.balances() == PUT_IN


async def test_a_transfer_between_two_nodes_costs_what_two_phase_commit_is_known_for(places: Places) -> None:
    witness = Witness()
    async with opened(Name.TWO_PHASE_COMMIT, places, witness) as design:
        await design.put_in(PUT_IN)
        await design.transfer(_transfer(PAYER, PAYEE))
    # Each node: begin, update, prepare, commit prepared; and the decision. Forced: all but the first two.
    assert (witness.requests, witness.forced_writes) == (9, 5)


async def test_the_sharded_service_goes_on_without_zookeeper_and_follows_the_map_when_it_changes(
    places: Places, redis_nodes: list[RedisServer], zookeeper_server: ZooKeeperServer
) -> None:
    async with opened(Name.IN_MEMORY_SHARDING, places) as design:
        assert isinstance(design, InMemorySharding)
        await design.put_in(PUT_IN)
        zookeeper_server.kill()
        try:
            assert await design.transfer(_transfer(PAYER, PAYEE)) is Result.DONE
        finally:
            zookeeper_server.start()
        design.nodes.changed.clear()
        await publish_nodes(places, [redis_nodes[1].url, redis_nodes[0].url])
        await asyncio.wait_for(design.nodes.changed.wait(), 30)
        # Nobody has moved the money with the addresses: each account is looked for where it never was.
        assert await design.transfer(_transfer(PAYER, PAYEE)) is Result.REFUSED


async def test_no_fault_of_zookeeper_holds_a_transfer_up_and_the_next_map_is_heard_after_each(
    places: Places, zookeeper_ensemble: ZooKeeperEnsemble, redis_nodes: list[RedisServer]
) -> None:
    load = Load(40, 1.0)
    places = places._replace(zookeeper=zookeeper_ensemble.hosts)
    await publish_nodes(places, [server.url for server in redis_nodes])
    async with opened(Name.IN_MEMORY_SHARDING, places) as design:
        await design.put_in(load.put_in)
    harms = await map_faults(places, load, zookeeper_ensemble, dead_s=0.5)
    *of_zookeeper, changed = harms
    assert [harm.fault for harm in of_zookeeper] == [FOLLOWER_KILLED, LEADER_KILLED, AWAY, SESSION_EXPIRED]
    for harm in of_zookeeper:
        assert (harm.locked_s, harm.seen, harm.made) == (0.0, 0, 0), harm
    # Nobody moves the money with the addresses: what was debited is credited to nobody, and given back to nobody.
    assert changed.fault == MAP_CHANGED
    assert changed.made < 0
    assert changed.locked_s > 0
    harms = await map_faults(places, load, None, dead_s=0.5)
    assert [harm.fault for harm in harms] == [SESSION_EXPIRED, MAP_CHANGED]
    async with opened(Name.IN_MEMORY_SHARDING, places) as design:
        assert isinstance(design, InMemorySharding)
        before = design.nodes.session
        await node_map.expire_session(places.zookeeper, design.nodes)
        design.nodes.changed.clear()
        await publish_nodes(places, design.nodes.addresses)
        await asyncio.wait_for(design.nodes.changed.wait(), 30)
        assert design.nodes.session not in (None, before)


async def test_who_starts_while_zookeeper_is_away_is_told_so(
    places: Places, zookeeper_ensemble: ZooKeeperEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_map, "START_LIMIT_S", 1.0)
    places = places._replace(zookeeper=zookeeper_ensemble.hosts)
    zookeeper_ensemble.kill_most()
    try:
        with pytest.raises(Unanswered, match="ZooKeeper told no map"):
            await open_design(Name.IN_MEMORY_SHARDING, places, Witness())
    finally:
        zookeeper_ensemble.start()


# -- drawn from a run ---------------------------------------------------------------------------------------------

DRAWN = Path(__file__).parents[2] / "write_side" / "designs" / "SEQUENCES.md"
"""Written again from these runs where FANFOLD_DRAW is set."""


async def test_the_sequences_that_are_drawn_are_those_that_run(places: Places) -> None:
    told = ["# The requests of each design, drawn from a run", ""]
    told += [
        "A transfer between two nodes; then one to a payee that is not there. `test_designs.py` makes both and compares.",
        "",
    ]
    missing = next(name for name in map(str, count()) if partition_of(name, NODES) == 1)
    for name in [*OTHERS, Name.EVENT_SOURCING]:
        witness = Witness(one_by_one=True)
        async with opened(name, places, witness) as design:
            await design.put_in(PUT_IN)
            for what, payee in (("done", PAYEE), ("refused", missing)):
                witness.told, witness.telling = [], True
                await design.transfer(_transfer(PAYER, payee))
                node = "partition" if name is Name.EVENT_SOURCING else "node"
                told += [
                    f"## {name}: {what}",
                    "",
                    "```mermaid",
                    sequence(witness.told, CAPABILITIES[name], node) + "```",
                    "",
                ]
    text = "\n".join(told)
    if os.environ.get("FANFOLD_DRAW"):
        DRAWN.write_text(text)
    assert DRAWN.read_text() == text
