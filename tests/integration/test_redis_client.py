"""The client of a real Redis: who is cancelled hears it, and no answer is anybody else's."""

from __future__ import annotations

import asyncio
import random

import pytest

from read_side.views.redis_client import close_client, open_client

pytestmark = pytest.mark.redis

TRIES = 300
"""Of which some 40 did not hear it before, on Python 3.11."""
LIMIT_S = 30.0


@pytest.mark.parametrize("url_fixture", ["redis_url", "redis_cluster_url"])
async def test_a_task_that_is_cancelled_at_any_moment_ends_and_leaves_every_answer_to_whom_it_belongs(
    url_fixture: str, request: pytest.FixtureRequest
) -> None:
    chance = random.Random(11)
    client = await open_client(
        request.getfixturevalue(url_fixture), connections_max=4, connect_s=LIMIT_S, answer_s=LIMIT_S, retries=1
    )

    async def echo_for_ever(name: str) -> None:
        for n in range(1_000_000):
            assert await client.eval("return ARGV[1]", 1, name, f"{name}-{n}") == f"{name}-{n}".encode()

    async def echo(n: int) -> None:
        task = asyncio.create_task(echo_for_ever(f"task-{n}"))
        for _ in range(chance.randint(5, 60)):
            await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        await asyncio.wait([task], timeout=LIMIT_S)
        assert task.cancelled()

    try:
        for n in range(TRIES):
            await echo(n)
        await client.ping()
    finally:
        await close_client(client)
