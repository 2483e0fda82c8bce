"""The runs of a partition, written and joined as they are due, beside its writer."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from fanfold.api.retry import Waits, retry
from write_side.id_runs.runs import IdRuns

TIDIED_S: Final = 1.0
WAITS: Final = Waits(30.0, 30.0)
"""A folder that takes nothing is tried again after so long: what it did not take stays in memory, and is in the log."""
_MEANS: Final = "No id is forgotten: they stay in memory, and the next start reads them from the log."

_log = structlog.get_logger(__name__)


async def keep_ids(ids: IdRuns) -> None:
    """Until this is cancelled. No partition waits for it."""
    failing: str | None = None

    async def tidied() -> None:
        await asyncio.to_thread(ids.tidy)

    def tell(failure: OSError) -> None:
        nonlocal failing
        if str(failure) != failing:
            failing = str(failure)
            _log.warning(
                "ids not written", partition=ids.folder.partition, place=ids.folder.place, reason=failing, means=_MEANS
            )

    while True:
        await retry(tidied, OSError, WAITS, asyncio.sleep, tell)
        failing = None
        await asyncio.sleep(TIDIED_S)
