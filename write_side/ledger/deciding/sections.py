"""What was decided, as the sections of a block (`columns.py`)."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.columns import FLAGS_MASK, NOT_TOLD, PENDING, empty_columns
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, FLOOR
from write_side.contract.state.pending_columns import LEG_ASSET, LEG_KEY_A, LEG_KEY_B, LEG_NAMES
from write_side.contract.state.state import State
from write_side.contract.state.texts import Joined
from write_side.contract.words.atoms import NO_FLOOR, TRANSIT, WORLD
from write_side.contract.words.codes import REFUSALS, Code, Kind
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION
from write_side.ledger.commands.details import Details
from write_side.ledger.deciding.gathered import Gathered
from write_side.ledger.rules import book as used
from write_side.ledger.rules import tape_columns as taped

Int64s = npt.NDArray[np.int64]
Sections = dict[str, dict[str, Any]]

_IS_HIDDEN: Final = np.array([code in REFUSALS or code == Code.PENDING for code in range(256)])
"""Codes of commands that their entries do not show."""
_REPEATED: Final = np.uint8(Code.REPEATED)


def sections_of(state: State, gathered: Gathered, output: used.Output, counts: Int64s) -> Sections:
    """The sections of a block, without most of those that have no row. output, counts: as the loop left them (`book.py`)."""
    decided, entries, opened, tape = output.outcomes, output.entries, output.opened, output.tape
    code, available = decided[:, used.CODE].astype(np.uint8), decided[:, used.AVAILABLE]
    sections: Sections = {
        "outcomes": {
            "id": gathered.ids,
            "kind": gathered.commands.kind,
            "code": code,
            "back": gathered.back,
            "row": gathered.row,
        },
        "entries": _named(entries[: counts[used.ENTRIES]], ("outcome", "account", "posted", "version")),
    }
    if counts[used.OPENED]:
        sections["accounts"] = _opened(state, gathered, opened[: counts[used.OPENED]])
    repeated = (code == _REPEATED).nonzero()[0]
    if repeated.size:
        first = _named(decided[repeated, used.REPEAT_SEQUENCE :], ("sequence", "row"))
        sections["repeats"] = {"outcome": repeated} | first
    sections |= _told_again(gathered, code, available)
    if gathered.batch.askers is not None:
        sections["askers"] = _asked(gathered, gathered.batch.askers)
    if counts[used.TAPE]:
        sections |= _taped(tape[: counts[used.TAPE]])
    return sections


def _asked(gathered: Gathered, askers: Askers) -> dict[str, Any]:
    """Who asked, from the first outcome on that somebody is named of."""
    begin = 0 if askers.names[0] else 1
    return {
        "outcome": np.flatnonzero(gathered.client >= 0)[askers.first[begin:]],
        "name": askers.names[begin:],
    }


def _taped(tape: Int64s) -> Sections:
    """The sections that only rich commands fill."""
    sort = tape[:, taped.SORT]
    held, flags = tape[sort == taped.HELD_AFTER], tape[sort == taped.FLAGS_AFTER]
    steps, links = tape[sort == taped.STEP_ROW], tape[sort == taped.LINK]
    pending, legs = tape[sort == taped.PENDING_ROW], tape[sort == taped.PENDING_LEG][:, taped.LEG_WORDS :]
    of_pending = np.repeat(np.arange(len(pending)), pending[:, taped.PENDING_LEGS])
    pending_ids = _ids(pending[:, taped.PENDING_ID_A : taped.PENDING_ID_B + 1])
    leg_keys = _ids(legs[:, LEG_KEY_A : LEG_KEY_B + 1])
    return {
        "held": _named(held[:, taped.OF :], ("entry", "held")),
        "flags": _named(flags[:, taped.OF :], ("entry", "flags")),
        "pending": {"outcome": pending[:, taped.OF], "id": pending_ids}
        | _named(pending[:, taped.PENDING_WHAT :], _PENDING_NAMES[_PENDING_NAMES.index("what") :]),
        "pending_legs": {"pending": of_pending, "key": leg_keys} | _named(legs[:, LEG_ASSET:], LEG_NAMES),
        "steps": _named(steps[:, taped.OF :], _STEP_NAMES),
        "links": {"outcome": links[:, taped.OF], "id": _ids(links[:, taped.VALUE : taped.SECOND_VALUE + 1])},
    }


_STEP_NAMES: Final = ("outcome", "step", "partition", "action", "code", "sequence", "at_us")
_PENDING_NAMES: Final = tuple(column.name for column in PENDING.columns)


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
    state.put_names(state.count - len(opened), Joined.of(names))
    state.owners.extend(owners)
    columns = {"number": numbers, "id": names, "asset": assets, "owner": owners}
    rows = state.rows[numbers]
    return columns | {"floor": rows[:, FLOOR], "flags": rows[:, FLAGS_AND_ASSET] & FLAGS_MASK}


def _told_again(gathered: Gathered, code: npt.NDArray[np.uint8], available: Int64s) -> Sections:
    """Commands that their entries do not show: refused ones, those begun across partitions, and all with details."""
    is_client, details = gathered.client >= 0, gathered.batch.details
    is_hidden = is_client & _IS_HIDDEN[code]
    if details is None:
        hidden = is_hidden.nonzero()[0]
        return {"legs": _legs_section(_by_outcome(_plain_legs(gathered, hidden)), available)} if hidden.size else {}
    detailed = np.flatnonzero(is_client)[details.row]  # the outcomes of the commands with details
    is_hidden[detailed] = False
    kept = np.flatnonzero(code[detailed] != Code.REPEATED)
    outcome = detailed[kept]
    legs = _by_outcome(
        _plain_legs(gathered, np.flatnonzero(is_hidden)),
        _detailed_legs(gathered.batch, details, kept, outcome),
        _change_legs(gathered, outcome),
    )
    conditions = np.flatnonzero((legs.if_version != ANY_VERSION) | (legs.if_available != ANY_AVAILABLE))
    return {
        "legs": _legs_section(legs, available),
        "details": {
            "outcome": outcome,
            "fingerprint": np.ascontiguousarray(gathered.commands.prints[:, outcome].T).view(np.uint8).reshape(-1, 16),
            "deadline_us": details.deadline_us[kept],
            "option": details.option[kept],
            "amount": gathered.batch.amount[details.row[kept]],
            "reference": details.reference.take(pa.array(kept)),
            "metadata": details.metadata.take(pa.array(kept)),
        },
        "conditions": {
            "leg": conditions,
            "if_version": legs.if_version[conditions],
            "if_available": legs.if_available[conditions],
        },
    }


class _Legs(NamedTuple):
    """Columns of the legs that are told."""

    outcome: Int64s
    account: pa.Array
    amount: Int64s
    asset: pa.Array
    if_version: Int64s
    if_available: Int64s


def _by_outcome(*parts: _Legs) -> _Legs:
    """All of these legs, in the order of their outcomes."""
    order = np.argsort(np.concatenate([part.outcome for part in parts]), kind="stable")
    taken = pa.array(order)
    return _Legs(
        *(
            pa.concat_arrays(pieces).take(taken) if isinstance(pieces[0], pa.Array) else np.concatenate(pieces)[order]
            for pieces in zip(*parts, strict=True)
        )
    )


def _legs_section(legs: _Legs, available: Int64s) -> dict[str, Any]:
    """The first leg of an outcome tells its available."""
    first = np.ones(len(legs.outcome), np.bool_)
    first[1:] = legs.outcome[1:] != legs.outcome[:-1]
    told = np.where(first, available[legs.outcome], NOT_TOLD)
    names = ("outcome", "account", "amount", "asset")
    return dict(zip(names, legs[:4], strict=True)) | {"available": told}


def _plain_legs(gathered: Gathered, rows: npt.NDArray[np.intp]) -> _Legs:
    """Two legs a transfer, one an opening (its floor as the amount)."""
    batch, client = gathered.batch, gathered.client[rows]
    is_transfer = batch.kind[client] == Kind.TRANSFER
    pays = client[is_transfer]
    gives = np.where(is_transfer & (batch.amount[client] != NO_FLOOR), -batch.amount[client], batch.amount[client])
    asset = pa.array(batch.assets, pa.utf8())
    count = len(client) + len(pays)
    return _Legs(
        np.concatenate((rows, rows[is_transfer])),
        pa.concat_arrays([batch.debit.take(pa.array(client)), batch.credit.take(pa.array(pays))]),
        np.concatenate((gives, batch.amount[pays])),
        asset.take(pa.array(batch.asset[np.concatenate((client, pays))])),
        np.full(count, ANY_VERSION, np.int64),
        np.full(count, ANY_AVAILABLE, np.int64),
    )


def _detailed_legs(
    batch: CommandBatch, details: Details, kept: npt.NDArray[np.intp], outcome: npt.NDArray[np.intp]
) -> _Legs:
    """The legs of the commands in these rows of the details; outcome: of each of them."""
    sizes = np.diff(details.first_leg)[kept]
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    leg = np.repeat(details.first_leg[:-1][kept] - (ends - sizes), sizes) + np.arange(total)
    return _Legs(
        np.repeat(outcome, sizes),
        details.account.take(pa.array(leg)),
        details.leg_amount[leg],
        pa.array(batch.assets, pa.utf8()).take(pa.array(details.leg_asset[leg])),
        details.if_version[leg],
        details.if_available[leg],
    )


def _change_legs(gathered: Gathered, rows: npt.NDArray[np.intp]) -> _Legs:
    """A change of flags has one leg of no amount: its account."""
    rows = rows[gathered.commands.kind[rows] == Kind.CHANGE]
    n = len(rows)
    return _Legs(
        rows,
        gathered.batch.debit.take(pa.array(gathered.client[rows])),
        np.zeros(n, np.int64),
        pa.array([""] * n, pa.utf8()),
        np.full(n, ANY_VERSION, np.int64),
        np.full(n, ANY_AVAILABLE, np.int64),
    )


assert set(empty_columns(PENDING)) == set(_PENDING_NAMES)
