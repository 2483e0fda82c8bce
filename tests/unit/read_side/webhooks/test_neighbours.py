"""What one lane or one thing that is stored does to the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from read_side.webhooks import deliverer as deliverers
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.hooks import Wants
from read_side.webhooks.kept_hooks import KeptHooks, Stored
from read_side.webhooks.source import UNTOLD, Source
from read_side.webhooks.webhooks import Webhooks
from read_side.whole_log.event_place import NOWHERE
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.webhooks.webhook_stage import Stage, hook
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog


async def test_a_log_that_says_nothing_of_some_partitions_keeps_no_others_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path, partitions=6)
    await stage.open()
    await stage.fold()
    plain, silent = MemoryLog.tail, {0, 1, 2, 3}

    async def tail(self: MemoryLog, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        if partition in silent:
            await asyncio.Event().wait()
        async for run in plain(self, partition, after):
            yield run

    monkeypatch.setattr(MemoryLog, "tail", tail)
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken([*stage.names(4), *stage.names(5)]))


async def test_a_place_that_was_stored_never_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverers, "STORE_LOOKS", 1)
    stage = Stage(tmp_path)
    await stage.open()
    await stage.makers[0].append(opened("apart", -1000), opened("beside", -1000))
    await stage.fold()
    plain, places = KeptHooks.store, [NOWHERE]

    def store(self: KeptHooks, several: Sequence[Stored]) -> list[bool]:
        places.extend(each.lane.place for each in several)
        return plain(self, several)

    monkeypatch.setattr(KeptHooks, "store", store)
    stage.keep(hook(wants=Wants(account="apart")))
    async with stage.delivering():
        for _ in range(40):
            await stage.move(blocks=2)
            await stage.makers[0].append(moved("beside", "apart", 1))
            await stage.fold()
            await stage.until(lambda: stage.all_taken(["apart"]))
    assert places == sorted(places)


async def test_of_recent_events_only_what_is_delivered_is_kept(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.open()
    await stage.move()
    await stage.fold()
    source = Source(stage.log, stage.followed[0], asyncio.Semaphore(1))
    found = await source.recent(-1)
    await source.close()
    assert found is not None
    assert set(UNTOLD).isdisjoint(found.events.column_names)


async def test_nobody_is_told_that_nothing_is_behind_while_nothing_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    await stage.open()
    await stage.fold()
    stage.keep(hook())
    registry = CollectorRegistry()
    webhooks = Webhooks(stage.path, stage.log, stage.followed, lambda: stage.now_us, stage.sleep)
    registry.register(webhooks)
    deliverer = webhooks.deliverer = stage.deliverer()
    behind: Any = lambda: registry.get_sample_value("fanfold_webhook_behind_blocks", {"webhook": "wh_1"})  # noqa: E731
    task = asyncio.create_task(deliverer.run())
    try:
        await stage.until(lambda: stage.all_taken(stage.accounts()) and behind() == 0)

        def fails(self: KeptHooks) -> int:
            raise HooksUnavailable("the disk is away")

        monkeypatch.setattr(KeptHooks, "changes", fails)
        await stage.until(lambda: deliverer.degraded() != [])
        await stage.move()
        await stage.fold()
        assert behind() is None
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_bug_in_what_is_stored_ends_no_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(tmp_path, partitions=4)
    await stage.open()
    await stage.fold()
    plain, failures = KeptHooks.store, 0

    def store(self: KeptHooks, several: Sequence[Stored]) -> list[bool]:
        nonlocal failures
        failures += 1
        if failures < 8:
            raise TypeError("a bug")
        return plain(self, several)

    monkeypatch.setattr(KeptHooks, "store", store)
    stage.keep(hook())
    async with stage.delivering():
        await stage.until(lambda: stage.all_taken(stage.accounts()))
    assert failures >= 8
