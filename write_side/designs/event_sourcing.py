"""Ours, through the same port: commands gathered into blocks, one forced write a block, a saga between partitions.

The write side as it is served, without its HTTP door. Its balances are read from the log alone, by a fold of its own, as any
reader would; so the log can be read while no service runs, and as it was at any moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from itertools import islice
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry

from write_side.contract.block.block import decode_made, read_header
from write_side.contract.log.log import START, Log, Record, Unit
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.tell.answers import PENDING_STATUS, Answer
from write_side.contract.words.atoms import WORLD, partition_of
from write_side.contract.words.codes import Code, Kind
from write_side.designs.design import Batch, Capabilities, Counts, Result, Transfer, Unanswered, Witness
from write_side.intake.intake import Intake, Overloaded, Stopping
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Mode, OpenAccount
from write_side.ledger.commands.commands import Transfer as TransferCommand
from write_side.owner.outcomes import OutcomeUnknown, PartitionUnavailable
from write_side.queue.command_queue import CommandQueue
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

PARTITIONS: Final = 2
ASSET: Final = "USD/2"
DEBITED: Final = "debited"
CREDITED: Final = "credited"
ENDED: Final = "ended"
CREDIT_REFUSED: Final = "credit_refused"
STEPS: Final = (DEBITED, CREDITED, ENDED)
BATCH: Final = 8_192
RECOVERY_LIMIT_S: Final = 60.0
_LOOK_S: Final = 0.01


def settings_of(log: str, topic: str) -> WriteSettings:
    """log: `file:FOLDER` or `kafka://HOST:PORT`, of one broker."""
    return WriteSettings(
        log=log,
        topic=topic,
        partitions=PARTITIONS,
        replication=1,
        min_in_sync=1,
        block_commands_max=BATCH,
        # Whatever the environment says: nothing is written but this log, and the ids beside it.
        own_partitions="",
        ids="",
        snapshots="off",
        log_archive="off",
    )


class EventSourcing:
    """The write side of one process, all partitions."""

    capabilities = Capabilities(
        steps=STEPS, durable=True, once=True, past_balance=True, unbalanced_at=frozenset({DEBITED})
    )
    batch: Final = BATCH
    """How many transfers are asked in one request where there are so many."""

    def __init__(self, log: Log, queue: CommandQueue, side: WriteSide, told: _ToldLog) -> None:
        self._log = log
        self._queue = queue
        self._side = side
        self._told = told
        self._reader = Reader(log)
        self._running: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, settings: WriteSettings, witness: Witness) -> EventSourcing:
        """Raises what `write_side.wiring.PartitionStopped` lists, ValueError, OSError."""
        log = _ToldLog(await open_log(settings, writing=True), witness)
        queue = await open_queue(settings, log)
        side = WriteSide(settings, log, queue, CollectorRegistry(), ids=settings.ids_folder())
        opened = cls(log, queue, side, log)
        await side.start()
        opened._running = asyncio.create_task(side.run())
        return opened

    async def put_in(self, accounts: Mapping[str, int]) -> None:
        commands: list[Command] = [OpenAccount(account, ASSET, 0, "") for account in accounts]
        commands += [
            TransferCommand(uuid4().bytes, WORLD, account, money, ASSET) for account, money in accounts.items() if money
        ]
        asked = iter(commands)
        while some := list(islice(asked, BATCH)):
            for answer in await self._submit(some):
                assert answer.status < 300, answer.document

    def crosses(self, payer: str, payee: str) -> bool:
        return partition_of(payer, PARTITIONS) != partition_of(payee, PARTITIONS)

    async def transfer(self, transfer: Transfer) -> Result:
        if self.crosses(transfer.payer, transfer.payee):
            self._told.step_by_step()
        command = TransferCommand(transfer.id.bytes, transfer.payer, transfer.payee, transfer.amount, ASSET)
        [answer] = await self._submit([command])
        if answer.status == PENDING_STATUS:
            raise Unanswered("it is under way, and ends when both partitions serve; ask again with the same id")
        return Result.DONE if answer.status < 300 else Result.REFUSED

    async def transfers(self, batch: Batch) -> Counts:
        """In one request, as `POST /v1/transfers:batch` takes them."""
        count = len(batch.amounts)
        none = np.zeros(count, np.int32)
        columns = CommandBatch(
            np.full(count, Kind.TRANSFER, np.uint8),
            batch.ids,
            batch.payers,
            batch.payees,
            batch.amounts,
            none,
            [ASSET],
            pa.array([""] * count, pa.utf8()),
            none,
        )
        with _failures_told():
            status = (await self._side.intake.submit_batch(columns, Mode.CONTINUE, None)).status
        pending, refused = np.count_nonzero(status == PENDING_STATUS), np.count_nonzero(status >= 400)
        return Counts(count - int(pending) - int(refused), int(refused), int(pending))

    async def balances(self) -> dict[str, int]:
        return await self._reader.balances()

    async def past_balances(self, at_us: int) -> dict[str, int]:
        """As they were at a moment, UTC microseconds."""
        return await Reader(self._log).balances(at_us)

    async def recover(self) -> int:
        """It has begun at the opening; returns when all has ended that was under way then."""
        clock = asyncio.get_running_loop().time
        until_s = clock() + RECOVERY_LIMIT_S
        first = open_ones = await self._reader.under_way()
        while open_ones:
            if clock() > until_s:
                raise Unanswered(f"{open_ones} transfers have not ended within {RECOVERY_LIMIT_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
            open_ones = await self._reader.under_way()
        return first

    async def close(self) -> None:
        await self._side.drain()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._queue.close()
        await self._log.close()

    async def _submit(self, commands: Sequence[Command]) -> list[Answer]:
        intake: Intake = self._side.intake
        with _failures_told():
            return await intake.submit(commands)


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (Overloaded, Stopping, PartitionUnavailable) as refused:
        raise Unanswered(f"nothing was taken: {refused!r}") from refused
    except OutcomeUnknown as unknown:
        raise Unanswered("nobody can tell yet whether it ran; ask again with the same id") from unknown


async def read_log(settings: WriteSettings) -> dict[str, int]:
    """The balances, while no service runs or beside one."""
    log = await open_log(settings, writing=False)
    try:
        return await Reader(log).balances()
    finally:
        await log.close()


class Reader:
    """Folds the log from its beginning, and goes on where it was."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._parts = [Replay(State(partition, log.partitions)) for partition in range(log.partitions)]

    async def balances(self, at_us: int | None = None) -> dict[str, int]:
        """Of all accounts but the system's, at the end of the log, or as they were at a moment."""
        found: dict[str, int] = {}
        for partition, part in enumerate(self._parts):
            await self._catch_up(partition, part, at_us)
            state = part.state
            posted = state.posted[: state.count].tolist()
            names = (state.names[number] for number in range(state.count))
            found.update({name: money for name, money in zip(names, posted, strict=True) if not name.startswith("@")})
        return found

    async def under_way(self) -> int:
        """How many transfers have begun and not ended."""
        for partition, part in enumerate(self._parts):
            await self._catch_up(partition, part, None)
        return sum(len(part.state.pending.processes()) for part in self._parts)

    async def _catch_up(self, partition: int, part: Replay, at_us: int | None) -> None:
        async with aclosing(self._log.read(partition, part.last_offset)) as runs:
            async for run in runs:
                if at_us is None:
                    part.take_all(run)
                    continue
                for record in run:
                    if read_header(record.data).created_at_us > at_us:
                        return
                    part.take(record)


