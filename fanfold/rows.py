"""Rows of a transaction file as commands: pure, so that the same file always makes the same transfers.

A row's transfer id is made of the row itself (UUIDv5 of all its columns, and of how many equal rows came before), so
importing a file twice, or a longer version of it, moves no money twice. What is equal in every column and in its
place among its equals is the same transfer, whatever the file is called.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from fanfold.commands import Open, Transfer

COLUMNS: Final = ("transaction", "account", "amount")
WORLD: Final = "@world"
AMOUNT_DIGITS_MAX: Final = 19

ROW_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:import-row")
"""Never changes: the same row must make the same id for ever."""


class BadFile(ValueError):
    """The file cannot be imported at all; the message says why."""


class Skipped(NamedTuple):
    """A row that is no transfer. `line` counts from 1, the heading included."""

    line: int
    code: str
    reason: str


class Row(NamedTuple):
    """A row as the commands it stands for: the opening of its account where it is the first of it, and the transfer."""

    line: int
    opening: Open | None
    transfer: Transfer


def rows(lines: Iterable[Sequence[str]], *, asset: str, floor: int | None) -> Iterator[Row | Skipped]:
    """Rows of a CSV file, heading first. Positive amounts come from `@world`, negative ones go there. Raises BadFile."""
    numbered = enumerate(lines, 1)
    _, heading = next(numbered, (0, ()))
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        raise BadFile(f"The file lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} in its first line.")
    account_at, amount_at = heading.index("account"), heading.index("amount")
    opened: set[str] = set()
    equals: Counter[tuple[str, ...]] = Counter()
    for line, cells in numbered:
        if len(cells) != len(heading):
            yield Skipped(line, "row_malformed", f"has {len(cells)} columns, the heading {len(heading)}")
            continue
        amount = _amount(cells[amount_at])
        if not amount:
            yield _skipped(line, amount)
            continue
        account = cells[account_at]
        opening = None if account in opened else Open(account, asset, floor)
        opened.add(account)
        key = tuple(cells)
        equals[key] += 1
        id = row_id(key, equals[key], asset)
        debit, credit = (WORLD, account) if amount > 0 else (account, WORLD)
        yield Row(line, opening, Transfer(debit, credit, abs(amount), asset, id))


def row_id(cells: Sequence[str], occurrence: int, asset: str) -> str:
    """The transfer id of the `occurrence`-th row (1, 2, ...) that has these cells."""
    parts = (asset, str(occurrence), *cells)
    # Lengths before texts: no two lists of cells make the same name.
    return str(uuid.uuid5(ROW_NAMESPACE, "".join(f"{len(part)}:{part}" for part in parts)))


def _amount(text: str) -> int | None:
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= AMOUNT_DIGITS_MAX else None


def _skipped(line: int, amount: int | None) -> Skipped:
    if amount == 0:
        return Skipped(line, "amount_zero", "moves nothing")
    return Skipped(line, "amount_malformed", "has an amount that is not a whole number of minor units")
