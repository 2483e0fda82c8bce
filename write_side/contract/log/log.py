"""The log port: blocks in, blocks out, per partition and in order. Adapters: `log_file.py`, `log_kafka.py`.

What every adapter promises, and `tests/ports/test_log.py` proves on each:

- Order: `read` and `tail` yield a partition's records in the order of their offsets. Offsets are opaque, rise strictly,
  and start anywhere; `START` is before all of them.
- Durability: when `append` has returned, the record survives a crash of every process and of the machine (file:
  fdatasync; Kafka: acknowledged by all in-sync replicas). `tail` and `read` never yield a record that could still be lost.
- Atomicity: a record is there whole or not at all.
- Duplicates and competitors: `append` does not look into blocks. A record may be there twice, and records of a writer
  that lost its partition may lie between; the reader's chain rule (`chain.py`) settles which count.
- Trimmed: records may be forgotten from the first on, by `trim` alone. Whoever asks for one of them, or for all from `START` on,
  gets Trimmed; whoever stands at one that is there goes on as ever.
- Damage: what lies before it is read as ever, and then LogDamaged is raised: whoever reads knows how far it was good.
- Failure: after an `append` raised, it is unknown whether the record is there, and that partition refuses every further
  append (fail-stop); the others go on. Its owner must end; the next one calls `resume`, and reads what won.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

START = -1
"""The offset before the first record: `read(p, START)` yields everything."""

Unit = Literal["records", "bytes"]
"""What offsets count: behind a record the next one is one further (`records`), or as many as it has bytes."""


class Record(NamedTuple):
    """One record: its offset in the partition's log, and the bytes of one block (or of nothing decodable)."""

    offset: int
    data: bytes | memoryview


class LogFailed(Exception):
    """The environment failed (disk, broker, settings). The message says what it means for the money and what to do."""


class LogMissing(LogFailed):
    """There is no log where the settings name one: nobody has begun it yet, or the name is wrong."""


class NotThere(LogFailed):
    """The log answers, and has no block at that offset: it lost it, or is another one."""


class Trimmed(LogFailed):
    """What was asked for was forgotten by `trim`, and lies in the log's archive (`contract/archive`).

    begin: the offset of the first record that is there."""

    def __init__(self, place: str, begin: int) -> None:
        super().__init__(
            f"{place} begins at offset {begin}: what was before was trimmed away once it lay in the log's archive. Nothing is "
            "lost, and it is not read without that archive: name it with FANFOLD_LOG_ARCHIVE, as it was when the log was trimmed."
        )
        self.begin = begin


class LogDamaged(LogFailed):
    """What was durable is not whole any more: not the environment of a moment, but the log itself is broken."""


class LogUnsynced(LogFailed):
    """A sync failed: the system has dropped what it could not write and will not say so twice, so nobody may sync again and
    believe it. Only a start, which writes the last block again, may go on from it, once a person has looked at the disk."""


class Log(Protocol):
    """Append and read blocks. One instance serves all partitions of one process, on one event loop."""

    @property
    def partitions(self) -> int:
        """How many partitions the log has: the topic's own count, or what the folder was made with."""
        ...

    @property
    def unit(self) -> Unit:
        """What its offsets count, so that a distance in the log can be told with its unit."""
        ...

    async def append(self, partition: int, block: bytes) -> int:
        """Make one block durable as one record; returns its offset. At most one append per partition is in flight.

        Raises LogFailed; see Failure above.
        """
        ...

    def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        """Records with offset > after, up to the end as it was when iteration began, in non-empty runs (some MB each).

        `after` is START or an offset that was yielded once. Raises NotThere when the log ends before it (it lost what the
        reader has already folded); Trimmed when what comes behind it was forgotten; LogFailed when it is closed before the end
        was reached, or does not answer; LogDamaged where it is damaged. A reader that stops early closes the iterator
        (`contextlib.aclosing`), or descriptors and connections live until it is collected.
        """
        ...

    def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        """As `read`, then goes on for ever with what is appended. Ends when the log is closed or the task is cancelled."""
        ...

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        """The one record at an offset that `read` or `tail` has yielded. Raises NotThere, Trimmed, and LogFailed when it does
        not answer."""
        ...

    async def resume(self, partition: int) -> None:
        """Take appends of a partition again after a failure; nothing happens where there was none.

        For its next owner, before it reads: a record of the failed append may be there, or come later. Raises LogFailed,
        LogDamaged or LogUnsynced when the partition cannot be taken up here.
        """
        ...

    async def end(self, partition: int) -> int:
        """The offset that the next record will have at least, to tell a reader's progress by. Raises LogFailed."""
        ...

    async def begin(self, partition: int) -> int:
        """The offset of the first record that is there, or comes; 0 where nothing was trimmed. Raises LogFailed."""
        ...

    async def trim(self, partition: int, before: int) -> int:
        """Forget records with offset < before, which is the offset of one that is there; returns where the log begins now.

        Durably, and for all readers. Never more than asked, perhaps less: a file log forgets whole segments. Whether they can be
        done without is the caller's to know. Raises LogFailed; some of it may have been forgotten then.
        """
        ...

    async def troubles(self) -> Mapping[int, str]:
        """Why an append would not be taken now, by partition; empty when each would. For `/readyz`, every few seconds.

        Returns within seconds whatever is away, and never raises. Kafka: each broker is asked; file and memory: what failed.
        """
        ...

    async def close(self) -> None:
        """Release files, sockets and locks. Safe to call twice."""
        ...
