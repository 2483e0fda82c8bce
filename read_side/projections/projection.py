"""Your own projection: what the events of the log come to, as rows of one table, and the function that makes them so.

A projection is any object with these names; it needs to import nothing of ours:

    name      of the table: a word of small letters, digits and _
    version   of its code: raise it whenever the same events come to other rows, or the columns change
    key, row  the columns, by name `str` or `int` (of 64 bits): those that name a row, and those that it holds
    evolve    rows and a run of events (an Arrow table, columns of `EVENTS`): change the rows
    evolve_one   instead of `evolve`: rows and one event (`fanfold/api/events.py`), slower, about 10 us each
    question  SQL over the table, where its answer is to be told live

The events of a partition come in the order of the log, each once. How many come at once, and which partition is ahead of another
one, is never the same twice: rows must not depend on it (`kit.check` tries). Nothing else may be asked: no clock, no chance.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pyarrow as pa

from fanfold.api.events import SOURCE, Event
from fanfold.api.grammar import TOPIC
from fanfold.api.values import adapter
from read_side.whole_log.event_json import event_json

Row = tuple[str | int, ...]

_WORD: Final = re.compile(rf"(?!sqlite_|fanfold_){TOPIC}", re.ASCII)
_INT64: Final = range(-(1 << 63), 1 << 63)
_COLUMNS_MAX: Final = 100
_MISSING: Final = object()


class NoProjection(ValueError):
    """What was named is none. The message says what is missing."""


class WrongRow(Exception):
    """A projection has put something into its rows that does not go there. The message names it."""


class Declared(NamedTuple):
    """A projection that was looked at. evolve: over a table of events; question: None where it has none."""

    name: str
    version: int
    key: dict[str, type]
    row: dict[str, type]
    evolve: Callable[[Rows, pa.Table], None]
    question: str | None

    @property
    def columns(self) -> dict[str, str]:
        """Every column with the word of its type, those of the key first."""
        return {name: kind.__name__ for name, kind in (self.key | self.row).items()}


def declared(projection: Any) -> Declared:
    """What a projection, or a class of one, says of itself. Raises NoProjection."""
    if isinstance(projection, type):
        try:
            projection = projection()
        except TypeError as wrong:
            raise NoProjection(
                f"{projection.__name__} cannot be made without arguments ({wrong}): name an object of it"
            ) from None
    if (missing := [name for name in ("name", "version", "key", "row") if not hasattr(projection, name)]) != []:
        raise NoProjection(f"it lacks {', '.join(missing)}")
    name, version = projection.name, projection.version
    if not isinstance(name, str) or not _WORD.fullmatch(name):
        raise NoProjection(
            f"its name {name!r} is no word of at most 40 small letters, digits and _ (or begins with sqlite_ or fanfold_)"
        )
    if type(version) is not int or version not in range(1 << 31):
        raise NoProjection(f"its version {version!r} is no whole number from 0 on")
    key, row = _columns(projection.key, "key"), _columns(projection.row, "row")
    if len({*key, *row}) < len(key) + len(row) or len(key) + len(row) > _COLUMNS_MAX:
        raise NoProjection(f"`key` and `row` share a column, or have more than {_COLUMNS_MAX}")
    question = getattr(projection, "question", None)
    if question is not None and not isinstance(question, str):
        raise NoProjection("its question is no text")
    return Declared(name, version, key, row, _evolve_of(projection), question)


def _columns(columns: Any, which: str) -> dict[str, type]:
    if not isinstance(columns, Mapping) or not columns:
        raise NoProjection(f"its `{which}` is no table of columns, such as {{'account': str}}")
    for name, kind in columns.items():
        if not isinstance(name, str) or not _WORD.fullmatch(name) or kind not in (str, int):
            raise NoProjection(f"the column {name!r} of its `{which}` is no such word, or neither str nor int")
    return dict(columns)


def _evolve_of(projection: Any) -> Callable[[Rows, pa.Table], None]:
    evolve: Callable[[Rows, pa.Table], None] | None = getattr(projection, "evolve", None)
    evolve_one = getattr(projection, "evolve_one", None)
    if callable(evolve) and evolve_one is None:
        return evolve
    if evolve is not None or not callable(evolve_one):
        raise NoProjection("it needs either `evolve` or `evolve_one`")

    def one_by_one(rows: Rows, events: pa.Table) -> None:
        for text in event_json(events, SOURCE).to_pylist():
            evolve_one(rows, adapter(Event).validate_json(text))

    return one_by_one


class Rows:
    """The rows, as a projection sees them: like a dict, that is not walked through.

    A key or a row of one column is its value, of several a tuple of them, in the order in which they are declared. Changes are
    gathered here and stored together with the checkpoint. changed: by key what a row is now, None where it is gone.
    """

    def __init__(self, declared: Declared, stored: Callable[[Row], Row | None]) -> None:
        self._key, self._row = tuple(declared.key.items()), tuple(declared.row.items())
        self._stored = stored
        self._read: dict[Row, Row | None] = {}
        self.changed: dict[Row, Row | None] = {}

    def get(self, key: Any, default: Any = None) -> Any:
        found = self._of(_checked(key, self._key, "key"))
        if found is None:
            return default
        return found[0] if len(self._row) == 1 else found

    def __getitem__(self, key: Any) -> Any:
        found = self.get(key, _MISSING)
        if found is _MISSING:
            raise KeyError(key)
        return found

    def __contains__(self, key: Any) -> bool:
        return self.get(key, _MISSING) is not _MISSING

    def __setitem__(self, key: Any, row: Any) -> None:
        self.changed[_checked(key, self._key, "key")] = _checked(row, self._row, "row")

    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        self.changed[_checked(key, self._key, "key")] = None

    def _of(self, key: Row) -> Row | None:
        if key in self.changed:
            return self.changed[key]
        if key not in self._read:
            self._read[key] = self._stored(key)
        return self._read[key]


def _checked(given: Any, columns: tuple[tuple[str, type], ...], what: str) -> Row:
    values = given if isinstance(given, tuple) else (given,)
    if len(values) != len(columns):
        raise WrongRow(f"the {what} {given!r} has {len(values)} values, and {len(columns)} columns are declared")
    return tuple(_value(value, name, kind) for value, (name, kind) in zip(values, columns, strict=True))


def _value(value: Any, name: str, kind: type) -> str | int:
    if kind is str and isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise WrongRow(f"{value!r} in the column {name} is no text of Unicode") from None
        return str(value)
    if kind is int and not isinstance(value, str):
        try:
            number = int(operator.index(value))
        except TypeError:
            pass
        else:
            if number not in _INT64:
                raise WrongRow(f"{number} in the column {name} has more than 64 bits")
            return number
    raise WrongRow(f"{value!r} in the column {name} is no {kind.__name__}")
