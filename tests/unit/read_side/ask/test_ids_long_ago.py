"""An id that memory no longer has is unknown only where every history was asked for it, at that moment."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.block_maker import moved, opened
from tests.unit.read_side.doors.test_http_api import ID_TIME_US, Side
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.times import format_time

OLD = uuid.UUID(int=(ID_TIME_US // 1000) << 80 | 7 << 76 | 2 << 62 | 1)


@pytest.fixture
async def side(tmp_path: Path) -> Side:
    """One account, which OLD has paid so long ago that its id is forgotten."""
    found = Side(1, archive=tmp_path / "archive")
    [writer] = found.writers
    await writer.append(opened("alice"), moved("@world", "alice", 1, OLD))
    writer.now_us += 20 * 24 * 3600 * 1_000_000
    await writer.append(moved("@world", "alice", 1))
    await found.start()
    return found


async def test_a_forgotten_id_is_found_in_the_history(side: Side) -> None:
    reply = await ask(side.app(), "GET", f"/v1/transfers/{OLD}")
    assert (reply.status, "remembered_since" in reply.document) == (404, True), "the history is being read"
    await side.keep()
    assert (await ask(side.app(), "GET", f"/v1/transfers/{OLD}")).document["result"] == "done"
    unknown = await ask(side.app(), "GET", f"/v1/transfers/{uuid.uuid4()}")
    assert (unknown.status, "remembered_since" in unknown.document) == (404, False)
    await side.stop()


async def test_a_history_that_is_whole_only_after_it_was_asked_proves_nothing(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_thread = asyncio.to_thread

    async def and_then_it_is_whole(function: Callable[..., Any], *arguments: Any) -> Any:
        found = await in_thread(function, *arguments)
        monkeypatch.setattr(asyncio, "to_thread", in_thread)
        await side.keep()
        return found

    monkeypatch.setattr(asyncio, "to_thread", and_then_it_is_whole)
    reply = await ask(side.app(), "GET", f"/v1/transfers/{OLD}")
    assert (reply.status, "remembered_since" in reply.document) == (404, True)
    await side.stop()


async def test_an_id_that_one_partition_remembers_and_another_one_has_forgotten_is_ambiguous(tmp_path: Path) -> None:
    """Two requests of one moment may both run; who asks later must not be told of one of them alone."""
    side, key = Side(2, archive=tmp_path / "archive"), uuid.uuid4()
    for partition, writer in enumerate(side.writers):
        name = next(f"a{i}" for i in range(100) if partition_of(f"a{i}", 2) == partition)
        await writer.append(opened(name), moved("@world", name, 5, key))
        if partition == 0:
            writer.now_us += 20 * 24 * 3600 * 1_000_000
            await writer.append(moved("@world", name, 1))
    await side.start()
    await side.keep()
    reply = await ask(side.app(), "GET", f"/v1/transfers/{key}")
    assert (reply.status, reply.code) == (409, "id_ambiguous")
    await side.stop()


async def test_what_is_said_of_an_id_without_a_time_goes_by_how_long_those_are_remembered() -> None:
    """Memory forgets them apart from those with a time, where it has no room and they are found again."""
    side = Side(1)
    await side.writers[0].append(opened("alice"), moved("@world", "alice", 1, uuid.uuid4()))
    await side.start()
    await ask(side.app(), "GET", "/v1/accounts/alice?min_position=0:0")
    state = side.projectors[0].fold.state
    state.ids.timeless_from_us = state.chained.created_at_us
    reply = await ask(side.app(), "GET", f"/v1/transfers/{uuid.uuid4()}")
    assert reply.document["remembered_since"] == format_time(state.chained.created_at_us)
    timed = uuid.UUID(int=(state.chained.refuse_ids_before_us // 1000 + 1) << 80 | 7 << 76 | 2 << 62 | 1)
    assert "remembered_since" not in (await ask(side.app(), "GET", f"/v1/transfers/{timed}")).document
    await side.stop()
