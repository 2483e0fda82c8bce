"""The relay: carries messages between partitions, from the accepted blocks of the partitions written here to command queues.

At least once. What a block asks is sent when it is accepted; what is still open after a while is asked again from the folded
state, with back-off and for ever, so a restart forgets nothing and a lost message only costs time. Whoever gets a message twice
knows it (`ledger/across/participant.py`). Nothing is ever sent from a block that may not count: the writer's own state is a block
ahead of the log, so the relay keeps what is pending as the accepted blocks have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from write_side.contract.block.block import Block
from write_side.contract.log.log import LogFailed
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.fold_pending import fold_pending
from write_side.contract.state.pending_columns import CHANGED_US, ID_A, ID_B, STATE, Phase
from write_side.contract.state.state import State
from write_side.contract.words.atoms import format_transfer_id
from write_side.ledger.across.outstanding import messages_again, messages_of_block
from write_side.ledger.commands.step_batch import StepBatch
from write_side.owner.clock import Clock
from write_side.queue.command_queue import CommandQueue, QueueFull

LOOK_S: Final = 1.0
"""How often open transfers are looked at: a round trip takes milliseconds, so one that is open for so long has lost something."""
AGAIN_S_MAX: Final = 30.0
"""Back-off doubles up to this: a partition that comes back is asked within a minute."""
STUCK_S: Final = 10.0
"""From then on an open transfer is counted as stuck, and named in the log each time it is asked again."""
NAMED_MAX: Final = 10
"""Stuck transfers named in one line of the log."""
WAITING_MAX: Final = 1_024
"""Blocks whose messages wait for one partition's queue; what does not fit is asked again later from the state."""

Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_log = structlog.get_logger(__name__)


class Relay:
    """One partition's. `start` with its writer's state once that is all accepted, `accepted` for each block from then on, `run`
    for ever.  open, stuck: transfers under way, and those of them that have stood still for `STUCK_S` by the times of the log."""

    def __init__(self, partition: int, queue: CommandQueue, clock: Clock) -> None:
        self.sent = 0
        self.asked_again = 0
        self.failures = 0
        self.open = 0
        self.stuck = 0
        self._accepted = State(partition)
        self._queue = queue
        self._clock = clock
        self._looked_us = clock.wall_us()
        # Apart for each partition: one that is slow or away keeps nothing from the others.
        self._waiting: dict[int, deque[StepBatch]] = {}
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def start(self, state: State) -> None:
        """Begin with what is pending in a state that the log has accepted whole, and ask for all of it again.

        Once for each life of the partition: what an earlier one had not sent is asked again from the state.
        """
        self._waiting.clear()
        self._accepted = State(state.partition)
        self._accepted.pending = state.pending.copy()
        rows = state.pending.rows[state.pending.processes()]
        messages = messages_again(rows, state.pending.legs, state.partition)
        self._put(messages)

    def accepted(self, block: Block) -> None:
        """Send what this block asks of others and tells them. Raises CheckFailed."""
        if fault := fold_pending(self._accepted, block):
            raise CheckFailed(block.header.partition, block.header.sequence, fault)
        self._put(messages_of_block(block))

    async def run(self) -> None:
        """Send for ever. Ends by being cancelled only: what fails is sent again."""
        self._sending.clear()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                for partition in self._waiting:
                    self._begin_sending(partition)
                await self._ask_again()
        finally:
            self._tasks = None

    def _put(self, messages: Mapping[int, StepBatch]) -> None:
        for partition, batch in messages.items():
            waiting = self._waiting.setdefault(partition, deque())
            if len(waiting) < WAITING_MAX:
                waiting.append(batch)
            self._begin_sending(partition)

    def _begin_sending(self, partition: int) -> None:
        if self._tasks is not None and partition not in self._sending:
            self._sending[partition] = self._tasks.create_task(self._send_waiting(partition))

    async def _send_waiting(self, partition: int) -> None:
        waiting = self._waiting[partition]
        try:
            while waiting:
                # Everything that came while the last was being sent leaves together.
                batches = list(waiting)
                waiting.clear()
                await self._send_to(partition, StepBatch.concatenated(batches))
        finally:
            del self._sending[partition]

    async def _send_to(self, partition: int, batch: StepBatch) -> None:
        sent = 0
        try:
            for part in batch.parts():
                await self._queue.append(partition, part)
                sent += len(part)
        except (QueueFull, LogFailed) as failure:
            self.failures += 1
            _log.warning(
                "messages not sent", to=partition, messages=len(batch) - sent, reason=str(failure) or "queue full"
            )
        self.sent += sent

    async def _ask_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            messages = self._due()
            if messages:
                # Whom nothing can be sent to now is asked again when it is due again: copies need not wait beside copies.
                due = {partition: batch for partition, batch in messages.items() if partition not in self._sending}
                self.asked_again += sum(map(len, due.values()))
                self._put(due)

    def _due(self) -> dict[int, StepBatch]:
        """What open transfers wait for, of those that have stood still for their back-off since the last look."""
        table = self._accepted.pending
        rows = table.rows[table.processes()]
        now_us = self._clock.wall_us()
        stood_s, before_s = (now_us - rows[:, CHANGED_US]) / 1e6, (self._looked_us - rows[:, CHANGED_US]) / 1e6
        self._looked_us = now_us
        due = times_asked(stood_s, rows[:, ID_A]) > times_asked(before_s, rows[:, ID_A])
        self.open, self.stuck = len(rows), int(np.count_nonzero(stood_s > STUCK_S))
        self._name_stuck(rows[due & (stood_s > STUCK_S)])
        return messages_again(rows[due], table.legs, self._accepted.partition) if due.any() else {}

    def _name_stuck(self, rows: Int64s) -> None:
        if len(rows):
            first = [
                f"{format_transfer_id(row[ID_A : ID_B + 1].tobytes())} {Phase(row[STATE]).name.lower()}"
                for row in rows[:NAMED_MAX]
            ]
            _log.warning("transfers do not get on", partition=self._accepted.partition, count=len(rows), first=first)


def times_asked(stood_s: Floats, word: Int64s) -> Int64s:
    """How often transfers that have stood still for so long have been asked again: after 1, 3, 7, 15, 31 seconds, then every 30.

    word: of their ids. It spreads the later questions over their half minute: what stands still mostly does so together.
    """
    spread_s = (word & 0xFFFF) / 0x10000 * AGAIN_S_MAX
    doubling = np.floor(np.log2(np.clip(stood_s / LOOK_S, 0, 31) + 1))
    later = np.floor(np.maximum(stood_s - 31 * LOOK_S - spread_s, -AGAIN_S_MAX) / AGAIN_S_MAX) + 1
    times: Int64s = (doubling + later).astype(np.int64)
    return times
