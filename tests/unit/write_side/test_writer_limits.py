"""What a writer takes and appends, and how long it may wait: nothing that a door lets in, and no idle week, ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fanfold.api.malformed import Malformed
from tests.simulation import virtual_time
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import RunningPartition, SimulatedClock
from write_side.contract.block.block import HEADER_BYTES, Block, encode
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.block.limits import COMMANDS_BYTES_MAX, DUE_MAX, OUTCOMES_MAX, RECORD_BYTES_MAX, ROWS_MAX
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.atoms import LIMIT
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Hold, Leg, LegsTransfer, Mode, Note, OpenAccount, Transfer
from write_side.ledger.deciding import next_block
from write_side.owner.outcomes import Outcomes
from write_side.owner.writer import WriterLimits

HOUR_US = 3_600_000_000
LEGS = (Leg("a", -1, "USD/2"), Leg("b", 1, "USD/2"))
OPENINGS = [OpenAccount("a", "USD/2", -LIMIT, ""), OpenAccount("b", "USD/2", 0, "")]


class LoopClock(SimulatedClock):
    """Goes with the loop's virtual time."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()

    def wall_us(self) -> int:
        return NOON_US + self.monotonic_us()

    def monotonic_us(self) -> int:
        return int(self._loop.time() * 1_000_000)


@pytest.mark.parametrize("weeks", [1, 8])
def test_weeks_without_a_command_before_a_deadline_end_no_writer(weeks: int) -> None:
    """It looks at the clock each minute meanwhile: 10,000 times in a week, and each look is the same wait again."""

    async def idle() -> None:
        process = RunningPartition(MemoryRecords(1), LoopClock())
        async with process:
            hold = Hold(id_at(NOON_US, 1), LEGS, NOON_US + weeks * 168 * HOUR_US)
            assert [a.status for a in await process.intake.submit([*OPENINGS, hold])] == [201] * 3
            await asyncio.sleep(weeks * 168 * 3600 - 10)
            assert process.failure is None
            moved = await process.intake.submit([Transfer(id_at(process.clock.wall_us(), 2), "a", "b", 1, "USD/2")])
            assert moved[0].status == 201
            await asyncio.sleep(20)
            assert process.accepted[-1].outcomes["kind"].tolist() == [Kind.EXPIRE]
            assert process.failure is None

    virtual_time.run(idle, lambda: 0.001)


async def test_a_block_that_readers_would_refuse_is_not_appended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that says that a command has a place behind what is consumed."""

    def wrongly(*, sections: Mapping[str, Any], **header: Any) -> bytes:
        if "outcomes" in sections:
            sections = {**sections, "outcomes": {**sections["outcomes"], "back": np.zeros(1, np.int64)}}
        return encode(sections=sections, **header)

    monkeypatch.setattr(next_block, "encode", wrongly)
    records = MemoryRecords(1)
    process = RunningPartition(records)
    async with process:
        asking = asyncio.create_task(process.intake.submit(OPENINGS[:1]))
        failure = await process.ended()
        assert isinstance(failure, CheckFailed)
        assert "not appended" in str(failure)
        asking.cancel()
    assert len(records.blocks[0]) == 1, "the epoch block alone"


async def test_a_full_block_has_room_for_what_time_decides() -> None:
    """As many commands as a setting allows, and more holds due than a block takes."""
    limits = WriterLimits(block_commands_max=ROWS_MAX)
    async with RunningPartition(MemoryRecords(1), limits=limits) as process:
        await process.submit(*OPENINGS, Transfer(id_at(NOON_US, 0), "@world", "a", DUE_MAX * 3, "USD/2"))
        holds = [Hold(id_at(NOON_US, n), LEGS, NOON_US + HOUR_US) for n in range(1, DUE_MAX + 1)]
        assert {answer.status for answer in await process.submit(*holds)} == {201}
        process.clock.pass_us(HOUR_US)
        many = CommandBatch.concatenated([CommandBatch.of(OPENINGS)] * (8_192 // 2))
        asked = [process.queue.append(0, many) for _ in range(4)]
        offsets = await asyncio.gather(*asked)
        await process.outcomes.wait(offsets[-1], 20.0)
        blocks: list[Block] = process.accepted
        assert sum(int((block.outcomes["kind"] == Kind.EXPIRE).sum()) for block in blocks) == DUE_MAX
        assert max(len(block.outcomes["kind"]) for block in blocks) <= OUTCOMES_MAX
        assert all(grammar_fault(block) is None for block in blocks)


async def test_records_that_weigh_more_than_a_block_together_are_decided_in_several() -> None:
    note = Note(metadata='{"k":"' + "x" * 15_000 + '"}')
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(*OPENINGS)
        batches = [
            CommandBatch.of([LegsTransfer(id_at(NOON_US, 100 * k + n), LEGS, note=note) for n in range(90)])
            for k in range(30)
        ]
        assert sum(batch.weight() for batch in batches) > 2 * COMMANDS_BYTES_MAX
        offsets = [await process.queue.append(0, batch) for batch in batches]
        await process.outcomes.wait(offsets[-1], 20.0)
        sizes = [HEADER_BYTES + block.header.body_bytes for block in process.accepted]
        assert max(sizes) <= RECORD_BYTES_MAX
        assert len(process.accepted) >= 4
        assert sum(len(block.outcomes["kind"]) for block in process.accepted) == 2 + 30 * 90
        assert process.failure is None


async def test_a_batch_that_no_block_could_take_is_cut_or_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """8,192 captures may each end a hold of 32 legs. Continued and stopped ones are cut; an atomic one has to fit."""
    # A machine with other work may not fold such a block within the half second that a client would wait for it.
    monkeypatch.setattr(Outcomes.caught_up, "__defaults__", (60.0,))
    asked = [Capture(id_at(NOON_US, n), id_at(NOON_US, 10_000 + n), 0) for n in range(8_192)]
    async with RunningPartition(MemoryRecords(1)) as process:
        assert {a.document["code"] for a in await process.submit(*asked)} == {"hold_unknown"}
        assert len(process.accepted) > 4
        wide = tuple(sorted([Leg(f"a{n}", -1, "USD/2") for n in range(31)] + [Leg("b", 31, "USD/2")]))
        lines = [LegsTransfer(id_at(NOON_US, 20_000 + n), wide) for n in range(4_000)]
        before = len(process.accepted)
        with pytest.raises(Malformed) as refused:
            await process.intake.submit(lines, Mode.ATOMIC)
        assert refused.value.code == "batch_too_large"
        assert len(process.accepted) == before
        answers = await process.intake.submit(lines, Mode.STOP)
        assert [a.document["code"] for a in answers] == ["account_unknown"] + ["not_run"] * 3_999
