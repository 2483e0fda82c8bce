"""How many stories it takes until a deliberate mistake is found."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from tests.simulation.auditor import Violation
from tests.simulation.processes import Parts
from tests.simulation.simulation import PARTITIONS, run_seed

SEEDS_MAX = 100
"""Every mistake is found within this many seeds: most of them in the first, the slowest so far within twenty."""


def seeds_until_found(
    parts: Parts | None = None, partitions: Sequence[int] = PARTITIONS, small: bool | None = None
) -> int:
    """How many seeds it took; fails the test when the mistake lived through all of them."""
    for seed in range(SEEDS_MAX):
        try:
            run_seed(seed, parts, partitions, small)
        except (Violation, RuntimeError):  # what is broken may also end in an error before an auditor sees it
            break
    else:
        pytest.fail(f"not found within {SEEDS_MAX} seeds")
    gc.collect()  # the violation held what its story had
    return seed + 1
