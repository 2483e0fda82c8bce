"""The read side over HTTP: balances, outcomes, read-your-writes, and what is said when nothing right can be said."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path

import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from read_side.ask.account_list import AccountList
from read_side.ask.balances import BalanceReader
from read_side.ask.health import Health
from read_side.ask.lists import Lists
from read_side.ask.past import Past
from read_side.ask.positions import Positions
from read_side.ask.transfers import Transfers
from read_side.contract.rows import EMPTY_ROWS
from read_side.contract.view import Checkpoint
from read_side.doors.http_api import ReadDoors, create_app
from read_side.doors.read_metrics import ProjectorMetrics
from read_side.feed.feed_memory import MemoryFeed
from read_side.follow.projector import Projector
from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from read_side.views.view_memory import MemoryViewStore
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.words.atoms import NO_FLOOR, partition_of

LIMIT_S = 20.0
ID_TIME_US = 0x01970F3E7B1A * 1000
"""The time in the UUIDv7s below: an id from the future would be refused."""
DEPOSIT = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ab")
REFUSED = uuid.UUID("01970f3e-7b1a-7c3e-8a2b-1234567890ac")


class Side:
    """A read side of some partitions (`projects`: these of them) over a log in memory, with a writer for each.

    archive: the folder of its history; None: it keeps none.
    """

    def __init__(self, partitions: int, projects: Sequence[int] | None = None, archive: Path | None = None) -> None:
        self.log = MemoryLog(MemoryRecords(partitions))
        self.writers = [BlockMaker(self.log, p, start_us=ID_TIME_US) for p in range(partitions)]
        self.view, self.feed, self.timer = MemoryViewStore(), MemoryFeed(), ManualTimer()
        chosen = range(partitions) if projects is None else projects
        self.histories = (
            [] if archive is None else [History(SegmentFolder(archive, FileStore(archive), p)) for p in chosen]
        )
        self.projectors = [
            Projector(p, self.log, self.view, self.feed, self.timer, f"boot-{p}", None, history)
            for p, history in zip_longest(chosen, self.histories)
        ]
        self._running: list[asyncio.Future[None]] = []

    def app(self, projected: bool = True) -> FastAPI:
        """The edge of this process, or (`projected=False`) of one that only reads the view."""
        by_partition = {each.partition: each for each in self.projectors} if projected else {}
        balances = BalanceReader(self.view, self.log, by_partition)
        health = Health(self.projectors, self.timer.wall_us, self.log.partitions, balances.unread)
        registry = CollectorRegistry()
        registry.register(ProjectorMetrics(self.projectors, self.timer.wall_us))
        transfers = Transfers(by_partition, balances, self.log, self.timer.wall_us)
        lists = Lists(by_partition, balances, transfers)
        accounts = AccountList(by_partition, balances, transfers)
        positions = Positions(list(by_partition.values()), self.timer.wall_us, self.log.partitions)
        return create_app(
            ReadDoors(balances, transfers, Past(by_partition, balances), accounts, lists, health, positions),
            registry=registry,
        )

    async def start(self) -> None:
        for history in self.histories:
            history.open()
        for projector in self.projectors:
            await projector.start()
            self._running.append(asyncio.ensure_future(projector.run()))

    async def keep(self) -> None:
        """What the task of history does once: read what is missing, seal and join what is due."""
        for history in self.histories:
            if history.unavailable is not None:
                await history.fill(self.log)
            await asyncio.to_thread(history.tidy)

    async def stop(self) -> None:
        for running in self._running:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
        self._running.clear()


@pytest.fixture
async def side() -> AsyncIterator[Side]:
    """Partition 0 with alice at 70 and bob at 30, up to block 3."""
    found = Side(1)
    [writer] = found.writers
    await writer.epoch()
    await writer.append(opened("alice"), opened("bob", NO_FLOOR))
    await writer.append(moved("@world", "alice", 100, DEPOSIT))
    await writer.append(moved("alice", "bob", 30), moved("alice", "bob", 500, REFUSED))
    await found.start()
    yield found
    await found.stop()


async def get(side: Side, target: str) -> Reply:
    return await ask(side.app(), "GET", target)


async def test_a_balance_is_told_with_the_position_it_reflects(side: Side) -> None:
    reply = await get(side, "/v1/accounts/alice")
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.document == {
        "account": "alice", "asset": "USD/2", "posted": "70", "held": "0", "available": "70", "floor": "0",
        "version": 2, "flags": [], "position": "0:3", "at": "2025-05-27T00:57:22.462000Z",
    }  # fmt: skip
    bob = (await get(side, "/v1/accounts/bob")).document
    assert (bob["available"], bob["floor"]) == (None, None), "without a floor there is no bound on what can be spent"


async def test_an_unknown_account_is_said_to_be_unknown_up_to_a_position(side: Side) -> None:
    reply = await get(side, "/v1/accounts/nobody")
    assert (reply.status, reply.code, reply.document["position"]) == (404, "account_not_found", "0:3")
    assert reply.headers["content-type"] == "application/problem+json"


async def test_an_acknowledged_account_is_never_unknown(side: Side) -> None:
    for name in ("carol", "dave", "erin"):
        await side.writers[0].append(opened(name))
        assert (await get(side, f"/v1/accounts/{name}")).status == 200


async def test_an_unknown_account_is_not_said_to_be_unknown_while_the_view_is_behind(side: Side) -> None:
    await side.stop()
    await side.writers[0].append(opened("carol"))
    reply = await get(side, "/v1/accounts/carol")
    assert (reply.status, reply.code) == (503, "view_rebuilding")
    assert reply.headers["retry-after"] == "1"
    assert (await get(side, "/v1/accounts/alice")).status == 200


@pytest.mark.parametrize("projected", [True, False])
async def test_min_position_waits_until_the_block_is_visible(side: Side, projected: bool) -> None:
    app = side.app(projected)
    waiting = asyncio.ensure_future(ask(app, "GET", "/v1/accounts/alice?min_position=0:4&wait_ms=10000"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await side.writers[0].append(moved("alice", "bob", 1))
    reply = await asyncio.wait_for(waiting, LIMIT_S)
    assert (reply.document["posted"], reply.document["position"]) == ("69", "0:4")


async def test_min_version_waits_for_the_version(side: Side) -> None:
    waiting = asyncio.ensure_future(get(side, "/v1/accounts/alice?min_version=4&wait_ms=10000"))
    for _ in range(2):
        await side.writers[0].append(moved("alice", "bob", 1))
    assert (await asyncio.wait_for(waiting, LIMIT_S)).document["version"] == 4


async def test_after_version_waits_for_a_newer_one_and_then_tells_it_as_it_is(side: Side) -> None:
    waiting = asyncio.ensure_future(get(side, "/v1/accounts/alice?after_version=2&wait_ms=10000"))
    await side.writers[0].append(moved("alice", "bob", 1))
    assert (await asyncio.wait_for(waiting, LIMIT_S)).document["version"] == 3
    reply = await get(side, "/v1/accounts/alice?after_version=3&wait_ms=0")
    assert (reply.status, reply.document["version"]) == (200, 3)
    assert (await get(side, "/v1/accounts/nobody?after_version=0&wait_ms=0")).status == 404
    reply = await get(side, "/v1/accounts/alice?after_version=3&min_position=0:9&wait_ms=0")
    assert (reply.status, reply.code) == (409, "position_not_reached")
    for beside in ("as_of=1", "min_version=1"):
        reply = await get(side, f"/v1/accounts/alice?after_version=3&{beside}")
        assert (reply.status, reply.code) == (400, "parameter_malformed")


async def test_what_is_held_is_told_when_the_wait_is_over(side: Side) -> None:
    reply = await get(side, "/v1/accounts/alice?min_position=0:4&wait_ms=0")
    assert (reply.status, reply.code, reply.document["position"]) == (409, "position_not_reached", "0:3")
    reply = await get(side, "/v1/accounts/alice?min_version=9&wait_ms=0")
    assert (reply.status, reply.code) == (409, "version_not_reached")
    assert (reply.document["position"], reply.document["version"]) == ("0:3", 2)
    assert (await get(side, "/v1/accounts/nobody?min_version=1&wait_ms=0")).status == 404


async def test_no_view_is_503_and_never_404(side: Side) -> None:
    side.view.__init__()  # type: ignore[misc]  # what FLUSHALL does
    for name in ("alice", "nobody"):
        reply = await get(side, f"/v1/accounts/{name}")
        assert (reply.status, reply.code) == (503, "view_rebuilding")


async def test_an_older_view_than_shown_before_is_503(side: Side) -> None:
    app = side.app(projected=False)
    assert (await ask(app, "GET", "/v1/accounts/alice")).status == 200
    await side.stop()
    owner = await side.view.claim(0, 1)
    await side.view.clear(owner)
    await side.view.apply(owner, None, EMPTY_ROWS, Checkpoint(1, 2, b"x" * 32, 2, 1))
    for target in ("/v1/accounts/alice", "/v1/accounts/nobody", "/v1/system?asset=USD/2"):
        reply = await ask(app, "GET", target)
        assert (reply.status, reply.code) == (503, "view_rebuilding")


async def test_the_outcome_of_a_transfer_is_the_answer_its_post_got(side: Side) -> None:
    reply = await get(side, f"/v1/transfers/{DEPOSIT}")
    assert reply.status == 200
    assert (reply.document["id"], reply.document["result"], reply.document["position"]) == (str(DEPOSIT), "done", "0:2")
    assert [(each["account"], each["posted"]) for each in reply.document["accounts"]] == [("alice", "100")]
    refused = await get(side, f"/v1/transfers/{REFUSED}")
    assert refused.status == 200
    assert (refused.document["result"], refused.code) == ("refused", "insufficient_available")
    assert refused.document["available"] == "70"


async def test_an_unknown_transfer_is_unknown_up_to_a_position(side: Side) -> None:
    reply = await get(side, f"/v1/transfers/{uuid.uuid4()}")
    assert (reply.status, reply.code, reply.document["position"]) == (404, "transfer_not_found", "0:3")


async def test_an_acknowledged_transfer_is_never_unknown(side: Side) -> None:
    for _ in range(3):
        transfer = uuid.uuid4()
        await side.writers[0].append(moved("alice", "bob", 1, transfer))
        assert (await get(side, f"/v1/transfers/{transfer}")).document["result"] == "done"


async def test_an_id_in_two_partitions_is_ambiguous() -> None:
    side = Side(2)
    for p, writer in enumerate(side.writers):
        name = next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == p)
        await writer.append(opened(name), moved("@world", name, 5, DEPOSIT))
    await side.start()
    reply = await get(side, f"/v1/transfers/{DEPOSIT}")
    assert (reply.status, reply.code) == (409, "id_ambiguous")
    await side.stop()


async def test_system_accounts_sum_over_partitions() -> None:
    side = Side(2)
    for p, writer in enumerate(side.writers):
        name = next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == p)
        await writer.append(opened(name), moved("@world", name, 5 + p))
    await side.start()
    document = (await get(side, "/v1/system?asset=USD/2&min_position=0:0,1:0")).document
    assert (document["world"], document["transit"], document["positions"]) == ("-11", "0", "0:0,1:0")
    assert [each["world"]["posted"] for each in document["partitions"]] == ["-5", "-6"]
    await side.stop()


async def test_an_asset_that_nobody_has_is_not_told_as_zero() -> None:
    side = Side(2)
    name = next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == 1)
    await side.writers[0].append(opened(next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == 0)))
    await side.writers[1].append(opened(name, asset="EUR/2"))
    await side.start()
    reply = await get(side, "/v1/system?asset=XXX/2&min_position=0:0,1:0")
    assert (reply.status, reply.code, reply.document["position"]) == (404, "account_not_found", "0:0,1:0")
    assert "asset" in reply.document["detail"]
    here = (await get(side, "/v1/system?asset=EUR/2")).document
    assert here["world"] == "0"
    assert [each["world"] is None for each in here["partitions"]] == [True, False], "it was opened in one alone"
    part = (await get(side, "/v1/system?asset=EUR/2&partitions=0")).document
    assert part["partitions"][0]["world"] is None, "another partition may have it: that is said, and nothing of all"
    await side.stop()


@pytest.mark.parametrize("asset", ["USD/02", "ETH/18"])
async def test_an_asset_that_is_written_otherwise_is_nobodys_unless_an_older_log_has_it(asset: str) -> None:
    side = Side(2)
    await side.start()
    reply = await get(side, f"/v1/system?asset={asset}")
    assert (reply.status, reply.code) == (400, "asset_malformed")
    await side.stop()
    older = Side(2)
    name = next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == 1)
    await older.writers[1].append(opened(name, asset=asset), moved("@world", name, 5, asset=asset))
    await older.start()
    assert (await get(older, f"/v1/system?asset={asset}")).document["world"] == "-5"
    await older.stop()


async def test_many_balances_at_once_for_a_gateway(side: Side) -> None:
    body = b'{"accounts": ["bob", "nobody", "alice"], "min_position": "0:3"}'
    document = (await ask(side.app(), "POST", "/internal/balances", body)).document
    assert document["positions"] == "0:3"
    assert [each and each["posted"] for each in document["accounts"]] == ["30", None, "70"]
    empty = (await ask(side.app(), "POST", "/internal/balances", b'{"accounts": []}')).document
    assert empty == {"positions": "", "accounts": []}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("/v1/accounts/al ice", "account_malformed"),
        ("/v1/accounts/alice\n", "account_malformed"),
        ("/v1/accounts/a/b", "account_malformed"),
        ("/v1/accounts/@world", "account_malformed"),
        ("/v1/accounts/" + "a" * 65, "account_malformed"),
        ("/v1/accounts/", "account_malformed"),
        ("/v1/accounts/alice?min_position=0:-1", "position_malformed"),
        ("/v1/accounts/alice?min_position=9:1", "position_malformed"),
        ("/v1/accounts/alice?min_position=", "position_malformed"),
        ("/v1/accounts/alice?min_version=1.0", "parameter_malformed"),
        ("/v1/accounts/alice?min_version=%D9%A1", "parameter_malformed"),
        ("/v1/accounts/alice?wait_ms=10001", "parameter_malformed"),
        ("/v1/accounts/alice?wait_ms=-1", "parameter_malformed"),
        ("/v1/accounts/alice?wait_ms=" + "1" * 5000, "parameter_malformed"),
        ("/v1/accounts/alice?nonsense=1", "parameter_malformed"),
        ("/v1/accounts/alice?wait_ms=1&wait_ms=2", "parameter_malformed"),
        ("/v1/transfers/nonsense", "id_malformed"),
        ("/v1/transfers/00000000-0000-0000-0000-000000000000", "id_malformed"),
        ("/v1/system", "asset_malformed"),
        ("/v1/system?asset=usd", "asset_malformed"),
        ("/v1/system?asset=USD/2&min_version=1", "parameter_malformed"),
    ],
)
async def test_malformed_questions_are_400_and_not_echoed(side: Side, target: str, code: str) -> None:
    reply = await get(side, target)
    assert (reply.status, reply.code) == (400, code)
    assert b"nonsense" not in reply.body


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"accounts": "alice"}', b'{"accounts": [1]}', b'{"accounts": [], "x": 1}', b"\xff",
     b'{"accounts": ["\\ud800"]}',
     b'{"accounts": ["al ice"]}', b'{"accounts": [], "wait_ms": 1e400}', b'{"accounts": [], "wait_ms": 99999}', b"[" * 10_000],
)  # fmt: skip
async def test_malformed_bodies_are_400(side: Side, body: bytes) -> None:
    assert (await ask(side.app(), "POST", "/internal/balances", body)).status == 400


@pytest.mark.parametrize(
    "parameter", ["dry_run=true", "x", "=", "min_positions=0:1", "MIN_POSITION=0:1", "wait_ms=1&x=1"]
)
async def test_a_parameter_that_is_not_known_is_refused_on_every_route(side: Side, parameter: str) -> None:
    routes = ["/v1/accounts/alice", f"/v1/transfers/{DEPOSIT}", "/v1/transfers", "/v1/system"]
    for target in (*routes, "/healthz", "/readyz", "/metrics", "/openapi.json"):
        reply = await get(side, f"{target}?{parameter}")
        assert (reply.status, reply.code) == (400, "parameter_malformed"), target
    reply = await ask(side.app(), "POST", f"/internal/balances?{parameter}", b'{"accounts": []}')
    assert (reply.status, reply.code) == (400, "parameter_malformed")


async def test_head_is_get_without_the_body_on_every_route(side: Side) -> None:
    routes = ["/v1/accounts/alice", "/v1/accounts/nobody", f"/v1/transfers/{DEPOSIT}", "/v1/transfers", "/v1/system"]
    for target in (*routes, "/healthz", "/openapi.json"):
        got, head = await get(side, target), await ask(side.app(), "HEAD", target)
        assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


async def test_an_id_is_found_in_either_case(side: Side) -> None:
    reply = await get(side, f"/v1/transfers/{str(DEPOSIT).upper()}")
    assert (reply.status, reply.document["id"]) == (200, str(DEPOSIT))


async def test_one_unknown_account_keeps_nothing_from_a_read_of_many_while_the_view_lags(side: Side) -> None:
    await side.stop()
    await side.writers[0].append(opened("carol"))
    body = b'{"accounts": ["bob", "carol", "alice"]}'
    document = (await ask(side.app(), "POST", "/internal/balances", body)).document
    assert [each and each["posted"] for each in document["accounts"]] == ["30", None, "70"]
    assert (document["positions"], document["undecided"]) == ("0:3", [1])


async def test_a_token_of_as_many_partitions_as_a_log_may_have_is_taken_everywhere() -> None:
    side = Side(PARTITIONS_MAX, projects=())
    token = ",".join(f"{p}:{10**18 - 1}" for p in range(PARTITIONS_MAX))
    for position in (token, token.replace(":", "%3A").replace(",", "%2C")):
        reply = await get(side, f"/v1/accounts/alice?min_position={position}&wait_ms=0")
        assert reply.code == "partition_elsewhere", "the token was read"
    body = f'{{"accounts": ["alice"], "min_position": "{token}", "wait_ms": 0}}'.encode()
    assert (await ask(side.app(), "POST", "/internal/balances", body)).code == "partition_elsewhere"


async def test_whom_many_commands_are_about_is_told_in_one_answer(side: Side) -> None:
    ids = [str(DEPOSIT), str(uuid.uuid4())]
    for at_once in ("true", "false"):
        body = f'{{"ids": ["{ids[0]}", "{ids[1]}"], "at_once": {at_once}}}'.encode()
        document = (await ask(side.app(), "POST", "/internal/parties", body)).document
        alone = (await get(side, f"/internal/transfers/{DEPOSIT}")).document
        assert document == {"parties": [alone["parties"], None]}
    many = b'{"ids": [' + b",".join([b'"%s"' % ids[0].encode()] * 513) + b"]}"
    assert (await ask(side.app(), "POST", "/internal/parties", many)).status == 413
    assert (await ask(side.app(), "POST", "/internal/parties", b'{"ids": ["x"]}')).status == 400


async def test_a_body_that_is_too_large_is_413(side: Side) -> None:
    assert (await ask(side.app(), "POST", "/internal/balances", b" " * (1024 * 1024 + 1))).status == 413
    many = b'{"accounts": [' + b",".join([b'"a"'] * 10_001) + b"]}"
    assert (await ask(side.app(), "POST", "/internal/balances", many)).status == 413


async def test_unknown_addresses_and_methods_are_problem_documents(side: Side) -> None:
    for method, target, status, code in (
        ("GET", "/v1/nonsense", 404, "not_found"),
        ("DELETE", "/v1/accounts/alice", 405, "method_not_allowed"),
        ("POST", "/v1/transfers/x", 405, "method_not_allowed"),
    ):
        reply = await ask(side.app(), method, target)
        assert (reply.status, reply.code) == (status, code)
        assert b"nonsense" not in reply.body


async def test_readyz_tells_lag_and_metrics_count(side: Side) -> None:
    app = side.app()
    ready = await ask(app, "GET", "/readyz")
    assert ready.status == 200
    [partition] = ready.document["partitions"]
    assert (partition["position"], partition["lag"]["blocks_behind"]) == ("0:3", 0)
    assert set(partition["lag"]) == {"blocks_behind", "commit_to_view_ms", "last_block_age_ms", "probed_age_ms"}
    await ask(app, "GET", "/v1/accounts/alice")
    metrics = (await ask(app, "GET", "/metrics")).body.decode()
    assert 'fanfold_projector_position{partition="0"} 3.0' in metrics
    assert 'fanfold_read_http_requests_total{route="/v1/accounts/{account}",status="200"} 1.0' in metrics
    assert (await ask(app, "GET", "/healthz")).status == 200
    assert (await ask(app, "GET", "/openapi.json")).document["openapi"] == "3.1.0"


async def test_before_the_log_is_folded_the_process_is_not_ready() -> None:
    side = Side(1)
    reply = await get(side, "/readyz")
    assert (reply.status, reply.code) == (503, "not_ready")
    assert reply.document["reasons"] == ["partition 0: the log is being folded"]


async def test_a_partition_with_a_damaged_log_says_where_and_serves_what_is_good(side: Side) -> None:
    await side.log.append(0, b"damaged")
    while side.projectors[0].stopped is None:
        await side.timer.tick()
    ready = await get(side, "/readyz")
    assert ready.status == 200
    assert "stops before block 4" in ready.document["degraded"][0]
    assert (await get(side, "/v1/accounts/alice")).document["position"] == "0:3"
    assert (await get(side, "/v1/accounts/nobody")).status == 503, "what the damaged part says is not known"
