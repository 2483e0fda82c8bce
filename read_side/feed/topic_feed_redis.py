"""Topics through Redis: of each the newest answer in a hash, and a capped stream of the names of those that changed.

Several processes may keep the same topic, each in rows of its own: one of them tells it, and another when that one has told
nothing for `LEASE_S`, or was not at the end of the log and another is (`tell_topic.lua`). Its rows are another history, which
clients are sent whole. A topic that none of them names any more is told to be none (`name_topics.lua`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from importlib import resources
from typing import Any, Final

import msgspec
import structlog

from read_side.contract.topics import NO_ANSWER, TopicAnswer, no_such_topic
from read_side.feed.redis_stream import READ_ENTRIES, RedisStreams
from read_side.views.redis_client import FAILURES, RedisClient

TELL_AGAIN_S: Final = 3.0
"""The newest answers are told again this often: to go on keeping them, and to a Redis that has lost them."""
LEASE_S: Final = 15.0
"""A keeper that told nothing for so long has ended, or cannot reach Redis."""
UNNAMED_S: Final = 600.0
"""A topic that nobody has named for so long was taken out of the settings: longer than services take to start anew."""
FORGOTTEN_S: Final = 86_400.0
"""So long it is told that a topic is none; and so long after the last word of anybody all is forgotten."""
ENTRIES_MAX: Final = 1_024

_TELL, _NAME = (
    resources.files("read_side.feed").joinpath(f"{name}.lua").read_text("utf-8")
    for name in ("tell_topic", "name_topics")
)
_RELEASE: Final = (
    "local keeper = redis.call('GET', KEYS[1]) "
    "if keeper == ARGV[1] or keeper == '~' .. ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
)
_log = structlog.get_logger(__name__)


class RedisTopicFeed:
    """`TopicFeed` (read_side/contract/topics.py). Connects on first use; `tell` needs a running loop."""

    def __init__(
        self,
        url: str,
        prefix: str = "fanfold",
        *,
        again_s: float = TELL_AGAIN_S,
        lease_s: float = LEASE_S,
        unnamed_s: float = UNNAMED_S,
    ) -> None:
        self._streams = RedisStreams(url)
        # One hash tag: the scripts are of one node of a cluster.
        self._answers, self._changes, self._keepers, self._named_at = (
            f"{prefix}:{{topics}}:{part}" for part in ("answers", "changes", "keeper", "named")
        )
        self._again_s, self._lease_ms, self._unnamed_ms = again_s, int(lease_s * 1_000), int(unnamed_s * 1_000)
        self._token = secrets.token_hex(16)
        self._named: dict[str, None] = {}
        self._newest: dict[str, TopicAnswer] = {}
        self._catching_up: set[str] = set()
        self._untold: dict[str, None] = {}
        self._withdrawn: dict[str, None] = {}
        self._elsewhere: set[str] = set()
        self._something = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None

    def tell(self, answer: TopicAnswer, *, catching_up: bool = False) -> None:
        self._named[answer.topic] = None
        if answer.number == NO_ANSWER and answer.topic in self._newest:
            return
        self._newest[answer.topic] = answer
        (self._catching_up.add if catching_up else self._catching_up.discard)(answer.topic)
        self._untold[answer.topic] = None
        self._something.set()
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_for_ever())

    def withdraw(self, topic: str) -> None:
        if self._newest.pop(topic, None) is not None:
            self._untold.pop(topic, None)
            self._withdrawn[topic] = None
            self._something.set()

    def subscribe(self) -> AsyncIterator[TopicAnswer]:
        return self._told()

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
            self._telling = None
            with suppress(*FAILURES):  # what cannot be told now, the lease tells
                await self._release(self._newest)
        await self._streams.close()

    async def _tell_for_ever(self) -> None:
        """What is new at once, and all of it every `again_s`: also beside a topic that changes all the time."""
        now_s = asyncio.get_running_loop().time
        all_at_s = now_s()
        while True:
            began_s = now_s()
            names = list(self._newest if began_s >= all_at_s else self._untold)
            given_up, self._untold, self._withdrawn = list(self._withdrawn), {}, {}
            self._something.clear()
            try:
                await self._release(given_up)
                for name in names:
                    if name in self._newest:  # it may be withdrawn meanwhile
                        await self._tell(await self._streams.client(), self._newest[name])
                if began_s >= all_at_s:
                    await self._name(await self._streams.client())
            except FAILURES:
                all_at_s = began_s  # nobody knows what was told
                await self._streams.pause()
                continue
            if began_s >= all_at_s:
                all_at_s = began_s + self._again_s
            with suppress(TimeoutError):
                async with asyncio.timeout_at(all_at_s):
                    await self._something.wait()

    async def _tell(self, client: RedisClient, answer: TopicAnswer) -> None:
        how = "none" if answer.number == NO_ANSWER else "behind" if answer.topic in self._catching_up else "whole"
        values = (answer.topic, encode_answer(answer), how, self._token, self._lease_ms, ENTRIES_MAX, answer.history)
        keys = (self._answers, self._changes, f"{self._keepers}:{answer.topic}")
        told: Any = await client.eval(_TELL, len(keys), *keys, *values)
        if told:
            self._elsewhere.discard(answer.topic)
        elif answer.topic not in self._elsewhere:
            self._elsewhere.add(answer.topic)
            _log.info("topic is told by another process", topic=answer.topic)

    async def _name(self, client: RedisClient) -> None:
        keys = (self._answers, self._changes, self._named_at)
        limits = (self._unnamed_ms, int(FORGOTTEN_S * 1_000), ENTRIES_MAX)
        await client.eval(_NAME, len(keys), *keys, *limits, *self._named)

    async def _release(self, topics: Iterable[str]) -> None:
        """Let another one keep them at once."""
        for name in topics:
            client = await self._streams.client()
            await client.eval(_RELEASE, 1, f"{self._keepers}:{name}", self._token)

    async def _told(self) -> AsyncIterator[TopicAnswer]:
        cursor: str | None = None
        last: dict[str, TopicAnswer] = {}
        while not self._streams.closed.is_set():
            names: Iterable[str] | None = None
            try:
                if cursor is None:
                    cursor = await self._streams.last(self._changes)  # before the answers: no change falls between
                elif entries := await self._streams.read(self._changes, cursor):
                    if len(entries) == READ_ENTRIES:  # far behind: what was told last is less than what was told since
                        cursor = None
                        continue
                    cursor = entries[-1][0].decode()
                    names = {fields[b"topic"].decode() for _, fields in entries}
                else:
                    cursor = await self._streams.cursor_after_silence(self._changes, cursor)
                    continue
                answers = await self._read_answers(names)
            except FAILURES:
                cursor = None  # meanwhile the stream may have forgotten what changed
                await self._streams.pause()
                continue
            for answer in answers:
                if last.get(answer.topic) != answer:
                    last[answer.topic] = answer
                    yield answer

    async def _read_answers(self, names: Iterable[str] | None) -> list[TopicAnswer]:
        """The newest of these topics; None: of all. What another version told in another way is none."""
        client = await self._streams.client()
        if names is None:
            all_told: Any = await client.hgetall(self._answers)
            found = {name.decode(): data for name, data in all_told.items()}
        else:
            asked = list(names)
            found = dict(zip(asked, await client.hmget(self._answers, asked), strict=True))
        answers = (no_such_topic(name) if data == b"" else decode_answer(data or b"") for name, data in found.items())
        return [answer for answer in answers if answer is not None]


def encode_answer(answer: TopicAnswer) -> bytes:
    """As MessagePack, its rows the bytes that they are."""
    return msgspec.msgpack.encode(answer)


def decode_answer(data: bytes) -> TopicAnswer | None:
    """The inverse; None for what is none."""
    try:
        return msgspec.msgpack.decode(data, type=TopicAnswer)
    except msgspec.MsgspecError:
        return None
