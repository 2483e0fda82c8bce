"""Events as CloudEvents in JSON, the form that `fanfold/api/events.py` declares, a column at a time.

The same event is the same bytes for ever, as long as the declaration is the same: nothing here asks a clock.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fanfold.api.events import DATA_TYPE, ENTRY_TYPE, OPENED_TYPE, SPEC_VERSION
from read_side.whole_log.event_table import OPENED

_JOINED: Final = pa.scalar("", pa.string())


def event_json(events: pa.Table, source: str) -> Any:
    """One JSON text an event, as an Arrow array of strings, in their order. events: columns of `EVENTS`."""
    is_opening = pc.equal(events["kind"], OPENED).combine_chunks()
    if not pc.any(is_opening).as_py():
        return _entries(events, source)
    openings = events.filter(is_opening)
    if len(openings) == len(events):
        return _openings(events, source)
    entries = events.filter(pc.invert(is_opening))
    mask = np.asarray(is_opening)
    place = np.where(mask, np.cumsum(mask) - 1 + len(entries), np.cumsum(~mask) - 1)
    return pa.concat_arrays([_entries(entries, source), _openings(openings, source)]).take(pa.array(place))


def _entries(events: pa.Table, source: str) -> Any:
    sequence = _text(events["sequence"])
    return _join(
        *_head(events, source, ENTRY_TYPE, sequence),
        ',"amount":"', _text(events["amount"]), '","posted":"', _text(events["posted"]), '","held":"', _text(events["held"]),
        '","transfer":"', _one(events["transfer"]), '","kind":"', _one(events["kind"]),
        *_position(events, sequence),
        _member("reference", _quoted(events["reference"])),
        _member("metadata", _one(events["metadata"])),
        _member("flags", _flags(events["flags"])),
        "}}",
    )  # fmt: skip


def _openings(events: pa.Table, source: str) -> Any:
    sequence, floor = _text(events["sequence"]), _text(events["floor"])
    return _join(
        *_head(events, source, OPENED_TYPE, sequence),
        ',"floor":', pc.fill_null(_join('"', floor, '"'), "null"),
        ',"position":"', _partition(events), ":", sequence, '"',
        _member("owner", _quoted(events["owner"])),
        "}}",
    )  # fmt: skip


def _head(events: pa.Table, source: str, kind: str, sequence: Any) -> list[Any]:
    """Up to the version, which both kinds of events have."""
    account = _one(events["account"])
    return [
        f'{{"specversion":"{SPEC_VERSION}","id":"', _partition(events), ":", sequence, ":", _text(events["row"]), ":",
        _text(events["leg"]), f'","source":{json.dumps(source)},"type":"{kind}","subject":"', account,
        '","time":"', _times(events["time"]), f'","datacontenttype":"{DATA_TYPE}","data":{{"account":"', account,
        '","asset":"', _one(events["asset"]), '","version":', _text(events["version"]),
    ]  # fmt: skip


def _position(events: pa.Table, sequence: Any) -> list[Any]:
    return ['","position":"', _partition(events), ":", sequence, '"']


def _partition(events: pa.Table) -> str:
    """Events are told a partition at a time."""
    return str(events["partition"][0].as_py()) if len(events) else ""


def _join(*pieces: Any) -> Any:
    """Null where a piece is null. Texts behind each other are one piece: what costs is how many there are."""
    joined: list[Any] = []
    for piece in pieces:
        if isinstance(piece, str) and joined and isinstance(joined[-1], str):
            joined[-1] += piece
        else:
            joined.append(piece)
    return pc.binary_join_element_wise(*joined, _JOINED)


def _member(name: str, values: Any) -> Any:
    """A member of an object behind others, nothing where the value is null. values: JSON."""
    if values.null_count == len(values):
        return ""
    return pc.fill_null(_join(f',"{name}":', values), "")


def _quoted(column: Any) -> Any:
    """Texts of printable ASCII as JSON (`grammar.REFERENCE`, `grammar.OWNER`)."""
    values = _one(column)
    if values.null_count == len(values):
        return values
    escaped = pc.replace_substring(pc.replace_substring(values, "\\", "\\\\"), '"', '\\"')
    return _join('"', escaped, '"')


def _flags(column: Any) -> Any:
    """Lists of words as JSON; few events have any."""
    lists = _one(column)
    if lists.null_count == len(lists):
        return lists
    return pa.array([None if words is None else json.dumps(words) for words in lists.to_pylist()], pa.string())


def _times(column: Any) -> Any:
    """UTC, RFC 3339, with microseconds. Events of one block follow each other and have one time."""
    at = np.asarray(_one(column).cast(pa.int64()))
    is_new = np.ones(len(at), bool)
    is_new[1:] = at[1:] != at[:-1]
    texts = np.char.add(np.datetime_as_string(at[is_new].view("datetime64[us]")), "Z")
    return pa.array(texts.tolist(), pa.string()).take(pa.array(np.cumsum(is_new) - 1))


def _text(column: Any) -> Any:
    return _one(column).cast(pa.string())


def _one(column: Any) -> Any:
    """A column of a table in one piece."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
