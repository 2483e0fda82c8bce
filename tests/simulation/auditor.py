"""The auditor: the rules once more in plain dictionaries, asked after every step. What it says wins.

It decides every accepted block's commands and messages again with the model of a wallet, which shares no code with the
ledger; it has its own chain rule, sums and outcome words. From the product it takes what golden files pin down: the bytes of a
block as columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.simulation.live_state import difference
from tests.simulation.record_commands import items_of
from tests.unit.write_side.ledger.model.values import SEVEN_DAYS_US, has_time
from tests.unit.write_side.ledger.model.wallet import Broken, Wallet
from tests.unit.write_side.ledger.wallet_model import NO_FLOOR_IN_COLUMN, Ask, Chain, Entry, Item, Outcome, Tell
from write_side.contract.block import limits
from write_side.contract.block.block import Block, decode
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.codes import Kind
from write_side.contract.words.times import format_time
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Command, OpenAccount, Reverse, Rich, Transfer, Void
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.commands.step_batch import StepBatch

WORDS = (
    "done", "exists", "repeated", "id_reused_with_other_content", "id_expired", "id_in_future", "partitions_differ",
    "account_unknown", "asset_mismatch", "insufficient_available", "balance_limit_exceeded",
    "account_exists_with_other_terms", "pending", "account_frozen_for_debit", "account_frozen_for_credit", "account_closed",
    "account_not_empty", "version_differs", "available_below_condition", "hold_unknown", "capture_exceeds_hold",
    "hold_busy", "transfer_unknown", "already_reversed", "not_reversible", "batch_refused", "not_run", "timed_out",
    "deadline_passed", "hold_spans_partitions", "stale", "asset_collides", "id_memory_full",
)  # fmt: skip
"""Outcome codes by number: published, so they never change."""
CHANGED = {"opened": "done", "held": "done", "voided": "done", "changed": "done"}
"""How an answer calls what is done."""
NOT_LASTING = ("pending", "id_reused_with_other_content", "id_expired", "id_in_future", "not_run", "id_memory_full")
"""What may be answered to a command and later something else."""
NOT_RUN = ("repeated", *NOT_LASTING[1:])
"""What may be answered to a command that is not run by it."""


class Violation(AssertionError):
    """A rule does not hold."""


class Row(NamedTuple):
    """One account at one position."""

    asset: str
    posted: int
    held: int
    floor: int
    version: int
    at_us: int


class Told(NamedTuple):
    """One outcome of the accepted chain: whose (a transfer id or an account), and what."""

    subject: bytes | str
    outcome: Outcome
    sequence: int


Line = Command | Ask | Tell | None
"""What an outcome answers; None: what time ends."""
Rule = Callable[[Line, Outcome], None]
"""A rule beside the model's, asked of every outcome in the order of the log. Raises Violation."""
DeciderOf = Callable[[bytes], str]
"""block -> the name of the process whose record of it landed first."""
CommandsAt = Callable[[bytes, int], CommandBatch | StepBatch | None]
"""(block, queue offset) -> what the process that decided the block found there; None for an unreadable record."""


