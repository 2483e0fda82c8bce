"""What became of the rows of an import, counted as answers come, and told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Final

from fanfold.answers import Opened, Refusal
from fanfold.api.answers.commands import Moved
from fanfold.cli.output import laid_out
from fanfold.cli.sheet import Column, Sheet
from fanfold.rows import Row, Skipped

SHOWN_MAX: Final = 20
"""Rows of each sort kept and shown; the rest is counted."""

COLUMNS: Final = (Column("line", right=True), Column("code"), Column("what it means", folds=True))
REUSED: Final = "id_reused_with_other_content"


@dataclass
class Summary:
    """repeated: done by an earlier import, so no money moved this time. refused: moved nothing, now or earlier.

    refused_earlier: of these, so answered by an earlier import, and not tried again. not_asked: of these, so malformed that the
    log knows nothing of it: its id is free. differing: the same transaction was asked
    for by an earlier import, with other cells besides; nothing moved now. alike: moved, like an earlier row of the file.
    """

    rows: int = 0
    accounts_opened: int = 0
    done: int = 0
    repeated: int = 0
    refused: int = 0
    refused_earlier: int = 0
    not_asked: int = 0
    differing: int = 0
    alike: int = 0
    skipped_zero: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    refusals: list[Skipped] = field(default_factory=list)
    notes: list[Skipped] = field(default_factory=list)

    def skip(self, row: Skipped) -> None:
        self.rows += 1
        if row.code == "amount_zero":
            self.skipped_zero += 1
        else:
            self.not_asked += 1
            self._refuse(row)

    def settle(self, row: Row, opened: Opened | Refusal | None, moved: Moved | Refusal, sequence: int) -> None:
        """`sequence`: the block of the account's opening answer in this import; what was done before it is a repeat."""
        self.rows += 1
        self.accounts_opened += isinstance(opened, Opened) and not opened.existed
        if isinstance(moved, Moved):
            if _sequence(moved.position) < sequence:
                self.repeated += 1
            else:
                self.done += 1
                self._tell_alike(row)
        elif moved.code == REUSED and not row.named:
            self.differing += 1
            _keep(
                self.notes, Skipped(row.line, "differs", "was asked for by an earlier import with other cells besides")
            )
        elif _sequence(str(moved.document.get("position", ""))) < sequence:
            self.refused_earlier += 1
            self._refuse(
                Skipped(row.line, moved.code, f"{moved.title}: the answer of an earlier import, not tried again")
            )
        else:
            self.not_asked += "position" not in moved.document
            self._refuse(Skipped(row.line, moved.code, moved.title))

    @property
    def all_in(self) -> bool:
        return not self.refused and not self.differing

    def document(self) -> dict[str, object]:
        kept = {"refusals": self.refusals, "notes": self.notes}
        return asdict(self) | {name: [row._asdict() for row in rows] for name, rows in kept.items()}

    def told(self) -> str:
        lines = [
            f"{self.rows:,} rows: {self.done:,} done, {self.repeated:,} repeated, {self.refused:,} refused, "
            f"{self.skipped_zero:,} of amount 0 skipped; {self.accounts_opened:,} accounts opened; "
            f"{self.seconds:.1f} s, {self.rows_per_second:,.0f} rows/s"
        ]
        if self.refused:
            lines += [
                "",
                f"first refusals ({len(self.refusals):,} of {self.refused:,})",
                laid_out(sheet_of(self.refusals)),
            ]
        if self.refused > self.not_asked:
            lines.append(
                "A refused row keeps its answer, and is not tried again by importing it again. To try it, give it another "
                "`transaction` (or `id`)."
            )
        if self.not_asked:
            lines.append(
                "A malformed or missing cell was not asked for: mend it and import the file again. Leave its `transaction` as it "
                "is: with another one a row that is in already moves again."
            )
        if self.notes:
            lines += [
                "",
                f"{self.differing:,} moved nothing and differ from what was imported; {self.alike:,} moved like an earlier row",
                laid_out(sheet_of(self.notes)),
            ]
        if self.differing:
            lines.append("Where it is another transaction, give it another `transaction`.")
        return "\n".join(lines)

    def _refuse(self, row: Skipped) -> None:
        self.refused += 1
        _keep(self.refusals, row)

    def _tell_alike(self, row: Row) -> None:
        if row.like is None:
            return
        self.alike += 1
        besides = "" if row.same else " and other cells besides"
        _keep(
            self.notes,
            Skipped(
                row.line, "alike", f"has the transaction, account and amount of line {row.like}{besides}: moved too"
            ),
        )


def sheet_of(rows: list[Skipped]) -> Sheet:
    return Sheet(COLUMNS, [(str(row.line), row.code, row.reason) for row in rows])


def sequence_of(opened: Opened | Refusal) -> int:
    """From where on answers of the account's partition are those of this import; one that is refused stands there too.

    0 where it did not come to the log: then nothing of the account did.
    """
    position = opened.position if isinstance(opened, Opened) else str(opened.document.get("position", ""))
    return _sequence(position) if position else 0


def _sequence(position: str) -> int:
    return int(position.partition(":")[2] or 2**63)


def _keep(kept: list[Skipped], row: Skipped) -> None:
    if len(kept) < SHOWN_MAX:
        kept.append(row)
