"""What every adapter of the log port promises, on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from itertools import pairwise
from pathlib import Path

import pytest

from tests.ports.log_adapters import FileLogs, KafkaLogs, Logs, MemoryLogs, block, taken
from tests.servers import unique_name
from write_side.contract.log.log import START, Log, LogFailed, LogUnsynced, NotThere, Record


@pytest.fixture(params=["memory", "file", "file of small segments", pytest.param("kafka", marks=pytest.mark.kafka)])
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    made: Logs
    match request.param:
        case "memory":
            made = MemoryLogs()
        case "kafka":
            made = KafkaLogs(request.getfixturevalue("kafka_bootstrap"), unique_name("log"))
        case "file":
            made = FileLogs(tmp_path)
        case _:
            made = FileLogs(tmp_path, segment_bytes=1000)
    yield made
    await made.close()


async def everything(log: Log, partition: int = 0, after: int = START) -> list[Record]:
    return [record async for run in log.read(partition, after) for record in run]


def as_bytes(records: list[Record]) -> list[bytes]:
    return [bytes(record.data) for record in records]


async def test_an_empty_log_reads_as_nothing(logs: Logs) -> None:
    log = await logs.open()
    assert log.partitions == 2
    assert await everything(log) == []


async def test_read_yields_what_was_appended_in_order_with_the_offsets_that_append_returned(logs: Logs) -> None:
    log = await logs.open()
    blocks = [block(sequence, rows=sequence % 5) for sequence in range(30)]
    offsets = [await log.append(0, each) for each in blocks]
    records = await everything(log)
    assert as_bytes(records) == blocks
    assert [record.offset for record in records] == offsets
    assert all(before < behind for before, behind in pairwise(offsets))
    assert offsets[0] > START


async def test_the_next_record_is_one_unit_of_the_log_further_and_the_last_one_ends_where_the_log_does(
    logs: Logs,
) -> None:
    log = await logs.open()
    for sequence in range(5):
        await log.append(0, block(sequence, rows=sequence))
    records = await everything(log)
    behind = [each.offset + (1 if log.unit == "records" else len(each.data)) for each in records]
    assert behind == [*(each.offset for each in records[1:]), await log.end(0)]


async def test_partitions_do_not_mix(logs: Logs) -> None:
    log = await logs.open()
    await asyncio.gather(*(log.append(partition, block(0, partition=partition)) for partition in (0, 1)))
    assert as_bytes(await everything(log, 0)) == [block(0, partition=0)]
    assert as_bytes(await everything(log, 1)) == [block(0, partition=1)]


async def test_read_and_tail_go_on_behind_any_offset(logs: Logs) -> None:
    log = await logs.open()
    blocks = [block(sequence) for sequence in range(12)]
    offsets = [await log.append(0, each) for each in blocks]
    for place, offset in enumerate(offsets):
        assert as_bytes(await everything(log, 0, offset)) == blocks[place + 1 :]
    async with aclosing(log.tail(0, offsets[6])) as tail:
        assert as_bytes(await taken(tail, 5)) == blocks[7:]


async def test_read_ends_at_the_end_it_found_while_appends_go_on(logs: Logs) -> None:
    log = await logs.open()
    for sequence in range(3):
        await log.append(0, block(sequence, rows=60_000))  # runs of some MB: so there are several
    seen = []
    async for run in log.read(0):
        seen += as_bytes(list(run))
        await log.append(0, block(99))
    assert seen == [block(sequence, rows=60_000) for sequence in range(3)]


async def test_tail_yields_what_is_there_and_then_what_is_appended(logs: Logs) -> None:
    log = await logs.open()
    await log.append(0, block(0))
    async with aclosing(log.tail(0)) as tail:
        assert as_bytes(await taken(tail, 1)) == [block(0)]
        for sequence in range(1, 9):
            offset = await log.append(0, block(sequence))
            (record,) = await taken(tail, 1)
            assert (record.offset, bytes(record.data)) == (offset, block(sequence))


async def test_a_tail_that_waits_on_an_empty_log_is_woken(logs: Logs) -> None:
    log = await logs.open()
    async with aclosing(log.tail(1)) as tail:
        waiting = asyncio.ensure_future(taken(tail, 1))
        await asyncio.sleep(0)
        await log.append(1, block(0, partition=1))
        assert as_bytes(await waiting) == [block(0, partition=1)]


async def test_two_tails_both_see_everything(logs: Logs) -> None:
    log = await logs.open()
    async with aclosing(log.tail(0)) as one, aclosing(log.tail(0)) as other:
        both = asyncio.gather(taken(one, 20), taken(other, 20))
        for sequence in range(20):
            await log.append(0, block(sequence))
        first, second = await both
    assert as_bytes(first) == as_bytes(second) == [block(sequence) for sequence in range(20)]


async def test_a_block_appended_twice_is_there_twice(logs: Logs) -> None:
    log = await logs.open()
    offsets = [await log.append(0, block(7)) for _ in range(2)]
    records = await everything(log)
    assert as_bytes(records) == [block(7), block(7)]
    assert [record.offset for record in records] == offsets


async def test_fetch_gives_the_one_record_at_an_offset(logs: Logs) -> None:
    log = await logs.open()
    offsets = [await log.append(0, block(sequence, rows=sequence)) for sequence in range(10)]
    for sequence in (9, 0, 4, 5, 4):
        assert bytes(await log.fetch(0, offsets[sequence])) == block(sequence, rows=sequence)


async def test_fetch_refuses_an_offset_that_is_not_there(logs: Logs) -> None:
    log = await logs.open()
    offset = await log.append(0, block(0))
    with pytest.raises(NotThere):
        await log.fetch(0, offset + 1000)
    with pytest.raises(NotThere):
        await log.fetch(1, offset)
    assert bytes(await log.fetch(0, offset)) == block(0)


async def test_a_reader_that_is_ahead_of_the_log_is_refused(logs: Logs) -> None:
    log = await logs.open()
    offset = await log.append(0, block(0))
    with pytest.raises(NotThere):
        await everything(log, 0, offset + 1000)
    with pytest.raises(NotThere):
        await anext(aiter(log.tail(0, offset + 1000)))


async def test_opened_again_it_reads_the_same_and_goes_on(logs: Logs) -> None:
    log = await logs.open()
    for sequence in range(7):
        await log.append(0, block(sequence))
    before = await everything(log)
    await log.close()
    again = await logs.open()
    assert [(r.offset, bytes(r.data)) for r in await everything(again)] == [(r.offset, bytes(r.data)) for r in before]
    offset = await again.append(0, block(7))
    assert offset > before[-1].offset
    assert as_bytes(await everything(again)) == [block(sequence) for sequence in range(8)]


async def test_large_and_small_blocks_come_back_whole(logs: Logs) -> None:
    log = await logs.open()
    blocks = [block(sequence, rows=60_000 if sequence % 3 == 0 else sequence) for sequence in range(10)]
    for each in blocks:
        await log.append(0, each)
    assert as_bytes(await everything(log)) == blocks


async def test_data_that_was_yielded_outlives_the_reading_and_the_log(logs: Logs) -> None:
    log = await logs.open()
    blocks = [block(sequence, rows=20_000) for sequence in range(5)]
    for each in blocks:
        await log.append(0, each)
    records = await everything(log)
    await log.append(0, block(99))
    await log.close()
    assert as_bytes(records) == blocks


async def test_after_a_failed_append_its_partition_refuses_every_append_and_the_others_and_reading_go_on(
    logs: Logs,
) -> None:
    log = await logs.open()
    await log.append(0, block(0))
    await logs.let_next_append_fail(log)
    with pytest.raises(LogFailed):
        await log.append(0, logs.block_that_fails)
    for _ in range(2):
        with pytest.raises(LogFailed):
            await log.append(0, block(1))
    await log.append(1, block(0, partition=1))
    assert as_bytes(await everything(log))[:1] == [block(0)]
    await log.close()
    again = await logs.open()
    assert as_bytes(await everything(again)) in ([block(0)], [block(0), logs.block_that_fails])
    await again.append(0, block(2))


async def test_a_partition_whose_append_failed_is_resumed_unless_its_disk_failed_a_sync(logs: Logs) -> None:
    log = await logs.open()
    await log.append(0, block(0))
    await logs.let_next_append_fail(log)
    with pytest.raises(LogFailed) as failed:
        await log.append(0, logs.block_that_fails)
    if isinstance(failed.value, LogUnsynced):
        with pytest.raises(LogUnsynced):
            await log.resume(0)
        with pytest.raises(LogUnsynced):
            await log.append(0, block(1))
    else:
        await log.resume(0)
        await log.append(0, block(1))
        assert as_bytes(await everything(log)) in ([block(0), block(1)], [block(0), logs.block_that_fails, block(1)])


async def test_close_ends_tails_and_refuses_appends(logs: Logs) -> None:
    log = await logs.open()
    await log.append(0, block(0))
    has_seen = [asyncio.Event() for _ in range(2)]

    async def follow(number: int) -> list[bytes]:
        """Everything that one tail yields until it ends."""
        seen: list[bytes] = []
        async with aclosing(log.tail(0)) as runs:
            async for run in runs:
                seen += as_bytes(list(run))
                has_seen[number].set()
        return seen

    tails = [asyncio.ensure_future(follow(number)) for number in range(2)]
    waiting = asyncio.ensure_future(taken(log.tail(1), 1))
    for event in has_seen:
        await event.wait()
    await log.close()
    assert await asyncio.gather(*tails) == [[block(0)], [block(0)]]
    assert await waiting == []
    with pytest.raises(LogFailed):
        await log.append(0, block(1))
    with pytest.raises(LogFailed):
        await everything(log)
    await log.close()


async def test_closed_while_being_read_never_looks_like_the_end(logs: Logs) -> None:
    log = await logs.open()
    for sequence in range(8):
        await log.append(0, block(sequence, rows=60_000))
    async with aclosing(log.read(0)) as reading:
        await anext(reading)
        await log.close()
        with pytest.raises(LogFailed):
            async for _ in reading:
                pass


async def test_cancelled_readers_leave_nothing_behind(logs: Logs) -> None:
    log = await logs.open()
    for sequence in range(3):
        await log.append(0, block(sequence, rows=60_000))
    before = logs.resources()
    tails = [asyncio.ensure_future(taken(log.tail(0), 99)) for _ in range(5)]
    for _ in range(3):
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(taken(log.tail(0), 3))
    await waiting
    for tail in tails:
        tail.cancel()
    await asyncio.gather(*tails, return_exceptions=True)
    await logs.settled(before)
    await log.append(0, block(3))
    assert len(await everything(log)) == 4


async def test_a_log_that_takes_blocks_has_no_troubles(logs: Logs) -> None:
    log = await logs.open()
    await log.append(0, block(0))
    assert await log.troubles() == {}


async def test_a_failed_append_is_told_as_trouble_of_its_partition_until_it_is_resumed(logs: Logs) -> None:
    log = await logs.open()
    await logs.let_next_append_fail(log)
    with pytest.raises(LogFailed) as failed:
        await log.append(0, logs.block_that_fails)
    assert await log.troubles() == {0: str(failed.value)}
    with suppress(LogUnsynced):
        await log.resume(0)
        assert await log.troubles() == {}
