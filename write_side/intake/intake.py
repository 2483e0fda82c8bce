"""Intake: takes commands to the partitions that decide them, and answers from the log.

A transfer across partitions is answered when it has ended, or as pending when that takes longer than the caller waits.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from fanfold.api.malformed import Malformed
from write_side.contract.tell.answers import PENDING_STATUS, Answer
from write_side.contract.tell.done_lines import DoneLine
from write_side.intake.dry_runs import DryRuns
from write_side.intake.home import home_partition, is_inside
from write_side.intake.lane import Lane, Lone, Overloaded
from write_side.intake.lines import Routed, columns_of, not_begun, not_run, turns, unknown_behind
from write_side.intake.outcome_columns import BatchOutcome, outcome_columns
from write_side.intake.refused_ahead import RefusedAhead, transfers_of, used_before_in_request
from write_side.intake.stopped_elsewhere import NO_HOLDS, StoppedElsewhere
from write_side.intake.subjects import Subjects
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Command,
    Hold,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.owner.clock import Clock
from write_side.owner.outcomes import ANSWERS_A_TURN, Decided, Outcomes, OutcomeUnknown, PartitionUnavailable
from write_side.queue.command_queue import CommandQueue

__all__ = ["Intake", "Overloaded", "Stopping"]

GATHERED_MAX: Final = 65_536
"""Commands that may gather in one lane: some 100 ms of full load, and some 30 MB."""


class Stopping(Exception):
    """The service is stopping; the command was not taken."""


class Intake:
    """`outcomes`: by partition. record_commands_max: commands a record. wait_s: how long an answer is waited for.
    clock, ids_max: what dry runs go by, the latter as the writers have it."""

    def __init__(
        self,
        queue: CommandQueue,
        outcomes: Mapping[int, Outcomes],
        *,
        partitions: int,
        clock: Clock,
        record_commands_max: int = 8_192,
        wait_s: float = 10.0,
        ids_max: int = 16_777_216,
    ) -> None:
        self._partitions = partitions
        self._wait_s = wait_s
        self._lanes = {p: Lane(p, queue, outcomes[p], record_commands_max, wait_s) for p in range(partitions)}
        self._subjects = Subjects(outcomes)
        self._ahead = RefusedAhead(outcomes, clock)
        self._stopped_elsewhere = StoppedElsewhere(outcomes)
        self._dry_runs = DryRuns({p: outcomes[p] for p in range(partitions)}, clock, ids_max)
        self._stopping = False

    async def submit(
        self,
        commands: Sequence[Command],
        mode: Mode = Mode.CONTINUE,
        wait_s: float | None = None,
        runs: int | None = None,
        asked_by: str = "",
    ) -> list[Answer]:
        """Decide these commands and answer each, in order. Commands of one partition are decided in this order.

        asked_by: the principal whose they are, by its name (`fanfold/api/grammar.py`), which goes into the log with them; "" for
        nobody.

        runs: how many of the first may be run, where the mode is not `continue`; None: all. The others are not run, as behind or
        beside a line that was refused: what became of them before is told.

        A transfer that would go to a partition known to be stopped is refused before it begins, unless its id has been there.

        wait_s: how long to wait, for all together, until transfers across partitions end. Raises Overloaded, PartitionUnavailable
        or Stopping when none was taken, OutcomeUnknown when some may have been, Malformed for an atomic batch that cannot be one.
        """
        if self._stopping:
            raise Stopping
        until_s = self._until(wait_s)
        suspected = await self._ahead.suspected(commands)
        routed: list[Routed] = []
        asked: dict[bytes, int] = {}
        holds: dict[bytes, Hold] = {}
        made: dict[bytes, int] = {}
        for command, known in zip(commands, suspected, strict=True):
            if (
                mode is Mode.CONTINUE
                and isinstance(command, Reverse)
                and command.transfer in made
                and not (known and self._ahead.forgotten(command))
            ):
                line = Routed(made[command.transfer], command)  # until its turn has come
            else:
                line = await self._routed(command, known, asked)
            routed.append(line)
            if isinstance(command, Hold):
                asked.setdefault(command.id, line.home)
                holds.setdefault(command.id, command)
            elif isinstance(command, Transfer | LegsTransfer):
                made.setdefault(command.id, line.home)
        if asked_by:
            routed = [line._replace(asked_by=asked_by) for line in routed]
        if self._stopped_elsewhere.any:
            if len(routed) == 1 and (stopped := await self._stopped_for(routed[0], holds)) is not None:
                raise stopped
            routed = [await self._unless_stopped(line, holds) for line in routed]
        if self._partitions > 1 and len(routed) > 1:
            for at, refusal in used_before_in_request([line.home for line in routed], commands).items():
                routed[at] = routed[at]._replace(refusal=routed[at].refusal or refusal)
        if mode is Mode.STOP:
            return await self._in_order(routed, until_s, len(routed) if runs is None else runs)
        if mode is Mode.ATOMIC and runs == 0:
            return await self._none_run(routed, "batch_refused", until_s)
        if mode is Mode.ATOMIC:
            self._refuse_unless_atomic(routed)
            if any(line.refusal is not None for line in routed):
                return await self._none_run(routed, "batch_refused", until_s)
            return await self._submit(routed, mode, until_s)
        return await self._in_turns(routed, until_s)

    async def submit_batch(
        self, batch: CommandBatch, mode: Mode, wait_s: float | None, asked_by: str = ""
    ) -> BatchOutcome:
        """The same for the columns of plain transfers, without a Python object a row."""
        if self._stopping:
            raise Stopping
        batch = batch.asked_by(asked_by)
        until_s = self._until(wait_s)
        homes = batch.homes(self._partitions)
        if await self._go_singly(batch, homes):
            return BatchOutcome.told(await self.submit(transfers_of(batch), mode, wait_s, asked_by=asked_by))
        found = np.unique(homes)
        if mode is Mode.ATOMIC and found.size > 1:
            raise Malformed("batch_spans_partitions", "body", "has transfers of several partitions")
        if mode is Mode.STOP:
            return await self._columns_in_order(batch, homes, until_s, asked_by)
        rows = {int(p): np.flatnonzero(homes == p) for p in found}
        parts = {p: batch.take(at).chained(mode) for p, at in rows.items()}
        decided = await self._decided({p: [part] for p, part in parts.items()})
        outcomes = [
            await outcome_columns(self._lanes[p].outcomes, each, len(rows[p]), until_s) for p, [each] in decided.items()
        ]
        return BatchOutcome.gathered(list(rows.values()), outcomes)

    async def submit_plain(
        self, batch: CommandBatch, wait_s: float | None, asked_by: str = ""
    ) -> list[Answer | DoneLine]:
        """As `submit_batch` of transfers that do not hang together, each answered in full: most by the text that is sent."""
        if self._stopping:
            raise Stopping
        batch = batch.asked_by(asked_by)
        until_s = self._until(wait_s)
        homes = batch.homes(self._partitions) if self._partitions > 1 else np.zeros(len(batch), np.int64)
        if await self._go_singly(batch, homes):
            return list(await self.submit(transfers_of(batch), wait_s=wait_s, asked_by=asked_by))
        found_at = {int(p): np.flatnonzero(homes == p) for p in np.unique(homes)} if self._partitions > 1 else {}
        if len(found_at) > 1:
            rows = {p: at.tolist() for p, at in found_at.items()}
            parts = {p: list(batch.take(at).parts()) for p, at in found_at.items()}
        else:
            rows = {next(iter(found_at), 0): list(range(len(batch)))}
            parts = {p: list(batch.parts()) for p in rows}
        answers: dict[int, Answer | DoneLine] = {}
        for p, decided in (await self._decided(parts)).items():
            found = [
                answer
                for part, each in zip(parts[p], decided, strict=True)
                for answer in await self._lanes[p].outcomes.lines(each, len(part))
            ]
            answers.update(zip(rows[p], found, strict=True))
        for i, answer in answers.items():
            if isinstance(answer, Answer) and answer.status == PENDING_STATUS:
                [transfer] = transfers_of(batch.slice(i, i + 1))
                answers[i] = await self._ended(int(homes[i]), transfer, answer, until_s)
        return [answers[i] for i in range(len(batch))]

    async def _go_singly(self, batch: CommandBatch, homes: npt.NDArray[np.int64]) -> bool:
        """Whether one of these plain transfers may have to be refused before its partition is asked."""
        goes_to_stopped = self._stopped_elsewhere.any and bool(batch.is_away(self._partitions).any())
        return goes_to_stopped or await self._ahead.any_of(batch, homes)

    async def dry_run(self, command: Command) -> Answer:
        """What `submit` would answer now, marked `dry_run`; nothing reaches the log.

        Raises Stopping; Overloaded when `DRY_RUNS_MAX` wait: who only asks must not keep payments waiting.
        """
        if self._stopping:
            raise Stopping
        async with self._dry_runs.turn():
            [suspected] = await self._ahead.suspected([command])
            home, routed, refusal, _ = await self._routed(command, suspected)
            if refusal is not None:
                return Answer(refusal.status, refusal.document | {"dry_run": True})
            return await self._dry_runs.run(home, routed)

    def unanswered_s(self, partition: int) -> float:
        """For how long what was sent there first, of what is on its way, has no answer."""
        return self._lanes[partition].oldest_s

    def under_way(self) -> dict[int, int]:
        """By partition, the commands that were taken and have no outcome yet."""
        return {partition: lane.under_way for partition, lane in self._lanes.items()}

    async def close(self) -> None:
        """Take nothing more; wait for what was taken."""
        self._stopping = True
        await asyncio.gather(*(lane.idle() for lane in self._lanes.values()))

    async def _routed(self, command: Command, suspected: bool, asked: Mapping[bytes, int] | None = None) -> Routed:
        """asked: where the holds of the lines before it go."""
        if suspected and (forgotten := self._ahead.forgotten(command)) is not None:
            if isinstance(command, Capture | Void | Reverse):
                return Routed(0, command, forgotten)
            # Its home all the same: an atomic batch is asked whether it has one.
            return Routed(home_partition(command, self._partitions), command, forgotten)
        if isinstance(command, Capture | Void):
            return Routed(await self._subjects.home_of_hold(command, asked), command)
        if isinstance(command, Reverse):
            return Routed(*await self._subjects.reversal(command))
        home = home_partition(command, self._partitions)
        return Routed(home, command, await self._ahead.answer(home, command, suspected))

    async def _stopped_for(self, line: Routed, holds: Mapping[bytes, Hold]) -> PartitionUnavailable | None:
        """The stopped partition because of which nothing of this line may begin. holds: as asked for in the same request."""
        return None if line.refusal is not None else await self._stopped_elsewhere.of(line.home, line.command, holds)

    async def _unless_stopped(self, line: Routed, holds: Mapping[bytes, Hold] = NO_HOLDS) -> Routed:
        """The line, with a refusal where nothing of it may begin."""
        stopped = await self._stopped_for(line, holds)
        return line if stopped is None else line._replace(refusal=not_begun(line.command, stopped))

    async def _reversal_in_turn(self, line: Routed, reverse: Reverse) -> Routed:
        """A line that reverses one of the same request, now that this has been decided: with what it moves."""
        home, reverse = await self._subjects.reversal(reverse)
        return await self._unless_stopped(line._replace(home=home, command=reverse))

    def _refuse_unless_atomic(self, routed: Sequence[Routed]) -> None:
        if not all(isinstance(line.command, Transfer | LegsTransfer) for line in routed):
            raise Malformed("batch_kind_unsupported", "body", "has a line that is no transfer")
        if len({line.home for line in routed}) > 1:
            raise Malformed("batch_spans_partitions", "body", "has transfers of several partitions")

    async def _in_order(self, routed: list[Routed], until_s: float, runs: int) -> list[Answer]:
        """One run of lines after the other: those that one partition decides at once make a run, any other is one alone.
        runs: how many of the first may be run."""
        answers: list[Answer] = []
        at = 0
        while at < len(routed):
            with unknown_behind(answers):
                if at == runs or any(answer.status >= 400 for answer in answers):
                    answers += await self._none_run(routed[at:], "not_run", until_s)
                    break
                reverse = routed[at].command
                if at and isinstance(reverse, Reverse):  # a line before it may have made what it reverses
                    routed[at] = await self._reversal_in_turn(routed[at], reverse)
                end = at + 1
                while end < runs and self._hangs_on(routed[at], routed[end]):
                    end += 1
                end = at + len(next(columns_of(routed[at:end]).parts()))
                answers += await self._submit(routed[at:end], Mode.STOP, until_s)
                at = end
        return answers

    async def _in_turns(self, routed: list[Routed], until_s: float) -> list[Answer]:
        """All lines at once, but what reverses one of them: it is sent when that one has been decided, with every line behind it.
        What it moves is read from the log: the id may be that of another transfer, which ran before."""
        answers: list[Answer] = []
        for start, stop in itertools.pairwise(turns([line.command for line in routed])):
            with unknown_behind(answers):
                for at in range(start, stop) if start else ():
                    if isinstance(reverse := routed[at].command, Reverse):
                        routed[at] = await self._reversal_in_turn(routed[at], reverse)
                answers += await self._submit(routed[start:stop], Mode.CONTINUE, until_s)
        return answers

    async def _none_run(self, routed: Sequence[Routed], word: str, until_s: float) -> list[Answer]:
        """Lines that are not to be run, and why; those that ran before, by whatever request, get their outcome again."""
        # Nobody is told that a line was not run by a partition that has not folded what was there when he asked.
        for home in {line.home for line in routed if not await self._is_known(line)}:
            await self._lanes[home].outcomes.caught_up()
        ran = [at for at, line in enumerate(routed) if await self._is_known(line)]
        answers = dict(zip(ran, await self._submit([routed[at] for at in ran], Mode.CONTINUE, until_s), strict=True))
        if word == "batch_refused":  # the line that refused the others says why
            answers |= {at: line.refusal for at, line in enumerate(routed) if line.refusal is not None}
        return [answers.get(at) or not_run(line.command, word) for at, line in enumerate(routed)]

    async def _is_known(self, line: Routed) -> bool:
        """Whether its id ran, so that asking runs nothing."""
        command, outcomes = line.command, self._lanes[line.home].outcomes
        if isinstance(command, OpenAccount):
            return False
        place = await outcomes.ask(lambda state: state.find_transfer(command.id))
        return place is not None or outcomes.ran(command.id) is not None

    def _hangs_on(self, first: Routed, other: Routed) -> bool:
        return first.home == other.home and all(
            line.refusal is None
            and not isinstance(line.command, Capture | Void | Reverse)
            and is_inside(line.command, self._partitions)
            for line in (first, other)
        )

    async def _alone(self, home: int, command: Lone, until_s: float, asked_by: str) -> Answer:
        """As `_submit` for one that comes by itself, without columns of its own."""
        lane = self._lanes[home]
        lane.outcomes.require()
        if lane.gathered >= GATHERED_MAX or lane.is_heavy:
            raise Overloaded
        [answer] = await lane.outcomes.answers(await lane.add(command, asked_by=asked_by), (0,))
        return await self._ended(home, command, answer, until_s) if answer.status == PENDING_STATUS else answer

    async def _ended(self, home: int, command: Command, answer: Answer, until_s: float) -> Answer:
        """How a transfer ended of which `answer` tells that it is under way; the answer itself where it has not by then."""
        assert not isinstance(command, OpenAccount)
        ended = await self._lanes[home].outcomes.ended(command.id, until_s) or answer
        return ended.again() if answer.is_repeat else ended

    async def _submit(self, routed: Sequence[Routed], mode: Mode, until_s: float) -> list[Answer]:
        if len(routed) == 1 and mode is Mode.CONTINUE and routed[0].refusal is None:
            command = routed[0].command
            if isinstance(command, Lone):
                return [await self._alone(routed[0].home, command, until_s, routed[0].asked_by)]
        by_partition: dict[int, list[int]] = {}
        answers: dict[int, Answer] = {}
        for i, line in enumerate(routed):
            if line.refusal is None:
                by_partition.setdefault(line.home, []).append(i)
            else:
                answers[i] = line.refusal
        batches = {p: list(columns_of([routed[i] for i in rows], mode).parts()) for p, rows in by_partition.items()}
        if mode is not Mode.CONTINUE and any(len(parts) > 1 for parts in batches.values()):
            raise Malformed(
                "batch_too_large", "body", "is more than one block takes, and an atomic batch is decided in one"
            )
        for p, decided in (await self._decided(batches)).items():
            found = [
                answer
                for part, each in zip(batches[p], decided, strict=True)
                for answer in await self._lanes[p].outcomes.answers(each, range(len(part)))
            ]
            answers.update(zip(by_partition[p], found, strict=True))
        for told, (i, answer) in enumerate(answers.items()):
            if told % ANSWERS_A_TURN == ANSWERS_A_TURN - 1:
                await asyncio.sleep(0)
            if answer.status == PENDING_STATUS:
                answers[i] = await self._ended(routed[i].home, routed[i].command, answer, until_s)
        return [answers[i] for i in range(len(routed))]

    def _until(self, wait_s: float | None) -> float:
        """When a request that comes now has waited enough: once, for all its transfers, or a batch could outlast every proxy."""
        return asyncio.get_running_loop().time() + (self._wait_s if wait_s is None else wait_s)

    async def _decided(self, batches: Mapping[int, Sequence[CommandBatch]]) -> dict[int, list[Decided]]:
        """Send batches to their partitions; the outcomes of each. Raises Overloaded, OutcomeUnknown."""
        for p in batches:
            self._lanes[p].outcomes.require()
        sizes = {p: sum(map(len, each)) for p, each in batches.items()}
        if any(self._lanes[p].gathered + size > GATHERED_MAX or self._lanes[p].is_heavy for p, size in sizes.items()):
            raise Overloaded
        futures = {
            p: [self._lanes[p].add(batch, behind=n) for n, batch in enumerate(each)] for p, each in batches.items()
        }
        flat = [future for each in futures.values() for future in each]
        results = await asyncio.gather(*flat, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result if len(flat) == 1 else OutcomeUnknown() from result
        return {p: [future.result() for future in each] for p, each in futures.items()}

    async def _columns_in_order(
        self, batch: CommandBatch, homes: npt.NDArray[np.int64], until_s: float, asked_by: str
    ) -> BatchOutcome:
        away = batch.is_away(self._partitions)
        cuts = np.flatnonzero((homes[1:] != homes[:-1]) | away[1:] | away[:-1]) + 1
        bounds = [0, *cuts.tolist(), len(batch)]
        outcomes: list[BatchOutcome] = []
        for start, stop in itertools.pairwise(bounds):
            if outcomes and outcomes[-1].refused:
                outcomes.append(await self._columns_not_run(batch.slice(start, len(batch)), until_s, asked_by))
                break
            part = batch.slice(start, stop).chained(Mode.STOP)
            home = int(homes[start])
            with unknown_behind(outcomes):
                [decided] = (await self._decided({home: [part]}))[home]
            outcomes.append(await outcome_columns(self._lanes[home].outcomes, decided, stop - start, until_s))
        return BatchOutcome.joined(outcomes)

    async def _columns_not_run(self, batch: CommandBatch, until_s: float, asked_by: str) -> BatchOutcome:
        """Rows behind a refused one: those that ran before, by whatever request, get their outcome again."""
        commands = transfers_of(batch)
        routed = [(await self._routed(command, False))._replace(asked_by=asked_by) for command in commands]
        with unknown_behind(commands):
            return BatchOutcome.told(await self._none_run(routed, "not_run", until_s))
