"""Hours to weeks in which nothing happens: the clocks of all leap together, and then the load goes on.

Timers stand still meanwhile, as those of machines that sleep do: what was to be done in a second is done a second after the leap.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from tests.simulation.processes import World
from tests.unit.write_side.ledger.model.values import HOUR_US, SEVEN_DAYS_US
from write_side.owner.writer import DUE_LOOK_S

IDLE_STORIES: Final = 0.3
"""In how many stories the clocks leap."""
LEAPS_US: Final = (HOUR_US, 26 * HOUR_US, SEVEN_DAYS_US - HOUR_US // 6, SEVEN_DAYS_US + 2 * HOUR_US, 3 * SEVEN_DAYS_US)
"""Ids without a time are forgotten after seven days, in steps of an hour; holds of a story last up to ten days."""
LOOKED_S: Final = DUE_LOOK_S + 20.0
"""By then a writer has looked at its deadlines again, and has ended what was due."""


def leap(world: World) -> None:
    """Let some of the time go by at once."""
    us = world.chaos.random.choice(LEAPS_US)
    world.chaos.count("leap in time")
    world.trace(f"{us} go by")
    world.time.leapt_us += us


async def quiet_weeks(world: World) -> None:
    """A leap while all is calm and over: what was due ends by itself, though nobody asks anything."""
    leap(world)
    due_us = world.time.wall_us()
    await asyncio.sleep(LOOKED_S)
    for auditor in world.auditors:
        world.checked(partial(auditor.require, not auditor.model.holds.due(due_us), "what was due has not ended"))
