"""The events of blocks side by side: every account that was opened and every entry, in the order of the log, as one Arrow table.

What is published and what is exported are both made of it. Nothing is done for an event by itself.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from read_side.history.gathering import Gathering
from write_side.contract.state.state import State
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Code, Flag, Kind, flag_words

Int64s = npt.NDArray[np.int64]

OPENED: Final = Kind.OPEN.name.lower()
"""The `kind` of an opening."""

EVENTS: Final = pa.schema(
    [
        # Where it stands: block, outcome in the block, entry of the outcome. The four together are the event's id.
        ("partition", pa.int32()),
        ("sequence", pa.int64()),
        ("row", pa.int32()),
        ("leg", pa.int32()),
        ("time", pa.timestamp("us", "UTC")),
        ("account", pa.string()),  # a system account's with its asset, `@world:USD/2`
        ("asset", pa.string()),
        ("kind", pa.string()),  # `open` for an account that was opened, with zeros for what was moved
        ("version", pa.int64()),
        ("amount", pa.int64()),  # what posted changed by; minor units, as the next two
        ("posted", pa.int64()),  # after
        ("held", pa.int64()),  # after
        ("transfer", pa.string()),  # null for openings
        ("reference", pa.string()),
        ("metadata", pa.string()),  # JSON
        ("flags", pa.list_(pa.string())),  # after, where they changed; else null
        ("owner", pa.string()),  # of openings
        ("floor", pa.int64()),  # of openings, null for none
    ]
)

_KINDS: Final = pa.array(["", *(kind.name.lower() for kind in sorted(Kind))], pa.string())
_FLAGS: Final = pa.array([flag_words(flags) for flags in range(1 << len(Flag))], pa.list_(pa.string()))
_HYPHENS: Final = (8, 13, 18, 23)
_DIGITS: Final = np.array([place for place in range(36) if place not in _HYPHENS])
_HEX: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_NO_OUTCOME: Final = np.empty(0, np.int64)


class Posted:
    """What was posted to each account before the blocks that are told next, by its number: entries say only what is after."""

    def __init__(self, state: State) -> None:
        """As it is in this state."""
        self._posted = state.posted[: state.count].copy()

    def amounts(self, account: Int64s, posted: Int64s) -> Int64s:
        """What each of these entries moved; the next ones are behind them. account: numbers, in the order of the log."""
        if not len(account):
            return posted
        self._grow(int(account.max()) + 1)
        order = np.argsort(account, kind="stable")
        by_account, after = account[order], posted[order]
        is_first = np.ones(len(order), bool)
        is_first[1:] = by_account[1:] != by_account[:-1]
        before = np.empty(len(order), np.int64)
        before[1:] = after[:-1]
        before[is_first] = self._posted[by_account[is_first]]
        is_last = np.append(is_first[1:], True)
        self._posted[by_account[is_last]] = after[is_last]
        amounts = np.empty(len(order), np.int64)
        amounts[order] = after - before
        return amounts

    def _grow(self, count: int) -> None:
        if count > len(self._posted):
            grown = np.zeros(max(count, 2 * len(self._posted)), np.int64)
            grown[: len(self._posted)] = self._posted
            self._posted = grown


def event_table(gathered: Gathering, state: State, before: Posted | None) -> pa.Table:
    """The events of blocks that were gathered, in columns of `EVENTS`. state: these blocks or more are folded in it. before: None
    where nobody asks what each entry moved; `amount` is zero then."""
    account, version, posted, outcome = (gathered.entries[column] for column in range(4))
    held, flags = np.zeros(len(account), np.int64), np.full(len(account), -1, np.int64)
    held[gathered.held[0]] = gathered.held[1]
    flags[gathered.flags[0]] = gathered.flags[1]
    amount = np.zeros(len(account), np.int64) if before is None else before.amounts(account, posted)
    leg = _places(outcome)
    opened, opening = _openings(gathered, state)
    if len(opened):
        order = np.argsort(np.concatenate((outcome, opening)), kind="stable")
        zeros = np.zeros(len(opened), np.int64)
        account, outcome = np.concatenate((account, opened))[order], np.concatenate((outcome, opening))[order]
        version, amount, posted, held, leg = (
            np.concatenate((column, zeros))[order] for column in (version, amount, posted, held, leg)
        )
        flags = np.concatenate((flags, zeros - 1))[order]
    block = np.searchsorted(gathered.blocks[2], outcome, "right") - 1
    names, which = np.unique(account, return_inverse=True)
    reference, metadata = _notes(gathered, outcome)
    kind = gathered.words[0][outcome]
    is_opening = kind == Kind.OPEN
    owner, floor = _terms(state, account, is_opening)
    of_block = (
        np.full(len(account), state.partition, np.int32),
        gathered.before.sequence + 1 + block,
        (outcome - gathered.blocks[2][block]).astype(np.int32),
        leg.astype(np.int32),
        pa.array(gathered.times[0][block].view("datetime64[us]"), EVENTS.field("time").type),
    )
    columns = (
        *of_block,
        pa.array(state.row_names(names), pa.string()).take(pa.array(which)),
        pa.array(state.asset_names, pa.string()).take(pa.array(state.asset_of[account])),
        _KINDS.take(pa.array(kind)),
        version,
        amount,
        posted,
        held,
        _ids(gathered, outcome, is_opening),
        reference,
        metadata,
        _FLAGS.take(pa.array(flags, mask=flags < 0)),
        owner,
        floor,
    )
    return pa.Table.from_arrays([_array(column) for column in columns], schema=EVENTS)


def _array(column: Any) -> Any:
    return pa.array(column) if isinstance(column, np.ndarray) else column


def _places(outcome: Int64s) -> Int64s:
    """The place of each entry among those of its outcome. outcome: never falling."""
    starts = np.flatnonzero(np.diff(outcome, prepend=-1))
    return np.arange(len(outcome)) - np.repeat(starts, np.diff(np.append(starts, len(outcome))))


def _openings(gathered: Gathering, state: State) -> tuple[Int64s, Int64s]:
    """The accounts that somebody opened, and the outcome of each. System accounts come with the first account of their asset."""
    opened = gathered.opened[0]
    if not len(opened):
        return _NO_OUTCOME, _NO_OUTCOME
    is_system = np.array([name.startswith("@") for name in state.names.take(opened)])
    opened = opened[~is_system]
    kind, code = gathered.words[0], gathered.words[1]
    outcome = np.flatnonzero((kind == Kind.OPEN) & (code == Code.DONE))
    keys = gathered.outcomes[0][outcome], gathered.outcomes[1][outcome]
    assert np.array_equal(keys[0], state.key_a[opened]), "accounts get their numbers in the order of their openings"
    assert np.array_equal(keys[1], state.key_b[opened]), "accounts get their numbers in the order of their openings"
    return opened, outcome


def _terms(state: State, account: Int64s, is_opening: npt.NDArray[np.bool_]) -> tuple[Any, Any]:
    """Owner and floor of the accounts that were opened, null elsewhere."""
    if not is_opening.any():
        return pa.nulls(len(account), pa.string()), pa.nulls(len(account), pa.int64())
    numbers = account[is_opening]
    place = pa.array(np.cumsum(is_opening) - 1, mask=~is_opening)
    owners = pa.array([state.owners[number] or None for number in numbers.tolist()], pa.string())
    floors = state.floor[numbers]
    return owners.take(place), pa.array(floors, mask=floors == NO_FLOOR).take(place)


def _notes(gathered: Gathering, outcome: Int64s) -> tuple[Any, Any]:
    """Reference and metadata of the outcome of each event, null where there is none."""
    noted = gathered.noted[0]
    if not len(noted):
        return pa.nulls(len(outcome), pa.string()), pa.nulls(len(outcome), pa.string())
    ends = np.zeros(2 * len(noted) + 1, np.int32)
    ends[1::2], ends[2::2] = gathered.noted[1], gathered.noted[2]
    texts = pa.StringArray.from_buffers(2 * len(noted), pa.py_buffer(ends), pa.py_buffer(bytes(gathered.texts)))
    texts = pc.if_else(pc.equal(texts, ""), None, texts)
    at = np.searchsorted(noted, outcome)
    at[at == len(noted)] = 0
    other = noted[at] != outcome
    return texts.take(pa.array(2 * at, mask=other)), texts.take(pa.array(2 * at + 1, mask=other))


def _ids(gathered: Gathering, outcome: Int64s, is_opening: npt.NDArray[np.bool_]) -> Any:
    """The id of the command of each event as a UUID's text, null for openings."""
    words = np.stack((gathered.outcomes[0][outcome], gathered.outcomes[1][outcome]), axis=1)
    octets = words.astype("<u8").view(np.uint8).reshape(len(outcome), 16)
    text = np.full((len(outcome), 36), ord("-"), np.uint8)
    text[:, _DIGITS[0::2]], text[:, _DIGITS[1::2]] = _HEX[octets >> 4], _HEX[octets & 15]
    ends = pa.py_buffer(np.arange(0, 36 * len(outcome) + 1, 36, dtype=np.int32))
    ids = pa.StringArray.from_buffers(len(outcome), ends, pa.py_buffer(text))
    return pc.if_else(pa.array(is_opening), None, ids) if is_opening.any() else ids
