"""Numbers of the rules as the loops have them: no constants to the compiler, which would make every function again for each that
it is called with."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block import columns
from write_side.contract.words import atoms

ZERO: Final = np.int64(0)
ONE: Final = np.int64(1)
LIMIT: Final = np.int64(atoms.LIMIT)
NO_FLOOR: Final = np.int64(atoms.NO_FLOOR)
NOT_TOLD: Final = np.int64(columns.NOT_TOLD)
