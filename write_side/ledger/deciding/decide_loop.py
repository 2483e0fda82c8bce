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
from write_side.contract.state.account_rows import NewAccount
from write_side.contract.state.ids import AMOUNT
from write_side.contract.words.codes import Codes, Kinds
from write_side.ledger.deciding.rich_commands import decide_rich, decide_unasked, has_room
from write_side.ledger.rules.asked import asked_of, is_plain
from write_side.ledger.rules.book import AVAILABLE, CODE
from write_side.ledger.rules.chains import end_chain_row, enter_chain, is_chain_refused, note_before
from write_side.ledger.rules.idempotency import ANSWERED_REFUSED, FULL, take_id
from write_side.ledger.rules.openings import NO_FLAGS, open_account, standing
from write_side.ledger.rules.plain_transfers import move, plain_run, prefetch_ahead

REACHED_IDS_MAX: Final = 1
NO_ROOM: Final = 2
"""Why the loop stopped before its end."""


@njit_borrowing
def decide_loop(book, ids, commands, system_keys, chain_state, start, raised):  # type: ignore[no-untyped-def]
    """Decide commands from `start` on; returns the index reached and why it stopped there: at the end 0, else
    REACHED_IDS_MAX (a higher cut-off is wanted) or NO_ROOM (larger output is).

    book: see `book.py`.  ids: `Ids`.  commands: see `asked.py`.  system_keys: row keys of `@world` and `@transit`,
    uint64[assets].  chain_state: see `chains.py`.  `raised`: the cut-off was just raised for `start`.
    """
    kind, chain, rich, outcomes = commands.kind, commands.chain, commands.rich, book.output.outcomes
    i = np.int64(start)
    while i < kind.size:
        raised_here = raised and i == start
        if is_plain(commands, i):
            first = i
            i = np.int64(plain_run(book, ids, commands, i, raised_here))
            if i < kind.size and is_plain(commands, i):
                return i, REACHED_IDS_MAX
            assert i > first
            continue
        if (rich[i] >= 0 or chain[i] > 0) and not has_room(book.output, book.counts, kind.size - i):
            return i, NO_ROOM
        if kind[i] >= Kinds.EXPIRE:
            outcomes[i, CODE], outcomes[i, AVAILABLE] = decide_unasked(book, ids, asked_of(commands, i))
            i += 1
            continue
        prefetch_ahead(book, ids, commands, i)
        enter_chain(chain_state, chain[i], i, book.counts)
        chain_refused = is_chain_refused(chain_state)
        if kind[i] == Kinds.OPEN:
            new = NewAccount(
                commands.debit_a[i], commands.debit_b[i], commands.row_key[i], commands.asset[i], commands.amount[i], NO_FLAGS
            )  # fmt: skip
            outcomes[i, CODE] = standing(book.accounts.rows, book.lookup, new)
            if outcomes[i, CODE] == Codes.DONE and chain_refused:
                outcomes[i, CODE] = Codes.NOT_RUN
            elif outcomes[i, CODE] == Codes.DONE:
                open_account(book, system_keys, i, new)
            refused = outcomes[i, CODE] != Codes.DONE and outcomes[i, CODE] != Codes.EXISTS
        else:
            stopped = chain_refused and chain[i] < 0
            id_row = take_id(book, ids, commands, i, raised_here, stopped)
            if id_row == FULL:
                return i, REACHED_IDS_MAX
            refused = id_row == ANSWERED_REFUSED
            if id_row >= 0 and chain[i] > 0 and not chain_refused:
                note_before(book, commands, i)
            if id_row >= 0:
                if chain_refused:
                    outcomes[i, CODE] = Codes.BATCH_REFUSED
                elif rich[i] >= 0:
                    outcomes[i, CODE], outcomes[i, AVAILABLE], became = decide_rich(book, ids, asked_of(commands, i))
                    ids.table.rows[id_row, AMOUNT] = np.uint64(became)
                else:
                    move(book, ids, commands, i, id_row)
                refused = outcomes[i, CODE] != Codes.DONE and outcomes[i, CODE] != Codes.PENDING
        end_chain_row(book, ids, commands, chain_state, i, refused)
        i += 1
    return i, 0
