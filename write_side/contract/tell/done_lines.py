"""Done plain transfers of one block as the lines of an answer to many commands, without an object for what they say.

Each line has the very bytes that `answers.py` and an encoder of JSON make of it (a test compares them), for a sixth of the time:
nothing in it needs escaping, for ids, names, assets and times have grammars without such characters.
"""

from __future__ import annotations

from functools import cached_property
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Code, Kind

STATUS: Final = 201
_DONE: Final = int(Code.DONE)
_TRANSFER: Final = int(Kind.TRANSFER)
_ENTRIES: Final = 2
_DIGITS: Final = [at for at in range(36) if at not in (8, 13, 18, 23)]
"""Of an id as it is written: the others are hyphens."""


class DoneLine(NamedTuple):
    """One answer: JSON with its status, and where the log has what it tells."""

    text: bytes
    position: str


class DoneLines:
    """Those of one block. state: at this block or later; position, at: of the block, as they are told."""

    def __init__(self, outcomes: BlockOutcomes, state: State, position: str, at: str) -> None:
        self._outcomes = outcomes
        self._state = state
        self._position = position
        self._at = at

    @cached_property
    def _accounts(self) -> tuple[list[str], list[str], list[int]]:
        """By entry its account's name, asset and floor: of the whole block at once."""
        state, numbers = self._state, self._outcomes.block.entries["account"].astype(np.int64)
        names = state.names.take(numbers)
        words = state.asset_names
        return names, [words[asset] for asset in state.asset_of[numbers].tolist()], state.floor[numbers].tolist()

    @cached_property
    def _say_more(self) -> frozenset[int]:
        """Outcomes of which something else is told: a reference, metadata, flags."""
        block = self._outcomes.block
        flagged = block.entries["outcome"][block.flags["entry"]] if len(block.flags["entry"]) else ()
        return frozenset([*block.details["outcome"].tolist(), *map(int, flagged)])

    @cached_property
    def _plain(self) -> list[bool]:
        """Which outcomes are done transfers between two accounts of which nothing else is told."""
        outcomes = self._outcomes
        begins, accounts = np.array(outcomes.entry_columns[0]), outcomes.block.entries["account"]
        plain: npt.NDArray[np.bool_] = np.diff(begins) == _ENTRIES
        plain &= (np.array(outcomes.codes) == _DONE) & (np.array(outcomes.kinds) == _TRANSFER)
        plain[list(self._say_more)] = False
        at = begins[:-1][plain]
        plain[plain] = accounts[at] != accounts[at + 1]
        return list(plain.tolist())

    @cached_property
    def _ids(self) -> list[str]:
        """Of every outcome, as it is told."""
        raw = self._outcomes.ids
        digits = np.full((len(raw) // 16, 36), ord("-"), np.uint8)
        digits[:, _DIGITS] = np.frombuffer(raw.hex().encode(), np.uint8).reshape(-1, 32)
        text = digits.tobytes().decode()
        return [text[at : at + 36] for at in range(0, len(text), 36)]

    def of(self, first: int, count: int) -> list[DoneLine | None]:
        """Of outcomes `first` and those behind it; None for what is no done transfer between two accounts, or says more."""
        found: list[DoneLine | None] = [None] * count
        rows = [row for row, plain in enumerate(self._plain[first : first + count]) if plain]
        begins = self._outcomes.entry_columns[0]
        begin, end = begins[first], begins[first + count]
        if end - begin == _ENTRIES * len(rows):
            told = self._entries(slice(begin, end))
        else:  # others have entries, too, and perhaps many more
            told = [text for row in rows for text in self._entries(slice(begins[first + row], begins[first + row] + 2))]
        position = self._position
        head = f'","result":"done","position":"{position}","at":"{self._at}","accounts":['
        ids = self._ids
        for row, one, other in zip(rows, told[::2], told[1::2], strict=True):
            accounts = f"{one},{other}" if one and other else one or other
            text = f'{{"status":{STATUS},"id":"{ids[first + row]}{head}{accounts}]}}'
            found[row] = DoneLine(text.encode(), position)
        return found

    def _entries(self, some: slice) -> list[str]:
        """What is told of the accounts of these entries, "" of system accounts."""
        _, _, posted, versions, told_held, _ = self._outcomes.entry_columns
        names, assets, floors = self._accounts
        tail = f',"position":"{self._position}","at":"{self._at}"}}'
        held = [told_held.get(at, 0) for at in range(some.start, some.stop)] if told_held else repeat(0)
        columns = zip(names[some], assets[some], posted[some], held, floors[some], versions[some], strict=False)
        return [
            ""
            if name[0] == "@"
            else f'{{"account":"{name}","asset":"{asset}","posted":"{now}","held":"{hold}","available":null,"floor":null,'
            f'"version":{version}{tail}'
            if floor == NO_FLOOR
            else f'{{"account":"{name}","asset":"{asset}","posted":"{now}","held":"{hold}",'
            f'"available":"{now - hold - floor}","floor":"{floor}","version":{version}{tail}'
            for name, asset, now, hold, floor, version in columns
        ]
