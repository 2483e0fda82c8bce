"""Topics as users have them: `fanfold up` with FANFOLD_TOPICS, a client over the WebSocket, kills, a projection that raises."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets

from fanfold import Client, Moved, Opened, TopicAnswer
from tests.end_to_end import deployed, processes

LIMIT_S = 120.0
LEADERS = "read_side.projections.examples.leaderboard:Leaderboard"
ACCOUNTS = [f"player-{number}" for number in range(15)]
RAISES = """
class Raises:
    name, version = "raises", 1
    key, row = {"account": str}, {"posted": int}
    question = "SELECT account, posted FROM raises ORDER BY account LIMIT 10"

    def evolve_one(self, rows, event):
        account = event.data.account
        if account == "boom":
            raise RuntimeError("this was not foreseen")
        if not account.startswith("@"):
            rows[account] = getattr(event.data, "posted", 0)
"""


class Watching:
    """One client that keeps what it was told, over connections and services."""

    def __init__(self, topic: str = "leaderboard") -> None:
        self.topic = topic
        self.frames: list[dict[str, Any]] = []

    async def watch(self, address: str, until: Callable[[], bool]) -> None:
        """From what it has on, until this is so or the service is gone."""
        wanted: dict[str, Any] = {"topic": self.topic}
        if self.frames:
            wanted |= {"since": self.frames[-1]["number"], "history": self.frames[-1]["history"]}
        async with (
            asyncio.timeout(LIMIT_S),
            websockets.connect(f"ws{address.removeprefix('http')}/v1/stream") as stream,
        ):
            await stream.send(json.dumps({"op": "subscribe", "id": 1, "topics": [wanted]}))
            try:
                while not until():
                    frame = json.loads(await stream.recv())
                    if frame["op"] == "topic":
                        self.frames.append(frame)
            except websockets.ConnectionClosed:
                return

    def shows(self, column: str, value: str) -> bool:
        """In the first row."""
        return bool(self.frames and self.frames[-1]["rows"]) and bool(self.frames[-1]["rows"][0][column] == value)

    @property
    def best(self) -> list[tuple[str, int]]:
        rows = self.frames[-1]["rows"] if self.frames else []
        return [(row["account"], int(row["score"])) for row in rows]


async def play(client: Client, chance: random.Random, transfers: int) -> None:
    for _ in range(transfers):
        one, other = chance.sample(ACCOUNTS, 2)
        await client.transfer(one, other, chance.randint(1, 50), "PT/0")


async def ten_best(client: Client) -> list[tuple[str, int]]:
    """As the accounts themselves say."""
    posted = {name: await client.balance(name) for name in ACCOUNTS}
    scores = {name: state.posted for name, state in posted.items()}  # type: ignore[union-attr]
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))[:10]


async def ready(address: str) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/readyz") as response:
        return response.status, await response.json()


async def test_the_ten_best_are_pushed_and_a_client_that_comes_back_after_kill_9_is_told_nothing_twice(
    tmp_path: Path,
) -> None:
    environment = {"FANFOLD_DATA": str(tmp_path / "data"), "FANFOLD_PARTITIONS": "2", "FANFOLD_TOPICS": LEADERS}
    chance, watching = random.Random(7), Watching()

    async def started() -> processes.Service:
        return await processes.start("up", "--port", "0", environment=environment, errors=tmp_path / "errors")

    service = await started()
    async with Client(service.address) as client:
        for name in ACCOUNTS:
            assert isinstance(await client.open_account(name, "PT/0"), Opened)
            assert isinstance(await client.transfer("@world", name, 1_000, "PT/0"), Moved)
        following = asyncio.create_task(watching.watch(service.address, lambda: False))
        await play(client, chance, 60)
        best = await ten_best(client)
        async with asyncio.timeout(LIMIT_S):
            while watching.best != best:  # noqa: ASYNC110 - pushed to another task
                await asyncio.sleep(0.01)
    seen = len(watching.frames)
    assert len({tuple(map(str, frame["rows"])) for frame in watching.frames}) > 5, "it was watched while it changed"
    for _ in range(3):
        playing = Client(service.address)
        spending = asyncio.create_task(play(playing, chance, 400))
        await asyncio.sleep(0.2 + chance.random() / 2)
        await service.kill()
        await following
        spending.cancel()
        await asyncio.gather(spending, return_exceptions=True)
        await playing.close()
        service = await started()
        following = asyncio.create_task(watching.watch(service.address, lambda: False))
    async with Client(service.address) as client:
        best = await ten_best(client)
        async with asyncio.timeout(LIMIT_S):
            while watching.best != best:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert len(watching.frames) > seen

        # Who has the newest answer is told nothing, who has nothing all of it, and the client library says the same.
        again = Watching()
        await again.watch(service.address, lambda: bool(again.frames))
        assert again.frames == [watching.frames[-1]]
        async for update in client.watch_topic("leaderboard"):
            if isinstance(update, TopicAnswer):
                assert [(row["account"], int(str(row["score"]))) for row in update.rows or ()] == best
                break
        assert (await ready(service.address))[1]["degraded"] == []
    numbers = [frame["number"] for frame in watching.frames]
    assert {frame["history"] for frame in watching.frames} == {watching.frames[0]["history"]}
    assert numbers == sorted(set(numbers)), "told nothing twice, over every kill"
    assert all(one["rows"] != other["rows"] for one, other in zip(watching.frames, watching.frames[1:], strict=False))
    assert await service.interrupt() == 0
    await following


async def test_a_projection_that_raises_stops_no_balance_and_readyz_says_it_and_its_last_answer_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "raising.py").write_text(RAISES)
    environment = {
        "FANFOLD_DATA": str(tmp_path / "data"),
        "FANFOLD_TOPICS": f"raising:Raises, {LEADERS}, no_such_module:Nothing",
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}",
    }

    def up() -> AbstractAsyncContextManager[processes.Service]:
        return processes.running("up", "--port", "0", environment=environment, errors=tmp_path / "errors")

    async def check(service: processes.Service, client: Client, has: int) -> None:
        """With `has` on the account: balances go on, all is told, and the last answer of before is there."""
        assert isinstance(await client.transfer("@world", "alice", 7, "PT/0"), Moved)
        status, document = await ready(service.address)
        assert (status, document["status"]) == (200, "degraded")
        missing, raised = sorted(document["degraded"])
        assert missing.startswith("read side: topic no_such_module:Nothing: no_such_module cannot be imported")
        assert raised.startswith("read side: topic raises: partition 0: raises failed in the blocks 0:")
        late, leaders = Watching("raises"), Watching()
        await late.watch(service.address, lambda: bool(late.frames))
        assert late.frames == raising.frames[-1:], "the last answer, with its position"
        await leaders.watch(service.address, lambda: leaders.shows("score", str(has + 7)))

    async def degraded(service: processes.Service) -> None:
        async with asyncio.timeout(LIMIT_S):
            while "this was not foreseen" not in str(await ready(service.address)):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)

    raising = Watching("raises")
    async with up() as service, Client(service.address) as client:
        assert isinstance(await client.open_account("alice", "PT/0"), Opened)
        await client.transfer("@world", "alice", 5, "PT/0")
        await raising.watch(service.address, lambda: raising.shows("posted", "5"))
        assert isinstance(await client.open_account("boom", "PT/0"), Opened)
        await degraded(service)
        await check(service, client, 5)
        assert await service.interrupt() == 0
    async with up() as service, Client(service.address) as client:
        await degraded(service)
        await check(service, client, 12)
        assert await service.interrupt() == 0


async def test_a_projection_that_never_returns_keeps_neither_money_nor_the_end_of_the_service(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(
        RAISES.replace('raise RuntimeError("this was not foreseen")', "while True: pass")
    )
    environment = {
        "FANFOLD_DATA": str(tmp_path / "data"),
        "FANFOLD_TOPICS": "hanging:Raises",
        "PYTHONPATH": f"{tmp_path}:{Path.cwd()}",
    }
    async with processes.running("up", "--port", "0", environment=environment, errors=tmp_path / "errors") as service:
        async with Client(service.address) as client:
            for name in ("alice", "boom"):
                assert isinstance(await client.open_account(name, "PT/0"), Opened)
            for _ in range(10):
                assert isinstance(await client.transfer("@world", "alice", 1, "PT/0"), Moved)
            async with asyncio.timeout(LIMIT_S):
                while "has not returned" not in str((await ready(service.address))[1]["degraded"]):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
            assert (await ready(service.address))[0] == 200
        assert await service.interrupt() == 0


async def test_the_command_prints_answers_and_says_that_there_is_no_such_topic(tmp_path: Path) -> None:
    environment = {"FANFOLD_DATA": str(tmp_path / "data"), "FANFOLD_TOPICS": LEADERS}
    async with processes.running("up", "--port", "0", environment=environment, errors=tmp_path / "errors") as service:
        async with Client(service.address) as client:
            await client.open_account("alice", "PT/0")
            await client.transfer("@world", "alice", 12, "PT/0")
        process = await asyncio.create_subprocess_exec(
            *processes.COMMAND, "watch", "--topic", "leaderboard", "--url", service.address,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            while json.loads(await process.stdout.readline())["rows"] != [
                {"asset": "PT/0", "account": "alice", "score": "12"}
            ]:
                pass
        process.kill()
        await process.wait()
        for arguments, said in (
            (("--topic", "nope"), "There is no topic nope here"),
            ((), "name accounts, one --prefix, or one --topic"),
            (("alice", "--topic", "leaderboard"), "name accounts, one --prefix, or one --topic"),
        ):
            code, out, errors = await processes.command(
                "watch", *arguments, "--url", service.address, environment={"COLUMNS": "200"}
            )
            assert (code, out, said in errors) == (2, "", True), errors


@pytest.mark.kafka
@pytest.mark.redis
async def test_processes_of_their_own_tell_a_topic_through_redis_and_one_projector_tells_when_another_was_killed(
    kafka_bootstrap: str, redis_url: str, tmp_path: Path
) -> None:
    environment = deployed.environment_of(kafka_bootstrap, redis_url, partitions=2) | {"FANFOLD_TOPICS": LEADERS}
    errors, watching = tmp_path / "errors", Watching()

    def of(projector: str) -> dict[str, str]:
        return environment | {"FANFOLD_DATA": str(tmp_path / projector), "FANFOLD_PROJECT_PARTITIONS": projector}

    async with AsyncExitStack() as stack:

        async def started(command: str, variables: dict[str, str]) -> processes.Service:
            running = processes.running(command, environment=variables, errors=errors)
            return await stack.enter_async_context(running)

        write_side = await started("write-side", environment)
        first, second = await started("projector", of("0")), await started("projector", of("1"))
        sides = {"FANFOLD_WRITE_URL": write_side.address, "FANFOLD_READ_URL": second.address}
        gateway = await started("gateway", environment | sides)
        async with Client(gateway.address) as client:
            await client.open_account("alice", "PT/0")
            await client.transfer("@world", "alice", 7, "PT/0")
            await watching.watch(gateway.address, lambda: watching.shows("score", "7"))
            await first.kill()
            await client.transfer("@world", "alice", 5, "PT/0")
            await watching.watch(gateway.address, lambda: watching.shows("score", "12"))
    assert watching.best == [("alice", 12)]


@pytest.mark.parametrize("topics", ["nonsense", "a:b c", f"{LEADERS},{LEADERS}"])
async def test_a_setting_that_names_nothing_is_refused_in_a_sentence(topics: str, tmp_path: Path) -> None:
    environment = {"FANFOLD_DATA": str(tmp_path / "data"), "FANFOLD_TOPICS": topics}
    code, _, errors = await processes.command("up", "--port", "0", environment=environment)
    assert code == 1
    assert "FANFOLD_TOPICS must name projections, each once" in errors
