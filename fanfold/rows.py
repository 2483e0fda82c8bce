"""Rows of a transaction file as commands: pure, so that the same row always makes the same transfer.

What a row is: its `transaction`, account, amount and asset, and how many rows of the file before it had the same; or its `id`,
where the file has a column of that name. From it the transfer's id is made (UUIDv5). So importing a file twice, a longer version
of it, or one whose columns were added, reordered or written otherwise (`0100`, a blank) moves no money twice. What a row says
besides goes with the transfer as a short digest: the service tells when it differs, instead of taking one row for another.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fanfold.amounts import BadAmount, decimals_of, units_of
from fanfold.api.grammar import WORLD
from fanfold.api.requests import Open, Transfer
from fanfold.csv_lines import BadFile, Record, lines_inside, swallowing

TRANSACTION: Final = "transaction"
ACCOUNT: Final = "account"
AMOUNT: Final = "amount"
ID: Final = "id"
READ: Final = (TRANSACTION, ACCOUNT, AMOUNT, ID)
_NEEDED: Final = 3
"""Cells of a row: the transaction, or its id, the account and the amount."""
SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

BESIDES: Final = "row"
"""The name in a transfer's metadata of the digest of what its row says besides."""

ROW_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:import-row:transaction-account-amount")
ID_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:import-id")
FORMER_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:import-row")
"""These never change: the same row must make the same id for ever."""


class Terms(NamedTuple):
    """What is said of a file besides its rows. minor: whether its amounts are whole minor units; None when nobody said.

    floor: of the accounts that it opens, in minor units. former: ids as former versions made them, of all cells. both: rows
    tell the id that they have the other way, too. units: and the one that they have with amounts in the other unit.
    """

    asset: str
    minor: bool | None = None
    floor: int | None = None
    former: bool = False
    both: bool = False
    units: bool = False


class Skipped(NamedTuple):
    """A row that is no transfer, or was none. `line` counts the file's lines from 1, the heading included."""

    line: int
    code: str
    reason: str


class Row(NamedTuple):
    """A row as the commands it stands for: the opening of its account where it is the first of it, and the transfer.

    other_id: the id that it has the other way (`Terms.both`), None when it cannot have one. unit_id: the id that it has when its
    amount is read in the other unit (`Terms.units`), likewise. named: it has an id of its own.
    like: the line of the first row that is the same transaction; same: in all its other cells too.
    """

    line: int
    opening: Open | None
    transfer: Transfer
    other_id: str | None = None
    unit_id: str | None = None
    named: bool = False
    like: int | None = None
    same: bool = True

    @property
    def account(self) -> str:
        return self.transfer.to if self.transfer.from_ == WORLD else self.transfer.from_


def rows(records: Iterable[Record], separator: str, terms: Terms) -> Iterator[Row | Skipped]:
    """Rows of a file, heading first. Positive amounts come from `@world`, negative ones go there. Raises BadFile, BadAmount."""
    source = iter(records)
    heading = _heading(next(source, Record(1, [])).cells, separator)
    seen = _Seen(ID in heading, terms)
    for line, raw in source:
        inside = list(lines_inside(raw))
        if any(_is_row(inner, separator) for _, inner in inside):
            raise swallowing(line)
        for below, inner in inside:
            if _is_short_row(inner, separator):
                told = f"has 2 columns and stands inside of a quoted cell of line {line}: is a quote not closed?"
                yield Skipped(line + below, "row_malformed", told)
        if len(raw) != len(heading):
            blank = not any(cell.strip() for cell in raw)
            told = "is blank" if blank else f"has {len(raw)} columns, the heading {len(heading)}"
            yield Skipped(line, "row_malformed", told)
            continue
        cells = dict(zip(heading, (cell.strip() for cell in raw), strict=True))
        try:
            amount = _amount(line, cells[AMOUNT], terms)
        except BadAmount as bad:
            yield Skipped(line, "amount_malformed", f"has an amount that {bad}")
            continue
        if not amount:
            yield Skipped(line, "amount_zero", "moves nothing")
        elif seen.named and not terms.former and not cells[ID]:
            yield Skipped(line, "id_missing", f"has nothing in its column `{ID}`")
        elif not seen.named and not terms.former and not cells[TRANSACTION]:
            # It would be every row without one of that account and amount, in whatever file, and moved once for all of them.
            yield Skipped(line, "transaction_missing", f"has nothing in its column `{TRANSACTION}`")
        else:
            yield seen.row(line, raw, cells, amount)


