"""The auditor: the rules once more in plain dictionaries, asked after every step. What it says wins.

It decides every accepted block's commands again with `WalletModel`, which shares no code with the ledger; it has its own
chain rule, sums and outcome words. From the product it takes what golden files pin down: the bytes of a block as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tests.unit.write_side.ledger.wallet_model import NO_FLOOR_IN_COLUMN, Outcome, WalletModel
from write_side.contract.answers import format_time
from write_side.contract.block import Block, decode
from write_side.contract.chain import ChainBroken
from write_side.contract.fold import CheckFailed
from write_side.contract.ids import FINGERPRINT_A, FINGERPRINT_B, ID_A, ID_B, ROW, SEQUENCE, TIME_US
from write_side.contract.log import Record
from write_side.contract.replay import Replay
from write_side.contract.state import State
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import Command, OpenAccount, Transfer
from write_side.ledger.fingerprint import fingerprints_of_block

WORDS = (
    "done", "exists", "repeated", "id_reused_with_other_content", "id_expired", "id_in_future", "partitions_differ",
    "account_unknown", "asset_mismatch", "insufficient_available", "balance_limit_exceeded",
    "account_exists_with_other_terms",
)  # fmt: skip
"""Outcome codes by number: published, so they never change."""


class Violation(AssertionError):
    """A rule does not hold."""


class Row(NamedTuple):
    """One account at one position."""

    asset: str
    posted: int
    floor: int
    version: int
    at_us: int


class Told(NamedTuple):
    """One outcome of the accepted chain: whose (a transfer id or an account), and what."""

    subject: bytes | str
    outcome: Outcome
    sequence: int


DeciderOf = Callable[[bytes], str]
"""block -> the name of the process that made it."""
CommandsAt = Callable[[bytes, int], CommandBatch | None]
"""(block, queue offset) -> what the process that decided the block found there; None for an unreadable record."""


class Auditor:
    """One partition. `rows[s]`: every account after block s."""

    def __init__(self, commands_at: CommandsAt, decider_of: DeciderOf, trace: Callable[[str], None]) -> None:
        self._commands_at = commands_at
        self._decider_of = decider_of
        self._owners: dict[int, str] = {}
        self._trace = trace
        self.model = WalletModel(0, 1, ids_max=1 << 24)
        self.replay = Replay(State(0), fingerprints_of_block)
        self.rows: list[dict[str, Row]] = []
        self.hashes: list[bytes] = []
        self._times_us: list[int] = []
        self.epoch = 0
        self.consumed_to = 0
        self.records = 0
        self.acknowledged = 0
        self.looks = 0
        self.by_version: dict[tuple[str, int], Row] = {}
        self._names: list[str] = []
        self._told: list[Told] = []
        self._told_of: dict[tuple[bytes | str, int], list[Told]] = {}
        self._moved: set[bytes] = set()
        self._answers: dict[Command, Mapping[str, object]] = {}

    @property
    def sequence(self) -> int:
        return len(self.rows) - 1

    def require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Violation(f"at block {self.sequence}: {rule}")

    # The log.

    def appended(self, data: bytes) -> None:
        """A record reached the log: does it count, and if so, is it right?"""
        block = decode(data)
        self.records += 1
        header = block.header
        counts = (
            header.epoch >= self.epoch
            and header.sequence == self.sequence + 1
            and header.previous_hash == (self.hashes[-1] if self.hashes else bytes(32))
        )
        self._trace(f"record {self.records} {header.block_hash.hex()} {'counts' if counts else 'does not'}")
        try:
            folded = self.replay.take(Record(self.records - 1, data))
        except (ChainBroken, CheckFailed) as stopped:
            raise Violation(f"readers stop: {stopped}") from stopped
        self.require((folded is not None) == counts, "readers disagree with the chain rule")
        if not counts:
            self.require(header.epoch < self.epoch or header.sequence <= self.sequence + 1, "the log has a hole")
            return
        decider = self._decider_of(data)
        self.require(self._owners.setdefault(header.epoch, decider) == decider, "two processes write in one epoch")
        self._decide_again(data, block)
        self._compare_with_fold()

    def _decide_again(self, data: bytes, block: Block) -> None:
        header = block.header
        places, commands = self._consumed(data, block)
        before = self.model.commands
        expected = self.model.block(commands, header.created_at_us)
        codes = block.outcomes["code"].tolist()
        self.require(len(codes) == len(commands), "not every consumed command has one outcome")
        self.require(
            list(zip(block.outcomes["back"].tolist(), block.outcomes["row"].tolist(), strict=True)) == places,
            "outcomes are not in the order of their commands",
        )
        self._names += [_row_name(n, a) for n, a in zip(block.accounts["id"], block.accounts["asset"], strict=True)]
        entries: dict[int, list[tuple[str, int, int]]] = {}
        columns = (block.entries[name].tolist() for name in ("outcome", "account", "posted", "version"))
        for outcome, account, posted, version in zip(*columns, strict=True):
            entries.setdefault(outcome, []).append((self._names[account], posted, version))
        first = dict(
            zip(
                block.repeats["outcome"].tolist(),
                zip(block.repeats["sequence"].tolist(), block.repeats["row"].tolist(), strict=True),
                strict=True,
            )
        )
        for i, (command, wanted) in enumerate(zip(commands, expected, strict=True)):
            got = (WORDS[codes[i]], tuple(entries.get(i, ())))
            self.require(got == (wanted.word, wanted.entries), f"a command became {got}, the rules say {wanted}")
            if wanted.first is not None:
                again = self._told[wanted.first]
                self.require(first[i][0] == again.sequence, "a repeat names another first outcome")
            self._tell(command, wanted, header.sequence)
        self.require(self.model.commands - before == len(commands), "the model lost count")
        self.hashes.append(header.block_hash)
        self._times_us.append(header.created_at_us)
        self.epoch, self.consumed_to = header.epoch, header.consumed_to
        self._advance_rows(block)

    def _consumed(self, data: bytes, block: Block) -> tuple[list[tuple[int, int]], list[Command]]:
        """The places (back, row) and commands of the queue records that this block consumed."""
        places, commands = list[tuple[int, int]](), list[Command]()
        for offset in range(self.consumed_to, block.header.consumed_to):
            try:
                batch = self._commands_at(data, offset)
            except LookupError:
                raise Violation("a block consumed what was never in the queue") from None
            if batch is not None:
                found = commands_of(batch)
                commands += found
                places += [(block.header.consumed_to - offset, row) for row in range(len(found))]
        self.require(block.header.consumed_to >= self.consumed_to, "the place in the queue falls")
        return places, commands

    def _tell(self, command: Command, outcome: Outcome, sequence: int) -> None:
        subject = command.id if isinstance(command, Transfer) else command.account
        told = Told(subject, outcome, sequence)
        self._told.append(told)
        self._told_of.setdefault((subject, sequence), []).append(told)
        if isinstance(command, Transfer) and outcome.entries:
            self.require(command.id not in self._moved, "a transfer moved money twice")
            self._moved.add(command.id)

    def _advance_rows(self, block: Block) -> None:
        at_us = block.header.created_at_us
        rows = dict(self.rows[-1]) if self.rows else {}
        new = zip(block.accounts["id"], block.accounts["asset"], block.accounts["floor"].tolist(), strict=True)
        for name, asset, floor in new:
            key = _row_name(name, asset)
            rows[key] = self.by_version[key, 0] = Row(asset, 0, floor, 0, at_us)
        columns = (block.entries[name].tolist() for name in ("account", "posted", "version"))
        for account, posted, version in zip(*columns, strict=True):
            name = self._names[account]
            self.require(version == rows[name].version + 1, "a version is left out")
            rows[name] = self.by_version[name, version] = Row(
                rows[name].asset, posted, rows[name].floor, version, at_us
            )
        self.rows.append(rows)
        sums: dict[str, int] = {}
        for row in rows.values():
            sums[row.asset] = sums.get(row.asset, 0) + row.posted
            self.require(row.floor == NO_FLOOR_IN_COLUMN or row.posted >= row.floor, "available below zero")
        self.require(not any(sums.values()), f"the balances of an asset do not sum to zero: {sums}")
        balances = {name: (row.posted, row.version) for name, row in rows.items()}
        self.require(balances == self.model.balances(), "the balances are not the model's")

    def _compare_with_fold(self) -> None:
        state = self.replay.state
        numbers = range(state.count)
        folded = dict(
            zip(
                map(state.row_name, numbers),
                zip(state.posted[: state.count].tolist(), state.version[: state.count].tolist(), strict=True),
                strict=True,
            )
        )
        self.require(folded == self.model.balances(), "the fold is not the model")
        self.require(state.held[: state.count].any() == False, "money is held")  # noqa: E712

    def same_state(self, state: State, whose: str, fingerprints: bool) -> None:
        """A live state is the replay, byte for byte. Only asked where both are at the same block.

        fingerprints: whether this state has those of its transfers, as a writer's has and a reader's has not.
        """
        mine = self.replay.state
        if state.chained.block_hash != mine.chained.block_hash:
            return
        self.looks += 1
        rule = f"the live state of {whose} is not its replay: "
        self.require(state.chained == mine.chained, rule + "head")
        texts = (mine.count, mine.names, mine.assets, mine.owners)
        self.require((state.count, state.names, state.assets, state.owners) == texts, rule + "names")
        for column in ("key_a", "key_b", "row_key", "posted", "held", "version", "floor", "flags", "changed_at_us"):
            equal = np.array_equal(getattr(state, column)[: mine.count], getattr(mine, column)[: mine.count])
            self.require(equal, rule + column)
        self.require(np.array_equal(state.digest, mine.digest), rule + "digest")
        kept = mine.ids.count
        columns = [ID_A, ID_B, SEQUENCE, ROW, TIME_US] + [FINGERPRINT_A, FINGERPRINT_B] * fingerprints
        equal = np.array_equal(state.ids.rows[:kept, columns], mine.ids.rows[:kept, columns])
        self.require(state.ids.count == kept and equal, rule + "ids")

    # Answers to writes.

    def answered(self, command: Command, document: Mapping[str, object]) -> None:
        """A client was told this. It must be in the accepted chain by now, and never differ from what it was told before."""
        self.acknowledged += 1
        subject = command.id if isinstance(command, Transfer) else command.account
        position = str(document["position"])
        sequence = int(position.removeprefix("0:"))
        self._trace(f"answer {subject!r} {document.get('code', document.get('result'))} {position}")
        self.require(sequence <= self.sequence, "an answer was given before its block was in the log")
        word = {"opened": "done"}.get(str(document["result"]), str(document.get("code", document["result"])))
        states = tuple((str(each["account"]), int(each["posted"]), each["version"]) for each in _accounts(document))
        self.require(
            any(
                told.outcome.word == word and _shown(told.outcome) == states
                for told in self._told_of.get((subject, sequence), ())
            ),
            f"the log does not say what was answered ({word} at {position})",
        )
        self.require(document["at"] == format_time(self._times_us[sequence]), "the time is another block's")
        if word in ("done", "account_unknown", "asset_mismatch", "insufficient_available") and isinstance(
            command, Transfer
        ):
            self.require(self._answers.setdefault(command, document) == document, "one id has two answers")

    # Reads and pushes.

    def shown(self, name: str, row: Row | None, sequence: int) -> None:
        """Somebody was shown this as the state at this position."""
        self.looks += 1
        self.require(sequence <= self.sequence, "a view is ahead of the log")
        said = self.rows[sequence].get(name) if sequence >= 0 else None
        self.require(said == row, f"a view shows {row} of {name} at block {sequence}, the log says {said}")

    def stored(self, generation: Any) -> None:
        """The whole content of a live view generation, right after a write to it."""
        checkpoint = generation.checkpoint
        if checkpoint is None:
            return
        self.require(checkpoint.sequence <= self.sequence, "the view is ahead of the log")
        if checkpoint.sequence < 0:
            self.require(not generation.accounts, "a view before the first block has rows")
            return
        self.require(
            checkpoint.block_hash == self.hashes[checkpoint.sequence], "the view is at a block that does not count"
        )
        rows = self.rows[checkpoint.sequence]
        self.require(set(generation.accounts) == set(rows), "the view has other accounts than the log")
        for name in generation.accounts:
            self.shown(name, row_of(generation.row(name)), checkpoint.sequence)

    def pushed(self, name: str, item: Mapping[str, Any]) -> None:
        """A client of the stream got this item."""
        self.looks += 1
        row = self.by_version.get((name, item["v"]))
        self.require(row is not None, f"a version was pushed that the log does not have: {name} {item['v']}")
        assert row is not None
        available = None if row.floor == NO_FLOOR_IN_COLUMN else str(row.posted - row.floor)
        self.require((item["posted"], item["available"]) == (str(row.posted), available), "a pushed balance is wrong")


def row_of(row: Any) -> Row | None:
    """An `AccountRow` as the auditor keeps it; nothing is ever held today."""
    if row is None:
        return None
    if row.held != 0:
        raise Violation("money is held")
    return Row(row.asset, row.posted, row.floor, row.version, row.at_us)


def commands_of(batch: CommandBatch) -> list[Command]:
    """The commands of a queue record, one by one."""
    assets = [batch.assets[number] for number in batch.asset.tolist()]
    texts = (batch.debit.to_pylist(), batch.credit.to_pylist(), batch.owner.to_pylist())
    found: list[Command] = []
    for kind, id16, amount, asset, debit, credit, owner in zip(
        batch.kind.tolist(), batch.ids, batch.amount.tolist(), assets, *texts, strict=True
    ):
        if kind == 1:
            found.append(OpenAccount(debit, asset, amount, owner))
        else:
            found.append(Transfer(id16.tobytes(), debit, credit, amount, asset))
    return found


def _row_name(name: str, asset: str) -> str:
    return f"{name}:{asset}" if name.startswith("@") else name


def _accounts(document: Mapping[str, object]) -> list[Mapping[str, Any]]:
    accounts = document.get("accounts", [])
    assert isinstance(accounts, list)
    return accounts


def _shown(outcome: Outcome) -> tuple[tuple[str, int, int], ...]:
    """The entries that an answer tells: not the system's."""
    return tuple(entry for entry in outcome.entries if not entry[0].startswith("@"))
