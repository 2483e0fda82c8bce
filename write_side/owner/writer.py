"""The writer: the one owner that decides a partition. Commands in, blocks out, answers only from what the log accepted.

    queue -> decide (many: in a thread) -> append -> read back as accepted -> `on_accepted`

It starts by folding the log to its end and appending an epoch block; once that is accepted, every older writer of the
partition is shut out by the chain rule. It decides one block ahead of the one being appended, never more, and has at most one
unaccepted block in the log. On any doubt (an append failed, another block took its place, the clock jumped) it raises, and it
is over: what it had not answered is repeated by the next writer (`partition.py`) or by the client, and can never run twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

import structlog

from write_side.contract.block import limits
from write_side.contract.block.block import Block, Header
from write_side.contract.block.chain import NO_HEAD, ChainBroken, Head, Skip, judge_header
from write_side.contract.log.log import Log, LogFailed, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.times import format_time
from write_side.id_runs.keeping import keep_ids
from write_side.id_runs.runs import IdRuns, Ran
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.deciding.decide import is_brief
from write_side.ledger.deciding.next_block import Decided, next_block, opening_block
from write_side.owner.block_times import BlockTimes
from write_side.owner.clock import Clock, ClockStepped, SteppedClockGuard
from write_side.owner.fold_to_end import fold_to_end
from write_side.owner.log_time import LogTime, judge_log_time
from write_side.owner.lost_commands import CommandsLost, LostCommands
from write_side.queue.command_queue import CommandQueue, Queued, QueueReader

BLOCKS_AHEAD = 2
"""One block being appended, one decided ahead of it."""

DUE_LOOK_S = 60.0
"""A deadline is looked at again after this long: the machine's clock may have been slewed meanwhile."""

_log = structlog.get_logger(__name__)

OnAccepted = Callable[[Block, int], None]


class Overtaken(Exception):
    """Another writer owns this partition now. Its blocks count, this one's last does not; nothing is counted twice."""


class WriterLimits(NamedTuple):
    """block_commands_max: commands a block (whole records); ids_max: remembered ids before the cut-off rises.

    accepted_log_time_us: a log that is ahead of the clock is gone on with when its last block was of this time (`log_time.py`);
    0: none is. accepted_losses: without which commands, that its queue has lost, a partition goes on (`lost_commands.py`)."""

    block_commands_max: int = 8_192
    ids_max: int = 16_777_216
    max_clock_step_us: int = 5_000_000
    accepted_log_time_us: int = 0
    accepted_losses: frozenset[LostCommands] = frozenset()