class Auditor:
    """One partition of a wallet. `rows[s]`: every account after block s."""

    def __init__(
        self,
        partition: int,
        wallet: Wallet,
        commands_at: CommandsAt,
        decider_of: DeciderOf,
        trace: Callable[[str], None],
        rules: Sequence[Rule],
    ) -> None:
        self.partition = partition
        self.wallet = wallet
        self._commands_at = commands_at
        self._decider_of = decider_of
        self._owners: dict[int, str] = {}
        self._trace = trace
        self._rules = rules
        self.model = wallet.models[partition]
        self.replay = Replay(State(partition, len(wallet.models)), FINGERPRINTS)
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
        self._held: dict[int, int] = {}
        self._told: list[Told] = []
        self._told_of: dict[bytes | str, list[Told]] = {}
        self._moved: dict[bytes, int] = {}
        """When a command moved money last."""
        self._answers: dict[tuple[type, Command], Mapping[str, object]] = {}
        self._ran_now: set[tuple[type, Command]] = set()
        """Of which somebody was told that it was run by his own request."""
        """By kind as well: a hold and a transfer of the same id and legs are equal tuples."""

    @property
    def sequence(self) -> int:
        return len(self.rows) - 1

    def time_us(self, sequence: int) -> int:
        """Of a block that counts."""
        return self._times_us[sequence]

    def require(self, holds: bool, rule: str) -> None:
        if not holds:
            raise Violation(f"at block {self.partition}:{self.sequence}: {rule}")

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
        self._trace(
            f"record {self.partition} {self.records} {header.block_hash.hex()} {'counts' if counts else 'does not'}"
        )
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
        before = len(self._told)
        places, items, batches = self._consumed(data, block)
        is_epoch = header.epoch > self.epoch
        # A block of unreadable records alone decides nothing; one of no records at all is what time asked for.
        decides = not is_epoch and (batches > 0 or header.consumed_to == self.consumed_to)
        self.require(decides or batches == 0, "an epoch block consumes")
        # What time ends may be more than one block takes: then as much of it as can be is in this one.
        ended = int(np.isin(block.outcomes["kind"], (Kind.EXPIRE, Kind.TIMEOUT)).sum())
        due_max = ended if ended == limits.DUE_MAX else None
        try:
            expected = (
                self.wallet.block(self.partition, items, header.created_at_us, header.sequence, due_max)
                if decides
                else []
            )
        except Broken as broken:
            raise Violation(f"at block {self.partition}:{self.sequence + 1}: {broken}") from broken
        due = sum(outcome.unasked is not None and outcome.unasked.why in ("expire", "timeout") for outcome in expected)
        codes = block.outcomes["code"].tolist()
        self.require(len(codes) == len(expected), "not every consumed command has one outcome")
        self.require(
            list(zip(block.outcomes["back"].tolist(), block.outcomes["row"].tolist(), strict=True))
            == [(0, 0)] * due + places,
            "outcomes are not in the order of their commands",
        )
        self._names += [_row_name(n, a) for n, a in zip(block.accounts["id"], block.accounts["asset"], strict=True)]
        entries = self._entries(block)
        first = dict(
            zip(
                block.repeats["outcome"].tolist(),
                zip(block.repeats["sequence"].tolist(), block.repeats["row"].tolist(), strict=True),
                strict=True,
            )
        )
        lines: list[Line] = [*[None] * due, *self._lines]
        for i, (line, wanted) in enumerate(zip(lines, expected, strict=True)):
            got = (WORDS[codes[i]], tuple(sorted(entries.get(i, ()))))
            self.require(got == (wanted.word, wanted.entries), f"{line} became {got}, the rules say {wanted}")
            if wanted.first is not None:
                again = self._told[wanted.first]
                self.require(first[i][0] == again.sequence, "a repeat names another first outcome")
            self._tell(line, wanted, header.sequence, header.created_at_us)
        self.require(self.model.commands == len(self._told) == before + len(expected), "the model lost count")
        self.hashes.append(header.block_hash)
        self._times_us.append(header.created_at_us)
        self.epoch, self.consumed_to = header.epoch, header.consumed_to
        self._advance_rows(block, entries)

    def _consumed(self, data: bytes, block: Block) -> tuple[list[tuple[int, int]], Iterator[Item], int]:
        """The places (back, row) of the queue records that this block consumed, what they ask, and how many were readable."""
        consumed_to, batches = block.header.consumed_to, list[CommandBatch | StepBatch]()
        places = list[tuple[int, int]]()
        for offset in range(self.consumed_to, consumed_to):
            try:
                batch = self._commands_at(data, offset)
            except LookupError:
                raise Violation("a block consumed what was never in the queue") from None
            if batch is not None:
                batches.append(batch)
                places += [(consumed_to - offset, row) for row in range(len(batch))]
        self.require(consumed_to >= self.consumed_to, "the place in the queue falls")
        self._lines = list[Line]()
        return places, self._items(batches), len(batches)

    def _items(self, batches: list[CommandBatch | StepBatch]) -> Iterator[Item]:
        """What these records ask, one after the other; `_lines` gets what each outcome answers."""
        for batch in batches:
            if isinstance(batch, StepBatch):
                messages = self.wallet.heard(self.partition, batch)
                self._lines += messages
                yield from messages
                continue
            for item in items_of(batch):
                lines = item.commands if isinstance(item, Chain) else (item,)
                for command in lines:
                    home = self.wallet.home_of(command)
                    about = isinstance(command, Capture | Void | Reverse)
                    self.require(about or home == self.partition, "a command is decided where it does not belong")
                self._lines += lines
                yield item

    def _entries(self, block: Block) -> dict[int, list[Entry]]:
        found: dict[int, list[Entry]] = {}
        held_after = dict(zip(block.held["entry"].tolist(), block.held["held"].tolist(), strict=True))
        columns = (block.entries[name].tolist() for name in ("outcome", "account", "posted", "version"))
        for at, (outcome, account, posted, version) in enumerate(zip(*columns, strict=True)):
            held = self._held[account] = held_after.get(at, self._held.get(account, 0))
            found.setdefault(outcome, []).append(Entry(self._names[account], posted, version, held))
        return found

    def _tell(self, line: Line, outcome: Outcome, sequence: int, at_us: int) -> None:
        if line is None or isinstance(line, Ask | Tell):
            assert outcome.unasked is not None
            subject: bytes | str = outcome.unasked.id
        else:
            subject = line.account if isinstance(line, OpenAccount) else line.id
        told = Told(subject, outcome, sequence)
        self._told.append(told)
        self._told_of.setdefault(subject, []).append(told)
        if isinstance(line, Transfer | Rich) and outcome.entries:
            before_us = self._moved.get(line.id)
            self.require(before_us is None or self._is_over(line.id, before_us, at_us), "a command moved money twice")
            self._moved[line.id] = at_us
        for rule in self._rules:
            rule(line, outcome)

    def _advance_rows(self, block: Block, entries: dict[int, list[Entry]]) -> None:
        at_us = block.header.created_at_us
        rows = dict(self.rows[-1]) if self.rows else {}
        new = zip(block.accounts["id"], block.accounts["asset"], block.accounts["floor"].tolist(), strict=True)
        for name, asset, floor in new:
            key = _row_name(name, asset)
            rows[key] = self.by_version[key, 0] = Row(asset, 0, 0, floor, 0, at_us)
        for name, posted, version, held in (entry for each in entries.values() for entry in each):
            was = rows[name]
            self.require(version == was.version + 1, "a version is left out")
            rows[name] = self.by_version[name, version] = Row(was.asset, posted, held, was.floor, version, at_us)
        self.rows.append(rows)
        sums: dict[str, int] = {}
        for row in rows.values():
            sums[row.asset] = sums.get(row.asset, 0) + row.posted
            self.require(row.floor == NO_FLOOR_IN_COLUMN or row.posted - row.held >= row.floor, "available below zero")
        self.require(not any(sums.values()), f"the balances of an asset do not sum to zero: {sums}")
        balances = {name: (row.posted, row.held, row.version) for name, row in rows.items()}
        modelled = {name: row[:3] for name, row in self.model.balances().items()}
        self.require(balances == modelled, "the balances are not the model's")

    def _compare_with_fold(self) -> None:
        state = self.replay.state
        columns = (getattr(state, name)[: state.count].tolist() for name in ("posted", "held", "version", "flags"))
        folded = {state.row_name(number): each for number, each in enumerate(zip(*columns, strict=True))}
        self.require(folded == self.model.balances(), "the fold is not the model")

    def same_state(self, state: State, whose: str, fingerprints: bool) -> None:
        """A live state is the replay, byte for byte. Only asked where both are at the same block.

        fingerprints: whether this state has those of its transfers, as a writer's has and a reader's has not.
        """
        mine = self.replay.state
        if state.chained.block_hash != mine.chained.block_hash:
            return
        self.looks += 1
        differs = difference(state, mine, fingerprints)
        self.require(differs is None, f"the live state of {whose} is not its replay: {differs}")

    # Answers to writes.

    def answered(self, command: Command, document: Mapping[str, object]) -> None:
        """A client was told this. It must be in the accepted chain by now, and never differ from what it was told before."""
        self.acknowledged += 1
        subject = command.account if isinstance(command, OpenAccount) else command.id
        sequence = _sequence_of(document, self.partition)
        result = str(document.get("code", document["result"]))
        self._trace(f"answer {subject!r} {result} {document['position']}")
        self.require(sequence <= self.sequence, "an answer was given before its block was in the log")
        word = CHANGED.get(result, result)
        states = {(str(each["account"]), int(each["posted"]), each["version"]) for each in accounts_of(document)}
        told = self._of_life([each for each in self._told_of.get(subject, ()) if each.sequence <= sequence])
        self.require(
            any(each.outcome.word == word and each.sequence == sequence for each in told)
            and ("accounts" not in document or shown_by([each.outcome for each in told]) == states),
            f"the log does not say what was answered ({word} at {document['position']})",
        )
        self.require(document["at"] == format_time(self._times_us[sequence]), "the time is another block's")
        if isinstance(command, OpenAccount) or word == "pending":
            return
        key, at_us = (type(command), command), self._times_us[sequence]
        first = self._answers.get(key)
        if first is not None and self._is_over(command.id, self.time_us(_begun_at(first, self.partition)), at_us):
            first = None
            self._ran_now.discard(key)
        if word in NOT_LASTING:
            # One that is told late may be of a block before the first: of the id's life before, which was over.
            before = first is not None and sequence < _begun_at(first, self.partition)
            holds = first is None or before or has_time(command.id)
            self.require(holds, f"{word} is said of an id that is to be remembered")
        else:
            became = {name: value for name, value in document.items() if name != "repeated"}
            self.require(first is None or first == became, "one id has two answers")
            self._answers[key] = became
            if "repeated" not in document:
                self.require(key not in self._ran_now, "two are told that their request has run")
                self._ran_now.add(key)

    def _is_over(self, id16: bytes, since_us: int, now_us: int) -> bool:
        """Whether what is promised of an id without a time is over: it may be forgotten, and run again."""
        return not self.wallet.ever and not has_time(id16) and now_us - since_us >= SEVEN_DAYS_US

    def _of_life(self, told: list[Told]) -> list[Told]:
        """Those since the id ran last: one without a time may run again once its days are over, and is another command then."""
        first = 0
        for at, each in enumerate(told):
            ran = each.outcome.unasked is None and each.outcome.word not in NOT_RUN
            if ran and isinstance(each.subject, bytes):
                since_us, now_us = self._times_us[told[first].sequence], self._times_us[each.sequence]
                first = at if self._is_over(each.subject, since_us, now_us) else first
        return told[first:]

    def used(self, id16: bytes, sequence: int) -> None:
        """A client was told that its id was used for something else in this partition, in this block."""
        used = any(each.sequence == sequence for each in self._told_of.get(id16, ()))
        self.require(used, "an id is called used that was not")

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
            self.require(generation.count == 0, "a view before the first block has rows")
            return
        self.require(
            checkpoint.block_hash == self.hashes[checkpoint.sequence], "the view is at a block that does not count"
        )
        rows = self.rows[checkpoint.sequence]
        accounts = generation.rows(0, generation.count).accounts
        self.require(set(accounts) == set(rows), "the view has other accounts than the log")
        for name in accounts:
            self.shown(name, row_of(generation.row(name)), checkpoint.sequence)

    def pushed(self, name: str, item: Mapping[str, Any]) -> None:
        """A client of the stream got this item."""
        self.looks += 1
        row = self.by_version.get((name, item["v"]))
        self.require(row is not None, f"a version was pushed that the log does not have: {name} {item['v']}")
        assert row is not None
        available = None if row.floor == NO_FLOOR_IN_COLUMN else str(row.posted - row.held - row.floor)
        pushed = (item["posted"], item["held"], item["available"])
        self.require(pushed == (str(row.posted), str(row.held), available), "a pushed balance is wrong")