def _is_row(inner: str, separator: str) -> bool:
    """Whether a line inside of a cell would be a row, a short one too: as many cells as a row needs, one of them a number.

    Taken for text by mistake, it would be lost without a word; a note of several lines hardly ever looks so.
    """
    cells = inner.split(separator)
    return len(cells) >= _NEEDED and any(_is_number(cell) for cell in cells)


def _is_short_row(inner: str, separator: str) -> bool:
    """Whether a line inside of a cell looks like what is left of a row: two cells, nothing blank in them, one of them a number.

    No row has so few, and many a note of several lines has such a line: the file is imported, and the line told.
    """
    cells = inner.split(separator)
    whole = len(cells) == _NEEDED - 1 and all(cell and not re.search(r"\s", cell) for cell in cells)
    return whole and any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    return any(c.isdigit() for c in cell) and not any(c.isalpha() for c in cell)


def _amount(line: int, text: str, terms: Terms) -> int:
    """Minor units. Raises BadAmount; BadFile for what could be two amounts, because then all the others could too."""
    digits = text.removeprefix("-")
    whole = digits.isascii() and digits.isdigit() and digits.strip("0") != ""
    if whole and terms.minor is None and decimals_of(terms.asset):
        raise BadFile(
            f"Line {line} has the amount {text}, and {terms.asset} has decimals: say --major when amounts are written as they "
            "are shown, --minor when they are whole minor units. Nothing was imported."
        )
    return units_of(text, terms.asset, minor=bool(terms.minor))


