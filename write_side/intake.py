"""Intake: takes commands to the partitions that decide them, and answers from the log.

A transfer across partitions is answered when it has ended, or as pending when that takes longer than the caller waits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from write_side.clock import Clock
from write_side.command_queue import CommandQueue
from write_side.contract.answers import PENDING_STATUS, Answer
from write_side.contract.atoms import Malformed, format_transfer_id
from write_side.contract.codes import PROBLEMS, problem_document
from write_side.dry_run import dry_run
from write_side.earlier import Earlier
from write_side.home import home_partition, is_inside
from write_side.lane import Lane, Overloaded
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import (
    Capture,
    Command,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.outcome_columns import BatchOutcome, outcome_columns
from write_side.outcomes import Decided, Outcomes, OutcomeUnknown, PartitionUnavailable

__all__ = ["Intake", "Overloaded", "Stopping"]

GATHERED_MAX: Final = 65_536
"""Commands that may gather in one lane: some 100 ms of full load, and some 30 MB."""


class Stopping(Exception):
    """The service is stopping; the command was not taken."""


class Intake:
    """`outcomes`: by partition. record_commands_max: commands a record. wait_s: how long an answer is waited for.
    clock: what dry runs go by."""

    def __init__(
        self,
        queue: CommandQueue,
        outcomes: Mapping[int, Outcomes],
        *,
        partitions: int,
        clock: Clock,
        record_commands_max: int = 8_192,
        wait_s: float = 10.0,
    ) -> None:
        self._partitions = partitions
        self._wait_s = wait_s
        self._clock = clock
        self._lanes = {p: Lane(p, queue, outcomes[p], record_commands_max, wait_s) for p in range(partitions)}
        self._earlier = Earlier(outcomes)
        self._stopping = False

    async def submit(
        self, commands: Sequence[Command], mode: Mode = Mode.CONTINUE, wait_s: float | None = None
    ) -> list[Answer]:
        """Decide these commands and answer each, in order. Commands of one partition are decided in this order.

        wait_s: how long to wait, for all together, until transfers across partitions end. Raises Overloaded, PartitionUnavailable
        or Stopping when none was taken, OutcomeUnknown when some may have been, Malformed for an atomic batch that cannot be one.
        """
        if self._stopping:
            raise Stopping
        until_s = self._until(wait_s)
        routed = [await self._routed(command) for command in commands]
        if mode is Mode.STOP:
            return await self._in_order(routed, until_s)
        if mode is Mode.ATOMIC:
            self._refuse_unless_atomic(routed)
        return await self._submit(routed, mode, until_s)

    async def submit_batch(self, batch: CommandBatch, mode: Mode, wait_s: float | None) -> BatchOutcome:
        """The same for the columns of plain transfers, without a Python object a row."""
        if self._stopping:
            raise Stopping
        until_s = self._until(wait_s)
        homes = batch.homes(self._partitions)
        found = np.unique(homes)
        if mode is Mode.ATOMIC and found.size > 1:
            raise Malformed("batch_spans_partitions", "body", "has transfers of several partitions")
        if mode is Mode.STOP:
            return await self._columns_in_order(batch, homes, until_s)
        rows = {int(p): np.flatnonzero(homes == p) for p in found}
        parts = {p: batch.take(at).chained(mode) for p, at in rows.items()}
        decided = await self._decided({p: [part] for p, part in parts.items()})
        outcomes = [
            await outcome_columns(self._lanes[p].outcomes, each, len(rows[p]), until_s) for p, [each] in decided.items()
        ]
        return BatchOutcome.gathered(list(rows.values()), outcomes)

    async def dry_run(self, command: Command) -> Answer:
        """What `submit` would answer now, marked `dry_run`; nothing reaches the log. Raises Stopping."""
        if self._stopping:
            raise Stopping
        home, routed = await self._routed(command)
        for lane in self._lanes.values():  # a transfer may go to any of them
            lane.outcomes.require()
        states = {p: lane.outcomes.state for p, lane in self._lanes.items()}
        said = await asyncio.to_thread(dry_run, states, home, routed, self._partitions, self._clock.wall_us())
        if isinstance(said, Answer):
            return said
        first = await self._lanes[home].outcomes.first(said)
        return Answer(first.status, first.document | {"dry_run": True})

    async def close(self) -> None:
        """Take nothing more; wait for what was taken."""
        self._stopping = True
        await asyncio.gather(*(lane.idle() for lane in self._lanes.values()))

    async def _routed(self, command: Command) -> tuple[int, Command]:
        """The partition that decides it, and the command with what the log knows of its subject."""
        if isinstance(command, Capture | Void):
            return await self._earlier.home_of_hold(command.hold), command
        if isinstance(command, Reverse):
            return await self._earlier.reversal(command)
        return home_partition(command, self._partitions), command

    def _refuse_unless_atomic(self, routed: Sequence[tuple[int, Command]]) -> None:
        if not all(isinstance(command, Transfer | LegsTransfer) for _, command in routed):
            raise Malformed("batch_kind_unsupported", "body", "has a line that is no transfer")
        if len({home for home, _ in routed}) > 1:
            raise Malformed("batch_spans_partitions", "body", "has transfers of several partitions")

    async def _in_order(self, routed: Sequence[tuple[int, Command]], until_s: float) -> list[Answer]:
        """One run of lines after the other: those that one partition decides at once make a run, any other is one alone."""
        answers: list[Answer] = []
        at = 0
        while at < len(routed):
            if any(answer.status >= 400 for answer in answers):
                answers += await self._behind_refusal(routed[at:], until_s)
                break
            end = at + 1
            while end < len(routed) and self._hangs_on(routed[at], routed[end]):
                end += 1
            end = at + len(next(CommandBatch.of([command for _, command in routed[at:end]]).parts()))
            try:
                answers += await self._submit(routed[at:end], Mode.STOP, until_s)
            except (Overloaded, PartitionUnavailable) as refusal:
                if not answers:
                    raise
                raise OutcomeUnknown from refusal
            at = end
        return answers

    async def _behind_refusal(self, routed: Sequence[tuple[int, Command]], until_s: float) -> list[Answer]:
        """Lines that are not to be run; those that ran before, by this batch or another request, get their outcome again."""
        ran = [at for at, (home, command) in enumerate(routed) if self._is_known(home, command)]
        answers = dict(zip(ran, await self._submit([routed[at] for at in ran], Mode.CONTINUE, until_s), strict=True))
        return [answers.get(at) or _not_run(command) for at, (_, command) in enumerate(routed)]

    def _is_known(self, home: int, command: Command) -> bool:
        """Whether its id is remembered, so that asking runs nothing."""
        state = self._lanes[home].outcomes.state
        return not isinstance(command, OpenAccount) and state.find_transfer(command.id) is not None

    def _hangs_on(self, first: tuple[int, Command], other: tuple[int, Command]) -> bool:
        return first[0] == other[0] and all(
            not isinstance(command, Capture | Void | Reverse) and is_inside(command, self._partitions)
            for _, command in (first, other)
        )

    async def _submit(self, routed: Sequence[tuple[int, Command]], mode: Mode, until_s: float) -> list[Answer]:
        by_partition: dict[int, list[int]] = {}
        for i, (home, _) in enumerate(routed):
            by_partition.setdefault(home, []).append(i)
        batches = {
            p: list(CommandBatch.of([routed[i][1] for i in rows], mode).parts()) for p, rows in by_partition.items()
        }
        if mode is not Mode.CONTINUE and any(len(parts) > 1 for parts in batches.values()):
            raise Malformed(
                "batch_too_large", "body", "is more than one block takes, and an atomic batch is decided in one"
            )
        answers: dict[int, Answer] = {}
        for p, decided in (await self._decided(batches)).items():
            found = [
                answer
                for part, each in zip(batches[p], decided, strict=True)
                for answer in await self._lanes[p].outcomes.answers(each, range(len(part)))
            ]
            answers.update(zip(by_partition[p], found, strict=True))
        for i, answer in answers.items():
            if answer.status == PENDING_STATUS:
                home, command = routed[i]
                assert not isinstance(command, OpenAccount)
                answers[i] = await self._lanes[home].outcomes.ended(command.id, until_s) or answer
        return [answers[i] for i in range(len(routed))]

    def _until(self, wait_s: float | None) -> float:
        """When a request that comes now has waited enough: once, for all its transfers, or a batch could outlast every proxy."""
        return asyncio.get_running_loop().time() + (self._wait_s if wait_s is None else wait_s)

    async def _decided(self, batches: Mapping[int, Sequence[CommandBatch]]) -> dict[int, list[Decided]]:
        """Send batches to their partitions; the outcomes of each. Raises Overloaded, OutcomeUnknown."""
        for p in batches:
            self._lanes[p].outcomes.require()
        sizes = {p: sum(map(len, each)) for p, each in batches.items()}
        if any(self._lanes[p].gathered + size > GATHERED_MAX for p, size in sizes.items()):
            raise Overloaded
        futures = {p: [self._lanes[p].add(batch) for batch in each] for p, each in batches.items()}
        flat = [future for each in futures.values() for future in each]
        results = await asyncio.gather(*flat, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result if len(flat) == 1 else OutcomeUnknown() from result
        return {p: [future.result() for future in each] for p, each in futures.items()}

    async def _columns_in_order(
        self, batch: CommandBatch, homes: np.ndarray[tuple[int], np.dtype[np.int64]], until_s: float
    ) -> BatchOutcome:
        away = batch.is_away(self._partitions)
        cuts = np.flatnonzero((homes[1:] != homes[:-1]) | away[1:] | away[:-1]) + 1
        bounds = [0, *cuts.tolist(), len(batch)]
        outcomes: list[BatchOutcome] = []
        for start, stop in itertools.pairwise(bounds):
            if outcomes and outcomes[-1].refused:
                outcomes.append(BatchOutcome.not_run(stop - start))
                continue
            part = batch.slice(start, stop).chained(Mode.STOP)
            home = int(homes[start])
            [decided] = (await self._decided({home: [part]}))[home]
            outcomes.append(await outcome_columns(self._lanes[home].outcomes, decided, stop - start, until_s))
        return BatchOutcome.joined(outcomes)


def _not_run(command: Command) -> Answer:
    id16 = None if isinstance(command, OpenAccount) else format_transfer_id(command.id)
    return Answer(PROBLEMS["not_run"].status, problem_document("not_run", id=id16, result="refused"))
