"""Topics through a real Redis: one process tells each, another when that one has ended, and what Redis loses is told again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest
import redis.asyncio

from read_side.contract.topics import TopicAnswer, no_such_topic, without_answer
from read_side.feed import topic_feed_redis
from read_side.feed.topic_feed_redis import RedisTopicFeed, decode_answer, encode_answer
from tests.servers import RedisServer, unique_name

pytestmark = pytest.mark.redis

LIMIT_S = 30.0

Open = Callable[..., RedisTopicFeed]


@pytest.fixture
async def opened(redis_server: RedisServer) -> AsyncIterator[Open]:
    """Feeds as processes of one deployment have them, closed at the end."""
    prefix = unique_name()
    async with AsyncExitStack() as stack:

        def open_feed(lease_s: float = 60.0, unnamed_s: float = 60.0) -> RedisTopicFeed:
            feed = RedisTopicFeed(redis_server.url, prefix, again_s=0.05, lease_s=lease_s, unnamed_s=unnamed_s)
            stack.push_async_callback(feed.close)
            return feed

        yield open_feed


def answer(number: int, history: str = "h1") -> TopicAnswer:
    return TopicAnswer("leaders", history, number, "0:1,1:7", b'[{"score":"1"}]')


async def until(answers: AsyncIterator[TopicAnswer], wanted: TopicAnswer) -> list[TopicAnswer]:
    """What came, up to this one."""
    found: list[TopicAnswer] = []
    async with asyncio.timeout(LIMIT_S):
        while wanted not in found:
            found.append(await anext(answers))
    return found


async def test_one_process_tells_a_topic_and_another_one_once_it_has_ended(opened: Open) -> None:
    keeper, standby, gateway = opened(), opened(), opened()
    answers = gateway.subscribe()
    keeper.tell(answer(1))
    await until(answers, answer(1))
    standby.tell(answer(9, "another"))
    keeper.tell(answer(2))
    assert await until(answers, answer(2)) == [answer(2)]
    await keeper.close()
    assert await until(answers, answer(9, "another")) == [answer(9, "another")]


async def test_a_keeper_that_is_gone_without_a_word_is_replaced_after_its_lease(
    opened: Open, redis_server: RedisServer
) -> None:
    gone, standby, gateway = opened(lease_s=0.2), opened(), opened()
    answers = gateway.subscribe()
    gone.tell(answer(1))
    await until(answers, answer(1))
    assert gone._telling is not None
    gone._telling.cancel()
    standby.tell(answer(1, "another"))
    await until(answers, answer(1, "another"))


async def test_a_topic_that_rests_is_kept_beside_one_that_changes_all_the_time(
    opened: Open, redis_server: RedisServer
) -> None:
    keeper = opened()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        keeper.tell(answer(1))
        for number in range(1, 10_000):
            keeper.tell(TopicAnswer("busy", "h1", number, "0:1", b"[]"))
            keys = [key async for key in client.scan_iter("*:keeper:leaders")]
            if number == 20:
                assert await client.delete(*keys) == 1  # as if its time were over
            elif number > 20 and keys:
                return
    pytest.fail("nobody keeps it any more")


async def test_who_has_no_answer_keeps_the_topic_from_nobody(opened: Open) -> None:
    without, keeper, gateway = opened(), opened(), opened()
    answers = gateway.subscribe()
    without.tell(without_answer("leaders"))
    await until(answers, without_answer("leaders"))
    keeper.tell(answer(1))
    await until(answers, answer(1))


async def test_who_has_withdrawn_leaves_the_topic_to_another_and_what_was_told_to_everybody(opened: Open) -> None:
    stopped, standby, gateway = opened(), opened(), opened()
    answers = gateway.subscribe()
    stopped.tell(answer(1))
    await until(answers, answer(1))
    stopped.withdraw("leaders")
    await until(opened().subscribe(), answer(1))
    standby.tell(answer(1, "another"))
    await until(answers, answer(1, "another"))


async def test_rows_that_are_still_being_made_take_no_topic_whose_keeper_has_ended(opened: Open) -> None:
    keeper, making, gateway = opened(), opened(), opened()
    answers = gateway.subscribe()
    keeper.tell(answer(7))
    await until(answers, answer(7))
    await keeper.close()
    making.tell(answer(1, "another"), catching_up=True)
    making.tell(TopicAnswer("others", "h1", 1, "0:1", b"[]"))
    told = await until(answers, TopicAnswer("others", "h1", 1, "0:1", b"[]"))
    assert answer(1, "another") not in told
    ready = opened()
    ready.tell(answer(3, "third"))
    await until(answers, answer(3, "third"))


async def test_who_is_at_the_end_of_the_log_takes_the_topic_from_who_is_not(opened: Open) -> None:
    making, ready, gateway = opened(), opened(), opened()
    answers = gateway.subscribe()
    making.tell(answer(1), catching_up=True)  # nobody has told more
    making.tell(answer(2), catching_up=True)
    await until(answers, answer(2))
    ready.tell(answer(5, "another"))
    await until(answers, answer(5, "another"))
    making.tell(answer(3))
    ready.tell(answer(6, "another"))
    assert await until(answers, answer(6, "another")) == [answer(6, "another")]


async def test_a_topic_that_nobody_names_any_more_is_told_to_be_none_and_comes_back(opened: Open) -> None:
    gone, keeper, gateway = opened(), opened(unnamed_s=0.3), opened()
    answers, other = gateway.subscribe(), TopicAnswer("others", "h1", 1, "0:1", b"[]")
    gone.tell(answer(1))
    await until(answers, answer(1))
    keeper.tell(other)
    gone.withdraw("leaders")
    await until(answers, other)
    await until(opened().subscribe(), answer(1))  # stopped, and still a topic
    await gone.close()
    await until(answers, no_such_topic("leaders"))
    await until(opened().subscribe(), no_such_topic("leaders"))
    again = opened()
    again.tell(without_answer("leaders"))
    await until(answers, without_answer("leaders"))
    again.tell(answer(1))
    await until(answers, answer(1))


async def test_of_topics_that_nobody_names_nothing_is_left_in_redis(
    opened: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_feed_redis, "FORGOTTEN_S", 0.5)
    gone, keeper, gateway = opened(), opened(unnamed_s=0.1), opened()
    answers = gateway.subscribe()
    keeper.tell(answer(1))
    gone.tell(TopicAnswer("others", "h1", 1, "0:1", b"[]"))
    await until(answers, TopicAnswer("others", "h1", 1, "0:1", b"[]"))
    await gone.close()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client, asyncio.timeout(LIMIT_S):
        [answers_key] = [key async for key in client.scan_iter("*:answers")]
        while await client.hkeys(answers_key) != [b"leaders"]:  # noqa: ASYNC110 - Redis has its own clock
            await asyncio.sleep(0.05)
        await keeper.close()
        while [key async for key in client.scan_iter("*{topics}*")]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_what_changed_once_while_a_gateway_was_away_is_told_when_the_stream_has_forgotten_it(
    opened: Open, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_feed_redis, "ENTRIES_MAX", 10)
    keeper, gateway = opened(), opened()
    answers = gateway.subscribe()
    keeper.tell(answer(1))
    await until(answers, answer(1))
    client = await gateway._streams.client()
    assert isinstance(client, redis.asyncio.Redis)
    pool = client.connection_pool
    there, pool.connection_kwargs["port"] = pool.connection_kwargs["port"], 1  # this one alone finds nobody
    await pool.disconnect()
    waiting = asyncio.ensure_future(until(answers, answer(2)))
    keeper.tell(answer(2))
    other = opened().subscribe()
    for number in range(1, 500):
        keeper.tell(TopicAnswer("busy", "h1", number, "0:1", b"[]"))
        while (await anext(other)).topic != "busy":
            pass
    pool.connection_kwargs["port"] = there
    await waiting


async def test_what_redis_has_lost_is_told_again(opened: Open, redis_server: RedisServer) -> None:
    keeper, early = opened(), opened()
    answers = early.subscribe()
    keeper.tell(answer(1))
    await until(answers, answer(1))
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.flushall()
    await until(opened().subscribe(), answer(1))
    keeper.tell(answer(2))
    assert await until(answers, answer(2)) == [answer(2)]  # the stream began anew, with ids that may be lower


async def test_a_redis_that_is_away_for_a_while_delays_answers_and_takes_none(
    opened: Open, redis_server: RedisServer
) -> None:
    keeper, gateway = opened(), opened()
    answers = gateway.subscribe()
    keeper.tell(answer(1))
    await until(answers, answer(1))
    redis_server.kill()
    keeper.tell(answer(2))
    redis_server.start()
    await until(answers, answer(2))


async def test_what_another_version_told_in_another_way_is_passed_over(opened: Open, redis_server: RedisServer) -> None:
    keeper, gateway = opened(), opened()
    keeper.tell(answer(1))
    await until(gateway.subscribe(), answer(1))
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        [key] = [name async for name in client.scan_iter("*:answers")]
        await client.hset(key, "others", b"\xc1 noise")
    assert await until(opened().subscribe(), answer(1)) == [answer(1)]


@pytest.mark.parametrize(
    "told", [answer(3), without_answer("leaders"), TopicAnswer("x", "h", 1, "0:1", None, "topic_too_large")]
)
def test_an_answer_comes_back_as_it_was(told: TopicAnswer) -> None:
    data = encode_answer(told)
    assert decode_answer(data) == told
    assert [decode_answer(data[:length]) for length in range(len(data))] == [None] * len(data)
