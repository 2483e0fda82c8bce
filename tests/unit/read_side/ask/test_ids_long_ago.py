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
