"""Who waits for what: connects the accepted blocks of a partition with the requests whose commands they decided.

A command is named by its place in the queue (record offset, row). Everything is told from accepted blocks only, so an answer is
never given before its outcome is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import numpy as np

from write_side.contract.block.block import Block, decode
from write_side.contract.log.block_offsets import fetch_block
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.log.log_end import LogEnd, TooFarBehind
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import Place, State
from write_side.contract.tell.answers import PENDING_STATUS, Answer, BlockAnswers
from write_side.contract.tell.done_lines import DoneLine
from write_side.contract.tell.whole_answer import home_blocks_before, told_under_way, told_whole
from write_side.contract.words.codes import Code, Kind
from write_side.id_runs.runs import IdRuns
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.owner.ends_awaited import Ends, EndsAwaited
from write_side.owner.state_reads import READ_A_TURN, StateReads

T = TypeVar("T")

RECENT_BLOCKS = 16
"""Kept for requests that learn their record's offset only after its block was accepted (a slow acknowledgement)."""
REMEMBERED_BLOCKS = 16
"""Decoded blocks kept for answering repeated commands: a client that retries does so soon."""


LINES_A_TURN = 512
"""Likewise, of plain transfers as text: 1 ms."""
ANSWERS_A_TURN = 64
"""Answers made before other requests get a turn: some 10 ms of transfers with 32 legs in several partitions."""

CAUGHT_UP_S = 0.5
CAUGHT_UP_LOOK_S = 0.005
"""How long, and how often, it is looked whether what is in the log already is folded here. The reading of the log is in it."""
_ENDS = (Kind.ANSWER, Kind.TIMEOUT)
_GOES_ON = (Code.PENDING, Code.STALE)


class OutcomeUnknown(Exception):
    """The outcome was not seen in time. The command may run still, or has run: asking again with the same id is safe."""


class Starting(Exception):
    """Nothing failed: the partition does not serve yet."""


class PartitionUnavailable(Exception):
    """The partition does not serve just now, and the reason why: nothing was taken, and nothing was done."""

    def __init__(self, partition: int, failure: Exception) -> None:
        super().__init__(str(failure) or type(failure).__name__)
        self.partition = partition
        self.reason = str(self)
        self.is_starting = isinstance(failure, Starting)


class Decided(NamedTuple):
    """The outcomes of one record: its rows begin at `first_row` of the block."""

    answers: BlockAnswers
    first_row: int

    def is_of(self, commands: CommandBatch) -> bool:
        """Whether they are outcomes of these commands, by their ids, of an opening by its account. The same offset alone may be
        that of another record, from before the topic was made again."""
        begin, end = 16 * self.first_row, 16 * (self.first_row + len(commands))
        return self.answers.outcomes.ids[begin:end] == commands.outcome_ids().tobytes()


