"""The columns of commands and of messages between partitions: what they are made of, which checks and weights look at.

What is done with them is in `command_batch.py` and `step_batch.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.details import Details

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CommandColumns:
    """n commands. kind uint8[n], ids uint8[n, 16], debit/credit/owner utf8[n], amount int64[n], asset int32[n] into `assets`.

    chain int32[n]: lines that hang together have a number of their own, positive when all or none of them is to be done, negative
    when a refusal stops those behind it, 0 for a line by itself; they lie side by side.  details: None when none has any.
    askers: None where nobody is named who asked.
    """

    kind: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    debit: pa.Array
    credit: pa.Array
    amount: npt.NDArray[np.int64]
    asset: npt.NDArray[np.int32]
    assets: list[str]
    owner: pa.Array
    chain: npt.NDArray[np.int32]
    details: Details | None = None
    askers: Askers | None = None

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class StepColumns:
    """n messages. kind uint8[n] (STEP, ANSWER), ids uint8[n, 16], and int64[n] each:

    home       STEP: the partition that asks; ANSWER: the partition that answers
    step, action, option      which step, what is asked (`pending_columns.Action`), its option bits (STEP)
    state, code, available    what became of it (ANSWER; `pending_columns.StepState`, `codes.Code`)
    sequence, at_us           where and when the participant did it (ANSWER)
    begun                     the home's block that began the transfer; an id without a time may begin one again after its window
    low                       STEP: below this block of home none of its transfers is open

    first_leg int64[n + 1]; the legs of tries: key uint8[m, 16], asset (hash), amount, if_version, if_available int64[m].
    """

    kind: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint8]
    home: Int64s
    step: Int64s
    action: Int64s
    option: Int64s
    state: Int64s
    code: Int64s
    available: Int64s
    sequence: Int64s
    at_us: Int64s
    begun: Int64s
    low: Int64s
    first_leg: Int64s
    key: npt.NDArray[np.uint8]
    asset: Int64s
    amount: Int64s
    if_version: Int64s
    if_available: Int64s

    def __len__(self) -> int:
        return len(self.kind)
