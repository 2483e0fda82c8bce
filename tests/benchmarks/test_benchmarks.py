"""Every benchmark at its smallest size, so that none can rot. No time is asserted."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import (
    batches,
    cross,
    deployed,
    door,
    gets,
    ids,
    kafka,
    lone,
    memory,
    publish,
    push,
    push_ledger,
    rebuild,
    requests,
    start,
    writes,
)

REPORTED = {"name", "rate", "unit", "cpu_s", "rss_mb", "durable", "machine", "versions"}

pytestmark = pytest.mark.benchmark


left_to_the_collector = pytest.mark.filterwarnings("ignore::ResourceWarning")
"""aiokafka leaves a connection open now and then, on a busy machine, whatever closes its clients: what that says is heard in the
test that left it (`collected`), and fails none."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    yield
    gc.collect()


async def test_writes_reports_what_it_wrote_durably(tmp_path: Path) -> None:
    told = json.loads(await writes.run(tmp_path, transfers=2_000, accounts=100, partitions=2, block=100))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "bytes_per_transfer"}
    assert told["durable"]
    assert told["transfers"] == 1_800  # a tenth warms up


async def test_writes_with_open_holds_reports_them(tmp_path: Path) -> None:
    told = json.loads(
        await writes.run(tmp_path, transfers=2_000, accounts=100, partitions=2, block=100, open_holds=20_000)
    )
    assert told["open_holds"] == 20_000
    assert told["transfers"] == 1_800


async def test_a_plain_transfer_takes_at_most_70_bytes_of_log(tmp_path: Path) -> None:
    told = json.loads(await writes.run(tmp_path, transfers=32_768, accounts=10_000, partitions=1, block=8_192))
    assert told["bytes_per_transfer"] <= 70


async def test_rebuild_reports_an_equal_view(tmp_path: Path) -> None:
    told = json.loads(await rebuild.run(tmp_path, transfers=2_000, accounts=100, partitions=2, block=100))
    assert told.keys() >= REPORTED
    assert told["equal"]
    assert told["switched"]
    assert told["entries"] == 4_000


@pytest.mark.kafka
@left_to_the_collector
async def test_rebuild_over_kafka_reports_an_equal_view(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka_bootstrap)
    told = json.loads(
        await rebuild.run(tmp_path, transfers=2_000, accounts=100, partitions=2, block=100, with_kafka=True)
    )
    assert told["log"] == "Kafka"
    assert told["equal"]
    assert told["switched"]
    assert told["entries"] == 4_000


@pytest.mark.kafka
@left_to_the_collector
async def test_kafka_reports_what_it_wrote_and_read_back(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka_bootstrap)
    told = json.loads(await kafka.run(tmp_path, transfers=2_000, accounts=100, partitions=1, block=500))
    assert told.keys() >= REPORTED
    assert told["durable"]


@pytest.mark.kafka
@left_to_the_collector
async def test_publish_reports_what_each_stage_costs(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka_bootstrap)
    told = json.loads(await publish.run(tmp_path, transfers=2_000, accounts=100, partitions=2, block=100))
    assert told.keys() >= REPORTED | {"cpu_us", "rate_cpu", "bytes_per_event"}
    assert told["stages_us"].keys() == {"read and fold", "columns", "JSON", "batches"}
    assert told["events"] == 4_100


async def test_writes_across_partitions_count_when_they_have_ended(tmp_path: Path) -> None:
    told = json.loads(await writes.run(tmp_path, transfers=4_000, accounts=400, partitions=4, block=100, cross=0.3))
    assert told["transfers"] == 3_600
    assert told["cross"] == 0.3


@pytest.mark.kafka
@left_to_the_collector
async def test_cross_reports_both_protocols(
    tmp_path: Path, kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka_bootstrap)
    told = json.loads(await cross.run(tmp_path, transfers=10, accounts=2, partitions=2, block=100))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "tcc_p50_ms", "tcc_p99_ms"}
    assert told["transfers"] == 9


@pytest.mark.kafka
@left_to_the_collector
@pytest.mark.redis
async def test_deployed_reports_a_lone_get_and_a_lone_post(
    tmp_path: Path, kafka_bootstrap: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("REDIS_URL", redis_url)
    told = json.loads(await deployed.run(tmp_path, transfers=10, accounts=2, partitions=1, block=100))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "get_p50_ms", "get_p99_ms"}
    assert told["durable"]
    assert told["transfers"] == 9


