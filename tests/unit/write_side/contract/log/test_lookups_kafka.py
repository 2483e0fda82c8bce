"""A client of Kafka that hangs keeps nobody, and is not asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka import TopicPartition

from tests.simulation import virtual_time
from write_side.contract.log import lookups_kafka
from write_side.contract.log.bounded_kafka import ANSWER_WAIT_S, STOP_WAIT_S
from write_side.contract.log.lookups_kafka import KafkaLookups

AT = TopicPartition("events", 0)


class Client:
    """What of a client of Kafka is asked here. hangs: the name of what never returns."""

    made: list[Client]

    def __init__(self, hangs: str = "", **_: object) -> None:
        self.hangs = hangs if not self.made else ""
        self.stopped = False
        self._client = self
        self.made.append(self)

    async def _may_hang(self, name: str) -> None:
        if name == self.hangs:
            await asyncio.Event().wait()

    async def start(self) -> None:
        await self._may_hang("start")

    async def stop(self) -> None:
        self.stopped = True
        await self._may_hang("start")

    async def close(self) -> None: ...

    async def force_metadata_update(self) -> bool:
        await self._may_hang("metadata")
        return True

    async def end_offsets(self, asked: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self._may_hang("end")
        return dict.fromkeys(asked, 7)

    def assign(self, asked: list[TopicPartition]) -> None: ...

    def seek(self, at: TopicPartition, offset: int) -> None: ...


@pytest.mark.parametrize("ask", [lambda questions: questions.end(AT), lambda questions: questions.record(AT, 7)])
@pytest.mark.parametrize("hangs", ["start", "metadata", "end"])
def test_a_client_that_hangs_is_left_in_bounded_time_and_the_next_question_has_another(
    hangs: str,
    ask: Callable[[KafkaLookups], Coroutine[Any, Any, int | bytes | None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Client.made = []
    monkeypatch.setattr(lookups_kafka, "AIOKafkaConsumer", lambda **given: Client(hangs, **given))

    async def story() -> None:
        questions = KafkaLookups("kafka:9092")
        loop = asyncio.get_running_loop()
        first = asyncio.gather(ask(questions), ask(questions), return_exceptions=True)
        try:
            await asyncio.wait_for(asyncio.shield(first), 2 * (ANSWER_WAIT_S + STOP_WAIT_S))
        except TimeoutError:
            pytest.fail(f"a question was not answered after {loop.time():.0f} s")
        assert await ask(questions) in (7, None)
        assert [client.stopped for client in Client.made[:-1]] == [True] * (len(Client.made) - 1)
        await questions.close()
        assert Client.made[-1].stopped

    virtual_time.run(story, lambda: 0.001)
