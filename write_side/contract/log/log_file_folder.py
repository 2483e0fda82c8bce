"""The folder of a file log: who owns it, how many partitions it has, and where its segments are.

<data>/lock                                    flock of the writing process, its process id inside
<data>/log/meta.json                           format and partition count, written once; and the format once more, before the
                                               first block that names who asked
<data>/log/p00000/<first offset>.segment       frames, one after the other; the next segment starts where this one ends
<data>/log/p00000/begin.json                   where the partition begins, once segments before that were trimmed away
<data>/log/p00000/begin.spare                  room that a trim of a full disk writes over and renames to begin.json
<data>/log/p00000/<offset>.torn                a torn last frame, kept aside when it was cut off

Whatever else lies there is nobody's: it is left alone, and named where it could be taken for a segment.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.log.log import LogDamaged, LogFailed

FORMAT: Final = 1
FORMAT_NAMED: Final = 2
"""Blocks may be of format version 4. A release that does not know it refuses the folder by this number; by the blocks alone it
would take those at the end for half of an append, and cut them off."""
SUFFIX: Final = ".segment"
_META: Final = "meta.json"
_noting: Final = threading.Lock()
_BEGIN: Final = "begin.json"
_SPARE: Final = "begin.spare"
_SPARE_BYTES: Final = 512
"""More than `begin.json` ever has, and of one sector."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_TRIMS: Final = "trim"
TRIM_WAIT_S: Final = 10.0
"""A trim has the folder for as long as one small file takes to be written."""
_LOOK_S: Final = 0.02
_NAME: Final = re.compile(r"([0-9]{20})\.segment")


def log_folder(data: Path) -> Path:
    return data / "log"


def partition_folder(data: Path, partition: int) -> Path:
    return log_folder(data) / f"p{partition:05d}"


@lru_cache(maxsize=1_024)  # the last one's is asked for with every block that is read back
def segment_path(folder: Path, first_offset: int) -> Path:
    return folder / f"{first_offset:020d}{SUFFIX}"


class Segments(NamedTuple):
    """firsts: the first offset of every segment, rising. strays: what is called a segment and has no offset for a name: copies
    that somebody made (`copy of 0.segment`)."""

    firsts: list[int]
    strays: list[str]


def segments_of(folder: Path) -> Segments:
    """What lies in a partition's folder. Raises OSError, also for a folder that may not be read: it is not an empty one."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(SUFFIX))
    found = {name: _NAME.fullmatch(name) for name in names}
    return Segments(
        [int(each[1]) for each in found.values() if each is not None],
        [name for name, each in found.items() if each is None],
    )


def segment_offsets(folder: Path) -> list[int]:
    """The first offset of every segment, rising. Raises OSError."""
    return segments_of(folder).firsts


def trimmed_to(folder: Path) -> int:
    """The offset at which a partition begins: 0 where nothing was trimmed. Raises OSError, LogDamaged."""
    path = folder / _BEGIN
    try:
        begin = json.loads(path.read_bytes())["begin"]
        if type(begin) is not int or begin < 0:
            raise ValueError
    except FileNotFoundError:
        return 0
    except (ValueError, KeyError, TypeError):
        raise LogDamaged(
            f"{path} does not say where the partition begins, so it is not known whether segments are missing. Nothing was "
            "changed. Restore it from a backup; it holds the offset of the first segment that was not trimmed."
        ) from None
    return begin


def record_trimmed(folder: Path, begin: int) -> None:
    """Say durably that what is before is not missed, before it goes. On a full disk too, where `keep_spare` came before: who
    trims often does so because it is full."""
    text = json.dumps({"begin": begin}).encode() + b"\n"
    try:
        write_durably(folder / _BEGIN, text)
    except OSError as failure:
        if failure.errno not in FULL or not _spare_is_whole(folder):
            raise
        descriptor = os.open(folder / _SPARE, os.O_WRONLY)
        try:
            os.pwrite(descriptor, text.ljust(_SPARE_BYTES), 0)  # over bytes that have their place on the disk
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        (folder / _SPARE).rename(folder / _BEGIN)
        sync_folder(folder)


def keep_spare(folder: Path) -> None:
    """Take the room that a trim needs, while there is some. Where there is none, the next start or trim tries it again."""
    with suppress(OSError):
        if not _spare_is_whole(folder):
            write_durably(folder / _SPARE, b" " * _SPARE_BYTES)


def _spare_is_whole(folder: Path) -> bool:
    try:
        return (folder / _SPARE).stat().st_size == _SPARE_BYTES
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Put a whole file in place: a crash leaves the old one or the new one, never a part."""
    aside = path.with_name(path.name + ".new")
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
    except OSError:
        with suppress(OSError):  # on a full disk half of a file is half of what is missing
            aside.unlink()
        raise
    sync_folder(path.parent)