async def test_requests_reports_the_longest_waits(tmp_path: Path) -> None:
    told = json.loads(
        await requests.run(tmp_path, transfers=20, accounts=2, partitions=1, block=100, clients=2, in_flight=2)
    )
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "max_ms", "first_answer_max_ms", "service_cpu_ms"}
    assert told["durable"]
    assert told["transfers"] >= 20


async def test_door_reports_its_rate_beside_a_bare_peers(tmp_path: Path) -> None:
    told = json.loads(
        await door.run(tmp_path, transfers=200, accounts=20, partitions=2, block=100, clients=4, in_flight=5, zipf=0.5)
    )
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "floor_rate", "transfers_a_block", "service_cpu_us"}
    assert told["durable"]
    assert told["transfers"] == 200
    assert told["floor_rate"] > 0


@pytest.mark.redis
async def test_push_reports_its_rates_beside_a_bare_protocols(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setattr(push_ledger, "LEDGER_S", 0.5)
    monkeypatch.setattr(push_ledger, "IDLE_S", 0.5)
    small = {"transfers": 400, "accounts": 100, "partitions": 1, "block": 100, "ledger_rate": 1_000}
    told = json.loads(await push.run(tmp_path, **small, idle_partitions=8))
    wanted = {"p50_ms", "p99_ms", "floor_rate", "coalesced_rate", "rss_per_socket_kib", "heartbeat_us"}
    wanted |= {
        "ledger_cores",
        "ledger_us",
        "ledger_bytes",
        "watched_us",
        "watched_bytes",
        "idle_cores",
        "idle_connections",
    }
    assert told.keys() >= REPORTED | wanted
    assert told["pushes"] == 400
    assert told["heartbeats"] > 0


async def test_batches_reports_lines_and_columns(tmp_path: Path) -> None:
    told = json.loads(await batches.run(tmp_path, transfers=20, accounts=2, partitions=1, block=10))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "ndjson_us", "arrow_us", "arrow_rate"}
    assert told["durable"]
    assert told["transfers"] == 20


async def test_ids_reports_the_longest_stop(tmp_path: Path) -> None:
    told = json.loads(await ids.run(tmp_path, transfers=20_000, accounts=1, partitions=1, block=1_000))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "max_ms", "reserve_max_ms", "forget_ms"}
    assert told["ids"] == 20_000
    assert told["ever"].keys() >= {"kept_us", "unknown_us", "known_us", "bytes_per_id"}


async def test_gets_reports_what_a_balance_costs_beside_a_bare_answer(tmp_path: Path) -> None:
    told = json.loads(await gets.run(tmp_path, transfers=8, accounts=2, partitions=1, block=100))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "cpu_us", "bare_rate", "share_of_bare"}
    assert told["cpu_us"].keys() == {"up", "bare"}


async def test_lone_reports_what_each_stage_costs(tmp_path: Path) -> None:
    told = json.loads(await lone.run(tmp_path, transfers=8, accounts=2, partitions=1, block=100))
    assert told.keys() >= REPORTED | {"p50_ms", "p99_ms", "at_once"}
    assert told["durable"]
    assert told["at_once"].keys() == {"1", "4", "16", "64"}
    for measured in told["at_once"].values():
        assert measured["stages_us"].keys() >= {
            "http parsing",
            "body",
            "intake",
            "decide",
            "encode",
            "append",
            "answer",
        }


async def test_start_reports_each_start_and_the_longest_stop(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(await start.run(tmp_path, transfers=2_000, accounts=20, partitions=2, block=1))
    assert told.keys() >= REPORTED | {"without", "with_snapshot", "after_clean_stop", "clean_stop_s", "stop_max_ms"}
    assert told["blocks"] == 2_004
    assert told["next_taken"]["mb"] > 0
    assert capsys.readouterr().out == "", "the line is all that is printed"


@pytest.mark.redis
async def test_memory_reports_what_accounts_and_ids_cost(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    told = json.loads(await memory.run(tmp_path, transfers=2_000, accounts=1_000, partitions=1, block=1_000))
    assert told.keys() >= REPORTED | {"bytes_per_account", "bytes_per_account_projector", "bytes_per_id", "collect_ms"}
    assert told["first_start_rss_mb"] > 0
