"""Logs that were written in each version of the format are used as any other, both sides wired as in production.

`test_golden_blocks.py` replays the blocks; here they lie in a file log, and all that a log is good for is done with it: verified,
decided again, rebuilt from, asked about, gone on with. They were decided by the rules of their day (`make_blocks.py`), none was
made by hand, so each log can be gone on with. In that of version 1 nothing was ever written to the first of the two partitions.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fanfold.api.ids import new_id
from read_side.contract.view import ViewStore
from read_side.settings import ReadSettings
from read_side.wiring import Besides, Derived, ReadSide, Wishes, open_feed, open_view, verify_log
from tests.end_to_end import processes
from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.write_side.deciding import NOON_US, assert_same_state, id_at
from write_side.contract.block.block import FORMAT_VERSION, FORMAT_VERSION_NAMED
from write_side.contract.log.log import Log, Record
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.settings import WriteSettings
from write_side.wiring import FINGERPRINTS, WriteSide, decide_log_again, open_log, open_queue

PARTITIONS = 2
LIMIT_S = 60.0
GOLDEN = Path(__file__).resolve().parents[1] / "data" / "golden"
ASKED_FIRST = {"version-4": "key:shop"}
"""Who asked for the first payment, where the log names anybody."""
NEW = next(name for name in (f"new-{n}" for n in range(64)) if partition_of(name, PARTITIONS) == 0)
FIRST_PAYMENT = {"from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"}
"""The first transfer of every golden log, with the id `id_at(NOON_US, 1)`."""


def _blocks(generation: str) -> list[list[bytes]]:
    """By partition."""
    if generation == "version-1":
        return [[], [path.read_bytes() for path in sorted(GOLDEN.glob("version-1-block-*.bin"))]]
    names = [f"{generation}-partition-{partition}-block-*.bin" for partition in range(PARTITIONS)]
    return [[path.read_bytes() for path in sorted(GOLDEN.glob(name))] for name in names]


BLOCKS = {name: _blocks(name) for name in ("version-1", "version-2", "version-2-counted", "version-3", "version-4")}
every_generation = pytest.mark.parametrize("generation", BLOCKS)


async def _lay_down(generation: str, folder: Path) -> None:
    log = await FileLog.open(folder, PARTITIONS)
    for partition, blocks in enumerate(BLOCKS[generation]):
        for block in blocks:
            await log.append(partition, block)
    await log.close()


@asynccontextmanager
async def _opened(generation: str, folder: Path) -> AsyncIterator[FileLog]:
    await _lay_down(generation, folder)
    log = await FileLog.open_read_only(folder)
    try:
        yield log
    finally:
        await log.close()


def _folded(generation: str) -> list[State]:
    """What the blocks say, one by one."""
    replays = [Replay(State(partition, PARTITIONS), FINGERPRINTS) for partition in range(PARTITIONS)]
    for replay, blocks in zip(replays, BLOCKS[generation], strict=True):
        for offset, block in enumerate(blocks):
            assert replay.take(Record(offset, block)) is not None
    return [replay.state for replay in replays]


def _rows(state: State) -> dict[str, tuple[int, ...]]:
    columns = (state.posted, state.held, state.floor, state.version, state.changed_at_us, state.flags)
    return {state.row_name(n): tuple(int(column[n]) for column in columns) for n in range(state.count)}


class _Sides:
    """The sides over a log in a folder, in this process. view: where they keep it."""

    def __init__(self, log: Log, reading: ReadSide, view: ViewStore, writing: WriteSide | None) -> None:
        self.log, self.reading, self.view, self._writing = log, reading, view, writing

    async def get(self, target: str) -> Reply:
        return await asyncio.wait_for(ask(self.reading.app, "GET", target), LIMIT_S)

    async def past(self, target: str) -> Reply:
        """Once the history is read from the log: a start does not wait for it."""
        async with asyncio.timeout(LIMIT_S):
            while (reply := await self.get(target)).status == 503:
                pass
        return reply

    async def tell(self, method: str, target: str, document: dict[str, Any], asked_by: str = "") -> Reply:
        assert self._writing is not None
        headers = [(b"fanfold-principal", asked_by.encode())] if asked_by else []
        told = ask(self._writing.app, method, target, json.dumps(document).encode(), headers)
        return await asyncio.wait_for(told, LIMIT_S)

    async def pay(self, document: dict[str, Any], asked_by: str = "") -> Reply:
        return await self.tell("POST", "/v1/transfers", document, asked_by)


@asynccontextmanager
async def _serving(folder: Path, view: str = "memory", *, writes: bool = False) -> AsyncIterator[_Sides]:
    settings = WriteSettings(data=str(folder))
    reads = ReadSettings(view=view)
    async with AsyncExitStack() as stack:
        log = await open_log(settings, writing=writes)
        stack.push_async_callback(log.close)
        store, feed = await open_view(reads), await open_feed(reads)
        stack.push_async_callback(store.close)
        stack.push_async_callback(feed.close)
        archive = reads.archive_folder(settings.log_address)
        sides: list[WriteSide | ReadSide] = []
        reading = ReadSide(reads, log, store, feed, CollectorRegistry(), Besides(archive=archive))
        writing = None
        if writes:
            queue = await open_queue(settings, log)
            stack.push_async_callback(queue.close)
            writing = WriteSide(settings, log, queue, CollectorRegistry(), ids=settings.ids_folder())
            sides.append(writing)
        sides.append(reading)
        for side in sides:
            await side.start()
        running = [asyncio.ensure_future(side.run()) for side in sides]
        try:
            yield _Sides(log, reading, store, writing)
        finally:
            for each in running:
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each


@every_generation
async def test_every_block_of_an_old_log_is_verified(generation: str, tmp_path: Path) -> None:
    async with _opened(generation, tmp_path) as log:
        verdict = await verify_log(log)
    assert verdict.word == "good", verdict.problems
    assert [found.blocks for found in verdict.partitions] == [len(blocks) for blocks in BLOCKS[generation]]
    assert [found.digest for found in verdict.partitions] == [
        state.digest_bytes().hex() for state in _folded(generation)
    ]


DECIDED_AGAIN: Mapping[str, tuple[list[int], dict[str, int]]] = {
    "version-1": ([0, 316], {}),
    "version-2": ([11, 353], {"a refused step of another partition": 3}),
    "version-2-counted": ([11, 353], {"a refused step of another partition": 3}),
    "version-3": ([11, 353], {"a refused step of another partition": 3}),
    "version-4": ([11, 353], {"a refused step of another partition": 3}),
}
"""How many outcomes are decided again, by partition, and how many are not. None is decided otherwise: no rule has changed for
what is in there. A step that partition 0 refused is not decided again: its outcome tells the code and whose step it was, and in
no version of the format what it asked for (`write_side/ledger/again`)."""


@every_generation
async def test_an_old_log_is_decided_again_as_it_was(generation: str, tmp_path: Path) -> None:
    async with _opened(generation, tmp_path) as log:
        found = await decide_log_again(log, range(PARTITIONS))
    assert found.word == "same", [each.problem for each in found.partitions]
    outcomes, untold = DECIDED_AGAIN[generation]
    assert [each.outcomes for each in found.partitions] == outcomes
    assert found.document()["not_decided_again"] == untold


async def test_the_command_says_the_same(tmp_path: Path) -> None:
    """Of the oldest one, for real."""
    await _lay_down("version-1", tmp_path)
    environment = {"FANFOLD_DATA": str(tmp_path)}
    code, out, errors = await processes.command("verify", "--code-change", "--json", environment=environment)
    assert code == 0, errors
    document = json.loads(out)
    assert (document["verdict"], document["blocks"]) == ("good", 6)
    assert (document["code_change"]["verdict"], document["code_change"]["outcomes"]) == ("same", 316)


@pytest.mark.parametrize("view", ["memory", "sqlite"])
@every_generation
async def test_a_view_rebuilt_from_an_old_log_has_the_rows_of_a_fold(
    generation: str, view: str, tmp_path: Path
) -> None:
    await _lay_down(generation, tmp_path)
    async with _serving(tmp_path, f"sqlite:{tmp_path}/view.db" if view == "sqlite" else view) as sides:
        told = await asyncio.wait_for(sides.reading.rebuild(Wishes(), lambda line: None), LIMIT_S)
        assert (told["verdict"], told["different"]) == ("switched", 0)
        for partition, state in enumerate(_folded(generation)):
            expected = _rows(state)
            _, rows = await sides.view.read(partition, list(expected))
            found = {row.account: row for row in rows if row is not None}
            assert {
                name: (row.posted, row.held, row.floor, row.version, row.at_us, row.flags)
                for name, row in found.items()
            } == expected


@every_generation
async def test_history_tells_the_statement_of_an_account_of_an_old_log(generation: str, tmp_path: Path) -> None:
    await _lay_down(generation, tmp_path)
    state = _folded(generation)[1]
    alice = state.number_of("alice")
    assert alice is not None
    async with _serving(tmp_path) as sides:
        page = await sides.past("/v1/accounts/alice/entries?limit=500")
        entries = page.document["entries"]
        versions = [entry["version"] for entry in entries]
        assert sorted(versions) == list(range(1, int(state.version[alice]) + 1))
        newest = max(entries, key=lambda entry: entry["version"])
        assert (newest["posted"], newest["held"]) == (str(state.posted[alice]), str(state.held[alice]))
        first = await sides.past("/v1/accounts/alice?as_of=1")
        assert first.document["posted"] == "1000"


@every_generation
async def test_a_writer_goes_on_with_an_old_log_and_both_versions_in_it_verify(generation: str, tmp_path: Path) -> None:
    await _lay_down(generation, tmp_path)
    async with _serving(tmp_path, writes=True) as sides:
        # What ran then is answered with what came of it then, however old its id is.
        again = await sides.pay(FIRST_PAYMENT | {"id": str(uuid.UUID(bytes=id_at(NOON_US, 1)))})
        assert (again.status, again.document["result"], again.document["repeated"]) == (201, "done", True)
        before = int((await sides.get("/v1/accounts/alice")).document["posted"])
        assert (await sides.tell("PUT", f"/v1/accounts/{NEW}", {"asset": "USD/2"})).status == 201
        inside, across = FIRST_PAYMENT, FIRST_PAYMENT | {"from": "alice", "to": NEW, "amount": "7"}
        for command, moved in (inside, 1_000), (across, 993):
            done = await sides.pay(command | {"id": (id := new_id())}, asked_by="eve")
            assert (done.status, done.document["result"]) == (201, "done"), done.document
            read = await sides.get(f"/v1/accounts/alice?min_position={done.document['position']}")
            assert read.document["posted"] == str(before + moved)
            assert (await sides.get(f"/v1/transfers/{id}")).document["asked_by"] == "eve"
        first = await sides.get(f"/v1/transfers/{uuid.UUID(bytes=id_at(NOON_US, 1))}")
        assert first.document.get("asked_by") == ASKED_FIRST.get(generation), "also of what is forgotten, from the log"
    log = await FileLog.open_read_only(tmp_path)
    verdict = await verify_log(log)
    again_decided = await decide_log_again(log, range(PARTITIONS))
    versions = {bytes(record.data[8:10]) for p in range(PARTITIONS) async for run in log.read(p) for record in run}
    await log.close()
    assert verdict.word == "good", verdict.problems
    assert again_decided.word == "same", [each.problem for each in again_decided.partitions]
    written = {version.to_bytes(2, "little") for version in (FORMAT_VERSION, FORMAT_VERSION_NAMED)}
    assert versions == {BLOCKS[generation][1][0][8:10], *written}


@every_generation
async def test_a_snapshot_of_an_old_log_starts_as_the_whole_log_does(generation: str, tmp_path: Path) -> None:
    async with _opened(generation, tmp_path / "data") as log:
        snapshots = Snapshots(FileStore(tmp_path / "snapshots"), log)
        for partition, state in enumerate(_folded(generation)):
            if not BLOCKS[generation][partition]:
                continue
            taker = SnapshotTaker(snapshots, log, {partition: lambda: 0}, SnapshotLimits(), FINGERPRINTS)
            assert await taker.take(partition)
            newest = await snapshots.newest(partition, FINGERPRINTS)
            assert newest is not None
            assert_same_state(newest.replay.state, state)
        verdict = await verify_log(log, against=Derived(snapshots=snapshots, prints=FINGERPRINTS))
    assert verdict.word == "good", verdict.problems
