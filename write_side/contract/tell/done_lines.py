"""Done plain transfers of one block as the lines of an answer to many commands, without an object for what they say.

Each line has the very bytes that `answers.py` and an encoder of JSON make of it (a test compares them), for a sixth of the time:
nothing in it needs escaping, for ids, names, assets and times have grammars without such characters.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from write_side.contract.state.state import State
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Code, Kind

STATUS: Final = 201
_DONE: Final = int(Code.DONE)
_TRANSFER: Final = int(Kind.TRANSFER)
_ENTRIES: Final = 2


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

    def of(self, first: int, count: int) -> list[DoneLine | None]:
        """Of outcomes `first` and those behind it; None for what is no done transfer between two accounts, or says more."""
        outcomes, more, position, at = self._outcomes, self._say_more, self._position, self._at
        kinds, codes = outcomes.kinds, outcomes.codes
        begins, numbers, posted, versions, told_held, _ = outcomes.entry_columns
        names, assets, floors = self._accounts
        digits = outcomes.ids[16 * first : 16 * (first + count)].hex()
        head = f'","result":"done","position":"{position}","at":"{at}","accounts":['
        tail = f',"position":"{position}","at":"{at}"}}'
        found: list[DoneLine | None] = []
        for row in range(first, first + count):
            begin = begins[row]
            if (
                codes[row] != _DONE
                or kinds[row] != _TRANSFER
                or begins[row + 1] - begin != _ENTRIES
                or numbers[begin] == numbers[begin + 1]
                or row in more
            ):
                found.append(None)
                continue
            accounts = []
            for at_entry in (begin, begin + 1):
                name = names[at_entry]
                if name[0] == "@":
                    continue
                held, floor, now = told_held.get(at_entry, 0), floors[at_entry], posted[at_entry]
                spendable, least = ("null", "null") if floor == NO_FLOOR else (f'"{now - held - floor}"', f'"{floor}"')
                accounts.append(
                    f'{{"account":"{name}","asset":"{assets[at_entry]}","posted":"{now}","held":"{held}",'
                    f'"available":{spendable},"floor":{least},"version":{versions[at_entry]}{tail}'
                )
            own = 32 * (row - first)
            id = (
                f"{digits[own : own + 8]}-{digits[own + 8 : own + 12]}-{digits[own + 12 : own + 16]}-"
                f"{digits[own + 16 : own + 20]}-{digits[own + 20 : own + 32]}"
            )
            text = f'{{"status":{STATUS},"id":"{id}{head}{",".join(accounts)}]}}'
            found.append(DoneLine(text.encode(), position))
        return found
