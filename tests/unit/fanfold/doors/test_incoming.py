"""However many clients send however much: what a door holds of their bodies has a bound, and is given back however they end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fanfold.api.requests import BATCH_BYTES_MAX, BODY_BYTES_MAX
from fanfold.doors.answer import Response, json_response
from fanfold.doors.application import Door, application
from fanfold.doors.incoming import (
    BODIES_BYTES_MAX,
    LARGE_BODIES_BYTES_MAX,
    SMALL_BODY_BYTES_MAX,
    Budget,
    Incoming,
)
from fanfold.doors.metrics import HttpMetrics
from fanfold.doors.request import PRINCIPAL_NAME, Scope, read_body

MIB = bytes(1024 * 1024)


class OneDoor:
    """An application that answers a body with its length once `go` is set; `/fail` fails instead."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self.go = asyncio.Event()
        metrics = HttpMetrics(CollectorRegistry(), "test")
        doors = [Door(("POST",), "/read", self._read), Door(("POST",), "/fail", self._fail)]
        self.app = application("test", doors, metrics, lambda _: None, self.budget)

    async def _read(self, _: Scope, incoming: Incoming) -> Response:
        body = await read_body({}, incoming, bytes_max=BATCH_BYTES_MAX)
        await self.go.wait()
        return json_response(200, {"bytes": len(body)})

    async def _fail(self, _: Scope, incoming: Incoming) -> Response:
        await read_body({}, incoming, bytes_max=BATCH_BYTES_MAX)
        raise RuntimeError


class Client:
    """One request. What it sends arrives when its application asks for it."""

    def __init__(self, door: OneDoor, path: str = "/read", whose: str | None = None) -> None:
        self.status: int | None = None
        self._arriving: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [] if whose is None else [(PRINCIPAL_NAME, whose.encode())],
        }
        self.task = asyncio.create_task(door.app(scope, self._arriving.get, self._send))

    async def _send(self, message: Any) -> None:
        self.status = message.get("status", self.status)

    async def sends(self, *pieces: bytes, more: bool) -> None:
        for number, piece in enumerate(pieces):
            more_body = more or number + 1 < len(pieces)
            self._arriving.put_nowait({"type": "http.request", "body": piece, "more_body": more_body})
        await taken(self._arriving)

    async def leaves(self) -> None:
        self._arriving.put_nowait({"type": "http.disconnect"})
        await self.task


async def taken(queue: asyncio.Queue[Any]) -> None:
    while not queue.empty():  # noqa: ASYNC110 -- the application takes it at its own pace
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)


async def unfinished(door: OneDoor, count: int, whose: str | None = None) -> list[Client]:
    clients = [Client(door, whose=whose) for _ in range(count)]
    for client in clients:
        await client.sends(*[MIB] * 7, MIB[:-1], more=True)
    return clients


async def test_bodies_one_byte_short_of_their_end_are_kept_up_to_the_budget_and_no_further() -> None:
    door = OneDoor()
    clients = await unfinished(door, 200)
    assert door.budget.large_bytes <= LARGE_BODIES_BYTES_MAX
    door.go.set()
    for client in clients:
        await client.sends(b"x", more=False)
        await client.task
    statuses = [client.status for client in clients]
    kept = LARGE_BODIES_BYTES_MAX // BATCH_BYTES_MAX
    assert statuses == [200] * kept + [503] * (200 - kept)
    assert (door.budget.small_bytes, door.budget.large_bytes) == (0, 0)


async def test_one_who_sends_many_large_bodies_slowly_keeps_nobody_elses_out() -> None:
    door = OneDoor()
    slow = await unfinished(door, 20, "mallory")
    assert door.budget.large_bytes <= LARGE_BODIES_BYTES_MAX // 2
    other, nobody = await unfinished(door, 1, "anna"), await unfinished(door, 1)
    door.go.set()
    for client in (*other, *nobody, *slow):
        await client.sends(b"x", more=False)
        await client.task
    assert [client.status for client in (*other, *nobody)] == [200, 200]
    assert {client.status for client in slow} == {200, 503}
    assert (door.budget.small_bytes, door.budget.large_bytes) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3 * SMALL_BODY_BYTES_MAX)), max_size=40))