class Outcomes:
    """One partition. look: has its writer read what lies behind its last block, as a follower does by itself.

    `accepted` is called for each accepted block in order, on the event loop; `wait` by intakes.
    """

    def __init__(self, partition: int, replay: Replay, log: Log, look: Callable[[], None] = lambda: None) -> None:
        self._look = look
        self._partition = partition
        self._replay = replay
        self._known = replay
        self.ids: IdRuns | None = None
        """Every id that ran, as known when the partition last served, or learnt; None where memory alone remembers them."""
        self._has_served = False
        self._log = log
        self._end = LogEnd(log, partition)
        self._reads = StateReads()
        self._waiting: dict[int, asyncio.Future[Decided]] = {}
        self._recent: deque[tuple[int, dict[int, int], BlockAnswers]] = deque(maxlen=RECENT_BLOCKS)
        self._remembered: dict[int, BlockAnswers] = {}
        self._failure: Exception | None = None
        self._trouble: Exception | None = None
        self._stopped: PartitionUnavailable | None = None
        self._told_stopped: Callable[[PartitionUnavailable | None], None] = lambda _: None
        self._ending = EndsAwaited[Decided]()

    @property
    def state(self) -> State:
        """The partition's state; where it is written here, a block ahead of what is accepted."""
        return self._replay.state

    @property
    def known(self) -> State:
        """What the partition knew when it last served: while the next writer folds, its own state knows less. Of one that has
        not served yet, what was read furthest."""
        if self._replay is not self._known and not self._has_served and _reaches(self._replay) >= _reaches(self._known):
            self._known = self._replay
        return self._known.state

    async def ask(self, read: Callable[[State], T], *, known: bool = False) -> T:
        """What the state says; `known`: what the partition knew when it last served."""
        return await self._reads.ask(self.known if known else self.state, read)

    def require(self) -> None:
        """Raises PartitionUnavailable while the partition does not serve, or would not take a block."""
        if (failure := self._failure or self._trouble) is not None:
            raise PartitionUnavailable(self._partition, failure)

    @property
    def stopped(self) -> PartitionUnavailable | None:
        """Why nobody will decide anything here before a person has looked; None while somebody does, or will by itself."""
        return self._stopped

    def tell_stopped(self, tell: Callable[[PartitionUnavailable | None], None]) -> None:
        """Have `stopped` told, now and whenever it may have changed. One listener: the intake of the process."""
        self._told_stopped = tell
        tell(self._stopped)

    def _stop(self, failure: Exception | None) -> None:
        self._stopped = None if failure is None else PartitionUnavailable(self._partition, failure)
        self._told_stopped(self._stopped)

    def trouble(self, trouble: Exception | None) -> None:
        """Who comes is refused while there is one. Who waits goes on waiting: what was taken may be decided yet."""
        self._trouble = trouble

    def restart(self, replay: Replay) -> None:
        """Another writer or follower folds the partition from now on; it is not served until `serve`."""
        self._replay = replay
        self._recent.clear()
        self._remembered.clear()

    def learn(self, ids: IdRuns | None) -> None:
        """What ran in a partition that has not served, as far as it can be read. `known` says the same of its state."""
        if not self._has_served:
            self.ids = ids

    def serve(self, ids: IdRuns | None = None) -> None:
        self.ids = ids
        self._failure, self._known, self._has_served = None, self._replay, True
        self._stop(None)

    def accepted(self, block: Block, offset: int) -> None:
        """Tell everyone who waits for a command of this block."""
        first_rows = _first_rows(block)
        answers = BlockAnswers(block, self._replay.state)
        self._recent.append((block.header.consumed_to, first_rows, answers))
        for record in self._waiting.keys() & first_rows.keys():
            future = self._waiting.pop(record)
            if not future.done():
                future.set_result(Decided(answers, first_rows[record]))
        if self._ending:
            self._tell_ended(block, answers)

    def fail(self, failure: Exception, *, stopped: bool = False) -> None:
        """The partition's writer ended: whoever waits is told that the outcome is unknown, and so is who comes before `serve`.

        stopped: it will not come back by itself, here or elsewhere.
        """
        self._failure = failure
        self._stop(failure if stopped else None)
        waiting: list[asyncio.Future[Any]] = [*self._waiting.values(), *self._ending.let_go()]
        self._waiting = {}
        for future in waiting:
            if not future.done():
                future.set_exception(OutcomeUnknown())

    async def wait(self, record: int, timeout_s: float) -> Decided:
        """The outcomes of one record of the queue. Raises OutcomeUnknown after `timeout_s`."""
        for consumed_to, first_rows, answers in reversed(self._recent):
            if record in first_rows:
                return Decided(answers, first_rows[record])
            if consumed_to <= record:
                break
        if self._failure is not None:
            raise OutcomeUnknown
        loop = asyncio.get_running_loop()
        future = self._waiting.setdefault(record, loop.create_future())
        timer = loop.call_later(timeout_s, _give_up, future)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(record, None)

    async def answers(self, decided: Decided, rows: Sequence[int], *, whole: bool = True) -> list[Answer]:
        """The answers to these rows of the record; repeated commands get their first outcome again, marked, and
        read from the log.

        whole: tell of transfers across partitions what earlier blocks know, too; without it the status, code and position are
        the same, and nothing more is read.
        """
        found: list[Answer] = []
        for n, row in enumerate(rows):
            if n % ANSWERS_A_TURN == ANSWERS_A_TURN - 1:
                await asyncio.sleep(0)
            answers, at, is_repeat = decided.answers, decided.first_row + row, False
            while True:
                opens = answers.outcomes.kinds[at] == Kind.OPEN
                answer = await self._opened(answers, at) if opens else answers.answer(at)
                if not isinstance(answer, Place):
                    break
                answers, at, is_repeat = await self._block(answer.sequence), answer.row, True
            # Only a transfer across partitions has phases.
            told = await self._whole(answer, answers, at) if whole and "phase" in answer.document else answer
            found.append(told.again() if is_repeat else told)
        return found

    async def lines(self, decided: Decided, count: int) -> list[Answer | DoneLine]:
        """The answers to the first so many rows of the record, where they can as the text that they are sent as."""
        found: list[Answer | DoneLine] = []
        for first in range(0, count, LINES_A_TURN):
            if first:
                await asyncio.sleep(0)
            told = decided.answers.lines.of(decided.first_row + first, min(LINES_A_TURN, count - first))
            for row, line in enumerate(told, first):
                found.append((await self.answers(decided, (row,)))[0] if line is None else line)
        return found

    async def _opened(self, answers: BlockAnswers, row: int) -> Answer | Place:
        """What the state knows of an account is asked for there; anything else stands in the block."""
        return await self.ask(lambda _: answers.answer(row))

    async def first(self, place: Place) -> Answer:
        """What a repeated command is answered. Raises OutcomeUnknown."""
        [answer] = await self.answers(Decided(await self._accepted(place.sequence), place.row), (0,))
        return answer.again()

    async def ended(self, id16: bytes, until_s: float) -> Answer | None:
        """How a transfer across partitions ended, None when it has not by `until_s` (the loop's time). Raises OutcomeUnknown."""
        end = (await self.ends((id16,), until_s)).get(id16)
        return None if end is None else (await self.answers(end, (0,)))[0]

    async def ends(self, ids: Sequence[bytes], until_s: float) -> dict[bytes, Decided]:
        """The outcomes that ended these transfers across partitions, of those that have by `until_s` (the loop's time).

        Raises OutcomeUnknown.
        """
        if self._failure is not None:
            raise OutcomeUnknown
        # Waited for before it is looked for: the block that ends one may be accepted at any await.
        with self._ending.of(ids) as ends, suppress(TimeoutError):
            for at in range(0, len(ids), READ_A_TURN):
                await self._look_for(ids[at : at + READ_A_TURN], ends)
            async with asyncio.timeout_at(until_s):
                await ends.all_told
        return ends.told

    async def _look_for(self, ids: Sequence[bytes], ends: Ends[Decided]) -> None:
        """Tell of these what has ended already."""
        places = await self.ask(lambda state: [state.find_transfer(id16) for id16 in ids])
        for id16, place in zip(ids, places, strict=True):
            place = place or self._forgotten(id16)
            if place is None or id16 not in ends.untold or place.sequence >= len(self._replay.offsets):
                continue
            answers = await self._block(place.sequence)
            if answers.outcomes.codes[place.row] != Code.PENDING:
                ends.tell(id16, Decided(answers, place.row))

    async def _whole(self, answer: Answer, answers: BlockAnswers, row: int) -> Answer:
        """The answer to a transfer across partitions that outcome `row` begins or ends, with all that home's log knows of it."""
        outcome = answers.outcomes[row]
        if answer.status == PENDING_STATUS:
            return told_under_way(answer, answers, outcome.id)
        earlier = [await self._accepted(sequence) for sequence in home_blocks_before(outcome)]
        return told_whole(answer, outcome.id, (*earlier, answers))

    def _tell_ended(self, block: Block, answers: BlockAnswers) -> None:
        ended = np.isin(block.outcomes["kind"], _ENDS) & ~np.isin(block.outcomes["code"], _GOES_ON)
        for row in np.flatnonzero(ended).tolist():
            id16 = block.outcomes["id"][row].tobytes()
            self._ending.tell(id16, Decided(answers, row))

    async def caught_up(self, timeout_s: float = CAUGHT_UP_S) -> None:
        """Wait until everything is folded that the log has now. Raises OutcomeUnknown after `timeout_s`.

        Where the partition is written here, too: a writer that slept may have been overtaken, and know nothing of what the other
        one has decided since. It then ends, and PartitionUnavailable is raised, as when the log does not answer.
        """
        self.require()
        try:
            async with asyncio.timeout(timeout_s):
                end = await self._end.offset(self._replay.last_offset)
                self._look()
                await _until(lambda: self._failure is not None or self._replay.last_offset >= end, timeout_s)
        except (TimeoutError, TooFarBehind):
            raise OutcomeUnknown from None
        except LogFailed as away:
            raise PartitionUnavailable(self._partition, away) from away
        self.require()

    def forgot_keys(self, now_us: int) -> bool:
        """Whether ids without a time may have run here in the last 7 days that are neither remembered nor found again: a process
        that found them had forgotten them for want of room."""
        known = self.known
        # An idle partition writes no blocks, and a log may be ahead of the clock.
        at_us = max(now_us, known.chained.created_at_us)
        return self._has_served and self.ids is None and not known.ids.keeps_its_days(at_us)

    def ran(self, id16: bytes) -> Place | None:
        """Where the outcome is that tells what became of an id, as known when the partition last served; None: nothing is known
        of it."""
        return self.known.find_transfer(id16) or self._forgotten(id16)

    def _forgotten(self, id16: bytes) -> Place | None:
        return None if self.ids is None else self.ids.place_of(id16)

    async def block(self, sequence: int) -> Block:
        """A block of this partition; one that is decided and not yet accepted is waited for. Raises OutcomeUnknown."""
        return (await self._accepted(sequence)).block

    async def _accepted(self, sequence: int) -> BlockAnswers:
        await _until(lambda: sequence < len(self._replay.offsets), CAUGHT_UP_S)
        return await self._block(sequence)

    async def _block(self, sequence: int) -> BlockAnswers:
        if self._failure is not None:
            raise OutcomeUnknown
        known = self._remembered.get(sequence)
        if known is None:
            # What began a transfer across partitions was mostly decided a moment ago.
            known = next((each for _, _, each in self._recent if each.block.header.sequence == sequence), None)
        if known is None:
            if sequence >= len(
                self._replay.offsets
            ):  # the first outcome is in a block behind the one being told: not yet noted
                raise AssertionError("a repeated command names a block that is not accepted yet")
            replay = self._replay  # the next life of the partition may begin meanwhile, and know nothing yet
            data = await fetch_block(self._log, self._partition, replay.offsets, sequence)
            known = BlockAnswers(decode(data), replay.state)
            if replay is not self._replay:
                return known
            if len(self._remembered) >= REMEMBERED_BLOCKS:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[sequence] = known
        return known


def _reaches(replay: Replay) -> int:
    return replay.state.chained.sequence


async def _until(holds: Callable[[], bool], timeout_s: float) -> None:
    """Look until it holds. Raises OutcomeUnknown after `timeout_s`."""
    try:
        async with asyncio.timeout(timeout_s):
            while not holds():  # noqa: ASYNC110 -- records that are skipped tell nobody
                await asyncio.sleep(CAUGHT_UP_LOOK_S)
    except TimeoutError:
        raise OutcomeUnknown from None


def _first_rows(block: Block) -> dict[int, int]:
    """Offset of each record in the block -> the row of its first outcome. Rows of a record lie side by side."""
    back, consumed_to = block.outcomes["back"], block.header.consumed_to
    if len(back) == 0:
        return {}
    starts = [0, *(np.flatnonzero(back[1:] != back[:-1]) + 1).tolist()]
    # What time decided has no command, and 0 there.
    return {consumed_to - own: start for own, start in zip(back[starts].tolist(), starts, strict=True) if own > 0}


def _give_up(waiting: asyncio.Future[Decided]) -> None:
    if not waiting.done():
        waiting.set_exception(OutcomeUnknown())
