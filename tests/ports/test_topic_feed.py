"""What the topic port promises (read_side/contract/topics.py), proved on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from read_side.contract.topics import TopicAnswer, TopicFeed, without_answer
from read_side.feed.topic_feed_memory import MemoryTopicFeed
from read_side.feed.topic_feed_redis import RedisTopicFeed
from tests.servers import unique_name

LIMIT_S = 20.0


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("redis_cluster_url", marks=pytest.mark.redis),
    ]
)
async def feed(request: pytest.FixtureRequest) -> AsyncIterator[TopicFeed]:
    found: TopicFeed
    if request.param == "memory":
        found = MemoryTopicFeed()
    else:
        found = RedisTopicFeed(request.getfixturevalue(request.param), unique_name())
    yield found
    await found.close()


def answer(number: int, topic: str = "leaders") -> TopicAnswer:
    return TopicAnswer(topic, "h1", number, "0:1,1:7", b'[{"score":"1"}]')


async def take(answers: AsyncIterator[TopicAnswer]) -> TopicAnswer:
    return await asyncio.wait_for(anext(answers), LIMIT_S)


async def newest(answers: AsyncIterator[TopicAnswer], wanted: TopicAnswer) -> TopicAnswer:
    """The first one that is not older: between processes an answer takes a moment."""
    while (found := await take(answers)).number < wanted.number:
        pass
    return found


async def test_who_comes_later_gets_the_newest_of_every_topic(feed: TopicFeed) -> None:
    for each in (answer(1), answer(2), answer(1, "others")):
        feed.tell(each)
    answers = feed.subscribe()
    assert {await take(answers), await take(answers)} == {answer(2), answer(1, "others")}


async def test_a_reader_that_waits_is_woken_and_gets_the_answer_whole(feed: TopicFeed) -> None:
    waiting = asyncio.ensure_future(take(feed.subscribe()))
    await asyncio.sleep(0)
    told = TopicAnswer("leaders", "h1", 3, "0:9", None, "topic_too_large")
    feed.tell(told)
    assert await waiting == told


async def test_a_slow_reader_gets_the_newest_of_each_topic_once(feed: TopicFeed) -> None:
    slow = feed.subscribe()
    for number in range(1, 500):
        feed.tell(answer(number))
        feed.tell(answer(number, "others"))
    assert {await take(slow), await take(slow)} == {answer(499), answer(499, "others")}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(slow), 0.01)


async def test_a_topic_without_an_answer_is_told_and_never_in_the_place_of_one(feed: TopicFeed) -> None:
    feed.tell(without_answer("leaders"))
    assert await take(feed.subscribe()) == without_answer("leaders")
    feed.tell(answer(4))
    assert await newest(feed.subscribe(), answer(4)) == answer(4)
    feed.tell(without_answer("leaders"))
    feed.tell(answer(1, "others"))
    later = feed.subscribe()
    assert {await take(later), await take(later)} == {answer(4), answer(1, "others")}


async def test_every_subscriber_gets_every_newest_answer(feed: TopicFeed) -> None:
    subscribers = [feed.subscribe() for _ in range(3)]
    feed.tell(answer(1))
    assert [await take(each) for each in subscribers] == [answer(1)] * 3


async def test_close_ends_every_subscription(feed: TopicFeed) -> None:
    waiting = [asyncio.ensure_future(take(feed.subscribe())) for _ in range(2)]
    await asyncio.sleep(0)
    await feed.close()
    await feed.close()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [StopAsyncIteration, StopAsyncIteration]
