"""Changes of phase: the columns in which transfers that moved on travel from projectors to gateways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from write_side.contract.state.pending_columns import Phase, StepState

HOME_WORDS: Final = {int(phase): phase.name.lower() for phase in Phase}
"""What the home partition says of a transfer, by the number of its phase."""
STEP_WORDS: Final = {int(state): state.name.lower() for state in (StepState.HELD, StepState.DONE, StepState.RELEASED)}
"""What another partition says of its part, by the number of the step's state: at the accounts nothing else can be seen."""
WORDS: Final = tuple(dict.fromkeys((*HOME_WORDS.values(), *STEP_WORDS.values())))


@dataclass(frozen=True, slots=True)
class PhaseRows:
    """n changes, as columns. keys: BLAKE3-128 of the account; transfers: its id, both 16 bytes; phases: one of `WORDS`.

    Each (account, transfer) once, with the newest phase. Keys and not names: a projector knows legs by their keys.
    """

    keys: list[bytes]
    transfers: list[bytes]
    phases: list[str]

    def __len__(self) -> int:
        return len(self.keys)


NO_PHASES: Final = PhaseRows([], [], [])
