"""What the write side tells of holds and of commands that wait, read when somebody asks."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

from prometheus_client import CollectorRegistry

from write_side.ledger.commands.commands import Hold, Leg, OpenAccount, Transfer, Void
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

USD = "USD/2"


async def test_open_holds_are_counted_and_nothing_is_under_way_once_all_is_answered(tmp_path: Path) -> None:
    settings = WriteSettings(log=f"file:{tmp_path}/data", snapshots="off")
    registry = CollectorRegistry()
    log = await open_log(settings, writing=True)
    side = WriteSide(settings, log, await open_queue(settings, log), registry)
    await side.start()
    first, second = uuid.uuid4().bytes, uuid.uuid4().bytes
    held = (Leg("alice", -10, USD), Leg("shop", 10, USD))
    await side.intake.submit([OpenAccount("alice", USD, 0, ""), OpenAccount("shop", USD, 0, "")])
    await side.intake.submit([Transfer(uuid.uuid4().bytes, "@world", "alice", 100, USD)])
    await side.intake.submit([Hold(first, held), Hold(second, held)])
    assert registry.get_sample_value("fanfold_open_holds", {"partition": "0"}) == 2
    await side.intake.submit([Void(uuid.uuid4().bytes, first)])
    assert registry.get_sample_value("fanfold_open_holds", {"partition": "0"}) == 1
    assert registry.get_sample_value("fanfold_intake_commands_under_way", {"partition": "0"}) == 0
    await side.drain()
    assert side._keeping is not None
    side._keeping.cancel()
    await asyncio.gather(side._keeping, return_exceptions=True)
    await log.close()
