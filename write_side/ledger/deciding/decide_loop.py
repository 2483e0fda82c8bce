"""The rules of the money, as one plain loop over integer columns in command order.

No clock, no I/O, no texts: account ids are their BLAKE3-128 keys, assets are small numbers, time is an argument.
The loop is compiled by numba and is its own specification: run uncompiled it gives the same outcomes. The conditions of a
transfer are tested in the order of `codes.PRECEDENCE`. Plain transfers between two accounts of the partition are in
`plain_transfers.py`; what has more to it goes to `rich_commands.py`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_borrowing
from write_side.contract.state.ids import AMOUNT
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.deciding.rich_commands import decide_rich, decide_unasked, has_room
from write_side.ledger.rules.book import AVAILABLE, CODE
from write_side.ledger.rules.chains import end_chain_row, enter_chain, is_chain_refused, note_before
from write_side.ledger.rules.idempotency import ANSWERED_REFUSED, FULL, take_id
from write_side.ledger.rules.openings import open_account, standing
from write_side.ledger.rules.plain_transfers import move, plain_run, prefetch_ahead

REACHED_IDS_MAX: Final = 1
NO_ROOM: Final = 2
"""Why the loop stopped before its end."""

_OPEN: Final = int(Kind.OPEN)
_TRANSFER: Final = int(Kind.TRANSFER)
_EXPIRE: Final = int(Kind.EXPIRE)
_DONE: Final = int(Code.DONE)
_EXISTS: Final = int(Code.EXISTS)
_PENDING: Final = int(Code.PENDING)
_BATCH_REFUSED: Final = int(Code.BATCH_REFUSED)
_NOT_RUN: Final = int(Code.NOT_RUN)


@njit_borrowing
def decide_loop(start, raised, commands, system_keys, rich_rows, book, ids, chain_state):  # type: ignore[no-untyped-def]
    """Decide commands from `start` on; returns the index reached and why it stopped there: at the end 0, else
    REACHED_IDS_MAX (a higher cut-off is wanted) or NO_ROOM (larger output is).

    commands: kind uint8[n], id uint64[n, 2], debit_a, debit_b, credit_a, credit_b uint64[n], amount int64[n], asset int64[n]
    (this process's number), fingerprint uint64[2, n], row_key uint64[n] (openings), chain int64[n],
    rich int64[n] (row in `rich_rows`; -1 for an opening and a plain transfer inside the partition).
    rich_rows: see `rich_columns.py`.  book: see `book.py`.  system_keys: row keys of `@world` and `@transit`, uint64[assets].
    ids: `IdTable.arrays`, ids_max.  chain_state: see `chains.py`.  `raised`: the cut-off was just raised for `start`.
    """
    kind, id_pairs, debit_a, debit_b, credit_a, credit_b, amounts, assets, prints, row_keys, chain, rich = commands
    accounts, lookup, systems, table, digest, times, output, counts = (
        book.accounts,
        book.lookup,
        book.systems,
        book.table,
        book.digest,
        book.times,
        book.output,
        book.counts,
    )
    outcomes = output.outcomes
    named, sides = (id_pairs, prints), (debit_a, debit_b, credit_a, credit_b, amounts, assets)
    found = (lookup.slots, lookup.secret, systems.world)
    i = np.int64(start)
    while i < kind.size:
        if kind[i] == _TRANSFER and rich[i] < 0 and chain[i] == 0:
            raised_here = raised and i == start
            first = i
            i = np.int64(
                plain_run(
                    i, raised_here, kind, chain, rich, named, sides, accounts, found, ids, table, digest, times, output, counts
                )
            )  # fmt: skip
            if i < kind.size and kind[i] == _TRANSFER and rich[i] < 0 and chain[i] == 0:
                return i, REACHED_IDS_MAX
            assert i > first
            continue
        if (rich[i] >= 0 or chain[i] > 0) and not has_room(output, counts, kind.size - i):
            return i, NO_ROOM
        if kind[i] >= _EXPIRE:
            outcomes[i, CODE], outcomes[i, AVAILABLE] = decide_unasked(
                book, ids, i, kind[i], np.int64(id_pairs[i, 0]), np.int64(id_pairs[i, 1]), rich_rows, rich[i]
            )
            i += 1
            continue
        prefetch_ahead(i, named, sides, ids, accounts, found)
        enter_chain(chain_state, chain[i], i, counts)
        chain_refused = is_chain_refused(chain_state)
        if kind[i] == _OPEN:
            outcomes[i, CODE] = standing(
                accounts.rows, lookup, debit_a[i], debit_b[i], amounts[i], assets[i], row_keys[i]
            )
            if outcomes[i, CODE] == _DONE and chain_refused:
                outcomes[i, CODE] = _NOT_RUN
            elif outcomes[i, CODE] == _DONE:
                open_account(
                    accounts, lookup, systems, system_keys, output.opened, counts, i, debit_a[i], debit_b[i], amounts[i],
                    assets[i], row_keys[i], times.created_at_us,
                )  # fmt: skip
            refused = outcomes[i, CODE] != _DONE and outcomes[i, CODE] != _EXISTS
        else:
            stopped = chain_refused and chain[i] < 0
            id_row = take_id(i, named, ids, table, digest, counts, outcomes, times, raised and i == start, stopped)
            if id_row == FULL:
                return i, REACHED_IDS_MAX
            refused = id_row == ANSWERED_REFUSED
            if id_row >= 0 and chain[i] > 0 and not chain_refused:
                note_before(book, commands, rich_rows, i)
            if id_row >= 0:
                if chain_refused:
                    outcomes[i, CODE] = _BATCH_REFUSED
                elif rich[i] >= 0:
                    outcomes[i, CODE], outcomes[i, AVAILABLE], became = decide_rich(
                        book, ids, i, kind[i], np.int64(id_pairs[i, 0]), np.int64(id_pairs[i, 1]), np.int64(debit_a[i]),
                        np.int64(debit_b[i]), amounts[i], chain[i], rich_rows, rich[i],
                    )  # fmt: skip
                    ids[0][0][id_row, AMOUNT] = np.uint64(became)
                else:
                    move(i, id_row, sides, accounts, found, ids, digest, output, counts, times.created_at_us)
                refused = outcomes[i, CODE] != _DONE and outcomes[i, CODE] != _PENDING
        end_chain_row(book, ids, commands, rich_rows, chain_state, i, refused)
        i += 1
    return i, 0