def test_whatever_grows_and_ends_the_rooms_hold_what_is_kept_and_no_more(steps: list[tuple[int, int]]) -> None:
    budget = Budget(8 * SMALL_BODY_BYTES_MAX, 4 * SMALL_BODY_BYTES_MAX)
    held, whose = [0] * 6, ["a", "a", "b", "b", None, None]
    for body, after in steps:
        if budget.move(held[body], after, whose[body]):
            held[body] = after
        else:
            assert after > held[body]
        assert (
            budget.large_bytes == sum(each for each in held if each > SMALL_BODY_BYTES_MAX) <= 4 * SMALL_BODY_BYTES_MAX
        )
        assert budget.small_bytes + budget.large_bytes == sum(held) <= 8 * SMALL_BODY_BYTES_MAX
    for body, before in enumerate(held):
        assert budget.move(before, 0, whose[body])
    assert (budget.small_bytes, budget.large_bytes, budget._all._by_key, budget._large._by_key) == (0, 0, {}, {})


async def test_small_requests_are_answered_while_large_ones_hold_all_that_they_may() -> None:
    door = OneDoor()
    large = await unfinished(door, 20)
    door.go.set()
    small = [Client(door) for _ in range(100)]
    for client in small:
        await client.sends(b"x" * 200, more=False)
        await client.task
    assert [client.status for client in small] == [200] * 100
    for client in large:
        await client.leaves()


async def test_small_bodies_that_do_not_end_have_a_bound_too() -> None:
    fitting = 64
    door = OneDoor(Budget(bytes_max=fitting * SMALL_BODY_BYTES_MAX))
    clients = [Client(door) for _ in range(fitting + 1)]
    for client in clients:
        await client.sends(bytes(SMALL_BODY_BYTES_MAX), more=True)
    assert door.budget.small_bytes == fitting * SMALL_BODY_BYTES_MAX
    await clients[-1].sends(b"", more=False)
    await clients[-1].task
    assert clients[-1].status == 503
    for client in clients[:-1]:
        await client.leaves()
    assert door.budget.small_bytes == 0


async def test_bytes_are_held_while_a_request_is_worked_on_and_given_back_with_its_answer() -> None:
    door = OneDoor()
    client = Client(door)
    await client.sends(MIB, MIB, more=False)
    assert door.budget.large_bytes == 2 * len(MIB)
    door.go.set()
    await client.task
    assert (client.status, door.budget.large_bytes) == (200, 0)


async def test_who_leaves_fails_is_cancelled_or_sends_too_much_gives_his_bytes_back() -> None:
    door = OneDoor()
    leaving, too_much, cancelled, failing = Client(door), Client(door), Client(door), Client(door, "/fail")
    for client in (leaving, too_much, cancelled, failing):
        await client.sends(MIB, more=True)
    assert door.budget.large_bytes == 4 * len(MIB)
    await leaving.leaves()
    assert door.budget.large_bytes == 3 * len(MIB)
    await too_much.sends(*[MIB] * 8, more=True)
    assert door.budget.large_bytes == 2 * len(MIB)
    await too_much.sends(b"", more=False)
    await too_much.task
    cancelled.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled.task
    assert door.budget.large_bytes == len(MIB)
    await failing.sends(b"", more=False)
    await failing.task
    assert (too_much.status, failing.status) == (413, 500)
    assert (door.budget.small_bytes, door.budget.large_bytes) == (0, 0)


def test_a_body_is_small_up_to_one_command_and_the_largest_batch_fits() -> None:
    assert SMALL_BODY_BYTES_MAX >= BODY_BYTES_MAX
    assert BODIES_BYTES_MAX > LARGE_BODIES_BYTES_MAX >= BATCH_BYTES_MAX
