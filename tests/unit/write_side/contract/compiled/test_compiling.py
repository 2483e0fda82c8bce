"""What a start says while code is compiled: that, and not that a log is folded."""

from __future__ import annotations

import numba

from tests.unit.read_side.asgi_client import ask
from tests.unit.read_side.doors.test_http_api import Side
from tests.unit.write_side.running import SimulatedClock
from write_side.contract.compiled.compiling import compiling
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.owner.partition import Partition
from write_side.owner.writer import WriterLimits
from write_side.queue.queue_memory import MemoryQueue


def _asked(value: int) -> int:
    raise NotImplementedError


def test_numba_says_when_it_compiles_and_when_it_is_done() -> None:
    said: list[str | None] = []
    before = compiling().functions
    assert compiling().why is None

    @numba.extending.overload(_asked)
    def _asked_while_it_compiles(value):  # type: ignore[no-untyped-def]
        said.append(compiling().why)
        return lambda value: value + 1

    @numba.njit
    def function(value):  # type: ignore[no-untyped-def]
        return _asked(value)

    assert function(2) == 3
    assert compiling().functions > before
    assert compiling().why is None
    assert said
    assert all(why is not None and why.startswith("the code is being compiled, once a version") for why in said)


async def test_a_start_says_on_both_sides_that_it_compiles() -> None:
    app = Side(1).app()
    log = MemoryLog(MemoryRecords(1))
    partition = Partition(0, log, MemoryQueue(), SimulatedClock(), WriterLimits(), owned=True)
    assert partition.reason == "the log is being folded"
    compiling().on_start(None)
    try:
        assert "being compiled" in str(partition.reason)
        [reason] = (await ask(app, "GET", "/readyz")).document["reasons"]
        assert reason.startswith("partition 0: the code is being compiled")
    finally:
        compiling().on_end(None)
    assert partition.reason == "the log is being folded"
