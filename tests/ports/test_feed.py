"""What the feed port promises (read_side/contract/feed.py), proved on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from read_side.contract.feed import Feed, FeedBatch, Places
from read_side.contract.marks import Marks, marks_of
from read_side.contract.phases import NO_PHASES, PhaseRows
from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.feed.feed_memory import MemoryFeed
from read_side.feed.feed_redis import RedisFeed
from read_side.feed.waiting import WAITING_MAX
from tests.servers import unique_name
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Flag

LIMIT_S = 20.0
LANE_BYTES = 64 * 1024
"""Some hundred notices."""


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("redis_cluster_url", marks=pytest.mark.redis),
    ]
)
async def feed(request: pytest.FixtureRequest) -> AsyncIterator[Feed]:
    found: Feed
    if request.param == "memory":
        found = MemoryFeed()
    else:
        found = RedisFeed(request.getfixturevalue(request.param), unique_name(), lane_bytes_max=LANE_BYTES)
    yield found
    await found.close()


ROWS = AccountRows.of(
    [
        AccountRow("alice", "USD/2", 10**18, 3, NO_FLOOR, 7, 1_700_000_000_000_000),
        AccountRow("bob", "EUR/2", -5, 0, 0, 2**40, 1, Flag.DEBIT_FROZEN | Flag.CLOSED),
        AccountRow("@world:USD/2", "USD/2", -(10**18), 0, NO_FLOOR, 1, 2),
    ]
)


PHASES = PhaseRows([b"a" * 16, b"b" * 16, b"a" * 16], [b"1" * 16, b"1" * 16, b"2" * 16], ["trying", "held", "refused"])


def batch(upto: int, after: int | None = None, partition: int = 0, rows: AccountRows = ROWS) -> FeedBatch:
    phases = PHASES if len(rows) else NO_PHASES
    return FeedBatch(partition, 1, "boot-1", upto - 1 if after is None else after, upto, rows, phases)


def plain(some: FeedBatch) -> tuple[object, ...]:
    rows = [some.rows[i] for i in range(len(some.rows))]
    return some.partition, some.generation, some.boot, some.after, some.upto, rows, some.phases


async def take(batches: AsyncIterator[FeedBatch]) -> FeedBatch:
    return await asyncio.wait_for(anext(batches), LIMIT_S)


async def test_a_subscriber_gets_batches_in_order_and_whole(feed: Feed) -> None:
    batches = feed.subscribe(0)
    sent = [batch(5, 2), batch(6), batch(6, 6, rows=EMPTY_ROWS), batch(9, 6)]
    for each in sent:
        await feed.publish(each)
    assert [plain(await take(batches)) for _ in sent] == [plain(each) for each in sent]


async def test_a_heartbeat_is_an_empty_batch_that_moves_nothing(feed: Feed) -> None:
    batches = feed.subscribe(0)
    await feed.publish(batch(4, 4, rows=EMPTY_ROWS))
    assert (await take(batches)).is_heartbeat


async def test_every_subscriber_gets_every_batch(feed: Feed) -> None:
    subscribers = [feed.subscribe(0) for _ in range(3)]
    await feed.publish(batch(1))
    assert [(await take(each)).upto for each in subscribers] == [1, 1, 1]


async def test_partitions_are_apart(feed: Feed) -> None:
    zero, one = feed.subscribe(0), feed.subscribe(1)
    await feed.publish(batch(3, partition=1))
    await feed.publish(batch(8, partition=0))
    assert plain(await take(zero)) == plain(batch(8, partition=0))
    assert plain(await take(one)) == plain(batch(3, partition=1))


async def test_a_batch_published_twice_may_come_twice_and_nothing_is_lost(feed: Feed) -> None:
    batches = feed.subscribe(0)
    for each in (batch(1), batch(1), batch(2)):
        await feed.publish(each)
    seen = [await take(batches), await take(batches)]
    if seen[-1].upto == 1:
        seen.append(await take(batches))
    assert seen[-1].upto == 2


async def test_a_reader_that_waits_is_woken(feed: Feed) -> None:
    batches = feed.subscribe(0)
    waiting = asyncio.ensure_future(take(batches))
    await asyncio.sleep(0)
    await feed.publish(batch(1))
    assert (await waiting).upto == 1


async def test_a_slow_subscriber_loses_batches_and_sees_the_gap(feed: Feed) -> None:
    slow = feed.subscribe(0)
    last = (
        2 * LANE_BYTES // 100 + WAITING_MAX
    )  # a capped stream is trimmed in whole nodes, so some more than the cap stay
    for upto in range(1, last + 1):
        await feed.publish(batch(upto, rows=EMPTY_ROWS))
    seen = [await take(slow)]
    while seen[-1].upto < last:
        seen.append(await take(slow))
    assert len(seen) < last
    assert any(each.after != before.upto for before, each in zip([batch(0), *seen], seen, strict=False))


class Some:
    """An interest in these accounts, and no phases."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def accounts(self, upto: int, marks: Marks) -> Places:
        return np.flatnonzero(np.isin(marks, marks_of(self.names)))

    def keys(self, marks: Marks) -> Places:
        return np.zeros(0, np.int64)


@pytest.mark.parametrize("count", [2, 1_000])
async def test_who_wants_some_accounts_gets_their_rows_and_every_interval(feed: Feed, count: int) -> None:
    """Whatever else comes."""
    interest = Some("account-1")
    batches = feed.subscribe(0, interest)

    def told(upto: int) -> FeedBatch:
        return batch(
            upto, rows=AccountRows.of([AccountRow(f"account-{n}", "USD/2", n, 0, 0, upto, 1) for n in range(count)])
        )

    for upto, names in ((1, ["account-1"]), (2, ["account-0"]), (3, ["account-0", "account-1"]), (4, ["nobody"])):
        interest.names = names
        await feed.publish(told(upto))
        found = await take(batches)
        assert (found.after, found.upto) == (upto - 1, upto)
        versions = {row.account: row.version for row in found.rows.each()}
        assert {name: versions.get(name) for name in names} == {
            name: None if name == "nobody" else upto for name in names
        }


async def test_close_ends_every_subscription(feed: Feed) -> None:
    waiting = [asyncio.ensure_future(take(feed.subscribe(0))) for _ in range(2)]
    await asyncio.sleep(0)
    await feed.close()
    await feed.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [StopAsyncIteration, StopAsyncIteration]