def lock_folder(data: Path, *, trims: bool = False) -> int:
    """Take the folder for this process; returns the descriptor that holds the lock. Raises LogFailed.

    The kernel drops the lock with the process, however it ends, so a lock file that was left behind locks nobody out. trims: only
    for a trim, which has it for a moment and is waited for.
    """
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take_lock(data, descriptor, trims)
        with suppress(OSError):  # who holds it is only told by this; a full disk may have no room for a number
            holder = f"{os.getpid()}{f' {_TRIMS}' if trims else ''}\n".encode()
            os.ftruncate(descriptor, os.pwrite(descriptor, holder, 0))  # over what was there: that has its room
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _take_lock(data: Path, descriptor: int, trims: bool) -> None:
    until_s = time.monotonic() + TRIM_WAIT_S
    while not _is_locked(descriptor):
        holder, _, does = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip().partition(" ")
        if does != _TRIMS or time.monotonic() >= until_s:
            raise LogFailed(_in_use(data, holder or "unknown", does == _TRIMS, trims))
        time.sleep(_LOOK_S)


def _is_locked(descriptor: int) -> bool:
    """Whether this process has the lock now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _in_use(data: Path, holder: str, is_trimmed: bool, trims: bool) -> str:
    if is_trimmed:
        return f"The folder {data} is being trimmed by process {holder}. Nothing was done here. Wait for it, then try again."
    if trims:
        return (
            f"The folder {data} was taken by process {holder} meanwhile, which writes the log. Nothing was trimmed here. Run the "
            "command again: it is done in that process."
        )
    return (
        f"The folder {data} is in use by process {holder}. Two writers on one log could answer the same money twice, so "
        "this process does not start. Stop the other one, or give this one a folder of its own (FANFOLD_DATA)."
    )


def recorded_partitions(data: Path) -> int | None:
    """The partition count that the log was made with; None when there is no log yet. Raises LogFailed."""
    try:
        return _recorded(log_folder(data) / _META)[0]
    except FileNotFoundError:
        return None


def _recorded(path: Path) -> tuple[int, int]:
    """Partition count and format. Raises OSError, LogFailed."""
    try:
        meta = json.loads(path.read_bytes())
        if meta["format"] not in (FORMAT, FORMAT_NAMED) or not 1 <= meta["partitions"] <= PARTITIONS_MAX:
            raise ValueError
        return int(meta["partitions"]), int(meta["format"])
    except (ValueError, KeyError, TypeError):
        raise LogFailed(
            f"{path} does not say the format and the partition count in the way this version writes it. Nothing was changed. "
            "Restore the file from a backup, or use the version of fanfold that wrote it."
        ) from None


def note_named(log: Path) -> None:
    """Say durably, before the first block that names who asked is written, that such blocks may be there. log: the folder that
    has `meta.json`. Of any thread. Raises OSError, LogFailed."""
    with _noting:
        partitions, form = _recorded(log / _META)
        if form != FORMAT_NAMED:
            _record(log / _META, partitions, FORMAT_NAMED)


def _record(path: Path, partitions: int, form: int) -> None:
    write_durably(path, json.dumps({"format": form, "partitions": partitions}).encode() + b"\n")


def prepare_folder(data: Path, partitions: int | None) -> int:
    """Make the folders and the first segments where they are missing; returns the partition count. Raises LogFailed.

    The count is recorded last: a crash before that leaves empty segments, and the next start finishes the work.
    """
    recorded = recorded_partitions(data)
    if recorded is not None:
        if partitions not in (None, recorded):
            raise LogFailed(
                f"The log in {data} was made with {recorded} partitions and is opened with {partitions}. Accounts are dealt to "
                f"partitions by that count, so another one would lose sight of their money. Set FANFOLD_PARTITIONS={recorded}."
            )
        return recorded
    if partitions is None or not 1 <= partitions <= PARTITIONS_MAX:
        raise LogFailed(
            f"A new log in {data} needs a partition count from 1 to {PARTITIONS_MAX}; {partitions} was given."
        )
    for partition in range(partitions):
        folder = partition_folder(data, partition)
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.stat().st_size for path in folder.glob("*.segment")):
            raise LogFailed(
                f"{folder} holds blocks, but {log_folder(data) / _META} is missing. Nothing was changed. Restore "
                "that file from a backup; it holds the partition count."
            )
        with segment_path(folder, 0).open("ab") as file:
            os.fsync(file.fileno())
        sync_folder(folder)
    sync_folder(data)
    _record(log_folder(data) / _META, partitions, FORMAT)
    return partitions
