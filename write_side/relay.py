"""The relay: carries messages between partitions, from the accepted blocks of the partitions written here to command queues.

At least once. What a block asks is sent when it is accepted; what is still open after a while is asked again from the folded
state, with back-off and for ever, so a restart forgets nothing and a lost message only costs time. Whoever gets a message twice
knows it (`ledger/participant.py`). Nothing is ever sent from a block that may not count: the writer's own state is a block
ahead of the log, so the relay keeps what is pending as the accepted blocks have it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
import structlog

from write_side.command_queue import CommandQueue, QueueFull
from write_side.contract.atoms import format_transfer_id
from write_side.contract.block import Block
from write_side.contract.fold import CheckFailed
from write_side.contract.fold_pending import fold_pending
from write_side.contract.log import LogFailed
from write_side.contract.pending_columns import FIRST_LEG, ID_A, ID_B, STATE, WHAT, Phase, What
from write_side.contract.state import State
from write_side.ledger.outstanding import messages_again, messages_of_block
from write_side.ledger.step_batch import StepBatch

LOOK_S: Final = 1.0
"""How often open transfers are looked at: a round trip takes milliseconds, so one that is open for so long has lost something."""
AGAIN_S_MAX: Final = 30.0
"""Back-off doubles up to this: a partition that comes back is asked within half a minute."""
STUCK_S: Final = 10.0
"""From then on an open transfer is counted as stuck, and named in the log each time it is asked again."""
NAMED_MAX: Final = 10
"""Stuck transfers named in one line of the log."""
WAITING_MAX: Final = 1_024
"""Blocks whose messages wait for a queue; what does not fit is asked again later from the state."""

_log = structlog.get_logger(__name__)


class Relay:
    """One partition's. `start` with its writer's state once that is all accepted, `accepted` for each block from then on, `run`
    for ever.  clock_s: monotonic seconds.  stuck: open transfers that have stood still for `STUCK_S`."""

    def __init__(self, partition: int, queue: CommandQueue, clock_s: Callable[[], float]) -> None:
        self.sent = 0
        self.asked_again = 0
        self.failures = 0
        self.open = 0
        self.stuck = 0
        self._accepted = State(partition)
        self._queue = queue
        self._clock_s = clock_s
        self._waiting: deque[dict[int, StepBatch]] = deque()
        self._filled = asyncio.Event()
        self._open: dict[bytes, _Open] = {}

    def start(self, state: State) -> None:
        """Begin with what is pending in a state that the log has accepted whole, and ask for all of it again."""
        self._accepted.pending = state.pending.copy()
        rows = state.pending.rows[: state.pending.count]
        messages = messages_again(rows[rows[:, WHAT] == What.PROCESS], state.pending.legs, state.partition)
        if messages:
            self._waiting.append(messages)
            self._filled.set()

    def accepted(self, block: Block) -> None:
        """Send what this block asks of others and tells them. Raises CheckFailed."""
        if fault := fold_pending(self._accepted, block):
            raise CheckFailed(block.header.partition, block.header.sequence, fault)
        messages = messages_of_block(block)
        if messages and len(self._waiting) < WAITING_MAX:
            self._waiting.append(messages)
            self._filled.set()

    async def run(self) -> None:
        """Send for ever. Ends by being cancelled only: what fails is sent again."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._send_accepted())
            tasks.create_task(self._ask_again())

    async def _send_accepted(self) -> None:
        while True:
            await self._filled.wait()
            while self._waiting:
                # Everything that came while the last was being sent leaves together, one record a partition.
                gathered: dict[int, list[StepBatch]] = {}
                while self._waiting:
                    for partition, batch in self._waiting.popleft().items():
                        gathered.setdefault(partition, []).append(batch)
                await self._send({p: StepBatch.concatenated(batches) for p, batches in gathered.items()})
            self._filled.clear()

    async def _send(self, messages: dict[int, StepBatch]) -> None:
        results = await asyncio.gather(
            *(self._queue.append(partition, batch) for partition, batch in messages.items()), return_exceptions=True
        )
        for (partition, batch), result in zip(messages.items(), results, strict=True):
            if isinstance(result, QueueFull | LogFailed):
                self.failures += 1
                _log.warning("messages not sent", to=partition, messages=len(batch), reason=str(result) or "queue full")
            elif isinstance(result, BaseException):
                raise result
            else:
                self.sent += len(batch)

    async def _ask_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            messages = self._due()
            if messages:
                self.asked_again += sum(map(len, messages.values()))
                await self._send(messages)

    def _due(self) -> dict[int, StepBatch]:
        """What open transfers wait for, of those that have stood still for their back-off."""
        table = self._accepted.pending
        rows = table.rows[: table.count]
        rows = rows[rows[:, WHAT] == What.PROCESS]
        now_s = self._clock_s()
        known, self._open = self._open, {}
        due = np.zeros(len(rows), np.bool_)
        for at, row in enumerate(rows):
            id16 = row[ID_A : ID_B + 1].tobytes()
            progress = row[STATE:FIRST_LEG].tobytes()
            was = known.get(id16)
            if was is None or was.progress != progress:
                was = _Open(progress, now_s)
            due[at] = was.is_due(now_s)
            self._open[id16] = was
        self.open = len(self._open)
        self.stuck = sum(now_s - each.since_s > STUCK_S for each in self._open.values())
        self._name_stuck(rows[due], now_s)
        return messages_again(rows[due], table.legs, self._accepted.partition) if due.any() else {}

    def _name_stuck(self, rows: np.ndarray[tuple[int, int], np.dtype[np.int64]], now_s: float) -> None:
        named = []
        for row in rows:
            id16 = row[ID_A : ID_B + 1].tobytes()
            if now_s - self._open[id16].since_s > STUCK_S:
                named.append(f"{format_transfer_id(id16)} {Phase(row[STATE]).name.lower()}")
        if named:
            _log.warning(
                "transfers do not get on", partition=self._accepted.partition, count=len(named), first=named[:NAMED_MAX]
            )


class _Open:
    """An open transfer as it was seen last: since when it stands still, and when it is asked again."""

    def __init__(self, progress: bytes, now_s: float) -> None:
        self.progress = progress
        self.since_s = now_s
        self._wait_s = LOOK_S
        self._next_s = now_s + LOOK_S

    def is_due(self, now_s: float) -> bool:
        if now_s < self._next_s:
            return False
        self._wait_s = min(2 * self._wait_s, AGAIN_S_MAX)
        self._next_s = now_s + self._wait_s
        return True
