"""Commands over the stream, against the real write and read side: what is answered, in which order, and what fails how."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from fanfold import Client, Moved, NotAnswered, Open, Opened, Pending, Refusal, Transfer
from fanfold.api.answers.accounts import AccountState
from fanfold.api.close_codes import CloseCode
from fanfold.api.problems import problem_document
from fanfold.api.requests import BODY_BYTES_MAX
from tests.gateway_server import Served, next_frame, serving
from tests.integration.test_read_your_writes import Wallet, answering
from tests.listening import listening
from tests.unit.write_side.two_partitions import PARTITIONS, TwoPartitions, account, transfer_id

WAIT_S = 30
USD = "USD/2"
A, B, FAR = account(0, "a"), account(0, "b"), account(1, "far")
PATH = "/v1/transfers:batch"


def pay(number: int, source: str = "@world", target: str = A, amount: int = 1) -> dict[str, Any]:
    return {"id": transfer_id(number), "from": source, "to": target, "amount": str(amount), "asset": USD}


def opening(name: str) -> dict[str, Any]:
    return {"open": {"account": name, "asset": USD}}


class Door:
    """Both sides. asked: the lines of each request of the batch door. It answers when `answers` is set."""

    def __init__(self, wallet: Wallet) -> None:
        self.wallet = wallet
        self.asked: list[list[Any]] = []
        self.named: list[tuple[str | None, str | None]] = []
        """Request id and traceparent of each."""
        self.answers = asyncio.Event()
        self.answers.set()
        self.refuse: Callable[[list[Any]], str | None] = lambda lines: None
        """The code with which a request as a whole is refused."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != PATH:
            await self.wallet(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        lines = [json.loads(line) for line in bytes(body).split(b"\n")]
        self.asked.append(lines)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.named.append((headers.get("x-request-id"), headers.get("traceparent")))
        whole = [{"type": "http.request", "body": bytes(body), "more_body": False}]
        told: list[Any] = []

        async def again() -> Any:
            return whole.pop() if whole else await receive()

        async def hold(message: Any) -> None:
            told.append(message)

        if (code := self.refuse(lines)) is not None:
            document = json.dumps(problem_document(code, reason="it is damaged")).encode()
            head = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(document))]
            told = [
                {"type": "http.response.start", "status": 503, "headers": head},
                {"type": "http.response.body", "body": document},
            ]
        else:
            await self.wallet(scope, again, hold)
        await self.answers.wait()
        for message in told:
            await send(message)


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with TwoPartitions() as two:
        found = Door(Wallet(two))
        for name in (A, B, FAR):
            await two.done("PUT", f"/v1/accounts/{name}", {"asset": USD, "floor": None})
        yield found
        found.wallet.lag.set()


@pytest.fixture(params=["in process", "over HTTP"])
async def served(request: pytest.FixtureRequest, door: Door) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        sides: Any = door
        if request.param == "over HTTP":
            sides = await stack.enter_async_context(answering(door))
        yield await stack.enter_async_context(serving(sides, door.wallet.two.reading.feed, PARTITIONS))


async def submit(client: ClientConnection, id: int, *commands: Any) -> None:
    await client.send(json.dumps({"op": "submit", "id": id, "commands": commands}))


