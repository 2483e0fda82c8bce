"""What a gateway says of the writes that it has answered: an answer is never older, and a wait for them stops nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from fastapi import FastAPI

from read_side.ask.crowd import STANDS_STILL_S, WAITING_MAX, Crowd
from read_side.contract.rows import AccountRows
from read_side.contract.view import Checkpoint, Owner
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.doors.test_http_api import DEPOSIT, LIMIT_S, Side
from write_side.contract.words.atoms import partition_of

ALICE, BOB = (next(f"a{n}" for n in range(100) if partition_of(f"a{n}", 2) == partition) for partition in (0, 1))


class Lagging(Side):
    """Two partitions, `ALICE` in 0 and `BOB` in 1, at 10 each in block 1. What partition 0 appends while `lag` is not set is not
    shown before it is."""

    def __init__(self) -> None:
        super().__init__(2)
        self.lag = asyncio.Event()
        self.lag.set()
        self.edge = self.app()
        apply = self.view.apply

        async def held_up(
            owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
        ) -> int:
            if owner.partition == 0:
                await self.lag.wait()
            return await apply(owner, expected, rows, checkpoint, loaded)

        self.view.apply = held_up  # type: ignore[method-assign]

    async def read(self, target: str, written: str) -> Reply:
        return await self.read_by(self.app(), target, written)

    async def read_by(self, app: FastAPI, target: str, written: str) -> Reply:
        return await ask(app, "GET", target, b"", [(b"fanfold-written", written.encode())])


@pytest.fixture
async def side(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lagging]:
    monkeypatch.setattr("read_side.ask.balances.UNKNOWN_WAIT_S", 0.1)
    found = Lagging()
    for writer, name in zip(found.writers, (ALICE, BOB), strict=True):
        await writer.append(opened(name))
        await writer.append(moved("@world", name, 10, DEPOSIT if name == ALICE else None))
    await found.start()
    yield found
    found.lag.set()
    await found.stop()


async def test_a_read_waits_for_what_was_written_and_is_woken_by_it(side: Lagging) -> None:
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    targets = {
        f"/v1/accounts/{ALICE}": "posted", f"/v1/transfers/{DEPOSIT}": "id", "/v1/transfers": "position",
        "/v1/system?asset=USD/2": "world",
    }  # fmt: skip
    waiting = [asyncio.ensure_future(side.read(target, "0:2")) for target in targets]
    while len(side.projectors[0].shown.sequence._waiting) < len(targets):  # noqa: ASYNC110 - nobody tells who waits
        await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    side.lag.set()
    account, outcome, under_way, system = await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S)
    assert (account.document["posted"], account.document["position"]) == ("15", "0:2")
    assert outcome.status == 200
    assert under_way.document["position"] == "0:2,1:1"
    assert system.document["world"] == "-25"


async def test_what_is_held_is_told_when_it_does_not_come_in_time_and_never_as_a_balance(side: Lagging) -> None:
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    for target in (f"/v1/accounts/{ALICE}", "/v1/system?asset=USD/2", "/v1/transfers", f"/v1/transfers/{DEPOSIT}"):
        reply = await side.read(f"{target}{'&' if '?' in target else '?'}wait_ms=0", "0:2")
        assert (reply.status, reply.code) == (503, "view_rebuilding"), (target, reply)
        assert reply.document["position"].startswith("0:1")
        assert reply.headers["retry-after"] == "1"
    held = (await side.read(f"/v1/accounts/{ALICE}?wait_ms=0", "0:2")).document["position"]
    reply = await ask(side.app(), "GET", f"/v1/accounts/{ALICE}?min_position={held}")
    assert (reply.status, reply.document["posted"]) == (200, "10"), "whoever wants it as it is held says so"


async def test_a_partition_that_lags_keeps_nobody_from_the_others(side: Lagging) -> None:
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    reply = await asyncio.wait_for(side.read(f"/v1/accounts/{BOB}", "0:2,1:1"), LIMIT_S)
    assert (reply.status, reply.document["posted"]) == (200, "10")
    reply = await asyncio.wait_for(side.read("/v1/transfers?partitions=1", "0:2,1:1"), LIMIT_S)
    assert reply.status == 200
    body = f'{{"accounts": ["{ALICE}", "{BOB}"], "written": "0:2,1:1", "wait_ms": 0}}'.encode()
    document = (await ask(side.app(), "POST", "/internal/balances", body)).document
    assert [each and each["posted"] for each in document["accounts"]] == [None, "10"]
    assert document["failed"] == [{"partition": 0, "code": "view_rebuilding"}]


@pytest.mark.parametrize("written", ["3:500", "1023:5", "0:1,3:9"])
async def test_a_partition_that_is_not_read_or_not_there_means_nothing(side: Lagging, written: str) -> None:
    for target in (f"/v1/accounts/{ALICE}", "/v1/system?asset=USD/2", "/v1/transfers", f"/v1/transfers/{DEPOSIT}"):
        assert (await asyncio.wait_for(side.read(target, written), LIMIT_S)).status == 200, target


async def test_a_damaged_partition_is_told_as_old_at_once_whatever_was_written(side: Lagging) -> None:
    await side.log.append(0, b"damaged")
    while side.projectors[0].stopped is None:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)
    reply = await side.read(f"/v1/accounts/{ALICE}?wait_ms=10000", "0:9")
    assert (reply.status, reply.document["posted"], "stale_since" in reply.document) == (200, "10", True)
    assert "fanfold-lost" not in reply.headers, "it may be behind the damage"
    assert (await side.read(f"/v1/transfers/{DEPOSIT}", "0:9")).status == 200
    assert (await side.read(f"/v1/accounts/{ALICE}?min_position=0:9", "0:9")).status == 503, (
        "a wish of one's own is kept"
    )


async def test_a_write_of_a_log_that_was_put_back_is_waited_for_once_and_told_to_be_gone(side: Lagging) -> None:
    targets = (f"/v1/accounts/{ALICE}", "/v1/system?asset=USD/2", "/v1/transfers", f"/v1/transfers/{DEPOSIT}")
    for target in targets:
        reply = await side.read(f"{target}{'&' if '?' in target else '?'}wait_ms=1", "0:500,1:1")
        assert (reply.status, reply.headers.get("fanfold-lost")) == (200, "0:500"), target
    body = f'{{"accounts": ["{ALICE}"], "written": "0:500", "wait_ms": 0}}'.encode()
    assert (await ask(side.app(), "POST", "/internal/balances", body)).document["lost"] == "0:500"
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    reply = await side.read(f"/v1/accounts/{ALICE}?wait_ms=0", "0:500")
    assert reply.code == "view_rebuilding", "nothing is said to be gone before the log's end is seen"


async def test_what_is_no_position_is_refused(side: Lagging) -> None:
    for written in ("x", "", "0:1,0:2", "0:-1"):
        assert (await side.read(f"/v1/accounts/{ALICE}", written)).code == "position_malformed"
    body = f'{{"accounts": ["{ALICE}"], "written": "x"}}'.encode()
    assert (await ask(side.app(), "POST", "/internal/balances", body)).code == "position_malformed"


async def test_a_view_that_another_process_makes_is_looked_at_until_it_is_there(side: Lagging) -> None:
    side.view.shared = True
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    app = side.app(projected=False)
    waiting = asyncio.ensure_future(ask(app, "GET", f"/v1/accounts/{ALICE}", b"", [(b"fanfold-written", b"0:2")]))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    side.lag.set()
    assert (await asyncio.wait_for(waiting, LIMIT_S)).document["posted"] == "15"


async def test_of_a_partition_that_stands_still_only_so_many_readers_wait(
    side: Lagging, monkeypatch: pytest.MonkeyPatch
) -> None:
    side.lag.clear()
    await side.writers[0].append(moved("@world", ALICE, 5))
    targets = (f"/v1/accounts/{ALICE}?wait_ms=10000", f"/v1/transfers/{DEPOSIT}?wait_ms=10000")
    waiting = [asyncio.ensure_future(side.read_by(side.edge, targets[n % 2], "0:2")) for n in range(2 * WAITING_MAX)]
    while len(side.projectors[0].shown.sequence._waiting) < len(waiting):  # noqa: ASYNC110 - nobody tells who waits
        await asyncio.sleep(0)
    monkeypatch.setattr("read_side.ask.crowd.STANDS_STILL_S", -1.0)  # so long they have waited in vain
    for target in targets:
        reply = await asyncio.wait_for(side.read_by(side.edge, target, "0:2"), LIMIT_S)
        assert (reply.status, reply.code) == (503, "view_rebuilding")
        assert reply.document["position"].startswith("0:1")
    assert (await side.read_by(side.edge, f"/v1/accounts/{ALICE}", "0:1")).status == 200, "what is shown is read"
    assert (await side.read_by(side.edge, f"/v1/accounts/{BOB}", "0:2,1:1")).status == 200
    side.lag.set()
    replies = await asyncio.wait_for(asyncio.gather(*waiting), LIMIT_S)
    assert {reply.status for reply in replies} == {200}
    assert (await side.read_by(side.edge, targets[0], "0:2")).status == 200


@pytest.mark.parametrize(
    ("waiting", "began_s", "news_s", "now_s", "is_full"),
    [
        (0, 0, 0, 99, False),
        (WAITING_MAX - 1, 0, 0, 99, False),
        (WAITING_MAX, 0, 0, STANDS_STILL_S / 2, False),
        (WAITING_MAX, 0, 0, 2 * STANDS_STILL_S, True),
        (WAITING_MAX, 0, 5, 5 + STANDS_STILL_S / 2, False),
        (WAITING_MAX, 10, 5, 10 + STANDS_STILL_S / 2, False),
    ],
)
def test_a_crowd_is_full_when_many_wait_and_nothing_moves(
    waiting: int, began_s: float, news_s: float, now_s: float, is_full: bool
) -> None:
    crowd = Crowd()
    with ExitStack() as stack:
        for n in range(waiting):
            stack.enter_context(crowd.waiting(float(began_s)))
            if n == 0 and news_s > began_s:
                crowd.news(news_s)
        assert crowd.is_full(now_s) is is_full
    assert not crowd.is_full(1e9)
