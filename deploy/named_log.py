"""The log and the view that the environment names, for commands that work beside services."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from fanfold.api.retry import Waits, retry
from read_side.settings import ReadSettings
from read_side.wiring import Derived, SegmentFolder, open_view, sealed_history
from write_side.contract.log.log import Log, LogMissing
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.settings import WriteSettings
from write_side.wiring import FINGERPRINTS, PartitionTime, log_times, open_log, open_snapshots

_LOG_WAITS = Waits(0.5, 10.0)


async def open_log_to_read() -> Log:
    """The log that the environment names, read only, beside whoever writes it. Raises LogFailed, ValueError."""
    return await open_log(WriteSettings(), writing=False)


def snapshots_of(log: Log) -> Snapshots | None:
    """The snapshots that the environment names, of this log, for a command; None for none. Raises ValueError."""
    log_beside_the_result()
    return open_snapshots(WriteSettings(), log)


async def log_times_of_environment(on_partition: Callable[[int, int], None]) -> list[PartitionTime]:
    """How the time of each partition of the log that the environment names stands to this machine's clock. on_partition: told how
    many were read, of how many. Raises LogFailed, ValueError."""
    log_beside_the_result()
    log = await open_log_to_read()
    try:
        return await log_times(WriteSettings(), log, on_partition)
    finally:
        await log.close()


def log_is_in_kafka() -> bool:
    return WriteSettings().log_address.startswith("kafka:")


def log_folder_of_environment() -> Path | None:
    """The folder of a file log, None for one in Kafka."""
    return None if log_is_in_kafka() else Path(WriteSettings().log_address.removeprefix("file:"))


def archive_of(log: Log) -> Mapping[int, SegmentFolder]:
    """The sealed history that the environment names, by partition. Raises ValueError, also where none is kept."""
    folder = ReadSettings().archive_folder(WriteSettings().log_address)
    if folder is None:
        raise ValueError("no history is kept here: FANFOLD_ARCHIVE is off")
    return sealed_history(folder, log.partitions)


async def derived_of(
    log: Log, stack: AsyncExitStack, *, archive: bool, snapshots: bool, view: bool, view_address: str, log_archive: bool
) -> Derived:
    """What was made from the log, as far as it is asked for, to be compared with it; `stack` closes it.

    view_address: of the view, as FANFOLD_VIEW names one; that by default. Raises ValueError, ViewUnavailable.
    """
    kept = snapshots_of(log)
    if snapshots and kept is None:
        raise ValueError("no snapshots are kept here: FANFOLD_SNAPSHOTS is off")
    if view_address and not view:
        raise ValueError("--view says which view is compared: add --against view")
    store = None
    if view:
        settings = view_named(view_address)
        if settings.view == "memory":
            raise ValueError(
                "the view is in the memory of the service over this log, which no other process reaches. Ask that one: "
                "fanfold rebuild --dry-run compares every row there with the log, and changes nothing."
            )
        store = await open_view(settings, reading=True)
        stack.push_async_callback(store.close)
    if log_archive and WriteSettings().log_archive_address is None:
        raise ValueError("no copies of the log are kept here: FANFOLD_LOG_ARCHIVE is off")
    history = archive_of(log) if archive else {}
    return Derived(history, store, kept if snapshots else None, FINGERPRINTS, log_archive)


def view_place(address: str) -> str:
    """Where a view is, for a person; "" for the settings' own."""
    return f"in {_without_password(address or ReadSettings().view)}"


def log_beside_the_result() -> None:
    """Standard output is the command's result."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))


def archive_place() -> str:
    """Where the environment says that history is kept, for a person."""
    return str(ReadSettings().archive_folder(WriteSettings().log_address) or "no folder")


def view_named(address: str) -> ReadSettings:
    """The settings of a view, as FANFOLD_VIEW names one; "" for that one."""
    return ReadSettings(view=address) if address else ReadSettings()


def embedded_folder(view: str = "") -> Path | None:
    """The data folder, when only the process that serves it reaches the view; None when others do, or it is another view than
    that process's. Raises ValueError."""
    settings = view_named(view)
    is_another = settings.view != ReadSettings().view and settings.view != "memory"
    if is_another or not settings.view_is_of_one_process:
        return None
    return log_folder_of_environment()


def view_outlives_process(view: str = "") -> bool:
    """Whether there is a view while nobody serves it."""
    return view_named(view).view != "memory"


def about_view(view: str = "") -> str:
    """Which view is meant, for a person; without what an address may hold of a password."""
    log, view = WriteSettings().log_address, view_named(view).view
    place = "in the memory of the service over it" if view == "memory" else f"in {_without_password(view)}"
    folder = log.removeprefix("file:")
    return f"the view of the log {_without_password(log) if folder == log else Path(folder).resolve()}, {place}"


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


async def log_in_time() -> Log:
    """The log, once somebody has begun it."""
    told = structlog.get_logger(__name__)
    return await retry(
        open_log_to_read,
        LogMissing,
        _LOG_WAITS,
        asyncio.sleep,
        lambda missing: told.warning("no log yet", reason=str(missing)),
    )
