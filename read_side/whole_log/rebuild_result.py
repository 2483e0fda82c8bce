"""What a rebuild is asked, and tells: while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from read_side.contract.rows import NUMBERS

COLUMNS: Final = ("asset", *NUMBERS)


class Wishes(NamedTuple):
    """How a view is to be made again.

    accept_differences: switch to it all the same. from_snapshot: begin there, where there is one. dry_run: compare, and switch to
    nothing. partitions: only of these; None: of all.
    """

    accept_differences: bool = False
    from_snapshot: bool = False
    dry_run: bool = False
    partitions: tuple[int, ...] | None = None

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Wishes:
        """As `_asdict` told them, in JSON. Raises ValueError."""
        partitions = said.get("partitions")
        if partitions is not None and not all(type(each) is int for each in partitions):
            raise ValueError("partitions are numbers")
        accepts, from_snapshot, dry_run = (bool(said.get(name)) for name in cls._fields[:-1])
        return cls(accepts, from_snapshot, dry_run, None if partitions is None else tuple(partitions))

    def chosen(self, partitions: Sequence[int]) -> list[int]:
        """Those of these partitions. Raises ValueError for one that is none of them."""
        if self.partitions is None:
            return list(partitions)
        if not self.partitions or not set(self.partitions) <= set(partitions):
            raise ValueError(f"partitions must be some of {', '.join(map(str, partitions))}: no other is made here")
        return sorted(set(self.partitions))


class Progress(NamedTuple):
    """Of one partition. stage: folding or comparing; entries of about `entries_total`; rate in entries/s; eta_s None when not
    known."""

    partition: int
    stage: str
    entries: int
    entries_total: int
    rate: float
    eta_s: float | None
    compared: int
    accounts: int


class Difference(NamedTuple):
    """One column of one account. None stands for an account that is not there.

    first_version: of the account, from which on the live row is not what the log says (`first_version.py`).
    """

    account: str
    column: str
    live: str | int | None
    rebuilt: str | int | None
    first_version: int


@dataclass(frozen=True)
class PartitionRebuilt:
    """What became of one partition. `differences` lists the first of `different` accounts' columns.

    begun_after: the block of the snapshot that was begun at, None when every block was read.
    """

    partition: int
    old_generation: int
    new_generation: int
    switched: bool
    sequence: int
    entries: int
    accounts: int
    compared: int
    different: int
    differences: list[Difference]
    begun_after: str | None


@dataclass(frozen=True)
class Rebuilt:
    """All partitions."""

    partitions: list[PartitionRebuilt]
    seconds: float

    @property
    def switched(self) -> bool:
        return all(each.switched for each in self.partitions)

    @property
    def different(self) -> int:
        return sum(each.different for each in self.partitions)

    @property
    def verdict(self) -> str:
        """`equal` where nothing differs and nothing was switched: it was only tried."""
        if not self.partitions:
            return "nothing"
        return "switched" if self.switched else "different" if self.different else "equal"

    def document(self) -> dict[str, Any]:
        """For `--json`. Amounts are digit strings, as everywhere outside."""
        entries = sum(each.entries for each in self.partitions)
        return {
            "verdict": self.verdict,
            "equal": self.different == 0,
            "switched": self.switched,
            "entries": entries,
            "accounts": sum(each.accounts for each in self.partitions),
            "compared": sum(each.compared for each in self.partitions),
            "different": self.different,
            "seconds": round(self.seconds, 3),
            "rate": round(entries / self.seconds) if self.seconds else 0,
            "partitions": [asdict(each) | {"differences": _told(each.differences)} for each in self.partitions],
        }


def _told(differences: list[Difference]) -> list[dict[str, Any]]:
    def text(value: str | int | None) -> str | None:
        return None if value is None else str(value)

    return [each._asdict() | {"live": text(each.live), "rebuilt": text(each.rebuilt)} for each in differences]