class _Seen:
    """What is known of the rows before: which accounts are open, and how often a transaction was there."""

    def __init__(self, named: bool, terms: Terms) -> None:
        self.named = named
        self._terms = terms
        self._opened: set[str] = set()
        # By digests, 16 bytes a row each: a file may have many millions.
        self._counts: Counter[bytes] = Counter()
        self._former_counts: Counter[bytes] = Counter()
        self._unit_counts: Counter[bytes] = Counter()
        self._first: dict[bytes, tuple[int, str | None]] = {}

    def row(self, line: int, raw: Sequence[str], cells: dict[str, str], amount: int) -> Row:
        """Raises BadFile for an `id` that was there before."""
        account, asset, floor = cells[ACCOUNT], self._terms.asset, self._terms.floor
        opening = None if account in self._opened else Open(account, asset, floor)
        self._opened.add(account)
        # An id is known as the id that it is: two spellings of one UUID would be one transfer, and one row would move nothing.
        key = (
            (given_id(cells[ID]),)
            if self.named
            else (_unpadded(cells.get(TRANSACTION, "")), account, str(amount), asset)
        )
        besides = None if self.named else _besides(cells)
        transaction = _digest(key, 16)
        before, before_besides = self._first.setdefault(transaction, (line, besides))
        if self.named and before != line and not self._terms.former:
            raise BadFile(
                f"Lines {before} and {line} have the same `{ID}`. That column names each row once; give it another heading when "
                "it means something else. Nothing was imported."
            )
        self._counts[transaction] += 1
        now = key[0] if self.named else row_id(key, self._counts[transaction])
        former = self._former_id(raw)
        id, other = (former, now) if self._terms.former and former is not None else (now, former)
        metadata = None if besides is None or self._terms.former else {BESIDES: besides}
        debit, credit = (WORLD, account) if amount > 0 else (account, WORLD)
        transfer = Transfer(debit, credit, abs(amount), asset, id, metadata=metadata)
        like = None if before == line else before
        unit = None if self.named else self._unit_id(key, amount)
        return Row(line, opening, transfer, other, unit, self.named, like, besides == before_besides)

    def _unit_id(self, key: Sequence[str], amount: int) -> str | None:
        """None where nobody wants it, or the amount is no amount in the other unit."""
        terms, unit = self._terms, 10 ** decimals_of(self._terms.asset)
        if not terms.units or terms.former or unit == 1 or (not terms.minor and amount % unit):
            return None
        transaction, account, _, asset = key
        other = (transaction, account, str(amount * unit if terms.minor else amount // unit), asset)
        digest = _digest(other, 16)
        self._unit_counts[digest] += 1
        return row_id(other, self._unit_counts[digest])

    def _former_id(self, raw: Sequence[str]) -> str | None:
        """None where nobody wants it, or no former version could have imported it: they knew whole minor units only."""
        terms = self._terms
        if not (terms.former or terms.both) or (not terms.minor and decimals_of(terms.asset)):
            return None
        cells = _digest(raw, 16)
        self._former_counts[cells] += 1
        return former_row_id(raw, self._former_counts[cells], terms.asset)


def row_id(parts: Sequence[str], occurrence: int) -> str:
    """The transfer id of the `occurrence`-th row (1, 2, ...) that is this transaction."""
    return str(uuid.uuid5(ROW_NAMESPACE, _one_text((str(occurrence), *parts))))


def given_id(cell: str) -> str:
    """The transfer id of a row that has an id of its own: that one, when it is a UUID."""
    try:
        return str(uuid.UUID(cell))
    except ValueError:
        return str(uuid.uuid5(ID_NAMESPACE, cell))


def former_row_id(cells: Sequence[str], occurrence: int, asset: str) -> str:
    """The transfer id that former versions gave to the `occurrence`-th row that has these cells."""
    return str(uuid.uuid5(FORMER_NAMESPACE, _one_text((asset, str(occurrence), *cells))))


def _heading(cells: Sequence[str], separator: str) -> list[str]:
    heading = [cell.strip() for cell in cells]
    missing = _missing(heading)
    if missing:
        for other, name in SEPARATORS.items():
            if other != separator and not _missing([cell.strip(' "') for cell in separator.join(cells).split(other)]):
                typed = "tab" if other == "\t" else other
                raise BadFile(f"Its cells are parted by {name}, not by {_named(separator)}: say --separator '{typed}'.")
        lower = [cell.lower() for cell in heading]
        case = " Names are written in small letters." if not _missing(lower) else ""
        raise BadFile(f"It lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} in its first line.{case}")
    for name in READ:
        if heading.count(name) > 1:
            raise BadFile(f"It has two columns `{name}`: which one is meant? Give one of them another heading.")
    # Others may have one name, or none: they only count together.
    return [
        name if heading.count(name) == 1 else f"{name}:{heading[:at].count(name)}" for at, name in enumerate(heading)
    ]


def _missing(heading: Sequence[str]) -> list[str]:
    wanted = (ACCOUNT, AMOUNT) if ID in heading else (TRANSACTION, ACCOUNT, AMOUNT)
    return [name for name in wanted if name not in heading]


def _named(separator: str) -> str:
    return SEPARATORS.get(separator, f"'{separator}'")


def _besides(cells: dict[str, str]) -> str | None:
    """A digest of what a row says besides its identity, whatever the order of columns; None when that is nothing."""
    more = sorted((name, cell) for name, cell in cells.items() if name not in READ and cell)
    transaction = cells.get(TRANSACTION, "")
    if _unpadded(transaction) != transaction:
        more.append((TRANSACTION, transaction))
    if not more:
        return None
    return _digest([part for pair in more for part in pair], 8).hex()


def _unpadded(transaction: str) -> str:
    """Without zeros in front, as spreadsheets leave them out."""
    return transaction.lstrip("0") or "0" if transaction.isascii() and transaction.isdigit() else transaction


def _digest(parts: Iterable[str], size: int) -> bytes:
    return hashlib.blake2b(_one_text(parts).encode(), digest_size=size).digest()


def _one_text(parts: Iterable[str]) -> str:
    # Lengths before texts: no two lists of cells make the same one.
    return "".join(f"{len(part)}:{part}" for part in parts)
