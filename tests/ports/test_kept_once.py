"""What the port of things that are kept for a moment and given out once promises, proved on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from read_side.contract.kept_once import KeptOnce, NotKept
from read_side.feed.kept_once_memory import MemoryKeptOnce
from read_side.feed.kept_once_redis import RedisKeptOnce
from tests.servers import unique_name

LONG_MS = 60_000


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis_url", marks=pytest.mark.redis),
        pytest.param("redis_cluster_url", marks=pytest.mark.redis),
    ]
)
async def both(request: pytest.FixtureRequest) -> AsyncIterator[tuple[KeptOnce, KeptOnce]]:
    """As two processes have it: what one keeps the other gives out."""
    if request.param == "memory":
        here = there = MemoryKeptOnce()
        yield here, there
        return
    url, prefix = request.getfixturevalue(request.param), unique_name()
    one, other = RedisKeptOnce(url, prefix), RedisKeptOnce(url, prefix)
    yield one, other
    await one.close()
    await other.close()


async def test_what_is_kept_is_given_out_once_whoever_asks(both: tuple[KeptOnce, KeptOnce]) -> None:
    one, other = both
    await one.keep("a", b"\x00data\xff", LONG_MS)
    asked = await asyncio.gather(*(each.take("a") for each in (other, one) * 8))
    assert [each for each in asked if each is not None] == [b"\x00data\xff"]
    assert await one.take("b") is None


async def test_what_is_kept_for_a_moment_is_gone_after_it_and_takes_nothing_else_with_it(
    both: tuple[KeptOnce, KeptOnce],
) -> None:
    one, other = both
    await one.keep("short", b"1", 1)
    await one.keep("long", b"2", LONG_MS)
    async with asyncio.timeout(30):
        await asyncio.sleep(0.01)
        assert await other.take("short") is None
    assert await other.take("long") == b"2"


async def test_what_is_over_is_forgotten_in_memory() -> None:
    now_s = 0.0
    kept = MemoryKeptOnce(lambda: now_s)
    for name in range(10):
        await kept.keep(str(name), b"", 1_000)
    now_s = 1.0
    await kept.keep("last", b"", 1_000)
    assert list(kept._kept) == ["last"]


async def test_a_server_that_is_away_is_told_as_that() -> None:
    kept = RedisKeptOnce("redis://127.0.0.1:1")
    with pytest.raises(NotKept):
        await kept.keep("a", b"", 1_000)
    with pytest.raises(NotKept):
        await kept.take("a")
    await kept.close()
