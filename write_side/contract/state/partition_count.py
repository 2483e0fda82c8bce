"""The number of partitions decides where accounts and ids live: a log that was written with one is never read with another.

Every block tells it (`block.Header.partitions`), and a topic can be given more partitions by anybody who may administer it: the
accounts would then be looked for where nothing is known of them, opened again empty, and ids that have run would run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

import numpy as np

from write_side.contract.block.block import Undecodable, decode
from write_side.contract.log.log import Log, LogFailed, Record
from write_side.contract.state.state import string_keys
from write_side.contract.words.atoms import SYSTEM_ACCOUNTS


async def check_partition_count(log: Log) -> None:
    """Raises LogFailed unless the log has as many partitions as its first blocks were written for.

    The first partition with a block decides. Blocks of before the count was told name accounts: those must live where they lie.
    What cannot be read, a record or a whole partition, is left to the fold of that partition, which stops there or waits, and
    checks the count of every block.
    """
    for partition in range(log.partitions):
        try:
            records = await _first_records(log, partition)
        except LogFailed:
            continue
        if records and _decides(log.partitions, partition, records):
            return


async def _first_records(log: Log, partition: int) -> Sequence[Record] | None:
    """What the log begins with, also where it was trimmed: a start asks no archive for this. Raises LogFailed."""
    if (begin := await log.begin(partition)) > 0:
        return [Record(begin, await log.fetch(partition, begin))]
    async with aclosing(log.read(partition)) as runs:
        return await anext(runs, None)


def _decides(partitions: int, partition: int, records: Sequence[Record]) -> bool:
    """Whether these records tell that the count is right. Raises LogFailed when they tell that it is not."""
    for record in records:
        try:
            block = decode(record.data)
        except Undecodable:
            return False
        if block.header.partitions:
            if block.header.partitions != partitions:
                raise LogFailed(_message(f"{block.header.partitions} partitions", partitions))
            return True
        names = [name for name in block.accounts["id"] if name not in SYSTEM_ACCOUNTS]
        if names and np.any(string_keys(names)[0] % np.uint64(partitions) != partition):
            raise LogFailed(_message("another number of partitions", partitions))
    return False


def _message(written_with: str, partitions: int) -> str:
    return (
        f"The log was written with {written_with} and now has {partitions}. Accounts are dealt to partitions by that number, so "
        "they would be looked for where nothing is known of them. Nothing was started and no money is affected. A topic that was "
        "given more partitions cannot be made smaller: copy each old partition, record by record, to the same partition of a new "
        "topic made with the old number, and name it with FANFOLD_TOPIC."
    )