class Writer:
    """One partition's writer. `start()` once, then `run()` until it raises or is cancelled.

    on_accepted(block, log offset): called for every block of this writer in order, when it counts and is durable.
    claimed: the highest epoch by which writers before this one, of the same process, have taken the partition over, or tried to.
    ids: where every id that ever ran is found; None: each is remembered as long as memory has it. times: told each block, for
    traces.
    """

    def __init__(
        self,
        partition: int,
        log: Log,
        queue: CommandQueue,
        clock: Clock,
        limits: WriterLimits,
        on_accepted: OnAccepted,
        *,
        guard: SteppedClockGuard | None = None,
        snapshots: Snapshots | None = None,
        claimed: int | None = None,
        ids: IdRuns | None = None,
        times: BlockTimes | None = None,
    ) -> None:
        self.partition = partition
        self._times = times
        self.claimed = claimed
        self.state = State(partition, log.partitions)
        self.replay = Replay(self.state, FINGERPRINTS)
        self.unreadable_records = 0
        self._log = log
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._guard = guard or SteppedClockGuard(clock, limits.max_clock_step_us)
        self._reader: QueueReader | None = None
        self._tail: AsyncGenerator[Record] | None = None
        self._peek: asyncio.Task[Record] | None = None
        self._reading = False
        self._doubt: asyncio.Future[None] | None = None
        self._on_accepted = on_accepted
        self._snapshots = snapshots
        self.ids = ids
        self._accepted = NO_HEAD
        self._due_us: int | None = None
        self._left_over: Sequence[Queued] = ()

    async def start(self) -> None:
        """Fold the log to its end, from a snapshot on where there is one, take the partition over by an epoch block, and open the
        queue where the log has consumed it to.

        Raises Overtaken where another process has done so since a writer of this one had: each would else end the other for ever;
        CommandsLost; LogFailed.
        """
        await fold_to_end(self._log, self.partition, self.replay, self._snapshots, FINGERPRINTS, self.ids)
        self._refuse_future_log()
        before = self.claimed
        self._tail = _records(self._log.tail(self.partition, self.replay.last_offset))
        while True:
            if before is not None and self.state.chained.epoch > before:
                raise self._overtaken(self.state.chained.epoch)
            data, block = self._opening()
            own = block.header
            self.claimed = own.epoch
            offset, folded = await self._log.append(self.partition, data), -1
            while self.state.chained.sequence < own.sequence:
                record = await self._next()
                folded = record.offset
                taken = self.replay.take(record)
                if taken is not None and self.ids is not None:
                    self.ids.add_folded(self.state, taken)
            # By its place, not its bytes: two that start together from one log may make the same block, and one of them owns it.
            if folded == offset:
                break
        self._accepted = self.state.chained.head
        self._due_us = self.state.pending.first_due_us()
        self._reader = await self._opened_queue()

    async def _opened_queue(self) -> QueueReader:
        """Only now, and not before the epoch block: who wrote the partition until then may have consumed, and given back, more
        than was folded at first."""
        consumed_to, begins_at = self.state.chained.consumed_to, await self._queue.begins_at(self.partition)
        if begins_at > consumed_to:
            await self._refuse_where_overtaken()
            lost = LostCommands(self.partition, consumed_to, begins_at)
            if lost not in self._limits.accepted_losses:
                raise CommandsLost(lost)
            _log.warning(
                "going on without lost commands", partition=self.partition, first=consumed_to, behind=begins_at
            )
            self._left_over = (Queued(begins_at - 1, None),)  # the next block consumes them, unread
        return await self._queue.open_reader(self.partition, max(consumed_to, begins_at))

    async def _refuse_where_overtaken(self) -> None:
        """Raises Overtaken when the log has a block of another writer by now: who owns the partition may give commands back."""
        async with aclosing(self._log.read(self.partition, self.replay.last_offset)) as runs:
            async for run in runs:
                for record in run:
                    verdict = judge_header(self.partition, self._accepted, record.data)
                    if not isinstance(verdict, Skip):
                        raise self._overtaken(verdict.epoch)

    async def run(self) -> None:
        """Decide and append for ever. Raises Overtaken, LogFailed, ClockStepped, ChainBroken: the writer is over then."""
        reader = self._reader
        assert reader is not None, "started"
        ahead = asyncio.Semaphore(BLOCKS_AHEAD)
        decided: asyncio.Queue[tuple[Decided, Ran | None]] = asyncio.Queue(BLOCKS_AHEAD)
        self._doubt = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._append_decided(decided, ahead))
                tasks.create_task(self._until_in_doubt(self._doubt))
                if self.ids is not None:
                    tasks.create_task(keep_ids(self.ids))
                while True:
                    await ahead.acquire()
                    queued = await self._take(reader)
                    if self._times is not None:
                        self._times.decide()
                    decided.put_nowait(await self._decided(queued))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await self.close()

    def look(self) -> None:
        """See from now on what comes behind our last block, until our next one: who appends nothing would not notice that another
        writer has taken over. It is then over, as after an append. For every few seconds; the tail is open anyway."""
        if self._peek is None and not self._reading and self._doubt is not None and not self._doubt.done():
            self._peek = asyncio.create_task(self._next_of_tail())
            self._peek.add_done_callback(self._peeked)

    def _peeked(self, peek: asyncio.Task[Record]) -> None:
        if peek is not self._peek or peek.cancelled() or peek.exception() is not None or self._doubt is None:
            return  # whoever reads on meets it
        try:
            verdict = judge_header(self.partition, self._accepted, peek.result().data)
        except ChainBroken as broken:
            self._end(broken)
            return
        if isinstance(verdict, Skip):
            self.replay.skip(peek.result().offset, verdict)
            self._peek = None
            self.look()
        elif verdict.epoch > self._accepted.epoch:  # of our epoch it is our own, on its way through an append
            self._end(self._overtaken(verdict.epoch))

    def _end(self, failure: Exception) -> None:
        if self._doubt is not None and not self._doubt.done():
            self._doubt.set_exception(failure)

    async def _until_in_doubt(self, doubt: asyncio.Future[None]) -> None:
        await doubt

    async def close(self) -> None:
        """Let go of queue and log. Safe to call twice."""
        if (reader := self._reader) is not None:
            self._reader = None
            await reader.close()
        if (peek := self._peek) is not None:
            self._peek = None
            peek.cancel()
            await asyncio.gather(peek, return_exceptions=True)
        if self._tail is not None:
            await self._tail.aclose()

    async def _take(self, reader: QueueReader) -> Sequence[Queued]:
        """The next commands, or none when a deadline comes before them: a hold's, or that of a transfer's tries."""
        if self._left_over:
            return self._left_over
        due_us = self._due_us
        if due_us is None:
            return await reader.take(self._limits.block_commands_max)
        while True:
            wait_s = min(max((due_us - self._clock.wall_us()) / 1e6, 0.0), DUE_LOOK_S)
            try:
                async with asyncio.timeout(wait_s):
                    return await reader.take(self._limits.block_commands_max)
            except TimeoutError:
                if self._clock.wall_us() >= due_us:
                    return ()

    def _fitting(self, taken: Sequence[Queued]) -> Sequence[Queued]:
        """As many of the records as a block has room for, one at least; the others are left over for the next."""
        if len(taken) < 2:  # one alone was cut to fit by whoever made it
            self._left_over = ()
            return taken
        pending, weight, fitting = self.state.pending, 0, 0
        for record in taken:
            # Behind a record that names who asked, one that does not says so with a run of its own.
            weight += 0 if record.batch is None else limits.ASKER_ROW + record.batch.weight(pending)
            if fitting and weight > limits.COMMANDS_BYTES_MAX:
                break
            fitting += 1
        self._left_over = taken[fitting:]
        return taken[:fitting]

    async def _next(self) -> Record:
        peek, self._peek = self._peek, None
        self._reading = True
        try:
            return await (self._next_of_tail() if peek is None else peek)
        finally:
            self._reading = False

    async def _next_of_tail(self) -> Record:
        assert self._tail is not None, "started"
        try:
            return await anext(self._tail)
        except StopAsyncIteration:
            raise LogFailed("The log was closed while its writer was at work. What was answered is in it.") from None

    def _refuse_future_log(self) -> None:
        last_us, now_us = self.state.chained.created_at_us, self._clock.wall_us()
        limits = self._limits
        verdict = judge_log_time(last_us, now_us, limits.max_clock_step_us, limits.accepted_log_time_us)
        if verdict is LogTime.FINE:
            return
        at, ahead_s = format_time(last_us), round((last_us - now_us) / 1e6)
        if verdict is LogTime.REFUSED:
            raise ClockStepped(
                f"the log's last block is of {at}, {ahead_s} s ahead of this machine's clock. Nothing changed and no money is "
                "affected: if the clock is behind, set it right and start again. If it is right, one was ahead when that block "
                f"was written: FANFOLD_ACCEPT_LOG_TIME={at} goes on at the log's time until the clock has caught up. "
                "`fanfold log clock` tells the time that serves all partitions, and what that means for ids and deadlines."
            )
        _log.warning("going on at log time", partition=self.partition, log_time=at, ahead_s=ahead_s)

    def _opening(self) -> Decided:
        return opening_block(self.state, partitions=self._log.partitions, created_at_us=self._now_us())

    def _now_us(self) -> int:
        return max(self._guard.now_us(), self.state.chained.created_at_us + 1)

    async def _decided(self, taken: Sequence[Queued]) -> tuple[Decided, Ran | None]:
        """As `_decide`, on the loop where that is sooner done than handing it over, and nobody has the state just now."""
        lock = self.state.lock
        if lock.acquire(blocking=False):
            try:
                batches = [record.batch for record in taken if record.batch is not None]
                if is_brief(self.state, batches, self._clock.wall_us(), self._limits.ids_max):
                    return self._decide(taken)
            finally:
                lock.release()
        return await asyncio.to_thread(self._decide, taken)

    def _decide(self, taken: Sequence[Queued]) -> tuple[Decided, Ran | None]:
        """The block of these records, or of the first of them, and its ids; the state is then ahead of the log by it."""
        queued = self._fitting(taken)
        consumed_to = queued[-1].offset + 1 if queued else self.state.chained.consumed_to
        readable = [(record.offset, record.batch) for record in queued if record.batch is not None]
        self.unreadable_records += len(queued) - len(readable)
        decided = next_block(
            self.state,
            readable,
            partitions=self._log.partitions,
            created_at_us=self._now_us(),
            consumed_to=consumed_to,
            ids_max=self._limits.ids_max,
            ever=self.ids,
        )
        self._due_us = self.state.pending.first_due_us()
        return decided, None if self.ids is None else self.ids.ran(self.state, decided.block)

    async def _append_decided(
        self, decided: asyncio.Queue[tuple[Decided, Ran | None]], ahead: asyncio.Semaphore
    ) -> None:
        while True:
            (data, block), ran = await decided.get()
            if self._times is not None:
                self._times.append()
            await self._log.append(self.partition, data)
            offset = await self._read_back(block.header)
            if self._times is not None:
                self._times.accepted(block.header.sequence, len(block.outcomes["kind"]))
            self.replay.decided(offset)
            if ran is not None and self.ids is not None:
                self.ids.add(ran)
            self._on_accepted(block, offset)
            ahead.release()

    async def _read_back(self, own: Header) -> int:
        """Where the log has the block, once it is accepted there. Raises Overtaken when another one took its place."""
        while True:
            record = await self._next()
            verdict = judge_header(self.partition, self._accepted, record.data)
            if isinstance(verdict, Skip):
                self.replay.skip(record.offset, verdict)
                continue
            if verdict.block_hash != own.block_hash:
                raise self._overtaken(verdict.epoch)
            self._accepted = Head(own.epoch, own.sequence, own.block_hash)
            return record.offset

    def _overtaken(self, epoch: int) -> Overtaken:
        return Overtaken(
            f"another writer has taken over partition {self.partition} (epoch {epoch}). This one stops, and does not take it "
            "back. What it has answered is in the log; what it has not is decided by the other one, once. If this process should "
            "write the partition, stop the other one and start this one again."
        )


async def _records(runs: AsyncGenerator[Sequence[Record]]) -> AsyncGenerator[Record]:
    async with aclosing(runs) as open_runs:
        async for run in open_runs:
            for record in run:
                yield record
