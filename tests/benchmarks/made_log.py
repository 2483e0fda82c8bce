"""Logs of one partition each, made for a benchmark: decided block by block as a writer does it, and not synced."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from write_side.contract.log.log_file_folder import partition_folder
from write_side.contract.log.log_file_partition import PartitionFiles
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer
from write_side.ledger.deciding.next_block import next_block, opening_block

OPENED_AT_ONCE: Final = 8_192
ASSET: Final = "USD/2"


class LogMaker:
    """One partition's log. names: of all accounts; those of this partition are opened. `prepare_folder` came before."""

    def __init__(self, data: Path, number: int, partitions: int, names: Sequence[str]) -> None:
        self.state = State(number, partitions)
        self.names = [name for name in names if partition_of(name, partitions) == number]
        self._partitions = partitions
        self._files = PartitionFiles(partition_folder(data, number), sync=lambda descriptor: None)
        self._files.open_to_write()
        self._now_us = time.time_ns() // 1000 - 3_600_000_000
        self._chance = np.random.default_rng(number)
        decided = opening_block(self.state, partitions=partitions, created_at_us=self._now_us)
        self.state.chained.advance(decided.block.header)
        self._files.append(decided.data)
        for at in range(0, len(self.names), OPENED_AT_ONCE):
            self._decide([OpenAccount(name, ASSET, -(10**12), "") for name in self.names[at : at + OPENED_AT_ONCE]])

    def make(self, blocks: int, block: int) -> None:
        """So many blocks of so many transfers each."""
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
