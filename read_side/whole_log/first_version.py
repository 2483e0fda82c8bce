"""From which version on a row of a view is not what the log says.

A view has the last version of each account only. Where its row is of the same version as the log's, that one is told: of earlier
ones the view says nothing any more. Where it has more versions, the first that the log does not have. Where it lacks some, it
depends on what the account was then, which the events of the log tell: the first that it lacks, or its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

import pyarrow as pa
import pyarrow.compute as pc

from read_side.contract.rows import AccountRow
from read_side.whole_log.event_runs import EventRuns, events_of_log
from write_side.contract.log.log import Log
from write_side.contract.words.codes import flag_words


def first_version(live: AccountRow | None, log: AccountRow | None) -> int | None:
    """Of rows that differ, at one position; None where it depends on what the account was before."""
    if live is None or log is None:
        return 0
    if live.version < log.version:
        return None if (live.asset, live.floor) == (log.asset, log.floor) else live.version
    return log.version + 1 if live.version > log.version else log.version


async def first_versions(log: Log, partition: int, live: Mapping[str, AccountRow], until: int) -> dict[str, int]:
    """Of rows that lack versions, by account; the log is read up to block `until`, where they were compared.

    Asset and floor never change, and are those of the log. Raises LogFailed, ChainBroken, CheckFailed.
    """
    found = {account: row.version for account, row in live.items()}
    flags: dict[str, list[str]] = {account: [] for account in live}
    for account, row in live.items():
        if account.startswith("@") and (row.version, row.posted, row.held) == (0, 0, 0):
            found[account] = 1  # it is there without being opened
    runs, wanted = EventRuns(partition), pa.array(list(live), pa.string())
    async with aclosing(runs.follow(events_of_log(log, runs, follow=False), until)) as told:
        async for block in told:
            events = block.events.filter(pc.is_in(block.events["account"], wanted))
            for event, at_us in zip(events.to_pylist(), events["time"].cast(pa.int64()).to_pylist(), strict=True):
                account = event["account"]
                flags[account] = flags[account] if event["flags"] is None else event["flags"]
                row = live[account]
                was = (event["version"], event["posted"], event["held"], flags[account], at_us)
                if was == (row.version, row.posted, row.held, list(flag_words(row.flags)), row.at_us):
                    found[account] = row.version + 1
    return found
