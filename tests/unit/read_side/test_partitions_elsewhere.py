"""A process that projects some partitions: what it does not project it says so of, and never that nothing is there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from read_side.follow.projector import Projector
from read_side.views.view_memory import MemoryViewStore
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.doors.test_http_api import ID_TIME_US, Side
from write_side.contract.words.atoms import partition_of

PARTITIONS = 4


def name(partition: int, word: str) -> str:
    return next(n for i in range(1000) if partition_of(n := f"{word}-{i}", PARTITIONS) == partition)


class Some(Side):
    """Partitions 0 and 1 of 4, each with an account; `paid` is the id of a deposit in each."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS, projects=(0, 1))
        self.paid = [uuid.uuid4() for _ in range(PARTITIONS)]

    async def get(self, target: str) -> Reply:
        return await ask(self.app(), "GET", target)


@pytest.fixture
async def some() -> AsyncIterator[Some]:
    found = Some()
    for p, writer in enumerate(found.writers):
        await writer.append(opened(name(p, "a")), moved("@world", name(p, "a"), 10 + p, found.paid[p]))
    await found.start()
    yield found
    await found.stop()


def said_elsewhere(reply: Reply, *partitions: int) -> bool:
    assert (reply.status, reply.code) == (503, "partition_elsewhere"), reply
    assert reply.headers["retry-after"]
    assert "No money moved" not in reply.document["detail"]
    return bool(reply.document["partitions"] == list(partitions))


async def test_readyz_tells_how_many_partitions_the_log_has_beside_those_that_are_projected(some: Some) -> None:
    document = (await some.get("/readyz")).document
    assert document["partitions_of_log"] == PARTITIONS
    assert [each["partition"] for each in document["partitions"]] == [0, 1]


async def test_readyz_names_the_partitions_that_nobody_here_reads(some: Some) -> None:
    document = (await some.get("/readyz")).document
    assert document["unread"] == [{"partition": p, "code": "partition_elsewhere"} for p in (2, 3)]
    assert [reason.partition(":")[0] for reason in document["degraded"]] == ["partition 2", "partition 3"]


async def test_an_account_of_another_process_is_elsewhere_and_not_unknown(some: Some) -> None:
    assert (await some.get(f"/v1/accounts/{name(1, 'a')}")).document["posted"] == "11"
    for word in ("a", "nobody"):
        assert said_elsewhere(await some.get(f"/v1/accounts/{name(2, word)}"), 2)


async def test_a_done_transfer_of_another_process_is_never_404(some: Some) -> None:
    assert (await some.get(f"/v1/transfers/{some.paid[1]}")).document["result"] == "done"
    assert said_elsewhere(await some.get(f"/v1/transfers/{some.paid[3]}"), 2, 3)


async def test_a_min_position_of_another_processes_partition_is_never_ignored(some: Some) -> None:
    for target in (f"/v1/transfers/{some.paid[1]}?", "/v1/transfers?partitions=0,1&"):
        assert (await some.get(f"{target}min_position=0:0,1:0")).status == 200
        assert said_elsewhere(await some.get(f"{target}min_position=0:0,2:0&wait_ms=0"), 2)
    assert (await some.get(f"/v1/transfers/{some.paid[1]}?min_position=4:0")).code == "position_malformed"


async def test_a_list_of_all_partitions_is_refused_rather_than_told_in_part(some: Some) -> None:
    assert said_elsewhere(await some.get("/v1/transfers"), 2, 3)
    assert (await some.get("/v1/transfers?partitions=0,1")).document["transfers"] == []
    assert said_elsewhere(await some.get("/v1/transfers?partitions=1,2"), 2)


@pytest.mark.parametrize("text", ["", "4", "-1", "0,0", "0,", "x", "00", "0 "])
async def test_partitions_of_a_list_are_those_of_the_log(some: Some, text: str) -> None:
    assert (await some.get(f"/v1/transfers?partitions={text}")).code == "parameter_malformed"