class _ToldLog:
    """The log, and whoever witnesses is told of its appends; where a transfer is alone, of its debit, its credit and its end."""

    def __init__(self, log: Log, witness: Witness) -> None:
        self._log = log
        self._witness = witness
        self._steps: Iterator[str] = iter(())

    def step_by_step(self) -> None:
        """The next transfer is alone."""
        self._steps = iter(STEPS)

    @property
    def partitions(self) -> int:
        return self._log.partitions

    @property
    def unit(self) -> Unit:
        return self._log.unit

    async def append(self, partition: int, block: bytes) -> int:
        offset = await self._log.append(partition, block)
        self._witness.request(partition, "append a block", forced=True)
        if (step := next(self._steps, None)) is not None:
            refused = step == CREDITED and (decode_made(block).outcomes["code"] != Code.DONE).any()
            self._witness.reached(CREDIT_REFUSED if refused else step)
        return offset

    def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        return self._log.read(partition, after)

    def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record]]:
        return self._log.tail(partition, after)

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        return await self._log.fetch(partition, offset)

    async def resume(self, partition: int) -> None:
        await self._log.resume(partition)

    async def end(self, partition: int) -> int:
        return await self._log.end(partition)

    async def begin(self, partition: int) -> int:
        return await self._log.begin(partition)

    async def trim(self, partition: int, before: int) -> int:
        return await self._log.trim(partition, before)

    async def troubles(self) -> Mapping[int, str]:
        return await self._log.troubles()

    async def close(self) -> None:
        await self._log.close()
