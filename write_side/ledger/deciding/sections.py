"""What was decided, as the sections of a block (`columns.py`)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.columns import FLAGS_MASK, NOT_TOLD, PENDING, empty_columns
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, FLOOR
from write_side.contract.state.state import State
from write_side.contract.words.atoms import NO_FLOOR, TRANSIT, WORLD
from write_side.contract.words.codes import REFUSALS, Code, Kind
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION
from write_side.ledger.commands.details import Details
from write_side.ledger.deciding.gathered import Gathered
from write_side.ledger.rules import book as used

Int64s = npt.NDArray[np.int64]
Sections = dict[str, dict[str, Any]]

_IS_REFUSAL: Final = np.array([code in REFUSALS for code in range(256)])


def sections_of(state: State, gathered: Gathered, output: used.Output, counts: Int64s) -> Sections:
    """The sections of a block. output, counts: as the loop left them (`book.py`)."""
    decided, entries, opened, tape = output.outcomes, output.entries, output.opened, output.tape
    code, available = decided[:, used.CODE].astype(np.uint8), decided[:, used.AVAILABLE]
    repeated = np.flatnonzero(code == Code.REPEATED)
    sections: Sections = {
        "accounts": _opened(state, gathered, opened[: counts[used.OPENED]]),
        "outcomes": {
            "id": gathered.ids,
            "kind": gathered.kind,
            "code": code,
            "back": gathered.back,
            "row": gathered.row,
        },
        "entries": _named(entries[: counts[used.ENTRIES]], ("outcome", "account", "posted", "version")),
        "repeats": {"outcome": repeated} | _named(decided[repeated, used.REPEAT_SEQUENCE :], ("sequence", "row")),
    }
    sections |= _told_again(gathered, code, available)
    if counts[used.TAPE]:
        sections |= _taped(tape[: counts[used.TAPE]])
    return sections


def _taped(tape: Int64s) -> Sections:
    """The sections that only rich commands fill."""
    sort = tape[:, 0]
    held, flags = tape[sort == used.HELD_AFTER], tape[sort == used.FLAGS_AFTER]
    steps, links = tape[sort == used.STEP_ROW], tape[sort == used.LINK]
    pending, legs = tape[sort == used.PENDING_ROW], tape[sort == used.PENDING_LEG]
    of_pending = np.repeat(np.arange(len(pending)), pending[:, -1])
    return {
        "held": _named(held[:, 1:], ("entry", "held")),
        "flags": _named(flags[:, 1:], ("entry", "flags")),
        "pending": {"outcome": pending[:, 1], "id": _ids(pending[:, 2:4])} | _named(pending[:, 4:], _PENDING_NAMES[2:]),
        "pending_legs": {"pending": of_pending, "key": _ids(legs[:, 1:3])} | _named(legs[:, 3:], _LEG_NAMES),
        "steps": _named(steps[:, 1:], _STEP_NAMES),
        "links": {"outcome": links[:, 1], "id": _ids(links[:, 2:4])},
    }


_STEP_NAMES: Final = ("outcome", "step", "partition", "action", "code", "sequence", "at_us")
_PENDING_NAMES: Final = tuple(column.name for column in PENDING.columns)
_LEG_NAMES: Final = ("asset", "amount", "step", "partition", "if_version", "if_available")


def _named(rows: Int64s, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: rows[:, at] for at, name in enumerate(names)}


def _ids(words: Int64s) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(words).view(np.uint8).reshape(-1, 16)


def _opened(state: State, gathered: Gathered, opened: Int64s) -> dict[str, Any]:
    batch = gathered.batch
    names, assets, owners = [], [], []
    for outcome in opened.tolist():
        if outcome >= 0:
            command = gathered.client[outcome]
            names.append(batch.debit[command].as_py())
            assets.append(batch.assets[batch.asset[command]])
            owners.append(batch.owner[command].as_py())
        else:
            names.append(WORLD if (-outcome) % 2 else TRANSIT)
            assets.append(state.asset_names[(-outcome - 1) // 2])
            owners.append("")
    numbers = np.arange(state.count - len(opened), state.count)
    state.names += names
    state.assets += assets
    state.owners += owners
    columns = {"number": numbers, "id": names, "asset": assets, "owner": owners}
    rows = state.rows[numbers]
    return columns | {"floor": rows[:, FLOOR], "flags": rows[:, FLAGS_AND_ASSET] & FLAGS_MASK}


def _told_again(gathered: Gathered, code: npt.NDArray[np.uint8], available: Int64s) -> Sections:
    """Commands that their entries do not show: refused ones, those begun across partitions, and all with details."""
    told = _IS_REFUSAL[code] | (code == Code.PENDING)
    details = gathered.batch.details
    if details is None:
        rows = np.flatnonzero(told & (gathered.client >= 0))
        if not rows.size:
            return {}
        return {"legs": _by_outcome(rows, gathered, available, *_plain_legs(gathered, rows))[0]}
    told |= (gathered.client >= 0) & (code != Code.REPEATED) & (code != Code.EXISTS)
    at = np.flatnonzero(gathered.client >= 0)[details.row]  # the outcomes of the commands with details
    has_details = np.zeros(len(code), np.bool_)
    has_details[at] = True
    plain = np.flatnonzero(_IS_REFUSAL[code] | (code == Code.PENDING))
    plain = plain[(gathered.client[plain] >= 0) & ~has_details[plain]]
    kept = np.flatnonzero(told[at])
    parts = (
        _plain_legs(gathered, plain),
        _detailed_legs(gathered.batch, details, kept, at),
        _change_legs(gathered, at[kept]),
    )
    columns = [
        pa.concat_arrays(pieces) if isinstance(pieces[0], pa.Array) else np.concatenate(pieces)
        for pieces in zip(*parts, strict=True)
    ]
    legs, order = _by_outcome(np.concatenate((plain, at[kept])), gathered, available, *columns)
    if_version, if_available = columns[4][order], columns[5][order]
    conditions = np.flatnonzero((if_version != ANY_VERSION) | (if_available != ANY_AVAILABLE))
    rows = details.row[kept]
    return {
        "legs": legs,
        "details": {
            "outcome": at[kept],
            "fingerprint": np.ascontiguousarray(gathered.prints[:, at[kept]].T).view(np.uint8).reshape(-1, 16),
            "deadline_us": details.deadline_us[kept],
            "option": details.option[kept],
            "amount": gathered.batch.amount[rows],
            "reference": details.reference.take(pa.array(kept)),
            "metadata": details.metadata.take(pa.array(kept)),
        },
        "conditions": {
            "leg": conditions,
            "if_version": if_version[conditions],
            "if_available": if_available[conditions],
        },
    }


Legs = tuple[Int64s, pa.Array, Int64s, pa.Array, Int64s, Int64s]
"""outcome, account, amount, asset, if_version, if_available of each leg."""


def _by_outcome(
    _rows: Int64s, gathered: Gathered, available: Int64s, outcome: Int64s, account: pa.Array, amount: Int64s,
    asset: pa.Array, _if_version: Int64s, _if_available: Int64s,
) -> tuple[dict[str, Any], Int64s]:  # fmt: skip
    """The legs section, and the order in which the given legs stand in it. The first leg of an outcome tells its available."""
    order = np.argsort(outcome, kind="stable")
    outcome = outcome[order]
    first = np.ones(len(outcome), np.bool_)
    first[1:] = outcome[1:] != outcome[:-1]
    taken = pa.array(order)
    return {
        "outcome": outcome,
        "account": account.take(taken),
        "amount": amount[order],
        "asset": asset.take(taken),
        "available": np.where(first, available[outcome], NOT_TOLD),
    }, order


def _plain_legs(gathered: Gathered, rows: Int64s) -> Legs:
    """Two legs a transfer, one an opening (its floor as the amount)."""
    batch = gathered.batch
    client = gathered.client[rows]
    transfer = batch.kind[client] == Kind.TRANSFER
    outcome = np.concatenate((rows, rows[transfer]))
    command = np.concatenate((client, client[transfer]))
    gives = np.where(transfer & (batch.amount[client] != NO_FLOOR), -batch.amount[client], batch.amount[client])
    none = np.full(len(outcome), ANY_VERSION, np.int64)
    return (
        outcome,
        pa.concat_arrays([batch.debit.take(pa.array(client)), batch.credit.take(pa.array(client[transfer]))]),
        np.concatenate((gives, batch.amount[client[transfer]])),
        pa.array(batch.assets, pa.utf8()).take(pa.array(batch.asset[command])),
        none,
        np.full(len(outcome), ANY_AVAILABLE, np.int64),
    )


def _detailed_legs(batch: CommandBatch, details: Details, kept: npt.NDArray[np.intp], at: npt.NDArray[np.intp]) -> Legs:
    sizes = np.diff(details.first_leg)[kept]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    leg = np.repeat(details.first_leg[:-1][kept] - (ends - sizes), sizes) + np.arange(total)
    return (
        np.repeat(at[kept], sizes),
        details.account.take(pa.array(leg)),
        details.leg_amount[leg],
        pa.array(batch.assets, pa.utf8()).take(pa.array(details.leg_asset[leg])),
        details.if_version[leg],
        details.if_available[leg],
    )


def _change_legs(gathered: Gathered, rows: npt.NDArray[np.intp]) -> Legs:
    """A change of flags has one leg of no amount: its account."""
    rows = rows[gathered.kind[rows] == Kind.CHANGE]
    n = len(rows)
    return (
        rows,
        gathered.batch.debit.take(pa.array(gathered.client[rows])),
        np.zeros(n, np.int64),
        pa.array([""] * n, pa.utf8()),
        np.full(n, ANY_VERSION, np.int64),
        np.full(n, ANY_AVAILABLE, np.int64),
    )


assert set(empty_columns(PENDING)) == set(_PENDING_NAMES)