async def test_sums_over_all_partitions_are_never_sums_of_some(some: Some) -> None:
    reply = await some.get("/v1/system?asset=USD/2")
    assert (reply.status, reply.code) == (503, "partition_elsewhere")
    assert said_elsewhere(reply, 2, 3), "every partition is named that cannot be read"


async def test_sums_of_some_partitions_are_told_to_who_asks_for_those(some: Some) -> None:
    document = (await some.get("/v1/system?asset=USD/2&partitions=0,1")).document
    assert (document["world"], [part["partition"] for part in document["partitions"]]) == ("-21", [0, 1])
    assert said_elsewhere(await some.get("/v1/system?asset=USD/2&partitions=1,2"), 2)
    assert (await some.get("/v1/system?asset=USD/2&partitions=7")).code == "parameter_malformed"


async def test_a_read_of_many_answers_what_is_here_and_names_what_is_not(some: Some) -> None:
    names = [name(p, "a") for p in range(PARTITIONS)]
    body = ('{"accounts": ["' + '", "'.join(names) + '"]}').encode()
    document = (await ask(some.app(), "POST", "/internal/balances", body)).document
    assert [each and each["posted"] for each in document["accounts"]] == ["10", "11", None, None]
    assert document["positions"] == "0:0,1:0"
    assert document["failed"] == [{"partition": p, "code": "partition_elsewhere"} for p in (2, 3)]
    body = ('{"accounts": ["' + names[2] + '"]}').encode()
    assert said_elsewhere(await ask(some.app(), "POST", "/internal/balances", body), 2)


