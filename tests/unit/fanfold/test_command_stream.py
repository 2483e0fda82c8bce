"""What a program is told of commands on a stream never says less than what may have been done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest

from fanfold import command_stream
from fanfold.answers import Refusal
from fanfold.api.problems import NOT_TAKEN, PROBLEMS
from fanfold.api.requests import Transfer
from fanfold.api.retry import Waits
from fanfold.command_stream import CommandStream
from fanfold.not_answered import ATTEMPTS_MAX, NotAnswered

LIMIT_S = 30.0
Error = dict[str, Any]


class Gateway:
    """One connection, over which each submit is answered with what `error` says of it."""

    def __init__(self, error: Callable[[dict[str, Any]], Error]) -> None:
        self._error = error
        self._told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.submits = 0

    async def send(self, message: bytes, text: bool = True) -> None:
        submit = json.loads(message)
        self.submits += 1
        await self._told.put(
            {"op": "error", "id": submit["id"], "title": "It failed", "detail": ""} | self._error(submit)
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield json.dumps(await self._told.get()).encode()


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_stream, "WAITS", Waits(0.0, 0.0))


@contextmanager
def connected(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    async def kept(url: str, updates: Any, token: str = "") -> AsyncIterator[Any]:
        async with aclosing(updates(gateway)) as told:
            async for update in told:
                yield update

    with monkeypatch.context() as patched:
        patched.setattr(command_stream, "kept_connected", kept)
        yield


def payment(number: int, reference: str = "") -> Transfer:
    return Transfer("a", "b", 1, "USD/2", f"01970f3e-7b1a-7c3e-8a2b-{number:012d}", reference=reference or None)


@pytest.mark.parametrize(
    "error",
    [{"code": code} for code, problem in PROBLEMS.items() if problem.status >= 500]
    + [{"code": "a_word_of_a_newer_gateway", "ids": ["01970f3e-7b1a-7c3e-8a2b-000000000001"]}],
    ids=lambda error: error["code"],
)
async def test_no_failure_of_a_service_is_a_refusal(error: Error, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(lambda _: error)
    with connected(gateway, monkeypatch):
        async with asyncio.timeout(LIMIT_S), CommandStream("http://wallet") as stream:
            with pytest.raises(NotAnswered) as failure:
                await stream.submit(payment(1))
    assert gateway.submits == ATTEMPTS_MAX
    assert failure.value.not_taken == (error["code"] in NOT_TAKEN | {"upstream_unavailable"})


async def test_what_is_refused_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway(lambda _: {"code": "forbidden"})
    with connected(gateway, monkeypatch):
        async with asyncio.timeout(LIMIT_S), CommandStream("http://wallet") as stream:
            assert isinstance(await stream.submit(payment(1)), Refusal)
    assert gateway.submits == 1


async def test_a_list_of_which_a_part_may_be_done_is_not_told_as_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(submit: dict[str, Any]) -> Error:
        first = submit["id"] == 1
        return {"code": "overloaded"} if first else {"code": "outcome_unknown", "ids": ["all of them"]}

    with connected(Gateway(error), monkeypatch):
        async with asyncio.timeout(LIMIT_S), CommandStream("http://wallet") as stream:
            with pytest.raises(NotAnswered) as failure:
                await stream.submit_batch([payment(n, "x" * 100) for n in range(1, 1_500)])
    assert (failure.value.not_taken, len(failure.value.ids)) == (False, 1_499)
