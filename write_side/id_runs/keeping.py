"""The runs of a partition, written and joined as they are due, beside its writer."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from write_side.id_runs.runs import IdRuns

TIDIED_S: Final = 1.0
FAILED_S: Final = 30.0
"""A folder that takes nothing is tried again after so long: what it did not take stays in memory, and is in the log."""

_log = structlog.get_logger(__name__)


async def keep_ids(ids: IdRuns) -> None:
    """Until this is cancelled. No partition waits for it."""
    failing: str | None = None
    while True:
        wait_s, failed = TIDIED_S, None
        try:
            await asyncio.to_thread(ids.tidy)
        except OSError as failure:
            wait_s, failed = FAILED_S, str(failure)
            if failed != failing:
                _log.warning(
                    "ids not written",
                    partition=ids.folder.partition,
                    place=ids.folder.place,
                    reason=failed,
                    means=_MEANS,
                )
        failing = failed
        await asyncio.sleep(wait_s)


_MEANS: Final = "No id is forgotten: they stay in memory, and the next start reads them from the log."
