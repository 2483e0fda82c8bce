"""What simulated processes keep beside the log, and find again after a crash: snapshots in one place, sealed histories on disks.

Snapshots lie in memory, so that they can be damaged and away; histories are real files of a folder that ends with the story.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Final

from read_side.history import folder, history
from tests.simulation.faults import Chaos, Life
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker, _Abandoned
from write_side.contract.state.fold_run import Prints
from write_side.id_runs import runs

TAKEN_S: Final = (1.0, 8.0)
"""Between two snapshots of a process."""
_IN_MEMORY: Final = Path("/dev/shm")
_SEALED_BYTES: Final = 8 << 10
"""So small that a story of some hundred blocks seals and joins."""
_TAIL_BYTES: Final = (48 << 10, 64 << 20)
"""So little, in some stories, that what is noted is forgotten while the log is still being read."""


class SnapshotPlace:
    """`SnapshotStore` of all processes of a story. what: its files are, for the counts of faults."""

    def __init__(self, chaos: Chaos, what: str = "snapshot") -> None:
        self.place = f"where each {what} of the story is"
        self._chaos = chaos
        self._what = what
        self._files: dict[str, bytes] = {}

    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        whole = b"".join(bytes(piece) for piece in pieces)
        if self._chaos.strikes(f"{self._what} not stored", 0.05):
            raise OSError("the disk is full")
        if self._chaos.strikes(f"{self._what} damaged", 0.05):
            at = self._chaos.random.randrange(len(whole))
            whole = whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :]
        self._files[name] = whole
        if self._chaos.strikes(f"{self._what} stored, nobody told", 0.05):
            raise OSError("the store did not answer")
        self._chaos.count(f"{self._what} stored")

    def names(self, prefix: str) -> list[str]:
        if self._chaos.strikes(f"{self._what} away", 0.03):
            raise OSError("the store did not answer")
        return sorted((name for name in self._files if name.startswith(prefix)), reverse=True)

    def names_now(self) -> list[str]:
        """As an auditor sees them."""
        return list(self._files)

    @contextmanager
    def open(self, name: str) -> Iterator[_File]:
        if name not in self._files:
            raise FileNotFoundError(name)
        yield _File(self._files[name])

    def delete(self, name: str) -> None:
        self._files.pop(name, None)

    def give_up(self) -> None: ...


class _File(BytesIO):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)


class SimulatedTaker(SnapshotTaker):
    """The real one at random moments; what must never fail it is a violation."""

    def __init__(
        self,
        life: Life,
        snapshots: Snapshots,
        log: Log,
        positions: Mapping[int, Callable[[], int]],
        prints: Prints | None,
    ) -> None:
        self.life = life
        self.unforeseen: Exception | None = None
        super().__init__(snapshots, log, positions, SnapshotLimits(kept=life.chaos.random.choice((1, 2))), prints)

    async def run(self) -> None:
        random = self.life.chaos.random
        while True:
            await asyncio.sleep(random.uniform(*TAKEN_S))
            partition = random.choice(sorted(self._positions))
            if self._positions[partition]() >= 0:  # of a partition without a block none is ever due
                await self.take(partition)
            if self.unforeseen is not None:
                raise self.unforeseen

    async def _take(self, partition: int) -> int:
        try:
            return await super()._take(partition)
        except (OSError, LogFailed, _Abandoned) as foreseen:
            if isinstance(foreseen, LogDamaged):
                self.unforeseen = foreseen
            raise
        except Exception as failure:
            self.unforeseen = failure
            raise


class Disks:
    """Folders for histories and ids. One process at a time has one; whoever comes after it in its role finds what it left."""

    def __init__(self, chaos: Chaos, top: Path) -> None:
        self._chaos = chaos
        self._top = top
        self._of: dict[tuple[object, ...], list[tuple[Path, Life]]] = {}

    def of(self, life: Life, role: str, partitions: tuple[int, ...]) -> Path:
        """A disk for a process that has this role for these partitions."""
        disks = self._of.setdefault((role, *partitions), [])
        free = [at for at, (_, owner) in enumerate(disks) if not owner.alive]
        if free:
            at = self._chaos.random.choice(free)
            disks[at] = (disks[at][0], life)
            if self._chaos.strikes("disk replaced", 0.1):
                shutil.rmtree(disks[at][0], ignore_errors=True)
            return disks[at][0]
        disks.append((self._top / f"{role}-{'-'.join(map(str, partitions))}.{len(disks)}", life))
        return disks[-1][0]


@contextmanager
def disks_of(chaos: Chaos) -> Iterator[Disks]:
    """While the story lasts; histories and ids are sealed in small files."""
    limits: dict[object, dict[str, int]] = {
        folder: {"SEALED_BYTES": _SEALED_BYTES},
        history: {
            "SEALED_BYTES": _SEALED_BYTES,
            "FRESH_ROWS": 16,
            "TAIL_BYTES_MAX": chaos.random.choice(_TAIL_BYTES),
        },
        runs: {"SEALED_ROWS": 16},
    }
    usual = {module: {name: getattr(module, name) for name in values} for module, values in limits.items()}
    with tempfile.TemporaryDirectory(dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None, prefix="fanfold-story-") as top:
        try:
            _set(limits)
            yield Disks(chaos, Path(top))
        finally:
            _set(usual)


def _set(values: Mapping[object, Mapping[str, int]]) -> None:
    for module, named in values.items():
        for name, value in named.items():
            setattr(module, name, value)
