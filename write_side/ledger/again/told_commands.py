"""The commands of clients, made again from the block that decided them.

A done transfer shows in its entries, a refused one in its legs, and what has more to it in its details. A repeat leaves its id
alone: it is the same content as the first, so it gets the fingerprint of that.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.state.fold_ids import id_words
from write_side.contract.state.ids import ROW_BITS
from write_side.contract.state.state import State
from write_side.contract.words.atoms import SYSTEM_ACCOUNTS, WORLD
from write_side.contract.words.codes import NOT_REMEMBERED, Code, Kind
from write_side.ledger.again.block_accounts import BlockAccounts
from write_side.ledger.again.told_chains import told_chains
from write_side.ledger.again.untold import CannotTell, Untold
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION
from write_side.ledger.commands.details import NO_ASSET, Details
from write_side.ledger.rules.ran_before import PLACE, PRINT_A, PRINT_B, remembered_rows

Int64s = npt.NDArray[np.int64]
_ABOUT: Final = (Kind.CAPTURE, Kind.VOID, Kind.REVERSE)
_Prints = tuple[Int64s, npt.NDArray[np.uint64], dict[int, int], dict[int, npt.NDArray[np.uint64]]]
_SOME_PRINT: Final = 0x5C5C5C5C5C5C5C5C
"""Stands for the fingerprint of what was forgotten: a repeat gets it, too; what came under the id with other content does not."""
_OTHER_OWNER: Final = "?"
"""Of an opening that was refused for its owner, which no block tells: any other than the one that is there."""


class ToldCommands(NamedTuple):
    """batch: the commands, in their order. given: rows of it whose fingerprint is not made from what is told, int64[m], and that,
    uint64[2, m]; same: by row the row before it that it is a repeat of; before: by row what ran under its id earlier."""

    batch: CommandBatch
    given: Int64s
    prints: npt.NDArray[np.uint64]
    same: dict[int, int]
    before: dict[int, npt.NDArray[np.uint64]]


def told_commands(state: State, block: Block, accounts: BlockAccounts, deltas: Int64s) -> ToldCommands:
    """The commands of clients in a block that follows `state`. deltas: of its entries. Raises CannotTell."""
    return _Telling(state, block, accounts, deltas).told()


class _Telling:
    def __init__(self, state: State, block: Block, accounts: BlockAccounts, deltas: Int64s) -> None:
        self._state, self._block, self._accounts, self._deltas = state, block, accounts, deltas
        outcomes = block.outcomes
        self._row = np.flatnonzero(outcomes["kind"] <= Kind.CHANGE)
        self._kind, self._code = outcomes["kind"][self._row].tolist(), outcomes["code"][self._row].tolist()
        self._ids = np.ascontiguousarray(outcomes["id"][self._row])
        self._at = {row: at for at, row in enumerate(self._row.tolist())}
        n = len(self._row)
        self._debit, self._credit, self._owner = [WORLD] * n, [""] * n, [""] * n
        self._amount, self._asset = np.zeros(n, np.int64), np.full(n, NO_ASSET, np.int32)
        self._numbers: dict[str, int] = {}

    def told(self) -> ToldCommands:
        if Code.ID_MEMORY_FULL in self._code:
            raise CannotTell(Untold.ID_MEMORY)
        details = self._details()
        detailed = set() if details is None else set(details.row.tolist())
        opened = iter([at for at, name in enumerate(self._block.accounts["id"]) if name not in SYSTEM_ACCOUNTS])
        done: list[int] = []
        for at, (kind, code) in enumerate(zip(self._kind, self._code, strict=True)):
            if at in detailed:
                continue
            if kind == Kind.OPEN:
                self._opening(at, code, opened)
            elif code == Code.DONE:
                done.append(at)
            elif code != Code.REPEATED:
                self._refused(at)
            else:
                self._asset[at], self._amount[at], self._credit[at] = self._number(""), 1, WORLD
        self._add_done(done)
        back = self._block.outcomes["back"][self._row].tolist()
        chain = told_chains(self._kind, self._code, back)
        batch = CommandBatch(
            kind=np.array(self._kind, np.uint8), ids=self._ids, debit=pa.array(self._debit, pa.utf8()),
            credit=pa.array(self._credit, pa.utf8()), amount=self._amount, asset=self._asset, assets=list(self._numbers),
            owner=pa.array(self._owner, pa.utf8()), chain=chain, details=details, askers=self._askers(),
        )  # fmt: skip
        return ToldCommands(batch, *self._fingerprints(details, chain))

    def _askers(self) -> Askers | None:
        told = self._block.askers
        first, names = np.searchsorted(self._row, told["outcome"]), told["name"]
        if len(first) and first[0]:
            return Askers(np.concatenate(([0], first)), ("", *names))
        return Askers(first, tuple(names)) if len(first) else None

    def _number(self, asset: str) -> int:
        return self._numbers.setdefault(asset, len(self._numbers))

    def _legs(self, at: int) -> range:
        told = self._block.legs["outcome"]
        first, last = np.searchsorted(told, (self._row[at], self._row[at] + 1)).tolist()
        return range(first, last)

    def _opening(self, at: int, code: int, opened: Any) -> None:
        terms, legs = self._block.accounts, self._block.legs
        if code == Code.DONE:
            number = next(opened)
            self._debit[at], self._owner[at] = terms["id"][number], terms["owner"][number]
            self._amount[at], self._asset[at] = terms["floor"][number], self._number(terms["asset"][number])
            return
        held = self._held_terms(at)
        if code == Code.EXISTS:
            if held is None:
                raise CannotTell(Untold.ODD)
            self._debit[at], asset, floor, self._owner[at] = held
        else:
            (leg,) = self._legs(at)
            self._debit[at], asset, floor = legs["account"][leg], legs["asset"][leg], int(legs["amount"][leg])
            if held is not None and held[1:] == (asset, floor, ""):
                self._owner[at] = _OTHER_OWNER
        self._amount[at], self._asset[at] = floor, self._number(asset)

    def _held_terms(self, at: int) -> tuple[str, str, int, str] | None:
        """Name, asset, floor and owner of the account that an opening found; one of this block, too."""
        state, key = self._state, self._ids[at].tobytes()
        number = state.number_of_key(key)
        if number is not None:
            return state.names[number], state.assets[number], int(state.floor[number]), state.owners[number]
        earlier = next((i for i in range(at) if self._kind[i] == Kind.OPEN and self._ids[i].tobytes() == key), None)
        if earlier is None:
            return None
        asset = list(self._numbers)[self._asset[earlier]]
        return self._debit[earlier], asset, int(self._amount[earlier]), self._owner[earlier]

    def _add_done(self, done: list[int]) -> None:
        """Done transfers between two accounts, by their entries."""
        entries = self._block.entries
        first = np.searchsorted(entries["outcome"], self._row[done])
        debit, credit = entries["account"][first], entries["account"][first + 1]
        self._amount[done] = self._deltas[first + 1]
        told = (self._accounts.names(debit), self._accounts.names(credit), self._accounts.assets(debit))
        for at, giver, receiver, asset in zip(done, *told, strict=True):
            self._debit[at], self._credit[at], self._asset[at] = giver, receiver, self._number(asset)

    def _refused(self, at: int) -> None:
        legs = self._block.legs
        debit, credit = self._legs(at)
        self._debit[at], self._credit[at] = legs["account"][debit], legs["account"][credit]
        self._amount[at], self._asset[at] = legs["amount"][credit], self._number(legs["asset"][credit])

    def _details(self) -> Details | None:
        block, told = self._block, self._block.details
        if not len(told["outcome"]):
            return None
        row = np.array([self._at[outcome] for outcome in told["outcome"].tolist()], np.int64)
        legs: list[int] = []
        sizes = []
        for at in row.tolist():
            of = self._legs(at)
            if self._kind[at] == Kind.CHANGE:
                (leg,) = of
                self._debit[at], of = block.legs["account"][leg], range(0)
            else:
                self._debit[at] = ""
            sizes.append(len(of))
            legs += of
        self._amount[row] = told["amount"]
        other = np.zeros((len(row), 16), np.uint8)
        at_link = {outcome: link for link, outcome in enumerate(block.links["outcome"].tolist())}
        for k, outcome in enumerate(told["outcome"].tolist()):
            if outcome in at_link:
                other[k] = block.links["id"][at_link[outcome]]
        conditions = block.conditions
        if_version = np.full(len(block.legs["outcome"]), ANY_VERSION, np.int64)
        if_available = np.full(len(block.legs["outcome"]), ANY_AVAILABLE, np.int64)
        if_version[conditions["leg"]], if_available[conditions["leg"]] = (
            conditions["if_version"],
            conditions["if_available"],
        )
        return Details(
            row=row, other=other, option=told["option"], deadline_us=told["deadline_us"],
            reference=pa.array(told["reference"], pa.utf8()), metadata=pa.array(told["metadata"], pa.utf8()),
            first_leg=np.concatenate(([0], np.cumsum(sizes))).astype(np.int64),
            account=pa.array([block.legs["account"][leg] for leg in legs], pa.utf8()),
            leg_amount=block.legs["amount"][legs] if legs else np.empty(0, np.int64),
            leg_asset=np.array([self._number(block.legs["asset"][leg]) for leg in legs], np.int32),
            if_version=if_version[legs] if legs else np.empty(0, np.int64),
            if_available=if_available[legs] if legs else np.empty(0, np.int64),
        )  # fmt: skip

    def _fingerprints(self, details: Details | None, chain: npt.NDArray[np.int32]) -> _Prints:
        given: dict[int, npt.NDArray[np.uint64]] = {}
        same: dict[int, int] = {}
        ran: dict[int, npt.NDArray[np.uint64]] = {}
        if details is not None:
            linked = set(self._block.links["outcome"].tolist())
            for k, at in enumerate(details.row.tolist()):
                # Its id has answered it, so what it is about is not told.
                if self._kind[at] in _ABOUT and int(self._row[at]) not in linked:
                    told = self._block.details["fingerprint"][k]
                    given[at] = np.frombuffer(np.ascontiguousarray(told).tobytes(), np.uint64)
        known = [at for at, code in enumerate(self._code) if code in (Code.REPEATED, Code.ID_REUSED)]
        first: dict[bytes, int] = {}
        if known:
            for at, (kind, code) in enumerate(zip(self._kind, self._code, strict=True)):
                if kind != Kind.OPEN and code not in NOT_REMEMBERED:
                    first.setdefault(self._ids[at].tobytes(), at)
        for at in known:
            before = first.get(self._ids[at].tobytes(), at)
            if before == at:
                ran[at] = self._ran(at, bool(chain[at]))
                if self._code[at] == Code.REPEATED:
                    given[at] = ran[at][PRINT_A : PRINT_B + 1]
            elif self._code[at] == Code.REPEATED:
                same[at] = before
        rows = np.array(list(given), np.int64)
        prints = np.stack(list(given.values()), axis=1) if given else np.empty((2, 0), np.uint64)
        return rows, prints, same, ran

    def _ran(self, at: int, hangs_on: bool) -> npt.NDArray[np.uint64]:
        """What ran under an id in a block before, `ran_before.ROW_WIDTH` words, whether the state remembers it until then or not.

        Of one that was forgotten the block tells where it ran, and that its content was the same or another; not whether that was
        a refusal, which only a batch that hangs together asks. Raises CannotTell there.
        """
        rows, known = remembered_rows(self._state, id_words(self._ids[at : at + 1]))
        if not known[0]:
            if hangs_on:
                raise CannotTell(Untold.FORGOTTEN)
            rows[0] = (*id_words(self._ids[at : at + 1])[0], _SOME_PRINT, _SOME_PRINT, 0)
            if self._code[at] == Code.REPEATED:
                repeats = self._block.repeats
                told = int(np.searchsorted(repeats["outcome"], self._row[at]))
                rows[0, PLACE] = (int(repeats["sequence"][told]) << ROW_BITS) | int(repeats["row"][told])
        found: npt.NDArray[np.uint64] = rows[0]
        return found


assert NOT_TOLD == ANY_AVAILABLE