async def test_an_id_that_may_have_been_forgotten_is_not_said_to_be_nothing() -> None:
    side = Side(1)
    [writer] = side.writers
    await writer.append(opened("alice"), moved("@world", "alice", 1))
    writer.now_us += 20 * 24 * 3600 * 1_000_000
    await writer.append(moved("@world", "alice", 1))
    await side.start()
    old = uuid.UUID(int=(ID_TIME_US // 1000) << 80 | 7 << 76 | 2 << 62 | 1)
    young = uuid.UUID(int=(writer.now_us // 1000) << 80 | 7 << 76 | 2 << 62 | 1)
    for id, sure in ((old, False), (uuid.uuid4(), False), (young, True)):
        reply = await ask(side.app(), "GET", f"/v1/transfers/{id}")
        assert (reply.status, reply.code) == (404, "transfer_not_found")
        assert ("remembered_since" in reply.document) is not sure
        assert ("may have moved money" in reply.document["detail"]) is not sure
    await side.stop()


class SharedViewStore(MemoryViewStore):
    """As several processes see one store."""

    shared = True


class Shared(Side):
    """This process follows partitions 0 and 1 of 4, another one 2 and 3; the view has all of them. `edge` is this one's."""

    def __init__(self) -> None:
        super().__init__(PARTITIONS, projects=(0, 1))
        self.view = SharedViewStore()
        self.projectors = [self._projector(p) for p in range(2)]
        self.others = [self._projector(p) for p in (2, 3)]
        self.edge: FastAPI = self.app()
        self._following: list[asyncio.Task[None]] = []

    def _projector(self, partition: int) -> Projector:
        return Projector(partition, self.log, self.view, self.feed, self.timer, f"boot-{partition}")

    async def start_others(self) -> None:
        for other in self.others:
            await other.start()
            self._following.append(asyncio.create_task(other.run()))

    async def stop_others(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)

    async def get(self, target: str) -> Reply:
        return await ask(self.edge, "GET", target)


@pytest.fixture
async def shared(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shared]:
    monkeypatch.setattr("read_side.ask.balances.UNKNOWN_WAIT_S", 0.1)
    monkeypatch.setattr("read_side.ask.followed.FOLLOWED_FOR_S", -1.0)
    found = Shared()
    for p, writer in enumerate(found.writers):
        await writer.append(opened(name(p, "a")), moved("@world", name(p, "a"), 10 + p))
    await found.start()
    await found.start_others()
    yield found
    await found.stop_others()
    await found.stop()


async def test_the_past_is_told_by_who_follows_the_log_also_where_any_process_has_the_balance(shared: Shared) -> None:
    account = name(3, "a")
    assert (await shared.get(f"/v1/accounts/{account}")).status == 200
    for target in (f"/v1/accounts/{account}/entries", f"/v1/accounts/{account}?as_of=1"):
        assert said_elsewhere(await shared.get(target), 3)
    assert (await shared.get(f"/v1/accounts/{name(3, 'nobody')}/entries")).code == "account_not_found"


async def test_any_process_answers_from_the_shared_view_while_somebody_follows_the_log(shared: Shared) -> None:
    assert (await shared.get(f"/v1/accounts/{name(3, 'a')}")).document["posted"] == "13"
    await shared.writers[3].append(moved("@world", name(3, "a"), 7))
    assert await shared.others[1].shown.sequence.reach(1, 20)
    assert (await shared.get(f"/v1/accounts/{name(3, 'a')}")).document["posted"] == "20"
    assert (await shared.get("/v1/system?asset=USD/2")).status == 200


async def test_an_old_balance_is_not_told_of_a_partition_that_nobody_follows_any_more(shared: Shared) -> None:
    await shared.stop_others()
    assert (await shared.get(f"/v1/accounts/{name(3, 'a')}")).document["posted"] == "13", "nothing happened since"
    await shared.writers[3].append(moved("@world", name(3, "a"), 7))
    reply = await shared.get(f"/v1/accounts/{name(3, 'a')}")
    assert said_elsewhere(reply, 3)
    assert "no process brings its view on" in reply.document["reason"]
    assert said_elsewhere(await shared.get("/v1/system?asset=USD/2"), 3)
    assert (await shared.get(f"/v1/accounts/{name(2, 'a')}")).document["posted"] == "12"
    await Projector(3, shared.log, shared.view, shared.feed, shared.timer, "boot-again").start()
    assert (await shared.get(f"/v1/accounts/{name(3, 'a')}")).document["posted"] == "20"


async def test_accounts_of_a_shared_view_that_nobody_makes_are_elsewhere_and_not_being_made_right(
    shared: Shared,
) -> None:
    await shared.stop_others()
    shared.view._live.clear()
    shared.view._generations = {key: held for key, held in shared.view._generations.items() if key[0] < 2}
    reply = await shared.get(f"/v1/accounts/{name(3, 'a')}")
    assert said_elsewhere(reply, 3)
    assert "no process projects it" in reply.document["reason"]
    document = (await shared.get("/readyz")).document
    assert [each["partition"] for each in document["unread"] if each["code"] == "partition_elsewhere"] == [2, 3]


async def test_a_shared_view_that_is_being_loaded_is_told_as_such_for_as_long_as_a_load_takes(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shared.stop_others()
    held = shared.view._generations[3, 1]
    held.checkpoint = None
    reply = await shared.get(f"/v1/accounts/{name(3, 'a')}")
    assert (reply.status, reply.code) == (503, "view_rebuilding")
    monkeypatch.setattr("read_side.ask.followed.LOADED_WITHIN_S", -1.0)
    assert said_elsewhere(await shared.get(f"/v1/accounts/{name(3, 'a')}"), 3)


async def test_readyz_looks_at_the_views_of_other_processes(shared: Shared) -> None:
    assert (await shared.get("/readyz")).document["unread"] == []
    await shared.stop_others()
    await shared.writers[3].append(moved("@world", name(3, "a"), 7))
    document = (await shared.get("/readyz")).document
    assert document["unread"] == [{"partition": 3, "code": "partition_elsewhere"}]
    assert any("no process brings its view on" in reason for reason in document["degraded"])


async def test_questions_within_the_bound_share_one_look_at_the_log(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("read_side.ask.followed.FOLLOWED_FOR_S", 3600.0)
    assert (await shared.get(f"/v1/accounts/{name(3, 'a')}")).status == 200
    await shared.stop_others()
    await shared.writers[3].append(moved("@world", name(3, "a"), 7))
    reply = await shared.get(f"/v1/accounts/{name(3, 'a')}")
    assert (reply.status, reply.document["posted"]) == (200, "13"), "no older than the bound"