async def receive(client: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = await next_frame(client, WAIT_S)
    return frame


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def batch(served: Served, *lines: str) -> list[Any]:
    headers = {"content-type": "application/x-ndjson", "prefer": "wait=0"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(served.url + PATH, data="\n".join(lines), headers=headers) as answer,
    ):
        assert answer.status == 200
        return [json.loads(line) for line in (await answer.text()).splitlines()]


def lasting(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what is another each time: an opening, or a second use of an id, is not remembered."""
    return answer if "repeated" in answer else {name: answer[name] for name in answer if name not in ("position", "at")}


COMMANDS: list[Any] = [
    opening(A),
    pay(1, amount=1000),
    {"hold": {"id": transfer_id(2), "from": A, "to": B, "amount": "5", "asset": USD}},
    {"capture": {"id": transfer_id(3), "hold": transfer_id(2), "amount": "2"}},
    {"void": {"id": transfer_id(4), "hold": transfer_id(2)}},
    {"reverse": {"id": transfer_id(5), "transfer": transfer_id(1)}},
    {"change": {"id": transfer_id(6), "account": B, "credit": "frozen"}},
    pay(7, A, B),
    pay(1, amount=999),
    {"id": transfer_id(8), "asset": USD, "legs": [{"account": A, "amount": "-1"}, {"account": FAR, "amount": "1"}]},
    pay(9) | {"dry_run": True},
    pay(9) | {"memo": "x"},
    {"from": A, "to": B, "amount": "1", "asset": USD},
    pay(9) | {"amount": 1.5},
    {"unknown": {}},
    {},
    {"open": 7},
    pay(9) | {"reference": "x" * (BODY_BYTES_MAX + 1)},
]
KINDS = list(map(json.dumps, COMMANDS))
NO_OBJECTS = ['{"id":"1","id":"2"}', "7", "null", '"text"', "[]", '{"metadata":"\\u00e9"}']


async def test_each_command_is_answered_as_a_line_of_a_batch_is(served: Served) -> None:
    lines = [*KINDS, *NO_OBJECTS]
    await batch(served, *lines)
    told = list(map(lasting, await batch(served, *lines)))  # what ran before is told again, and so the same each time
    async with connect(served.stream_url, max_size=None) as client:
        await client.send(f'{{"op":"submit","id":3,"commands":[{",".join(lines)}]}}')
        answers = await receive(client)
        assert (answers["op"], answers["id"]) == ("answers", 3)
        assert list(map(lasting, answers["answers"])) == told
        for n, line in enumerate(lines):
            await client.send(f'{{"commands":[\n{line}\n],"id":{n},"op":"submit"}}')
        again = [(await receive(client))["answers"] for _ in lines]
        assert [list(map(lasting, each)) for each in again] == [[each] for each in told]


async def test_what_is_submitted_while_something_is_under_way_is_one_batch(served: Served, door: Door) -> None:
    async with connect(served.stream_url) as client:
        door.answers.clear()
        await submit(client, 0, pay(0))
        await until(lambda: len(door.asked) == 1)
        for n in range(1, 41):
            await submit(client, n, pay(n))
        await client.send('{"op":"ping","id":99}')
        assert await receive(client) == {"op": "pong", "id": 99}, "others go on"
        assert len(door.asked) == 1
        door.answers.set()
        frames = [await receive(client) for _ in range(41)]
    assert [(frame["op"], frame["id"]) for frame in frames] == [("answers", n) for n in range(41)]
    assert [frame["answers"][0]["id"] for frame in frames] == [transfer_id(n) for n in range(41)]
    assert [len(lines) for lines in door.asked] == [1, 40]
    versions = [frame["answers"][0]["accounts"][0]["version"] for frame in frames]
    assert versions == list(range(1, 42)), "in the order in which they were submitted"


async def test_a_transfer_across_partitions_holds_nobody_up_and_its_phases_come_as_pushes(
    served: Served, door: Door
) -> None:
    async with connect(served.stream_url) as client:
        await client.send(json.dumps({"op": "subscribe", "id": 1, "accounts": [{"account": A}], "transfers": True}))
        assert [(await receive(client))["op"] for _ in range(2)] == ["ack", "balances"]
        await submit(client, 2, pay(1, A, FAR), pay(2))
        ops: list[str] = []
        phases: list[str] = []
        answers: list[Any] = []
        while not phases or phases[-1] != "done":
            frame = await receive(client)
            ops.append(frame["op"])
            if frame["op"] == "transfer":
                phases.append(frame["phase"])
            elif frame["op"] == "answers":
                answers = frame["answers"]
    assert ops[0] == "answers"
    assert [(each["status"], each["result"]) for each in answers] == [(202, "pending"), (201, "done")]
    assert answers[0]["position"].startswith("0:")
    told = await door.wallet.two.told_later(transfer_id(1), answers[0]["position"])
    assert told["result"] in ("pending", "done")


async def test_no_balance_comes_before_the_answer_of_what_made_it(served: Served, door: Door) -> None:
    """The answers are held back until the feed has the balances, again and again."""
    async with connect(served.stream_url) as client, connect(served.stream_url) as other:
        for watcher in (client, other):
            await watcher.send(json.dumps({"op": "subscribe", "id": 0, "accounts": [{"account": A}]}))
            assert [(await receive(watcher))["op"] for _ in range(2)] == ["ack", "balances"]
        answered = pushed = 0
        for turn in range(1, 30):
            door.answers.clear()
            for n in range(3):
                await submit(client, turn, pay(10 * turn + n))
            await until(lambda: len(door.asked) == answered + 1)  # noqa: B023
            seen = 0
            while seen < 1:  # who has submitted nothing sees it as ever
                seen += (await receive(other))["op"] == "balances"
            door.answers.set()
            done = 0
            version = 0
            while done < 3 or pushed < version:
                frame = await receive(client)
                if frame["op"] == "answers":
                    done += 1
                    version = frame["answers"][0]["accounts"][0]["version"]
                else:
                    assert frame["op"] == "balances", frame
                    pushed = frame["items"][0]["v"]
                    assert pushed <= version, "a balance before its answer"
            answered = len(door.asked)
        assert pushed == 29 * 3


async def test_a_subscribe_behind_the_answer_has_what_was_written_however_far_the_projector_is_behind(
    served: Served, door: Door
) -> None:
    async with connect(served.stream_url) as client:
        door.wallet.lag.clear()
        await submit(client, 1, pay(1, target=B))
        [answer] = (await receive(client))["answers"]
        await client.send(json.dumps({"op": "subscribe", "id": 2, "accounts": [{"account": B}]}))
        await until(lambda: "/internal/balances" in door.wallet.asked)
        door.wallet.lag.set()
        while (frame := await receive(client))["op"] != "ack":
            pass
        assert frame["accounts"][0]["version"] >= answer["accounts"][0]["version"]


# What fails.


async def test_where_the_write_side_is_away_nothing_was_sent_and_nothing_done(door: Door) -> None:
    feed = door.wallet.two.reading.feed
    async with (
        answering(door) as address,
        serving("http://127.0.0.1:9", feed, PARTITIONS, upstream_connect_ms=500) as served,
        connect(served.stream_url) as client,
    ):
        assert address
        for n in range(20):  # a write side that is away is no mistake of the client's
            await submit(client, n, pay(n))
        for n in range(20):
            error = await receive(client)
            assert (error["op"], error["id"], error["code"]) == ("error", n, "upstream_unavailable")
            assert "never left the gateway" in error["detail"]
            assert "ids" not in error


async def _cut_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A write side that takes a request whole, and is killed then."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    writer.transport.abort()


async def test_what_was_sent_and_not_answered_may_be_done_and_its_ids_are_named(door: Door) -> None:
    feed = door.wallet.two.reading.feed
    async with (
        listening(_cut_off) as port,
        serving(f"http://127.0.0.1:{port}", feed, PARTITIONS, upstream_connect_ms=WAIT_S * 1000) as served,
        connect(served.stream_url) as client,
    ):
        await submit(client, 1, pay(1), opening(A), pay(2))
        error = await receive(client)
        assert (error["id"], error["code"]) == (1, "outcome_unknown")
        assert error["ids"] == [transfer_id(1), transfer_id(2)]
        assert "same id" in error["detail"]


@pytest.mark.parametrize("code", ["partition_stopped", "starting"])
async def test_a_partition_that_does_not_serve_keeps_nobody_else_from_being_answered(
    served: Served, door: Door, code: str
) -> None:
    door.refuse = lambda lines: code if any(line["to"] == FAR for line in lines) else None
    async with connect(served.stream_url) as client:
        door.answers.clear()
        await submit(client, 0, pay(0))
        await until(lambda: len(door.asked) == 1)
        for n in range(1, 7):
            await submit(client, n, pay(n, target=FAR if n % 3 == 0 else B))
        door.answers.set()
        frames = [await receive(client) for _ in range(7)]
    assert [frame["id"] for frame in frames] == list(range(7))
    assert [frame.get("code") for frame in frames] == [None, None, None, code, None, None, code]
    assert all("ids" not in frame for frame in frames), "nothing was done"


async def test_a_request_that_is_not_taken_as_a_whole_is_told_to_each(served: Served, door: Door) -> None:
    door.refuse = lambda lines: "overloaded"
    async with connect(served.stream_url) as client:
        for n in range(20):
            await submit(client, n, pay(n))
        errors = [await receive(client) for _ in range(20)]
        assert [(error["id"], error["code"]) for error in errors] == [(n, "overloaded") for n in range(20)]
        door.refuse = lambda lines: None
        await submit(client, 20, pay(20))
        assert (await receive(client))["op"] == "answers"
    assert len(door.asked) < 20


async def test_who_leaves_in_between_leaves_nothing_and_what_was_under_way_is_done(served: Served, door: Door) -> None:
    door.answers.clear()
    async with connect(served.stream_url) as client:
        await submit(client, 1, pay(1))
        await until(lambda: len(door.asked) == 1)
        await submit(client, 2, pay(2))
    await until(lambda: served.gateway.hub.streams == 0)
    submits = served.gateway._submits
    door.answers.set()
    await until(lambda: not submits._tasks)
    assert submits.budget.used == 0
    assert len(door.asked) == 1, "what waited was never sent"
    async with connect(served.stream_url) as client:
        await submit(client, 1, pay(1), pay(2))
        first, second = (await receive(client))["answers"]
    assert (first.get("repeated"), second.get("repeated")) == (True, None)


async def test_a_gateway_that_stops_tells_the_answers_of_what_is_under_way_before_it_closes(
    served: Served, door: Door
) -> None:
    door.answers.clear()
    async with connect(served.stream_url) as client:
        await submit(client, 1, pay(1))
        await until(lambda: len(door.asked) == 1)
        await submit(client, 2, pay(2))
        await client.send('{"op":"ping","id":3}')
        await receive(client)
        served.server.should_exit = True
        [stream] = served.gateway.hub._streams.values()
        await until(lambda: stream._away is not None)  # type: ignore[attr-defined]
        door.answers.set()
        answers, error = await receive(client), await receive(client)
        assert (answers["op"], answers["answers"][0]["result"]) == ("answers", "done")
        assert (error["id"], error["code"], "ids" in error) == (2, "stopping", False)
        await asyncio.wait_for(client.wait_closed(), WAIT_S)
        assert client.close_code == CloseCode.RESTARTING
    assert len(door.asked) == 1


async def test_a_gateway_that_stops_waits_no_longer_than_it_may(door: Door) -> None:
    door.answers.clear()
    feed = door.wallet.two.reading.feed
    async with (
        serving(door, feed, PARTITIONS, stream_drain_ms=100) as served,
        connect(served.stream_url) as client,
    ):
        await submit(client, 1, pay(1))
        await until(lambda: len(door.asked) == 1)
        served.server.should_exit = True
        await asyncio.wait_for(client.wait_closed(), WAIT_S)
        assert client.close_code == CloseCode.RESTARTING
        door.answers.set()


async def test_more_than_may_wait_is_refused_and_the_rest_goes_on(door: Door) -> None:
    feed = door.wallet.two.reading.feed
    async with (
        serving(door, feed, PARTITIONS, stream_submit_bytes_max=1_024) as served,
        connect(served.stream_url) as client,
    ):
        door.answers.clear()
        await submit(client, 0, pay(0))
        await until(lambda: len(door.asked) == 1)
        for n in range(1, 100):
            await submit(client, n, pay(n))
        await client.send('{"op":"ping","id":0}')
        refused: list[int] = []
        while (frame := await receive(client))["op"] == "error":
            assert frame["code"] == "overloaded"
            refused.append(frame["id"])
        assert frame["op"] == "pong"
        door.answers.set()
        taken = [(await receive(client))["id"] for _ in range(100 - len(refused))]
        assert sorted(taken + refused) == list(range(100))
        assert taken == sorted(taken)
        assert 80 < len(refused) < 98


async def test_who_does_not_take_his_answers_gets_no_more_done(door: Door) -> None:
    feed = door.wallet.two.reading.feed
    async with (
        serving(door, feed, PARTITIONS, stream_buffer_bytes=1_024) as served,
        connect(served.stream_url) as client,
    ):
        await client.send('{"op":"ping","id":0}')
        await receive(client)
        [session] = served.gateway.hub._streams
        stream: Any = served.gateway.hub._streams[session]
        stream.pause_writing()
        await submit(client, 1, pay(1))
        stream._take_text(json.dumps({"op": "submit", "id": 2, "commands": [pay(2)]}).encode())
        stream._pass_on()
        await asyncio.sleep(0.05)
        assert door.asked == []
        stream.resume_writing()
        assert [(await receive(client))["id"] for _ in range(2)] == [2, 1]


# The client.


async def test_a_program_has_many_commands_in_flight_over_one_connection(served: Served, door: Door) -> None:
    payments = [Transfer("@world", B, n, USD, transfer_id(n)) for n in range(1, 200)]
    async with Client(served.url) as client, client.stream() as stream, asyncio.timeout(WAIT_S):
        opened = await stream.submit(Open("new", USD))
        refused, moved, refusal = await stream.submit_batch(
            [
                Transfer("new", B, 1, USD, transfer_id(900)),
                Transfer("@world", "new", 5, USD, transfer_id(901)),
                Transfer("@world", "new", 6, USD, transfer_id(901)),
            ]
        )
        told = await asyncio.gather(*map(stream.submit, payments))
        again = await stream.submit(payments[0])
        pending = await stream.submit(Transfer(A, FAR, 1, USD, transfer_id(903)))
    assert isinstance(opened, Opened)
    assert (isinstance(refused, Refusal), isinstance(moved, Moved), isinstance(refusal, Refusal)) == (True, True, True)
    assert all(isinstance(each, Moved) for each in told)
    assert [each.id for each in told if isinstance(each, Moved)] == [payment.id for payment in payments]
    assert isinstance(again, Moved)
    assert isinstance(pending, Pending)
    assert len(door.asked) < 50


async def test_a_list_of_more_than_a_message_takes_is_answered_in_order(served: Served, door: Door) -> None:
    payments = [Transfer("@world", B, 1, USD, transfer_id(n), reference="x" * 100) for n in range(2_500)]
    async with Client(served.url) as client, client.stream() as stream, asyncio.timeout(WAIT_S):
        told = await stream.submit_batch(payments)
    assert [each.id for each in told if isinstance(each, Moved)] == [payment.id for payment in payments]
    assert [int(each.accounts[0].version) for each in told if isinstance(each, Moved)] == list(range(1, 2_501))


async def test_what_a_lost_connection_left_unanswered_is_sent_again_with_the_same_ids(
    served: Served, door: Door
) -> None:
    payments = [Transfer("@world", B, 1, USD, transfer_id(n)) for n in range(50)]
    async with Client(served.url) as client, client.stream() as stream, asyncio.timeout(WAIT_S):
        door.answers.clear()
        told = asyncio.gather(*map(stream.submit, payments))
        await until(lambda: len(door.asked) == 1)
        [lost] = served.gateway.hub._streams.values()
        lost._transport.abort()  # type: ignore[attr-defined]
        door.answers.set()
        assert all(isinstance(each, Moved) for each in await told)
        state = await client.balance(B)
        assert isinstance(state, AccountState)
        assert (state.posted, state.version) == (50, 50), "each once"


async def test_what_is_refused_for_now_is_asked_again_and_given_up_with_its_ids(served: Served, door: Door) -> None:
    async with Client(served.url) as client, client.stream() as stream, asyncio.timeout(WAIT_S):
        refusals = iter(["overloaded", "stopping", "upstream_failed", "upstream_timeout"])
        door.refuse = lambda lines: next(refusals, None)
        assert isinstance(await stream.submit(Transfer("@world", B, 1, USD, transfer_id(1))), Moved)
        door.refuse = lambda lines: "overloaded"
        lost = Transfer("@world", B, 1, USD, transfer_id(2))
        with pytest.raises(NotAnswered) as failure:
            await stream.submit(lost)
        assert (failure.value.ids, failure.value.not_taken) == ((lost.id,), True)
        door.refuse = lambda lines: None
        assert isinstance(await stream.submit(lost), Moved)


async def test_who_leaves_the_stream_is_told_what_was_not_answered(served: Served, door: Door) -> None:
    payment = Transfer("@world", B, 1, USD, transfer_id(1))
    async with Client(served.url) as client, asyncio.timeout(WAIT_S):
        async with client.stream() as stream:
            door.answers.clear()
            waiting = asyncio.create_task(stream.submit(payment))
            await until(lambda: len(door.asked) == 1)
        with pytest.raises(NotAnswered) as failure:
            await waiting
        assert (failure.value.ids, failure.value.not_taken) == ((payment.id,), False)
        with pytest.raises(NotAnswered):
            await stream.submit(payment)
        door.answers.set()


async def test_each_submit_is_a_line_of_the_access_log_and_the_sides_hear_its_name(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    feed = door.wallet.two.reading.feed
    async with serving(door, feed, PARTITIONS, access_log="on", stream_submit_bytes_max=1_024) as served:
        named = {"X-Request-Id": "mine", "traceparent": trace}
        async with connect(served.stream_url, additional_headers=named) as client:
            door.answers.clear()
            await submit(client, 7, pay(0), pay(1))
            await until(lambda: len(door.asked) == 1)
            await submit(client, 8, pay(8))
            await submit(client, 9, pay(9))
            await submit(client, 10, *(pay(n) for n in range(10, 20)))
            assert (await receive(client))["code"] == "overloaded"  # the last: no room for what waits
            door.answers.set()
            assert [(await receive(client))["id"] for _ in range(3)] == [7, 8, 9]
            door.refuse = lambda lines: "partition_stopped"
            await submit(client, 11, pay(11))
            assert (await receive(client))["code"] == "partition_stopped"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"time"')]
    told = {line["request_id"]: line for line in lines if line["event"] == "submit"}
    assert {name: (line["status"], line.get("commands")) for name, line in told.items()} == {
        "mine.7": (200, 2), "mine.8": (200, 1), "mine.9": (200, 1), "mine.10": (503, None), "mine.11": (503, 1),
    }  # fmt: skip
    assert {line["traceparent"] for line in told.values()} == {trace}
    assert {(line["method"], line["route"], line["client"]) for line in told.values()} == {
        ("SUBMIT", "/v1/stream", "127.0.0.1")
    }
    assert "passed_as" not in told["mine.8"]
    assert told["mine.9"]["passed_as"] == "mine.8", "they went together"
    assert [name for name, _ in door.named] == ["mine.7", "mine.8", "mine.11"]
    assert {parent for _, parent in door.named} == {trace}
    assert transfer_id(0) not in str(told)
    assert A not in str(told)
