"""Logs of one partition each, made for a benchmark and not synced: decided block by block as a writer does it, or, blocks of one,
written as they would have been decided."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks.small_blocks import make_small_blocks
from write_side.contract.log.log_file_folder import partition_folder
from write_side.contract.log.log_file_partition import PartitionFiles
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer
from write_side.ledger.deciding.next_block import next_block, opening_block

OPENED_AT_ONCE: Final = 8_192
MADE_AT_ONCE: Final = 50_000
ASSET: Final = "USD/2"


class LogMaker:
    """One partition's log. names: of all accounts; those of this partition are opened. `prepare_folder` came before.

    now_us: when it begins (UTC); an hour ago, where nothing else is said.
    """

    def __init__(
        self, data: Path, number: int, partitions: int, names: Sequence[str], now_us: int | None = None
    ) -> None:
        self.state = State(number, partitions)
        self.names = [name for name in names if partition_of(name, partitions) == number]
        self._partitions = partitions
        self._files = PartitionFiles(partition_folder(data, number), sync=lambda descriptor: None)
        self._files.open_to_write()
        self._now_us = time.time_ns() // 1000 - 3_600_000_000 if now_us is None else now_us
        self._chance = np.random.default_rng(number)
        decided = opening_block(self.state, partitions=partitions, created_at_us=self._now_us)
        self.state.chained.advance(decided.block.header)
        self._files.append(decided.data)
        for at in range(0, len(self.names), OPENED_AT_ONCE):
            self._decide([OpenAccount(name, ASSET, -(10**12), "") for name in self.names[at : at + OPENED_AT_ONCE]])

    def make(self, blocks: int, block: int) -> None:
        """So many blocks of so many transfers each. Behind blocks of one no others can be made: their ids are not remembered."""
        if block == 1:
            self._write_small(blocks)
            return
        count = len(self.names)
        for _ in range(blocks):
            debits = self._chance.integers(0, count, block).tolist()
            ids = self._chance.bytes(16 * block)
            self._decide(
                [
                    Transfer(
                        self._id(ids[16 * n : 16 * n + 16]), self.names[at], self.names[(at + 1) % count], 1, ASSET
                    )
                    for n, at in enumerate(debits)
                ]
            )

    def _write_small(self, blocks: int) -> None:
        numbers = self.state.numbers_of(self.names)
        for at in range(0, blocks, MADE_AT_ONCE):
            more = min(MADE_AT_ONCE, blocks - at)
            debits = self._chance.integers(0, len(numbers), more)
            ids = np.frombuffer(self._chance.bytes(16 * more), np.uint8).reshape(more, 16).copy()
            ids[:, :6] = np.frombuffer((self._now_us // 1000).to_bytes(6, "big"), np.uint8)
            ids[:, 6], ids[:, 8] = 0x70 | ids[:, 6] & 15, 0x80 | ids[:, 8] & 63
            self._files.append(
                make_small_blocks(self.state, numbers[debits], numbers[(debits + 1) % len(numbers)], ids)
            )
            self._now_us += more

    def _id(self, octets: bytes) -> bytes:
        at = (self._now_us // 1000).to_bytes(6, "big")
        return b"".join((at, bytes((0x70 | octets[6] & 15, octets[7], 0x80 | octets[8] & 63)), octets[9:]))

    def _decide(self, commands: list[Command]) -> None:
        self._now_us += 1
        chained = self.state.chained
        decided = next_block(
            self.state,
            [(chained.consumed_to, CommandBatch.of(commands))],
            partitions=self._partitions,
            created_at_us=self._now_us,
            consumed_to=chained.consumed_to + 1,
            ids_max=1 << 24,
        )
        self._files.append(decided.data)
