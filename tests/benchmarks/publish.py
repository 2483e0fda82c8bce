"""`fanfold bench publish`: the events of a log into a topic of a real broker on the same cores.

First a log is made (not measured, not synced). Then its events are told in this process and go nowhere: processor time an event
of each stage (`stages_us`: reading and folding with every check, columns, JSON, Kafka's batches). Then all of it is
published (`rate`, events a second of the clock; `cpu_us` processor time an event of this process, `rate_cpu` its reciprocal).
"""

from __future__ import annotations

import time
from pathlib import Path

from aiokafka.producer.message_accumulator import BatchBuilder

from fanfold.api.events import SOURCE
from read_side.history.gathering import Gathering
from read_side.history.segment import Chained
from read_side.whole_log.event_runs import ENTRIES_AT_ONCE
from read_side.whole_log.event_table import Posted, event_table
from read_side.whole_log.event_topic_kafka import BATCH_BYTES, KafkaEventTopic, fill
from read_side.whole_log.publish import EVENTS_AT_ONCE, publish, records_of
from tests.benchmarks import report, writes
from tests.servers import shared_kafka, unique_name
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State

STAGED_MAX = 1_000_000
"""Events of which the stages are measured."""


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """The report line."""
    data = folder / "data"
    making = await FileLog.open(data, partitions, sync=lambda descriptor: None)
    await writes.measure(
        "publish", making, transfers=transfers, accounts=accounts, block=block, log_kind="file, not synced"
    )
    log = await FileLog.open_read_only(data)
    stages, size = await _stages(log)
    with shared_kafka() as bootstrap:
        name = unique_name("published")
        topic = await KafkaEventTopic.open(bootstrap, name, partitions, replication=1, min_in_sync=1)
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        found = await publish(log, topic, None, once=True)
        seconds, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
        await topic.close()
    await log.close()
    assert [each.problem for each in found] == [None] * partitions
    events = sum(each.events for each in found)
    return report.line(
        "publish",
        rate=events / seconds,
        unit="events",
        durable=True,
        cpu_us=round(cpu_s / events * 1e6, 3),
        rate_cpu=round(events / cpu_s),
        stages_us=stages,
        bytes_per_event=round(size, 1),
        events=events,
        transfers=transfers,
        accounts=accounts,
        partitions=partitions,
        block=block,
    )


async def _stages(log: Log) -> tuple[dict[str, float], float]:
    """Processor time an event of each stage, microseconds, and bytes of JSON an event: of the first partition."""
    spent = dict.fromkeys(("read and fold", "columns", "JSON", "batches"), 0.0)
    replay = Replay(State(0))
    before = Posted(replay.state)
    count = size = 0
    at = time.process_time()

    def lap(stage: str) -> None:
        nonlocal at
        now = time.process_time()
        spent[stage] += now - at
        at = now

    async for records in log.read(0):
        place = 0
        while place < len(records) and count < STAGED_MAX:
            chained, passed = replay.state.chained, replay.passed
            gathered = Gathering(Chained(chained.sequence, chained.block_hash, replay.last_offset))
            gathered.take_all(replay.take_run(records[place:], ENTRIES_AT_ONCE))
            place += replay.passed - passed
            lap("read and fold")
            events = event_table(gathered, replay.state, before)
            lap("columns")
            for first in range(0, len(events), EVENTS_AT_ONCE):
                part = events.slice(first, EVENTS_AT_ONCE)
                keys, values = records_of(part, SOURCE)
                lap("JSON")
                filled = 0
                while filled < len(values):
                    batch = BatchBuilder(BATCH_BYTES, 0)
                    filled = fill(batch, keys, values, filled)
                    batch._build()
                lap("batches")
                size += sum(map(len, values))
                count += len(values)
                at = time.process_time()
    return {stage: round(seconds / max(1, count) * 1e6, 3) for stage, seconds in spent.items()}, size / max(1, count)
