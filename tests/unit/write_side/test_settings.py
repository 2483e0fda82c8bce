"""What the write side does when nobody tells it otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from read_side.settings import ReadSettings
from tests.unit.write_side.running import SimulatedClock
from write_side.contract.block.limits import PARTITIONS_MAX, ROWS_MAX
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.log.topic_kafka import MIN_IN_SYNC, REPLICATION
from write_side.contract.snapshots.taker import SnapshotLimits
from write_side.owner.clock import ClockStepped, SteppedClockGuard
from write_side.owner.lost_commands import LostCommands
from write_side.settings import IDS_MAX_MOST, WriteSettings
from write_side.wiring import open_log, open_snapshots, snapshot_limits


def test_a_topic_survives_the_loss_of_a_broker_unless_less_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FANFOLD_REPLICATION", "FANFOLD_MIN_IN_SYNC"):
        monkeypatch.delenv(name, raising=False)
    settings = WriteSettings()
    assert (settings.replication, settings.min_in_sync) == (REPLICATION, MIN_IN_SYNC) == (3, 2)


@pytest.mark.parametrize("name", ["block_commands_max", "partitions"])
def test_a_setting_that_no_block_or_header_could_hold_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    most = {"block_commands_max": ROWS_MAX, "partitions": PARTITIONS_MAX}[name]
    for value in (1, most):
        monkeypatch.setenv(f"FANFOLD_{name.upper()}", str(value))
        assert getattr(WriteSettings(), name) == value
    for value in (0, most + 1, 65_536):
        monkeypatch.setenv(f"FANFOLD_{name.upper()}", str(value))
        with pytest.raises(ValueError, match=name):
            WriteSettings()


def test_more_ids_than_any_machine_holds_are_refused_and_not_found_out_at_the_first_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FANFOLD_IDS_MAX", str(IDS_MAX_MOST))
    assert WriteSettings().ids_max == IDS_MAX_MOST
    monkeypatch.setenv("FANFOLD_IDS_MAX", "9" * 20)
    with pytest.raises(ValueError, match="ids_max"):
        WriteSettings()


@pytest.mark.parametrize("text", [",", "0,", "one", " "])
def test_partitions_that_are_no_numbers_are_told_with_the_variable_that_has_them(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANFOLD_OWN_PARTITIONS", text)
    monkeypatch.setenv("FANFOLD_PROJECT_PARTITIONS", text)
    with pytest.raises(ValueError, match="FANFOLD_OWN_PARTITIONS"):
        WriteSettings().owned(2)
    with pytest.raises(ValueError, match="FANFOLD_PROJECT_PARTITIONS"):
        ReadSettings().projected(2)


def test_an_answer_is_waited_for_as_long_as_a_block_takes_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANFOLD_ANSWER_WAIT_MS", "100")
    assert WriteSettings().answer_wait_ms == 100
    monkeypatch.setenv("FANFOLD_ANSWER_WAIT_MS", "99")
    with pytest.raises(ValueError, match="answer_wait_ms"):
        WriteSettings()


def test_a_clock_that_was_put_right_is_not_asked_to_be_set_right() -> None:
    clock = SimulatedClock()
    guard = SteppedClockGuard(clock, 5_000_000)
    clock.set_wall(10_000_000)
    with pytest.raises(ClockStepped, match=r"If it is right now, .* start the process again"):
        guard.now_us()


@pytest.mark.parametrize("place", ["~/x", "~", "~other/x"])
async def test_a_home_that_only_a_shell_would_read_is_no_folder(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("FANFOLD_LOG", f"file:{place}"), ("FANFOLD_DATA", place)):
        with monkeypatch.context() as set_alone:
            set_alone.setenv(name, value)
            with pytest.raises(ValueError, match="write the whole path"):
                await open_log(WriteSettings(), writing=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writing", [True, False])
async def test_another_number_of_partitions_than_the_log_has_is_an_error_for_readers_too(
    writing: bool, tmp_path: Path
) -> None:
    address = f"file:{tmp_path}"
    await (await open_log(WriteSettings(log=address, partitions=2), writing=True)).close()
    with pytest.raises(LogFailed, match="FANFOLD_PARTITIONS=2"):
        await open_log(WriteSettings(log=address, partitions=3), writing=writing)
    for same in (None, 2):
        log = await open_log(WriteSettings(log=address, partitions=same), writing=writing)
        assert log.partitions == 2
        await log.close()


def test_snapshots_lie_beside_a_file_log_and_over_kafka_only_where_somebody_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for log, snapshots, wanted in (
        ("", "", "file:/srv/wallet/snapshots"),
        ("file:/elsewhere", "", "file:/elsewhere/snapshots"),
        ("kafka://broker:9092", "", None),
        ("kafka://broker:9092", "file:/var/snapshots", "file:/var/snapshots"),
        ("", "off", None),
    ):
        settings = WriteSettings(data="/srv/wallet", log=log, snapshots=snapshots)
        assert settings.snapshots_address == wanted
        found = open_snapshots(settings, MemoryLog(MemoryRecords(1)))
        assert (None if found is None else f"file:{found.store.place}") == wanted
    for address, place in (
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/a/b/?region=eu-central-1", "s3://bucket/a/b"),
        ("s3://bucket/a?endpoint_override=store:9000&scheme=http", "s3://bucket/a"),
        ("webhdfs://name-node:9870/a/b/", "webhdfs://name-node:9870/a/b"),
        ("webhdfs://wallet@name-node:9870/a", "webhdfs://name-node:9870/a"),
    ):
        found = open_snapshots(WriteSettings(snapshots=address), MemoryLog(MemoryRecords(1)))
        assert found is not None
        assert found.store.place == place
    given = WriteSettings(snapshot_blocks=100, snapshot_minutes=2, snapshots_kept=3, snapshots_kept_days=0.5)
    assert snapshot_limits(given) == (100, 120.0, 3, 43_200.0)
    assert snapshot_limits(WriteSettings()) == SnapshotLimits()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("file:", "file: and the path of a folder"),
        ("file:~/snapshots", "file: and the path of a folder"),
        ("/srv", "file: and the path of a folder"),
        ("gs://bucket/x", "s3://BUCKET/FOLDER or webhdfs://HOST:PORT/FOLDER"),
        ("s3:bucket/x", "write s3://BUCKET/FOLDER"),
        ("s3:///x", "write s3://BUCKET/FOLDER"),
        ("s3://bucket/x?regoin=eu", r"not known \(regoin\); write s3://"),
        ("s3://bucket/x?region=", "write s3://BUCKET/FOLDER"),
        ("s3://bucket/x?region", "write s3://BUCKET/FOLDER"),
        ("s3://bucket/x?scheme=ftp", "http or https"),
        ("s3://KEY:SECRET@bucket/x", "AWS_SECRET_ACCESS_KEY"),
        ("s3://bucket/x?endpoint_override=KEY:SECRET@store:9000", "AWS_SECRET_ACCESS_KEY"),
        ("webhdfs://name-node/x", "write webhdfs://HOST:PORT/FOLDER"),
        ("webhdfs://name-node:9870/", "write webhdfs://HOST:PORT/FOLDER"),
        ("webhdfs://name-node:port/x", "write webhdfs://HOST:PORT/FOLDER"),
        ("webhdfs://name-node:9870/x?delegation=SECRET", "write webhdfs://HOST:PORT/FOLDER"),
        ("webhdfs://wallet:SECRET@name-node:9870/x", "write webhdfs://HOST:PORT/FOLDER"),
    ],
)
def test_an_address_that_names_no_place_for_snapshots_is_told_with_what_to_write(address: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"FANFOLD_SNAPSHOTS.*{told}") as refused:
        open_snapshots(WriteSettings(snapshots=address), MemoryLog(MemoryRecords(1)))
    assert "SECRET" not in str(refused.value).replace("AWS_SECRET_ACCESS_KEY", "")


def test_every_id_is_kept_beside_a_file_log_and_nowhere_over_kafka_until_it_is_said() -> None:
    assert WriteSettings(data="/data").ids_folder() == Path("/data/ids")
    assert WriteSettings(log="kafka://broker:9092").ids_folder() is None
    assert WriteSettings(log="kafka://broker:9092", ids="file:/disk/ids").ids_folder() == Path("/disk/ids")
    assert WriteSettings(data="/data", ids="off").ids_folder() is None


@pytest.mark.parametrize("wrong", ["nonsense", "file:", "file:~/ids", "s3://bucket/ids"])
def test_a_place_for_ids_that_is_no_folder_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="FANFOLD_IDS must be off"):
        WriteSettings(ids=wrong).ids_folder()


def test_consumed_commands_stay_for_minutes_or_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WriteSettings().commands_kept_us() == 3_600_000_000
    for text, kept_us in (("0", 0), ("1440", 86_400_000_000), ("off", None)):
        monkeypatch.setenv("FANFOLD_COMMANDS_KEPT_MINUTES", text)
        assert WriteSettings().commands_kept_us() == kept_us
    for text in ("-1", "never", "1.5", "525601"):
        monkeypatch.setenv("FANFOLD_COMMANDS_KEPT_MINUTES", text)
        with pytest.raises(ValueError, match="commands_kept_minutes"):
            WriteSettings()


def test_lost_commands_are_accepted_by_partition_and_records_and_in_no_other_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert WriteSettings().accepted_losses() == frozenset()
    monkeypatch.setenv("FANFOLD_ACCEPT_LOST_COMMANDS", "2:1000-1200, 3:17-18")
    named = WriteSettings().accepted_losses()
    assert named == {LostCommands(2, 1000, 1200), LostCommands(3, 17, 18)}
    assert {str(each) for each in named} == {"2:1000-1200", "3:17-18"}
    for text in ("all", "2", "2:1000", "2:*", "2:1000-1200;3:1-2", "-1:0-5"):
        monkeypatch.setenv("FANFOLD_ACCEPT_LOST_COMMANDS", text)
        with pytest.raises(ValueError, match=r"FANFOLD_ACCEPT_LOST_COMMANDS must name .* 2:1000-1200,3:17-18"):
            WriteSettings().accepted_losses()
