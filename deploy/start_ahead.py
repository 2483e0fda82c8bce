"""What `fanfold up` begins before the rest of it is imported: it takes the data folder, and reads the newest snapshots.

Importing keeps one core busy for about a second. Reading takes as long, needs the interpreter for moments only, and needs none
of what serves.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.all_compiled import is_all_compiled
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_file_folder import lock_folder
from write_side.contract.snapshots.read_whole import WholeReader
from write_side.contract.snapshots.snapshots import newest_of_all
from write_side.contract.snapshots.store_file import FileStore
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.settings import WriteSettings

SWITCH_S: Final = 0.0005
"""Between two threads that want the interpreter, while a start has several: at Python's 5 ms, what reads a file in 200 pieces
waits for a second beside an import."""


class StartAhead:
    """reader: which is given to the snapshots of the log. `end` it once the start is over.

    lock: a descriptor that holds `folder`, of the data, until the log has it.
    """

    def __init__(self, reader: WholeReader, folder: Path, lock: int) -> None:
        self.reader = reader
        self._folder = folder
        self._lock: int | None = lock
        self._switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)

    def lock_for_log(self) -> int | None:
        """The lock is whose log opens with it from now on. None the second time, and where another folder has come into the place
        of ours meanwhile (a disk was mounted there, a link set to another one): of that one nothing is locked yet."""
        lock, self._lock = self._lock, None
        if lock is not None and not _is_of(lock, self._folder):
            os.close(lock)
            return None
        return lock

    def end(self) -> None:
        """What nobody has taken goes. Again does nothing."""
        sys.setswitchinterval(self._switch_s)
        self.reader.end_ahead()
        if (lock := self.lock_for_log()) is not None:
            os.close(lock)


def _is_of(lock: int, folder: Path) -> bool:
    """Whether this is the lock that another process would find in the folder."""
    try:
        return os.path.samestat(os.fstat(lock), (folder / "lock").stat())
    except OSError:
        return False


def start_ahead() -> StartAhead | None:
    """Begin, where snapshots lie beside a log in files, and where nothing is still to be compiled: that would be in this process.
    None: nothing was begun, and whatever is wrong is found again, and told, by the start.

    Raises LogFailed for a folder that another process has: who went on could take the port that this one is about to take, and
    both would end.
    """
    try:
        settings = WriteSettings()
        scheme, _, rest = settings.log_address.partition(":")
        if scheme == "file" and settings.snapshots_address and not settings.snapshots and is_all_compiled():
            return _begun(Path(rest), Path(settings.snapshots_address.partition(":")[2]))
    except LogFailed:
        raise
    except Exception:
        return None
    return None


def _begun(folder: Path, snapshots: Path) -> StartAhead:
    """Not before the folder is ours: what is read takes the memory of a partition's state twice. Raises LogFailed, OSError."""
    lock = lock_folder(folder)
    reader = WholeReader(FileStore(snapshots, in_place=True))
    ahead = StartAhead(reader, folder, lock)
    # No threads, no memory: whoever asks for them reads them then, and tells what fails. The lock is kept, whatever it was: by a
    # descriptor that nobody knows of, the start would find its folder in use by itself.
    with suppress(Exception):
        reader.begin_ahead([each.name for each in newest_of_all(reader.store)], (FINGERPRINTS, None))
    return ahead