def row_of(row: Any) -> Row | None:
    """An `AccountRow` as the auditor keeps it."""
    return None if row is None else Row(row.asset, row.posted, row.held, row.floor, row.version, row.at_us)


def positions_of(token: str) -> dict[int, int]:
    """A position token, by partition."""
    pairs = (each.split(":") for each in token.split(",") if each)
    return {int(partition): int(sequence) for partition, sequence in pairs}


def _sequence_of(document: Mapping[str, object], partition: int) -> int:
    return positions_of(str(document["position"]))[partition]


def _begun_at(document: Mapping[str, Any], home: int) -> int:
    """The block of home in which what is answered began: the days of an id without a time count from there."""
    own = [str(step["position"]) for step in document.get("steps", ()) if step["partition"] == home]
    return min([_sequence_of(document, home), *(int(each.partition(":")[2]) for each in own)])


def _row_name(name: str, asset: str) -> str:
    return f"{name}:{asset}" if name.startswith("@") else name


def accounts_of(document: Mapping[str, object]) -> list[Mapping[str, Any]]:
    """The accounts in an answer."""
    accounts = document.get("accounts", [])
    assert isinstance(accounts, list)
    return accounts


def shown_by(outcomes: Sequence[Outcome]) -> set[tuple[str, int, int]]:
    """The accounts that an answer tells, after all that the command did here: not the system's, and not another home's steps."""
    at_home = [each for each in outcomes if each.unasked is None or each.unasked.why != "step"]
    entries = sorted((entry for each in at_home for entry in each.entries), key=lambda entry: entry.version)
    after = {entry.account: entry for entry in entries if not entry.account.startswith("@")}
    return {(entry.account, entry.posted, entry.version) for entry in after.values()}
